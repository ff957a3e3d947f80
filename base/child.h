#ifndef BASE_CHILD_H
#define BASE_CHILD_H
/*
 * child: a program run as a child process, which ends with its parent, even by kill -9. No signal
 * is blocked in it.
 *
 *     struct child_options o = {.program = path, .argv = argv, .dir_fd = -1, .out_fd = fd, .err_fd = fd};
 *     pid_t pid;
 *     st = child_start(&o, &pid);
 *     ... child_ended(pid, &how) from time to time; child_kill(pid) ends it at once ...
 */
#include "status.h"

#include <stdbool.h>
#include <sys/types.h>

struct child_options {
    const char *program;     /* a path */
    const char *const *argv; /* ends with NULL */
    int dir_fd;              /* its working directory; -1: this process's */
    int out_fd, err_fd;      /* its standard output and error; -1: this process's. Input is empty */
    bool own_group; /* what a terminal sends to this process's group does not reach it; SIGINT ends
                       it even if this process ignores that */
};
/* It dies with the calling thread, which must be one that lives as long as the child may. A program
   that cannot be run ends with 127. */
status child_start(const struct child_options *o, pid_t *out_pid) MUST_USE;
/* Whether it has ended; then *out_code is its exit status, or 128 and the signal, and pid is no
   longer its name. */
bool child_ended(pid_t pid, int *out_code);
/* SIGKILL, also to the group that it leads (own_group), and waits for the end. */
void child_kill(pid_t pid);

#endif
