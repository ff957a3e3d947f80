#ifndef FUSED_WATCH_PARTS_H
#define FUSED_WATCH_PARTS_H
/*
 * What the parts of the watch share:
 *
 *     watch.c        the thread: what the child says, and starting it again
 *     watch_child.c  the child: inotifywait
 *     watch_deep.c   directories that inotifywait cannot name
 */
#include "watch.h"

#include "fs.h"

#include <pthread.h>

enum { DEEP_MAX = 256 };

struct watch {
    struct fs *fs;
    pthread_t thread;
    int stop_fd; /* eventfd */
    char program[PATH_MAX];
    uint64_t settled_ns; /* the thread's, as all below */
    bool established, lost;
    bool too_deep; /* the child met a path that it cannot name */
    pid_t child;
    char *deep[DEEP_MAX]; /* directories that are not watched, as "@./a/b": options of the child */
    int n_deep;
};

/* ---- watch_child.c ---- */
/* Starts it; the descriptors are of its events and of its messages. */
status watch_child_start(struct watch *w, int *out_fd, int *err_fd) MUST_USE;
void watch_child_end(struct watch *w);

/* ---- watch_deep.c ---- */
void watch_forget_deep(struct watch *w);
/* Finds the directories that are to be left out. True when the child is worth another try. */
bool watch_find_deep(struct watch *w);

#endif
