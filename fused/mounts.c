#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/banned.h"

extern char **environ;

static const char mountinfo[] = "/proc/self/mountinfo";

status mount_path(const char *path, char **out, struct errmsg *e)
{
    char full[PATH_MAX], parent[PATH_MAX];
    if (realpath(path, full)) {
        *out = mem_strdup(full);
        return *out ? STATUS_OK : STATUS_NOMEM;
    }
    if (errno != ENOTCONN && errno != ECONNABORTED && errno != EACCES && errno != EIO)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", path, strerror(errno));
    /* The last component cannot be asked for; those before it can. */
    snprintf(parent, sizeof parent, "%s", path);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        parent[--len] = 0;
    char *slash = strrchr(parent, '/');
    const char *name = slash ? slash + 1 : parent;
    AUTO(mem_free) char *last = mem_strdup(name);
    if (slash)
        slash[slash == parent] = 0;
    if (!last || !realpath(slash ? parent : ".", full))
        return errmsg_set(e, STATUS_NOT_FOUND, "%s: not found", path);
    *out = mem_printf("%s/%s", strcmp(full, "/") == 0 ? "" : full, last);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

/* ---- the list ---- */

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS" */
static bool parse_line(char *line, struct mount_line *out)
{
    char *save = NULL, *word = strtok_r(line, " \n", &save);
    char *root = NULL, *point = NULL, *type, *source;
    unsigned major = 0, minor = 0;
    bool device = false;
    out->id = -1;
    for (int i = 0; word; i++, word = strtok_r(NULL, " \n", &save)) {
        if (i == 0)
            out->id = (int)strtol(word, NULL, 10);
        if (i == 2)
            device = sscanf(word, "%u:%u", &major, &minor) == 2;
        if (i == 3)
            root = word;
        if (i == 4)
            point = word;
        if (i > 5 && strcmp(word, "-") == 0)
            break;
    }
    type = strtok_r(NULL, " \n", &save);
    source = strtok_r(NULL, " \n", &save);
    if (!device || !root || !point || !type || !source)
        return false;
    unescape(root);
    unescape(point);
    unescape(source);
    out->device = makedev(major, minor);
    out->root = root;
    out->point = point;
    out->type = type;
    out->source = source;
    return true;
}

status mount_each(mount_line_fn *fn, void *arg)
{
    AUTO(file_close) FILE *f = fopen(mountinfo, "re");
    if (!f)
        return STATUS_IO;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0) {
        struct mount_line m;
        if (parse_line(line, &m))
            fn(arg, &m);
    }
    free(line);
    return STATUS_OK;
}

static bool is_ours(const struct mount_line *m)
{
    return strcmp(m->type, MOUNT_TYPE) == 0;
}

void mount_top_done(struct mount_top *t)
{
    mem_free(t->type);
    mem_free(t->source);
    *t = (struct mount_top){.id = -1};
}

struct find {
    const char *path;
    struct mount_top top;
    int ours_id;
    bool nomem;
};

static void find_line(void *arg, const struct mount_line *m)
{
    struct find *f = arg;
    if (strcmp(m->point, f->path) != 0)
        return;
    mount_top_done(&f->top);
    f->top = (struct mount_top){.found = true,
                                .ours = is_ours(m),
                                .id = m->id,
                                .type = mem_strdup(m->type),
                                .source = mem_strdup(m->source)};
    f->nomem = !f->top.type || !f->top.source;
    if (f->top.ours)
        f->ours_id = m->id;
}

static status find(const char *path, struct find *out)
{
    *out = (struct find){.path = path, .top.id = -1, .ours_id = -1};
    status st = mount_each(find_line, out);
    if (!st && out->nomem)
        st = STATUS_NOMEM;
    if (st)
        mount_top_done(&out->top);
    return st;
}

status mount_top(const char *path, struct mount_top *out)
{
    struct find f;
    status st = find(path, &f);
    if (!st)
        *out = f.top;
    return st;
}

status mount_find(const char *path, bool *out_ours, char **out_source)
{
    struct mount_top top;
    status st = mount_top(path, &top);
    if (st)
        return st;
    *out_ours = top.ours;
    if (out_source)
        *out_source = TAKE(top.source);
    mount_top_done(&top);
    return STATUS_OK;
}

int mount_id_at(const char *path)
{
    struct find f;
    if (find(path, &f))
        return -1;
    mount_top_done(&f.top);
    return f.ours_id;
}

struct list {
    fused_mounts_fn *fn;
    void *arg;
};

static void list_line(void *arg, const struct mount_line *m)
{
    const struct list *l = arg;
    if (is_ours(m))
        l->fn(l->arg, m->point, m->source);
}

status fused_mounts(fused_mounts_fn *fn, void *arg)
{
    struct list l = {fn, arg};
    return mount_each(list_line, &l);
}

/* Not stat: the kernel may still have the attributes. */
bool mount_is_dead(const char *path)
{
    struct statfs sf;
    return statfs(path, &sf) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* ---- taking one away ---- */

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

/* ---- not into ourselves ---- */

/* The devices of our mounts, read again when the kernel says that the list has changed. */
static struct {
    pthread_mutex_t lock;
    int poll_fd; /* guarded by lock, as all below; -1: not opened yet, or not to be had */
    bool known;
    dev_t *device;
    size_t n, room;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .poll_fd = -1};

/* Called with own.lock held. */
static void own_line(void *arg, const struct mount_line *m)
{
    bool *failed = arg;
    if (!is_ours(m))
        return;
    if (own.n == own.room) {
        size_t room = own.room ? 2 * own.room : 16;
        dev_t *more = mem_realloc(own.device, room * sizeof *more);
        if (!more) {
            *failed = true;
            return;
        }
        own.device = more;
        own.room = room;
    }
    own.device[own.n++] = m->device;
}

/* Called with own.lock held. */
static void own_refresh(void)
{
    bool failed = false;
    if (own.poll_fd < 0)
        own.poll_fd = open(mountinfo, O_RDONLY | O_CLOEXEC);
    struct pollfd p = {.fd = own.poll_fd, .events = POLLPRI};
    bool changed = own.poll_fd < 0 || (poll(&p, 1, 0) > 0 && p.revents & (POLLPRI | POLLERR));
    if (own.known && !changed)
        return;
    own.n = 0;
    own.known = mount_each(own_line, &failed) == STATUS_OK && !failed;
}

bool mount_is_ours_device(dev_t device)
{
    bool found = false;
    pthread_mutex_lock(&own.lock);
    own_refresh();
    for (size_t i = 0; i < own.n && !found; i++)
        found = own.device[i] == device;
    pthread_mutex_unlock(&own.lock);
    return found;
}

int mount_guard(int dirfd, const char *name)
{
    struct statx sx;
    /* DONT_SYNC: the kernel answers for the root of a mount by itself. */
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (statx(dirfd, name, flags | (*name ? 0 : AT_EMPTY_PATH), STATX_TYPE, &sx) < 0)
        return 0;              /* whoever goes on meets the error */
    if (sx.stx_dev_major != 0) /* FUSE has no device of its own */
        return 0;
    return mount_is_ours_device(makedev(sx.stx_dev_major, sx.stx_dev_minor)) ? ELOOP : 0;
}

/* ---- one place, many paths ---- */

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
        if (is_ours(m)) {
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
