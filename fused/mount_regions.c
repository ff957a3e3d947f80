/*
 * Where paths lie, by whatever way one comes to them. A path is compared as its file system knows it:
 * by device and by the path within it, of which the list of mounts says what is shown where.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

static bool is_prefix(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/' || n == 1);
}

/* Goes on from a real path to one of its entries; what does not exist is taken as it is written. */
static status step(char at[PATH_MAX], const char *name, size_t len)
{
    char next[PATH_MAX], real[PATH_MAX];
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        char *slash = strrchr(at, '/');
        slash[slash == at] = 0;
        return STATUS_OK;
    }
    int n = snprintf(next, sizeof next, "%s/%.*s", strcmp(at, "/") == 0 ? "" : at, (int)len, name);
    if (n >= (int)sizeof next)
        return STATUS_LIMIT;
    const char *found = realpath(next, real);
    if (!found && errno != ENOENT && errno != ENOTDIR)
        return status_from_errno(errno);
    memcpy(at, found ? real : next, strlen(found ? real : next) + 1);
    return STATUS_OK;
}

/* What of a path exists, as realpath gives it. The rest would be made as plain directories, so that
   ".." in it means what is written before. */
static status existing_part(const char *path, char out[PATH_MAX], struct errmsg *e)
{
    const char *all = path;
    char real[PATH_MAX];
    status st = STATUS_OK;
    if (*path == '/')
        memcpy(out, "/", 2);
    else if (!getcwd(out, PATH_MAX))
        st = status_from_errno(errno);
    while (!st && *path) {
        size_t len = strcspn(path, "/");
        if (len && !(len == 1 && *path == '.'))
            st = step(out, path, len);
        path += len + (path[len] == '/');
    }
    if (st)
        return errmsg_set(e, st, "%s: %s", all, status_text(st));
    while (!realpath(out, real)) {
        char *slash = strrchr(out, '/');
        slash[slash == out] = 0;
    }
    memcpy(out, real, strlen(real) + 1);
    return STATUS_OK;
}

/* Which mount a path lies in, as the kernel says. */
static int mount_id_of(const char *path)
{
    AUTO(fd_close) int fd = open(path, O_PATH | O_CLOEXEC);
    char info[64], line[128];
    snprintf(info, sizeof info, "/proc/self/fdinfo/%d", fd);
    AUTO(file_close) FILE *f = fd >= 0 ? fopen(info, "re") : NULL;
    int id = -1;
    while (f && id < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "mnt_id: %d", &id) != 1)
            id = -1;
    return id;
}

/* A directory tree as its file system knows it. */
struct region {
    dev_t device;
    char *path;
};

struct look {
    int id;
    const char *real; /* of the path asked for */
    const char *dir;  /* non-NULL: everything mounted below it is of interest */
    struct region *region;
    size_t n, room;
    bool nomem, found;
    char *own_point, *own_source;
};

static void look_add(struct look *l, dev_t device, char *path)
{
    if (path && l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        struct region *more = mem_realloc(l->region, room * sizeof *more);
        if (more) {
            l->region = more;
            l->room = room;
        }
    }
    if (!path || l->n == l->room) {
        l->nomem = true;
        mem_free(path);
        return;
    }
    l->region[l->n++] = (struct region){device, path};
}

static void look_line(void *arg, const struct mount_line *m)
{
    struct look *l = arg;
    if (m->id == l->id && is_prefix(m->point, l->real)) {
        size_t skip = strcmp(m->point, "/") == 0 ? 0 : strlen(m->point);
        const char *root = strcmp(m->root, "/") == 0 ? "" : m->root;
        const char *rest = strcmp(l->real + skip, "/") == 0 ? "" : l->real + skip;
        look_add(l, m->device, mem_printf("%s%s%s", root, rest, *root || *rest ? "" : "/"));
        l->found = true;
        if (mount_line_is_ours(m)) {
            l->own_point = mem_strdup(m->point);
            l->own_source = mem_strdup(m->source);
            l->nomem |= !l->own_point || !l->own_source;
        }
    } else if (l->dir && strcmp(m->point, l->dir) != 0 && is_prefix(l->dir, m->point)) {
        look_add(l, m->device, mem_strdup(m->root));
    }
}

static void look_done(struct look *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->region[i].path);
    mem_free(l->region);
    mem_free(l->own_point);
    mem_free(l->own_source);
}

/* The regions of an existing real path: its own, and with `below` what is mounted below it. */
static status look(const char *real, bool below, struct look *out)
{
    *out = (struct look){.id = mount_id_of(real), .real = real, .dir = below ? real : NULL};
    status st = mount_each(look_line, out);
    return st ? st : out->nomem ? STATUS_NOMEM : STATUS_OK;
}

status mount_lies_in(const char *path, const char *dir, bool *out, struct errmsg *e)
{
    char real[PATH_MAX], real_dir[PATH_MAX];
    status st = existing_part(path, real, e);
    if (!st && !realpath(dir, real_dir))
        st = errmsg_set(e, status_from_errno(errno), "%s: %s", dir, strerror(errno));
    if (st)
        return st;
    struct look inner, outer;
    st = look(real, false, &inner);
    status st2 = look(real_dir, true, &outer);
    bool in = is_prefix(real_dir, real);
    for (size_t i = 0; !st && !st2 && inner.found && i < outer.n; i++)
        in |= outer.region[i].device == inner.region[0].device &&
              is_prefix(outer.region[i].path, inner.region[0].path);
    look_done(&inner);
    look_done(&outer);
    if (st || st2)
        return errmsg_set(e, st ? st : st2, "the list of mounts cannot be read");
    *out = in;
    return STATUS_OK;
}

status mount_of(const char *path, char **out_point, char **out_source)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return status_from_errno(errno);
    struct look l;
    status st = look(real, false, &l);
    if (!st) {
        *out_point = TAKE(l.own_point);
        *out_source = TAKE(l.own_source);
    }
    look_done(&l);
    return st;
}
