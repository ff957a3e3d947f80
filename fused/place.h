#ifndef FUSED_PLACE_H
#define FUSED_PLACE_H
/*
 * Where a view may be mounted, and what may not lie where: everything that would make a mount wait
 * for itself, change its source, or hide something, as far as it can be seen before. Paths are
 * compared as the kernel's list of mounts tells them apart: links, bind mounts and what is mounted
 * below a directory are seen through (mounts.h). What is refused is refused with a sentence that
 * says what to do.
 */
#include "base/base.h"

#include <stdbool.h>

struct place {
    char *source, *mountpoint; /* real paths */
    int lock_fd; /* on the mountpoint's directory: one mount at a time is made there; -1 */
};

/* Finds both, and refuses what is no directory, is not empty (unless nonempty), lies in the other,
   is a view or lies in one, or would nest views without end. A dead mount of ours is taken away. On
   success the mountpoint is locked: BUSY when another mount is being made there. */
status place_find(const char *source, const char *mountpoint, bool nonempty, struct place *out,
                  struct errmsg *e) MUST_USE;
void place_done(struct place *p);
/* Once it is mounted, the list of mounts keeps others away. */
void place_unlock(struct place *p);

/* For a file or directory that the daemon uses while it serves, such as `what` "the cache". how:
   what to do instead. written: it may not lie in the source either. path NULL: fine. */
status place_check(const struct place *p, const char *what, const char *path, bool written,
                   const char *how, struct errmsg *e) MUST_USE;

#endif
