#ifndef FUSED_SWEEP_PARTS_H
#define FUSED_SWEEP_PARTS_H
/*
 * What the parts of the sweep share:
 *
 *     sweep.c        the thread: announced files first, then the whole source, once; how that ends
 *     sweep_lists.c  the files that were announced: warm list and hints
 *     sweep_file.c   one file through the pipeline, and what became of it
 *     sweep_check.c  how many files would have to be purified
 *
 * A file is at any time in one place: a list, the hands of the sweep's thread, or the pipeline.
 */
#include "sweep.h"

#include "cache_room.h"
#include "fs.h"

#include <pthread.h>

/* Why a file is purified ahead. */
enum sweep_origin { SWEEP_WARM, SWEEP_HINT, SWEEP_TREE };

struct sweep_item {
    struct sweep_item *next;
    char path[];
};

struct sweep_list {
    struct sweep_item *first, **last;
    uint64_t count;
};

struct sweep {
    struct fs *fs;
    pthread_t thread;
    bool started; /* the thread; written by sweep_new and sweep_stop */
    uint64_t start_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sweep_list warm, hints; /* guarded by lock, as all below */
    uint64_t warm_bytes;
    struct fused_warm_state warm_state;
    struct sweep_state state;
    unsigned under_way;     /* fetches that have not come back */
    unsigned under_way_max; /* not guarded: written by sweep_new */
    bool stopping;
    bool warm_begins;          /* its first name since the list was empty */
    struct errmsg ended_early; /* why the sweep did; of its own thread */
    uint64_t unfit, too_large; /* of its files: failed; above HELD_BYTES_MIN */
    struct cache_room room;    /* of the sweep's thread */
};

/* What became of a file. */
struct sweep_outcome {
    enum fused_group group;
    bool purified, failed, not_stored;
};

/* ---- sweep_lists.c: all called with s->lock held ---- */
struct sweep_item *sweep_list_pop(struct sweep_list *l); /* for mem_free; NULL: it is empty */
void sweep_list_clear(struct sweep_list *l);

/* ---- sweep_file.c ---- */
/* Counts a file that is done. */
void sweep_count(struct sweep *s, enum sweep_origin origin, const struct sweep_outcome *o);
/* Gives a file to the pipeline unless it needs nothing; it is counted then or when it comes back.
   name can be opened under base_fd, path under the root. */
void sweep_work_on(struct sweep *s, enum sweep_origin origin, int base_fd, const char *name,
                   const char *path);
/* For walks: the mount is ending. arg: struct fs. */
int sweep_is_ending(void *arg);

#endif
