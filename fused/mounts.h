#ifndef FUSED_MOUNTS_H
#define FUSED_MOUNTS_H
/* The kernel's list of mounts, and taking one away. */
#include "fused.h"

#define MOUNT_TYPE "fuse.relearnfs"

/* The absolute path of a mountpoint, also of one whose daemon is dead (realpath refuses that one).
 */
status mount_path(const char *path, char **out, struct errmsg *e) MUST_USE;
/* Whether the topmost mount at this absolute path is ours; *out_source may be NULL. */
status mount_find(const char *path, bool *out_ours, char **out_source) MUST_USE;
/* Whether its daemon is gone ("transport endpoint is not connected"). */
bool mount_is_dead(const char *path);
/* Unmounts: directly as root, through fusermount3 otherwise. lazy: also while files are open. BUSY.
 */
status mount_detach(const char *path, bool lazy, struct errmsg *e) MUST_USE;

#endif
