#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H
/*
 * progress: shows the progress of long work. On a terminal a bar that is redrawn in place;
 * otherwise one plain line at most every ten seconds; nothing when `quiet`. Text goes to standard
 * error. One thread drives a struct progress; init/update/done need no heap.
 */
#include <stdint.h>

struct progress {
    char label[48];
    uint64_t total; /* 0: unknown */
    uint64_t start_ns;
    uint64_t next_ns;
    uint64_t first;            /* where a resumed run began */
    uint64_t work, work_total; /* of progress_update_work */
    int tty;
    int quiet;
    int drawn;
};

void progress_init(struct progress *p, const char *label, uint64_t first, uint64_t total,
                   int quiet);
/* extra: a short text behind the numbers ("loss 0.12"), may be NULL. */
void progress_update(struct progress *p, uint64_t now, const char *extra);
/* The same for items that differ in cost: the time left is estimated from the work (pixels, say)
   that is done, of work_total; none of it was done at progress_init. */
void progress_update_work(struct progress *p, uint64_t now, uint64_t work, uint64_t work_total,
                          const char *extra);
/* Draws the final state and ends the line. */
void progress_done(struct progress *p, uint64_t now, const char *extra);

#endif
