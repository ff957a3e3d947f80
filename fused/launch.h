#ifndef FUSED_LAUNCH_H
#define FUSED_LAUNCH_H
/*
 * Two processes at the start. One becomes the daemon; the other, which holds nothing of the mount,
 * asks the mounted file system for its root when the daemon says so, and reports. A thread of the
 * daemon must not do that: if the daemon were killed meanwhile, the thread would wait in the kernel
 * for an answer that only it could give, and the dead process would keep the mount alive for ever.
 *
 * In the background, the other process is the one the user started: it waits, prints what went
 * wrong, and ends with the daemon's verdict. In the foreground it is a child that ends when the
 * start is over.
 */
#include "base/base.h"

#include <stdbool.h>

struct launch {
    bool foreground;
    int to_fd, from_fd; /* the daemon's ends; -1 when done */
    pid_t helper;       /* foreground: the child, else 0 */
};

/* Forks. Returns in the daemon; in the other process of a background start it does not return but
 * exits. */
status launch_begin(bool foreground, const char *mountpoint, struct launch *out) MUST_USE;
/* Whether the mount answers a stat of its root: 0 or an errno value. */
int launch_test_root(struct launch *l);
/* Ends the other process: with exit code 0, or with `text` on stderr and exit_code. Once. */
void launch_end(struct launch *l, int exit_code, const char *text);

#endif
