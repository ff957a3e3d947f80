#ifndef FUSED_SOURCE_WALK_H
#define FUSED_SOURCE_WALK_H
/*
 * The files of a mount's source, or of a part of it. Mounts of relearnfs in it are not entered. What
 * a link leads to within the source is met there; links that leave it are followed where that was
 * asked for, and visited as links where not.
 */
#include "base/base.h"

struct fs;
/* name can be opened under dirfd, path under the root. What is no OK ends the walk. */
typedef status source_visit_fn(void *arg, int dirfd, const char *name, const char *path);
/* Visits each file below path ("." is the root), or path itself when it is no directory, or cannot
   be opened as one. CANCELLED: the mount is ending. */
status source_walk(struct fs *fs, const char *path, source_visit_fn *visit, void *arg,
                   struct errmsg *e) MUST_USE;

#endif
