/* Taking a mount away. */
#include "mounts.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/banned.h"

extern char **environ;

static status run_fusermount(const char *path, bool lazy, struct errmsg *e)
{
    char *const argv[] = {(char *)"fusermount3", (char *)"-u", (char *)(lazy ? "-z" : "-q"),
                          (char *)"--",          (char *)path, NULL};
    pid_t pid;
    int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), rc;
    if (err)
        return errmsg_set(e, STATUS_NOT_FOUND, "fusermount3 did not start: %s (install fuse3)",
                          strerror(err));
    while (waitpid(pid, &rc, 0) < 0)
        if (errno != EINTR)
            return STATUS_IO;
    if (WIFEXITED(rc) && WEXITSTATUS(rc) == 0)
        return STATUS_OK;
    return errmsg_set(e, STATUS_BUSY,
                      "%s: not unmounted (files are open there, or it is not your mount)", path);
}

struct covered {
    int id;
    bool there;
};

static void covered_line(void *arg, const struct mount_line *m)
{
    struct covered *c = arg;
    c->there |= m->id == c->id;
}

/* OK: it is on top. NOT_FOUND: it is not mounted any more. EXISTS: covered. */
static status check_top(const char *path, int id, struct errmsg *e)
{
    struct mount_top top;
    struct covered c = {.id = id};
    status st = mount_top(path, &top);
    if (st)
        return errmsg_set(e, st, "the list of mounts cannot be read");
    if (top.id == id)
        st = STATUS_OK;
    else if ((st = mount_each(covered_line, &c)) == STATUS_OK)
        st = c.there ? errmsg_set(e, STATUS_EXISTS,
                                  "%s: not unmounted, since something else is mounted over it (%s, "
                                  "type %s): unmount that first",
                                  path, top.source ? top.source : "?", top.type ? top.type : "?")
                     : STATUS_NOT_FOUND;
    mount_top_done(&top);
    return st;
}

status mount_detach(const char *path, int id, bool lazy, struct errmsg *e)
{
    status st = id < 0 ? STATUS_OK : check_top(path, id, e);
    if (st)
        return st == STATUS_NOT_FOUND ? STATUS_OK : st;
    if (geteuid() != 0)
        return run_fusermount(path, lazy, e);
    if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return STATUS_OK;
    return errmsg_set(e, status_from_errno(errno), "%s: not unmounted: %s%s", path, strerror(errno),
                      errno == EBUSY ? " (files are open there)" : "");
}
