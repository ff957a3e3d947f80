#ifndef TRAIN_BENCH_CLAIM_H
#define TRAIN_BENCH_CLAIM_H
/*
 * claim: one file for each piece of work (a cell, a tree) that somebody is at, so that several
 * processes, on this host or others that share the folder, do not do the same.
 *
 * The file says who: host, process, when the process was started, and which trees the work reads.
 * It is made with O_EXCL and touched by its owner. It is void when its process is gone, which can
 * be told where it ran (same boot, same process namespace), or when nobody touched it for `stale_s`
 * seconds by the clock of the folder's file system. A void one is replaced by a rename, under a lock
 * that all who do that take: of several, one gets it.
 *
 * Two may still do the same work: when an owner stood still for so long and then goes on. It
 * learns of it from claim_refresh; and whatever is written is written as a whole.
 */
#include "base/base.h"

#include <stdbool.h>

enum { CLAIM_STALE_S = 600, CLAIM_REFRESH_S = 30, CLAIM_NEEDS_MAX = 3 };
struct claim {
    char *path; /* NULL: nothing is held */
    char *text;
};
/* BUSY: somebody else is at it. The folder exists. needs: ids, NULLs are left out. */
status claim_take(const char *dir, const char *id, const char *const needs[CLAIM_NEEDS_MAX],
                  int stale_s, struct claim *out, struct errmsg *e) MUST_USE;
/* NOT_FOUND: it is somebody else's now. */
status claim_refresh(const struct claim *c) MUST_USE;
/* Removes the file, if it is still this claim's. */
void claim_release(struct claim *c);
/* Whether somebody (this process, too) is at it. */
bool claim_held(const char *dir, const char *id, int stale_s);
/* Whether somebody's work reads the tree. */
bool claim_needed(const char *dir, const char *tree, int stale_s);

#endif
