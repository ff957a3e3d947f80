#ifndef IMAGE_WALK_LEVEL_H
#define IMAGE_WALK_LEVEL_H
/*
 * The directories that a walk is in, from the root down: a stack on the heap, as deep as the file
 * system goes. Only the descriptors of the root and of the deepest few are kept. When the walk
 * returns to a level without one, the level is opened again as its child's "..", or by names from
 * the root, and has to be the same directory as before.
 */
#include "walk_names.h"

#include <sys/stat.h>

/* One directory that is being walked. */
struct walk_level {
    int fd; /* -1: not kept */
    bool linked;
    dev_t dev;
    ino_t ino;
    size_t path_len; /* of w->path, that leads here; 0: the root */
    struct walk_names names;
    size_t next; /* the name to be visited */
};

struct walk {
    const struct image_walk_opts *opts;
    image_walk_fn *fn;
    void *arg;
    struct buf path; /* of the current entry, relative to the root */
    struct walk_level *level;
    size_t n, cap;
    size_t first_open; /* levels 1 .. first_open - 1 have no descriptor */
    size_t links;      /* levels that are linked */
};

status walk_open_dir(int dirfd, const char *name, bool linked, int *out_fd,
                     struct stat *out_sb) MUST_USE;
/* Whether the walk is in this directory already. */
bool walk_is_in(const struct walk *w, const struct stat *sb);
/* Enters the directory at w->path, and owns fd from then on, also after a failure. */
status walk_push(struct walk *w, int fd, bool linked, const struct stat *sb) MUST_USE;
/* Leaves the deepest level. If the one above was moved away meanwhile, what is left of it becomes
   an error entry. */
status walk_pop(struct walk *w) MUST_USE;
/* Leaves all levels. */
void walk_levels_done(struct walk *w);

void walk_path_cut(struct walk *w, size_t len);
status walk_report_error(const struct walk *w, int dirfd, const char *name, status error) MUST_USE;

#endif
