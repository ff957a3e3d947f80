#ifndef FUSED_MOUNT_PATHS_H
#define FUSED_MOUNT_PATHS_H
/*
 * Where a view may be mounted, and which files of the daemon's may lie where. Refused is what would
 * make a mount wait for itself, change its source, or hide something, as far as that can be seen
 * beforehand. Paths are compared by what the kernel's list of mounts says, so that links, bind
 * mounts and what is mounted below a directory do not hide anything (mounts.h). Each refusal says
 * what to do instead.
 */
#include "base/base.h"

#include <stdbool.h>

struct mount_paths {
    char *source, *mountpoint; /* real paths */
    int lock_fd; /* on the mountpoint's directory: one mount at a time is made there; -1 */
};

/* Finds both, and refuses what is no directory, is not empty (unless nonempty), lies in the other,
   is a view or lies in one, or would nest views without end. A dead mount of ours is taken away. On
   success the mountpoint is locked: BUSY when another mount is being made there. */
status mount_paths_find(const char *source, const char *mountpoint, bool nonempty,
                        struct mount_paths *out, struct errmsg *e) MUST_USE;
void mount_paths_done(struct mount_paths *p);
/* Once it is mounted, the list of mounts keeps others away. */
void mount_paths_unlock(struct mount_paths *p);

/* For a file or directory that the daemon uses while it serves, such as `what` "the cache". how:
   what to do instead. written: it may not lie in the source either. path NULL: fine. */
status mount_paths_check(const struct mount_paths *p, const char *what, const char *path,
                         bool written, const char *how, struct errmsg *e) MUST_USE;

#endif
