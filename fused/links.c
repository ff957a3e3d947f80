/*
 * A link is followed here as the kernel would, component by component, with one thing more: while
 * the way is within the source, the path from the root to where it is. Directories are known by
 * device and inode, so that a way through a bind mount of the source is a way within it.
 *
 * Most links are relative ones that stay inside; openat2 tells them in one call.
 */
#include "links.h"
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

const char link_outside_text[] = "a link that leaves the source";
const char link_loop_text[] = "a link back to a directory that it lies in";

enum { LINKS_MAX = 40 /* as the kernel */, REST_MAX = 2 * PATH_MAX, INNER_MAX = 1 << 20 };

/* Not an errno value: the way ends where nobody should look. */
enum { STOPPED = -1 };

struct way {
    int root_fd, at;     /* at: O_PATH */
    struct statx root;   /* of root_fd */
    bool inside;         /* at is the root or below it */
    bool left;           /* the way was outside, or an absolute text was followed */
    int links;           /* followed */
    uint64_t mount;      /* that `at` is on */
    struct buf inner;    /* inside: from the root to at, without slashes at its ends */
    char rest[REST_MAX]; /* what is still to be followed */
};

static int ask(int fd, struct statx *out)
{
    /* Without a question to a server: what is known of what was just looked up will do. */
    int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    return statx(fd, "", flags, STATX_TYPE | STATX_INO | STATX_MNT_ID, out) < 0 ? errno : 0;
}

static bool same(const struct statx *a, const struct statx *b)
{
    return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
           a->stx_dev_minor == b->stx_dev_minor;
}

/* ---- mounts that are left alone ---- */

/* Whether the root or a directory above it is on this mount: whoever uses the source waits for it
   anyhow. */
static bool leads_to_root(const struct way *w, uint64_t mount)
{
    AUTO(fd_close) int fd = openat(w->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statx now, last = {.stx_ino = 0};
    while (fd >= 0 && ask(fd, &now) == 0 && !(last.stx_ino && same(&now, &last))) {
        if (now.stx_mnt_id == mount)
            return true;
        last = now;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
    }
    return false;
}

/* "fuse.sshfs", as /proc/self/mountinfo has it behind " - "; "" when it is not listed. */
static void mount_type(uint64_t mount, char out[64])
{
    AUTO(file_close) FILE *f = fopen("/proc/self/mountinfo", "re");
    AUTO(mem_free) char *line = NULL;
    size_t size = 0;
    out[0] = 0;
    while (f && getline(&line, &size, f) > 0) {
        const char *type = strstr(line, " - ");
        if (type && strtoull(line, NULL, 10) == mount) {
            snprintf(out, 64, "%.*s", (int)strcspn(type + 3, " "), type + 3);
            return;
        }
    }
}

static bool is_left_alone(const struct way *w, const struct statx *sb)
{
    if (!(sb->stx_mask & STATX_MNT_ID) || sb->stx_mnt_id == w->mount ||
        sb->stx_mnt_id == w->root.stx_mnt_id || leads_to_root(w, sb->stx_mnt_id))
        return false;
    char type[64];
    mount_type(sb->stx_mnt_id, type);
    return strncmp(type, "fuse", 4) == 0 || strcmp(type, "autofs") == 0 ||
           strcmp(type, "proc") == 0;
}

/* ---- steps ---- */

static int arrive(struct way *w, int fd, const struct statx *sb)
{
    if (is_left_alone(w, sb)) {
        close(fd);
        return STOPPED;
    }
    w->mount = sb->stx_mnt_id;
    close(w->at);
    w->at = fd;
    return 0;
}

static int open_step(const struct way *w, const char *name, int *out_fd, struct statx *out)
{
    int fd = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int err = ask(fd, out);
    if (err) {
        close(fd);
        return err;
    }
    *out_fd = fd;
    return 0;
}

static void cut(struct way *w, size_t len)
{
    w->inner.len = len;
    w->inner.data[len] = 0;
}

static int to_top(struct way *w)
{
    struct statx sb;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), err = fd < 0 ? errno : ask(fd, &sb);
    if (err) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    w->left = true;
    w->inside = same(&sb, &w->root);
    cut(w, 0);
    return arrive(w, fd, &sb);
}

static int step_up(struct way *w)
{
    struct statx sb;
    int fd = -1, err = open_step(w, "..", &fd, &sb);
    if (err)
        return err;
    const char *inner = w->inner.data, *slash = strrchr(inner, '/');
    if (w->inside && *inner) {
        cut(w, slash ? (size_t)(slash - inner) : 0);
    } else {
        w->inside = same(&sb, &w->root); /* only above "/", which is its own parent */
        w->left |= !w->inside;
    }
    return arrive(w, fd, &sb);
}

static int follow_text(struct way *w, int fd, const char *name)
{
    char text[PATH_MAX], rest[REST_MAX];
    ssize_t n = readlinkat(fd, name, text, sizeof text - 1);
    if (n <= 0)
        return n < 0 ? errno : ENOENT;
    if (++w->links > LINKS_MAX)
        return ELOOP;
    text[n] = 0;
    memcpy(rest, w->rest, strlen(w->rest) + 1);
    int len = snprintf(w->rest, sizeof w->rest, "%s%s%s", text, *rest ? "/" : "", rest);
    if (len >= (int)sizeof w->rest)
        return ENAMETOOLONG;
    return text[0] == '/' ? to_top(w) : 0;
}

static int step_down(struct way *w, const char *name, bool last)
{
    struct statx sb;
    int fd = -1, err = open_step(w, name, &fd, &sb);
    if (err)
        return err;
    if (S_ISLNK(sb.stx_mode)) {
        err = follow_text(w, fd, "");
        close(fd);
        return err;
    }
    if (!last && !S_ISDIR(sb.stx_mode)) {
        close(fd);
        return ENOTDIR;
    }
    if (same(&sb, &w->root)) {
        w->inside = true;
        cut(w, 0);
    } else if (w->inside && buf_addf(&w->inner, "%s%s", w->inner.len ? "/" : "", name)) {
        close(fd);
        return ENOMEM;
    }
    return arrive(w, fd, &sb);
}

static int follow_rest(struct way *w)
{
    char name[NAME_MAX + 1];
    for (;;) {
        size_t slashes = strspn(w->rest, "/"), len = strcspn(w->rest + slashes, "/");
        if (!len)
            return 0;
        if (len > NAME_MAX)
            return ENAMETOOLONG;
        memcpy(name, w->rest + slashes, len);
        name[len] = 0;
        /* "file/" wants a directory: a slash makes it not the last. */
        bool last = w->rest[slashes + len] == 0;
        memmove(w->rest, w->rest + slashes + len, strlen(w->rest + slashes + len) + 1);
        int err = strcmp(name, ".") == 0    ? 0
                  : strcmp(name, "..") == 0 ? step_up(w)
                                            : step_down(w, name, last);
        if (err)
            return err;
    }
}

/* ---- answers ---- */

/* From the directory of the link at `path` to `target`, both relative to the root. */
static bool relative_text(const char *path, const char *target, char out[PATH_MAX])
{
    const char *rest = path, *to = target, *slash;
    while ((slash = strchr(rest, '/'))) { /* the directories that both have */
        size_t len = (size_t)(slash - rest);
        if (strncmp(rest, to, len) != 0 || (to[len] && to[len] != '/'))
            break;
        rest = slash + 1;
        to += len + (to[len] == '/');
        if (!*to)
            break;
    }
    size_t at = 0;
    for (; (slash = strchr(rest, '/')); rest = slash + 1) {
        if (at + 3 >= PATH_MAX)
            return false;
        memcpy(out + at, "../", 3);
        at += 3;
    }
    int n = snprintf(out + at, PATH_MAX - at, "%s", *to || at ? to : ".");
    if (n >= (int)(PATH_MAX - at))
        return false;
    at += (size_t)n;
    if (at > 1 && out[at - 1] == '/')
        out[at - 1] = 0;
    return true;
}

static status fate_of(int err, const struct way *w, const char *path, enum link_fate *out,
                      char text[PATH_MAX])
{
    char better[PATH_MAX];
    switch (err) {
    case 0:
        break;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        *out = LINK_DANGLING;
        return STATUS_OK;
    case STOPPED:
    case EACCES:
    case EPERM:
        *out = LINK_OUTSIDE;
        return STATUS_OK;
    default:
        return status_from_errno(err);
    }
    if (!w->inside) {
        *out = LINK_OUTSIDE;
    } else if (!w->left) {
        *out = LINK_AS_IS;
    } else if (relative_text(path, w->inner.data, better)) {
        memcpy(text, better, strlen(better) + 1);
        *out = LINK_REWRITTEN;
    } else {
        *out = LINK_OUTSIDE; /* what leads there cannot be written down */
    }
    return STATUS_OK;
}

static status follow(int root_fd, int dir_fd, const char *path, enum link_fate *out,
                     char text[PATH_MAX])
{
    struct way w = {.root_fd = root_fd, .inside = true, .links = 1};
    const char *slash = strrchr(path, '/');
    struct statx here;
    w.inner = (struct buf)BUF_INIT(INNER_MAX);
    status st = buf_add(&w.inner, path, slash ? (size_t)(slash - path) : 0);
    if (st)
        return st;
    w.at = openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int err = w.at < 0 ? errno : ask(root_fd, &w.root);
    if (!err)
        err = ask(w.at, &here);
    if (!err) {
        w.mount = here.stx_mnt_id;
        snprintf(w.rest, sizeof w.rest, "%s", text);
        err = text[0] == '/' ? to_top(&w) : 0;
    }
    if (!err)
        err = follow_rest(&w);
    st = fate_of(err, &w, path, out, text);
    if (w.at >= 0)
        close(w.at);
    buf_done(&w.inner);
    return st;
}

status link_resolve_at(int root_fd, int dir_fd, const char *path, enum link_fate *out,
                       char out_text[PATH_MAX])
{
    char text[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    ssize_t n = readlinkat(dir_fd, name, text, sizeof text - 1);
    if (n < 0)
        return status_from_errno(errno);
    text[n] = 0;
    int fd;
    enum link_fate fate = LINK_AS_IS;
    status st = STATUS_OK;
    if (text[0] != '/' && strlen(path) < PATH_MAX && beneath_reaches(root_fd, path, &fd) == 0)
        close(fd);
    else
        st = follow(root_fd, dir_fd, path, &fate, text);
    if (st)
        return st;
    memcpy(out_text, text, strlen(text) + 1);
    *out = fate;
    return STATUS_OK;
}

status link_resolve(int root_fd, const char *path, enum link_fate *out, char out_text[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    AUTO(mem_free) char *dir = slash ? mem_printf("%.*s", (int)(slash - path), path) : NULL;
    AUTO(fd_close) int fd = -1;
    if (slash && !dir)
        return STATUS_NOMEM;
    int err = beneath_open(root_fd, dir ? dir : ".", O_PATH | O_DIRECTORY, &fd);
    return err ? status_from_errno(err) : link_resolve_at(root_fd, fd, path, out, out_text);
}
