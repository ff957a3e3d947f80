/* From paths and nodes to open files: what may be opened, and whether it still is that node. */
#include "fs.h"

#include "beneath.h"
#include "mounts.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

/* The target of a link that leaves the source, or what lies below it, for who asked for that. */
static int open_followed(struct fs *fs, const char *path, int flags, int *out_fd)
{
    char proc[64];
    AUTO(fd_close) int fd = openat(fs->root_fd, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int err = mount_guard(fd, "");
    if (err)
        return err;
    if (flags & O_PATH) {
        *out_fd = TAKE_FD(fd);
        return 0;
    }
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    int data = open(proc, flags | O_CLOEXEC);
    if (data < 0)
        return errno;
    *out_fd = data;
    return 0;
}

/* ELOOP when the way to path leads into a mount of ours. Each step goes through those before it, of
   which that is known. */
static int guard_way(struct fs *fs, const char *path)
{
    char way[PATH_MAX];
    for (const char *end = path; *end; end += *end == '/') {
        end += strcspn(end, "/");
        AUTO(fd_close) int fd = -1;
        snprintf(way, sizeof way, "%.*s", (int)(end - path), path);
        int err = beneath_open(fs->root_fd, way, O_PATH, &fd);
        if (!err)
            err = mount_guard(fd, "");
        if (err)
            return err;
    }
    return 0;
}

static int open_inside(struct fs *fs, const char *path, int flags, int *out_fd)
{
    int err = beneath_open_same_mount(fs->root_fd, path, flags, out_fd);
    if (err != EXDEV)
        return err;
    err = guard_way(fs, path);
    return err ? err : beneath_open(fs->root_fd, path, flags, out_fd);
}

int fs_open_path(struct fs *fs, const char *path, int flags, int *out_fd)
{
    int err = open_inside(fs, path, flags, out_fd);
    if (fs->opt.follow && (err == ELOOP || err == ENOTDIR))
        err = open_followed(fs, path, flags, out_fd);
    return err;
}

int fs_link(struct fs *fs, const char *path, enum link_fate *out, char out_text[PATH_MAX])
{
    AUTO(fd_close) int dir = -1;
    AUTO(mem_free) char *parent = mem_strdup(path);
    if (!parent)
        return ENOMEM;
    char *slash = strrchr(parent, '/');
    if (slash)
        *slash = 0;
    int err = fs_open_path(fs, slash ? parent : ".", O_PATH | O_DIRECTORY, &dir);
    return err ? err : fs_errno(link_resolve_at(fs->root_fd, dir, path, out, out_text));
}

int fs_follow(struct fs *fs, const char *path, int *fd, struct stat *sb)
{
    char text[PATH_MAX];
    enum link_fate fate;
    int err = fs_link(fs, path, &fate, text);
    if (err || fate != LINK_OUTSIDE)
        return err;
    int target;
    err = open_followed(fs, path, O_PATH, &target);
    if (err)
        return err == ENOENT || err == EACCES ? 0 : err; /* the link itself, then */
    close(*fd);
    *fd = target;
    return fstat(target, sb) < 0 ? errno : 0;
}

/* O_NOATIME is for the owner (and root) only. */
int fs_open_data(struct fs *fs, const char *path, int *out_fd)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    int err = fs_open_path(fs, path, flags | O_NOATIME, out_fd);
    return err == EPERM ? fs_open_path(fs, path, flags, out_fd) : err;
}

/* A name that is gone or is another file: ESTALE makes the kernel walk the path again. */
static int check_node(const struct node *n, int fd, struct stat *sb)
{
    if (fstat(fd, sb) < 0)
        return errno;
    return sb->st_dev == node_device(n) && sb->st_ino == node_inode(n) ? 0 : ESTALE;
}

static int open_node(struct fs *fs, struct node *n, bool data, char *path, struct stat *sb,
                     int *out_fd)
{
    if (table_path(fs->table, n, NULL, path))
        return ENAMETOOLONG;
    int fd, err = data ? fs_open_data(fs, path, &fd) : fs_open_path(fs, path, O_PATH, &fd);
    if (err)
        return err == ENOENT || err == ENOTDIR || err == ELOOP ? ESTALE : err;
    err = check_node(n, fd, sb);
    if (err && fs->opt.follow && !data) { /* it is the target of the link that was opened */
        close(fd);
        err = open_followed(fs, path, O_PATH, &fd);
        if (err)
            return ESTALE;
        err = check_node(n, fd, sb);
    }
    if (!err && data && !S_ISREG(sb->st_mode))
        err = ESTALE;
    if (err) {
        close(fd);
        return err;
    }
    *out_fd = fd;
    return 0;
}

int fs_open_node(struct fs *fs, struct node *n, char *out_path, struct stat *sb, int *out_fd)
{
    return open_node(fs, n, false, out_path, sb, out_fd);
}

int fs_open_node_data(struct fs *fs, struct node *n, char *out_path, struct stat *sb, int *out_fd)
{
    return open_node(fs, n, true, out_path, sb, out_fd);
}
