#ifndef FUSED_DEST_PARTS_H
#define FUSED_DEST_PARTS_H
/*
 * What the parts of a destination share:
 *
 *     dest.c        the tree and its directories, of which only some are open
 *     dest_files.c  files and links under temporary names, then their own
 */
#include "dest.h"

#include <pthread.h>

struct dest_dir {
    struct dest *tree;
    struct dest_dir *up; /* NULL: the root */
    dev_t dev;
    ino_t ino;
    bool has_like;
    mode_t mode;
    struct timespec time;
    unsigned refs;                /* guarded by tree->lock, as all below */
    int fd;                       /* -1: given up */
    unsigned used;                /* calls that use fd */
    struct dest_dir *prev, *next; /* in tree->idle, when fd >= 0 and used == 0, but for the root */
    char *name;                   /* in the same allocation */
};

struct dest {
    pthread_mutex_t lock;
    struct dest_dir idle; /* ends of the list */
    unsigned n_idle;      /* guarded by lock */
    struct dest_dir *root;
    dev_t dev;
    ino_t ino;
    int root_fd; /* its own, until dest_free */
};

/* A descriptor of d to use until dest_dir_release. AGAIN: it is not the directory that it was. */
status dest_dir_use(struct dest_dir *d, int *out_fd) MUST_USE;
void dest_dir_release(struct dest_dir *d);

enum { DEST_MODE_MASK = 0777 };

#endif
