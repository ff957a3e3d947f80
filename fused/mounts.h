#ifndef FUSED_MOUNTS_H
#define FUSED_MOUNTS_H
/*
 * The kernel's list of mounts: finding ours, telling them from others', taking one away. What lies
 * in a mount is not asked here, so that a daemon that does not answer holds nobody up.
 */
#include "fused.h"

#include <limits.h>

#define MOUNT_TYPE "fuse.relearnfs"
#define MOUNTINFO "/proc/self/mountinfo"

/* The absolute path of a mountpoint, also of one whose daemon is dead (realpath refuses that
   one). */
status mount_path(const char *path, char **out, struct errmsg *e) MUST_USE;

/* A line of MOUNTINFO. */
struct mount_line {
    int id;
    dev_t device;
    const char *root;  /* what is shown there, as a path in its file system */
    const char *point; /* where */
    const char *type, *source;
};
typedef void mount_line_fn(void *arg, const struct mount_line *m);
/* Later lines may be mounted over earlier ones. */
status mount_each(mount_line_fn *fn, void *arg) MUST_USE;
bool mount_line_is_ours(const struct mount_line *m);

/* What one sees at an absolute path that is a mountpoint. */
struct mount_top {
    bool found, ours;
    int id;
    char *type, *source;
};
status mount_top(const char *path, struct mount_top *out) MUST_USE; /* mount_top_done */
void mount_top_done(struct mount_top *t);
/* Whether the topmost mount at this absolute path is ours; *out_source may be NULL. */
status mount_find(const char *path, bool *out_ours, char **out_source) MUST_USE;
/* The id of the topmost of our mounts at this path, whatever lies over it; -1 for none. */
int mount_id_at(const char *path);
/* Whether its daemon is gone ("transport endpoint is not connected"). */
bool mount_is_dead(const char *path);

/* ---- mount_detach.c ---- */
/* Unmounts: directly as root, through fusermount3 otherwise. lazy: also while files are open. BUSY.
   id: of mount_id_at; when something else lies over it, nothing is unmounted and the answer is
   EXISTS, when it is gone already OK. -1: whatever is on top. (Between the look and the unmount
   somebody may still mount something: the kernel has no call that unmounts by id.) */
status mount_detach(const char *path, int id, bool lazy, struct errmsg *e) MUST_USE;

/* ---- mount_guard.c: mounts of ours below a source ---- */
/*
 * A view whose source holds the mountpoint of another, whose source holds that of the first, would
 * nest requests until all threads of both wait for each other. So a mount of ours below a source is
 * not entered: code that opens files below the source asks these first.
 */

/* Whether this device (st_dev) is a mount of ours. A few hundred nanoseconds. */
bool mount_is_ours_device(dev_t device);
/* ELOOP when `name` in dirfd is the root of a mount of ours; else 0. Nothing is asked of that
   mount. name "": dirfd itself. */
int mount_guard(int dirfd, const char *name);

/* ---- mount_regions.c: one directory, many paths ---- */

/* Whether path, or what of it exists, lies in the directory dir or is it, also by way of links,
   bind mounts, and what is mounted below dir. */
status mount_lies_in(const char *path, const char *dir, bool *out, struct errmsg *e) MUST_USE;
/* The mount in which an existing path lies: its mountpoint and source if it is one of ours, else
   both NULL. For mem_free. */
status mount_of(const char *path, char **out_point, char **out_source) MUST_USE;

#endif
