/*
 * inotifywait gets the source root as its working directory and dies with the thread that started
 * it.
 */
#include "watch_parts.h"

#include <errno.h>
#include <fcntl.h>

#include "base/banned.h"

/* Events that matter. Not `modify`: a writer that is not done is seen when it closes, or by whoever
 * opens the file. */
#define EVENTS "close_write,attrib,moved_from,moved_to,create,delete"

static status start(struct watch *w, int out, int err)
{
    const char *argv[DEEP_MAX + 16] = {"inotifywait", "-m",        "-r", "--no-newline",
                                       "--format",    "%e/%w%f%0", "-e", EVENTS};
    int n = 8;
    for (int i = 0; i < w->n_deep; i++)
        argv[n++] = w->deep[i];
    argv[n++] = ".";
    const struct child_options o = {.program = w->program,
                                    .argv = argv,
                                    .dir_fd = w->fs->root_fd,
                                    .out_fd = out,
                                    .err_fd = err};
    return child_start(&o, &w->child);
}

status watch_child_start(struct watch *w, int *out_fd, int *err_fd)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return status_from_errno(errno);
    if (pipe2(err, O_CLOEXEC) < 0) {
        status st = status_from_errno(errno);
        close(out[0]);
        close(out[1]);
        return st;
    }
    status st = start(w, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    if (st) {
        close(out[0]);
        close(err[0]);
        return st;
    }
    *out_fd = out[0];
    *err_fd = err[0];
    return STATUS_OK;
}

void watch_child_end(struct watch *w)
{
    child_kill(w->child);
}
