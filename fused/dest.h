#ifndef FUSED_DEST_H
#define FUSED_DEST_H
/*
 * Writing a tree of files below one directory, and nowhere else: no symbolic link in it is followed,
 * no matter who made it or when, and nothing is changed except what was made here or has a name that
 * is to be written.
 *
 * - Every step is one component, relative to the descriptor of the directory above. A directory is
 *   known by device and inode: one that was exchanged meanwhile is AGAIN for what was to go there.
 * - A file is written under a new, temporary name (O_EXCL), and renamed. What had its own
 *   name before, link or file, is replaced but never opened.
 * - No file or directory ever gets the set-user-id, set-group-id or sticky bit. Directories are
 *   their owner's only until dest_done, so that nobody puts anything there meanwhile.
 * - Paths may be of any length. At most DEST_OPEN_MAX directories are open, besides those in use.
 *
 * A directory lives while somebody holds a reference, or a directory below it lives. When the last
 * reference is given back it gets its mode and time.
 *
 * Threads: any; the calls may block on the file system.
 */
#include "base/base.h"

#include <stdbool.h>
#include <sys/stat.h>

enum { DEST_OPEN_MAX = 64 };

struct dest;     /* the tree */
struct dest_dir; /* one directory in it */

/* root_fd (taken, also on failure): the directory, O_PATH will do. */
status dest_new(int root_fd, struct dest **out, struct dest_dir **out_root) MUST_USE;
void dest_free(struct dest *t); /* after the last reference; NULL allowed */

/* Takes over what the source says of a directory: its mode and time, which it gets at the end. */
void dest_like(struct dest_dir *d, const struct stat *source);
/* Makes the directory, or uses the one that is there. EXISTS: something else is. */
status dest_mkdir(struct dest_dir *up, const char *name, struct dest_dir **out) MUST_USE;
struct dest_dir *dest_ref(struct dest_dir *d);
void dest_unref(struct dest_dir *d);
/* Whether this is the root of the tree. */
bool dest_is_root(const struct dest *t, dev_t dev, ino_t ino);

/* A file of mode 0600, open for reading and writing under another name. */
struct dest_file {
    int fd;
    char temp_name[48];
};
status dest_file_begin(struct dest_dir *d, const char *name, struct dest_file *out) MUST_USE;
/* Gives it its mode and time (those of source) and its name. Closes it, also on failure. */
status dest_file_end(struct dest_dir *d, const char *name, struct dest_file *f,
                     const struct stat *source) MUST_USE;
void dest_file_drop(struct dest_dir *d, struct dest_file *f);

status dest_symlink(struct dest_dir *d, const char *name, const char *text,
                    const struct stat *source) MUST_USE;

/* Until the disk has all that was written. */
status dest_sync(const struct dest *t) MUST_USE;
/* Whether the file system of the tree is one that nothing more can be written to: a status that
   ends the work (NO_SPACE, DENIED) for one that a call above returned, else OK. */
status dest_is_over(const struct dest *t, status st) MUST_USE;

#endif
