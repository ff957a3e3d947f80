#ifndef FUSED_LINKS_H
#define FUSED_LINKS_H
/*
 * Where a symbolic link of the source leads, and what text a view of the source shows for it.
 *
 * Nothing is opened but with O_PATH, and nothing is asked of a file system that a program serves
 * (FUSE, autofs) or of /proc, unless the source itself lies on it: a link into one of our own
 * mounts must not make the daemon wait for itself, nor one into a dead network mount. Such a link
 * is LINK_OUTSIDE, even if what it leads to would lead back.
 *
 * The answer may be out of date at once. That does no harm: whoever opens the link resolves it again
 * in the view, where it can lead only to what the view shows.
 *
 * Threads: any.
 */
#include "base/base.h"

#include <limits.h>

enum link_fate {
    LINK_AS_IS,     /* its own text leads to something within the view */
    LINK_REWRITTEN, /* leads into the source by an absolute path, or leaves it and comes back */
    LINK_OUTSIDE,   /* leaves the source, or leads where we must not look */
    LINK_DANGLING,  /* leads to nothing, or in a circle */
};

/* What is said of LINK_OUTSIDE, and of a link that is followed and leads to where it is. */
extern const char link_outside_text[], link_loop_text[];

/* path: of the link, relative to the root. out_text: what to show: the link's own text, or when
   LINK_REWRITTEN a relative one from the link's directory to what it leads to. NOT_FOUND, DENIED,
   INVALID (no link), LIMIT (a path that is too long). */
status link_resolve(int root_fd, const char *path, enum link_fate *out,
                    char out_text[PATH_MAX]) MUST_USE;
/* The same for the link that path's last component names in dir_fd; path may then be of any
   length. */
status link_resolve_at(int root_fd, int dir_fd, const char *path, enum link_fate *out,
                       char out_text[PATH_MAX]) MUST_USE;

#endif
