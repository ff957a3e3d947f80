#ifndef FUSED_SWEEP_H
#define FUSED_SWEEP_H
/*
 * Purifying before anybody reads, on one thread of low priority. In this order:
 *   1. the warm list: files announced over the control socket, in the order given;
 *   2. hints: files that changed while we watched;
 *   3. the sweep: the whole source, once, while no reader waits (unless it is switched off).
 * What a full cache would not keep is not purified: the sweep ends, and files of the warm
 * list are counted as not stored. All of it is submitted at sweep priority, and only as
 * many files at once as keep the purifier busy; a file that is opened meanwhile overtakes, and joins the work on it when that has
 * begun.
 *
 * Paths are relative to the source root, "." is the root; symbolic links are followed inside it. A
 * path that is a directory stands for all files below it.
 */
#include "fused.h"

struct fs;
struct sweep;

status sweep_new(struct fs *fs, struct sweep **out) MUST_USE;
/* Ends the thread; files that are with the pipeline still come back to this struct. */
void sweep_stop(struct sweep *s);
/* After sweep_stop, and after every fetch was answered. */
void sweep_free(struct sweep *s);

/* LIMIT: the list holds 256 MiB of names already. A path that cannot be opened is queued and counts
   as failed. */
status sweep_warm(struct sweep *s, const char *path, struct errmsg *e) MUST_USE;
void sweep_warm_state(struct sweep *s, struct fused_warm_state *out);
/* Counts into *io what would have to be purified. */
status sweep_check(struct sweep *s, const char *path, struct fused_warm_check *io,
                   struct errmsg *e) MUST_USE;
/* Never waits. When there are too many hints a new one is dropped: the file is then purified when
   it is read. */
void sweep_hint(struct sweep *s, const char *path);

struct sweep_state {
    const char *phase;         /* off, waiting, running, done, full: ended for want of room */
    char why[160];             /* it is off, or has ended early; else "" */
    uint64_t seen;             /* files the sweep has looked at */
    uint64_t purified, failed; /* by warm list, hints and sweep together */
};
void sweep_state(struct sweep *s, struct sweep_state *out);

#endif
