/* Names and attributes: lookup, forget, getattr, readlink, statfs, access. */
#include "fs.h"

#include "beneath.h"
#include "links.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/banned.h"

/* Names that are not there can be forgotten only one by one, and nobody knows them all: when events
   were lost they are wrong for this long at most. */
static const double absent_timeout = 60;

/* A name that is not there: remembered by the kernel as long as we would hear of its creation. */
static void reply_absent(fuse_req_t req, struct node *parent)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param e = {.ino = 0, .entry_timeout = fs->opt.timeout};
    if (e.entry_timeout > absent_timeout)
        e.entry_timeout = absent_timeout;
    if (!atomic_load(&fs->watching.all) || fs_is_recent(table_changed(fs->table, parent)))
        fuse_reply_err(req, ENOENT);
    else
        fuse_reply_entry(req, &e);
}

static void lookup_found(fuse_req_t req, struct node *parent, const char *path, const char *name,
                         const struct stat *sb, int fd)
{
    struct fs *fs = fs_of(req);
    struct node *n;
    status st = fs_lookup_node(fs, parent, name, sb, fd, &n);
    if (st) {
        fuse_reply_err(req, st == STATUS_INVALID ? ELOOP : fs_errno(st));
        return;
    }
    struct fuse_entry_param e;
    fs_fill_entry(fs, n, parent, fs->root_fd, path, sb, &e);
    if (fuse_reply_entry(req, &e))
        table_forget(fs->table, n, 1); /* the kernel did not get it */
}

void op_lookup(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
    struct fs *fs = fs_of(req);
    atomic_fetch_add_explicit(&fs->n.lookups, 1, memory_order_relaxed);
    if (parent_ino == VIRTUAL_DIR ||
        (parent_ino == FUSE_ROOT_ID && strcmp(name, VIRTUAL_NAME) == 0)) {
        virtual_lookup(req, parent_ino == VIRTUAL_DIR ? name : NULL);
        return;
    }
    struct node *parent = fs_node(fs, parent_ino);
    char path[PATH_MAX];
    if (table_path(fs->table, parent, name, path)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    AUTO(fd_close) int fd = -1;
    int err = fs_open_path(fs, path, O_PATH, &fd);
    struct stat sb;
    if (!err && fstat(fd, &sb) < 0)
        err = errno;
    if (!err && fs->opt.follow && S_ISLNK(sb.st_mode))
        err = fs_follow(fs, path, &fd, &sb);
    if (err == ENOENT)
        reply_absent(req, parent);
    else if (err)
        fuse_reply_err(req, err == ENOTDIR ? ESTALE : err);
    else
        lookup_found(req, parent, path, name, &sb, fd);
}

static void forget(struct fs *fs, fuse_ino_t ino, uint64_t nlookup)
{
    if (ino != FUSE_ROOT_ID && !is_virtual(ino))
        table_forget(fs->table, fs_node(fs, ino), nlookup);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    forget(fs_of(req), ino, nlookup);
    fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi; /* the kernel sends none */
    struct fs *fs = fs_of(req);
    if (is_virtual(ino)) {
        virtual_getattr(req, ino);
        return;
    }
    struct node *n = fs_node(fs, ino);
    char path[PATH_MAX];
    struct stat sb;
    AUTO(fd_close) int fd = -1;
    int err = fs_open_node(fs, n, path, &sb, &fd);
    if (err && files_stat(fs, n, &sb)) { /* it has lost its name, but somebody reads it */
        sb.st_ino = fs_shown_inode(fs, sb.st_dev, sb.st_ino);
        fuse_reply_attr(req, &sb, fs_timeout(fs, &sb));
        return;
    }
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    struct fuse_entry_param e;
    fs_fill_entry(fs, n, n, fs->root_fd, path, &sb, &e);
    fuse_reply_attr(req, &e.attr, e.attr_timeout);
}

/* What a link shows is relative where the source's own text would lead out of the view and back. */
void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    char path[PATH_MAX], text[PATH_MAX];
    struct stat sb;
    enum link_fate fate;
    AUTO(fd_close) int fd = -1;
    int err = is_virtual(ino) ? EINVAL : fs_open_node(fs, fs_node(fs, ino), path, &sb, &fd);
    if (!err)
        err = fs_link(fs, path, &fate, text);
    if (!err && fate == LINK_OUTSIDE) {
        fs_note_link(fs, path, &sb);
        if (fs->opt.strict)
            err = EIO;
    }
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_readlink(req, text);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct statvfs sv;
    if (fstatvfs(fs_of(req)->root_fd, &sv) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    sv.f_bfree = sv.f_bavail = 0; /* nothing can be written here */
    sv.f_ffree = sv.f_favail = 0;
    fuse_reply_statfs(req, &sv);
}

/* Not asked by the kernel under default_permissions; true all the same. */
void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    (void)ino;
    fuse_reply_err(req, mask & W_OK ? EROFS : 0);
}
