#include "mount_paths.h"

#include "mounts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/banned.h"

void mount_paths_unlock(struct mount_paths *p)
{
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    p->lock_fd = -1;
}

void mount_paths_done(struct mount_paths *p)
{
    mount_paths_unlock(p);
    mem_free(p->source);
    mem_free(p->mountpoint);
    *p = (struct mount_paths){.lock_fd = -1};
}

/* ---- the source ---- */

static status find_source(const char *path, char **out, struct errmsg *e)
{
    char full[PATH_MAX];
    struct stat sb;
    if (!realpath(path, full) || stat(full, &sb) < 0)
        return errno == ENOENT
                   ? errmsg_set(e, STATUS_NOT_FOUND, "%s: there is no such directory to show", path)
                   : errmsg_set(e, status_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(sb.st_mode))
        return errmsg_set(
            e, STATUS_INVALID,
            "%s: not a directory: a mount shows one (relearn purify takes files, too)", path);
    AUTO(mem_free) char *point = NULL;
    AUTO(mem_free) char *source = NULL;
    status st = mount_of(full, &point, &source);
    if (st)
        return errmsg_set(e, st, "the list of mounts cannot be read");
    if (point)
        return errmsg_set(
            e, STATUS_INVALID,
            "%s: lies in a view already, of %s at %s: what it shows is purified (mount "
            "%s again for another profile)",
            path, source, point, source);
    *out = mem_strdup(full);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

/* ---- the mountpoint ---- */

/* A mount whose daemon died is taken away. */
static status clear_mountpoint(const char *path, struct errmsg *e)
{
    struct mount_top top;
    status st = mount_top(path, &top);
    if (st)
        return errmsg_set(e, st, "the list of mounts cannot be read");
    bool ours = top.ours;
    int id = top.id;
    mount_top_done(&top);
    if (!mount_is_dead(path))
        return ours ? errmsg_set(e, STATUS_EXISTS,
                                 "%s: a relearnfs is mounted there (relearn umount %s)", path, path)
                    : STATUS_OK;
    if (!ours)
        return errmsg_set(e, STATUS_BUSY,
                          "%s: a dead mount of another program is there (umount it first)", path);
    log_info("%s: taking away a mount whose daemon is gone", path);
    return mount_detach(path, id, true, e);
}

static bool is_empty(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool empty = true;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *en = d ? readdir(d) : NULL; en && empty; en = readdir(d))
        empty = strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0;
    if (d)
        closedir(d);
    return empty;
}

/* Whoever makes a mount holds a lock on the directory that it will cover, so that of several at
   once one is first, and the others see its mount or its lock. A directory that we may not read, or
   whose file system has no locks, goes without. */
static status lock_mountpoint(const char *path, int *out_fd, struct errmsg *e)
{
    AUTO(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? STATUS_OK
               : errno == ENOTDIR
                   ? errmsg_set(e, STATUS_INVALID,
                                "%s: is not a directory: choose an empty one (mkdir makes it)",
                                path)
                   : errmsg_set(e, status_from_errno(errno), "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        *out_fd = TAKE_FD(fd);
    else if (errno == EWOULDBLOCK)
        return errmsg_set(e, STATUS_BUSY,
                          "%s: another mount is being made there (or another program holds a lock "
                          "on that directory)",
                          path);
    return STATUS_OK;
}

static status find_mountpoint(const char *given, struct mount_paths *p, struct errmsg *e)
{
    if (access(given, F_OK) < 0 && errno == ENOENT)
        return errmsg_set(e, STATUS_NOT_FOUND,
                          "%s: there is no such directory to mount on (mkdir %s)", given, given);
    status st = mount_path(given, &p->mountpoint, e);
    if (!st)
        st = clear_mountpoint(p->mountpoint, e);
    if (!st)
        st = lock_mountpoint(p->mountpoint, &p->lock_fd, e);
    /* Again: whoever held the lock may have mounted. */
    if (!st && p->lock_fd >= 0)
        st = clear_mountpoint(p->mountpoint, e);
    return st;
}

/* ---- both ---- */

static status check_apart(const struct mount_paths *p, struct errmsg *e)
{
    AUTO(mem_free) char *point = NULL;
    AUTO(mem_free) char *source = NULL;
    bool in = false, around = false;
    status st = mount_lies_in(p->mountpoint, p->source, &in, e);
    if (!st)
        st = mount_lies_in(p->source, p->mountpoint, &around, e);
    if (st)
        return st;
    if (in || around)
        return errmsg_set(
            e, STATUS_INVALID,
            "%s and %s: one lies in the other (choose a mountpoint beside the source)", p->source,
            p->mountpoint);
    st = mount_of(p->mountpoint, &point, &source);
    if (st || point)
        return errmsg_set(e, st ? st : STATUS_INVALID,
                          "%s: lies in the view that is mounted at %s (choose a directory outside)",
                          p->mountpoint, point ? point : "?");
    return STATUS_OK;
}

/* Views in the source, views in the sources of those, and so on. */
struct nest {
    struct {
        char *source, *point;
    } * view; /* all of ours on this machine */
    size_t n, room;
    bool nomem;
};

static void nest_add(void *arg, const char *point, const char *source)
{
    struct nest *nest = arg;
    if (nest->n == nest->room) {
        size_t room = nest->room ? 2 * nest->room : 8;
        void *more = mem_realloc(nest->view, room * sizeof *nest->view);
        if (!more) {
            nest->nomem = true;
            return;
        }
        nest->view = more;
        nest->room = room;
    }
    nest->view[nest->n].source = mem_strdup(source);
    nest->view[nest->n].point = mem_strdup(point);
    nest->nomem |= !nest->view[nest->n].source || !nest->view[nest->n].point;
    nest->n++;
}

/* NULL: no view in dir leads to the mountpoint. Each view is looked at once: it is then taken out
   of the list. */
static const char *leads_to(struct nest *nest, const char *dir, const char *mountpoint)
{
    for (size_t i = 0; i < nest->n; i++) {
        char *source = nest->view[i].source;
        bool below = false, leads = false;
        if (!source || !nest->view[i].point)
            continue;
        size_t len = strlen(dir);
        const char *point = nest->view[i].point;
        below = strncmp(point, dir, len) == 0 && (point[len] == '/' || len == 1);
        if (!below)
            continue;
        nest->view[i].source = NULL;
        if (mount_lies_in(mountpoint, source, &leads, NULL) == STATUS_OK && !leads)
            leads = leads_to(nest, source, mountpoint) != NULL;
        mem_free(source);
        if (leads)
            return point;
    }
    return NULL;
}

static status check_nesting(const struct mount_paths *p, struct errmsg *e)
{
    struct nest nest = {.n = 0};
    status st = fused_mounts(nest_add, &nest);
    if (!st && nest.nomem)
        st = STATUS_NOMEM;
    const char *point = st ? NULL : leads_to(&nest, p->source, p->mountpoint);
    if (st)
        st = errmsg_set(e, st, "the list of mounts cannot be read");
    else if (point)
        st = errmsg_set(
            e, STATUS_INVALID,
            "%s: the view at %s shows the directory of this mountpoint again, so that "
            "views would nest without end (choose a mountpoint outside of what it shows)",
            p->mountpoint, point);
    for (size_t i = 0; i < nest.n; i++) {
        mem_free(nest.view[i].source);
        mem_free(nest.view[i].point);
    }
    mem_free(nest.view);
    return st;
}

status mount_paths_find(const char *source, const char *mountpoint, bool nonempty,
                        struct mount_paths *out, struct errmsg *e)
{
    struct mount_paths p = {.lock_fd = -1};
    status st = find_source(source, &p.source, e);
    if (!st)
        st = find_mountpoint(mountpoint, &p, e);
    if (!st)
        st = check_apart(&p, e);
    if (!st)
        st = check_nesting(&p, e);
    if (!st && !nonempty && p.lock_fd >= 0 && !is_empty(p.lock_fd))
        st =
            errmsg_set(e, STATUS_EXISTS,
                       "%s: not empty: what is in it could not be seen (choose an empty directory, "
                       "or mount with -o nonempty)",
                       mountpoint);
    if (st)
        mount_paths_done(&p);
    else
        *out = p;
    return st;
}

status mount_paths_check(const struct mount_paths *p, const char *what, const char *path,
                         bool written, const char *how, struct errmsg *e)
{
    bool in = false;
    status st = path ? mount_lies_in(path, p->mountpoint, &in, e) : STATUS_OK;
    if (st)
        return errmsg_prefix(e, st, "%s", what);
    if (in)
        return errmsg_set(
            e, STATUS_INVALID,
            "%s %s lies below the mountpoint, where the mount would wait for itself: %s", what,
            path, how);
    if (path && written)
        st = mount_lies_in(path, p->source, &in, e);
    if (!st && in)
        st = errmsg_set(e, STATUS_INVALID, "%s %s lies in %s, which is never written: %s", what,
                        path, p->source, how);
    return st;
}
