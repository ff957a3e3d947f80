/*
 * Directories. A handle is a DIR stream of the source; offsets are the source's own, which stay
 * true while entries come and go. READDIRPLUS gives attributes only where that is cheap or wanted:
 * the kernel's first request for a directory is a guess, so there only directories and files that
 * are known already get them; when it goes on asking with READDIRPLUS, somebody stats the entries,
 * and each file's header is read.
 */
#include "fs.h"

#include "beneath.h"
#include "mounts.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

struct dir_handle {
    DIR *stream;
    uint64_t device;
    pthread_mutex_t lock; /* the kernel sends one READDIR at a time; a hostile one might not */
    off_t at;             /* guarded by lock: where the stream stands */
};

static void dir_handle_free(struct dir_handle *d)
{
    if (d->stream)
        closedir(d->stream);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}
DEFINE_FREEP(struct dir_handle *, dir_handle_free)

static int open_stream(struct fs *fs, struct node *n, struct dir_handle *d, struct stat *sb)
{
    char path[PATH_MAX];
    if (table_path(fs->table, n, NULL, path))
        return ENAMETOOLONG;
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK, fd;
    int err = fs_open_path(fs, path, flags | O_NOATIME, &fd);
    if (err == EPERM)
        err = fs_open_path(fs, path, flags, &fd);
    if (err)
        return err == ENOENT || err == ENOTDIR || err == ELOOP ? ESTALE : err;
    d->stream = fdopendir(fd);
    if (!d->stream) {
        close(fd);
        return ENOMEM;
    }
    if (fstat(fd, sb) < 0)
        return errno;
    return sb->st_dev == node_device(n) && sb->st_ino == node_inode(n) ? 0 : ESTALE;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (is_virtual(ino)) {
        fuse_reply_open(req, fi);
        return;
    }
    AUTO(dir_handle_free) struct dir_handle *d = mem_zalloc(1, sizeof *d);
    if (!d) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    pthread_mutex_init(&d->lock, NULL);
    struct node *n = fs_node(fs, ino);
    struct stat sb;
    int err = open_stream(fs, n, d, &sb);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    d->device = sb.st_dev;
    int64_t changed = fs_changed_ns(&sb);
    bool quiet = !fs_is_recent(changed);
    fi->cache_readdir = quiet;
    fi->keep_cache = quiet && table_changed(fs->table, n) == changed;
    table_set_changed(fs->table, n, changed);
    fi->fh = (uintptr_t)d;
    if (fuse_reply_open(req, fi) == 0)
        d = NULL; /* until RELEASEDIR */
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!is_virtual(ino))
        dir_handle_free((struct dir_handle *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}

/* One READDIR(PLUS) reply under construction. */
struct listing {
    fuse_req_t req;
    struct fs *fs;
    struct node *dir;
    struct dir_handle *handle;
    bool plus, first;
    char *data;
    size_t size, used;
    struct node **held; /* looked up for this reply */
    size_t n_held;
};

enum { ENTRY_BYTES_MIN = 152 }; /* attributes and the head of an entry, on the wire */

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Whether attributes of a regular file should be found out for this listing. */
static bool worth_judging(struct listing *l, const struct stat *sb)
{
    if (!l->first)
        return true;
    struct node *n = table_find(l->fs->table, sb->st_dev, sb->st_ino, "");
    if (!n)
        return false;
    struct cache_file_id id = fused_file_id(sb);
    struct node_version v = node_version(&id);
    struct node_known known;
    bool is_known = table_recall(l->fs->table, n, &v, &known) == STATUS_OK;
    table_unref(l->fs->table, n);
    return is_known;
}

/* Completes e as a lookup of this entry, or leaves it without attributes. */
static void look_up_entry(struct listing *l, const struct dirent *d, struct fuse_entry_param *e)
{
    struct stat sb;
    int at = dirfd(l->handle->stream);
    const char *name = d->d_name;
    bool may_be_dir = d->d_type == DT_DIR || d->d_type == DT_UNKNOWN;
    if (l->fs->opt.follow || (may_be_dir && mount_guard(at, name)))
        return; /* looked up with more care, one by one */
    if (fstatat(at, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (S_ISREG(sb.st_mode) && !worth_judging(l, &sb))
        return;
    struct node *n;
    if (fs_lookup_node(l->fs, l->dir, name, &sb, at, &n))
        return;
    fs_fill_entry(l->fs, n, l->dir, at, name, &sb, e);
    l->held[l->n_held++] = n;
}

/* False: it does not fit any more. */
static bool add_entry(struct listing *l, const struct dirent *d)
{
    const char *name = d->d_name;
    if (l->dir == table_root(l->fs->table) && strcmp(name, VIRTUAL_NAME) == 0)
        return true; /* ours is there instead, unlisted */
    size_t left = l->size - l->used;
    struct fuse_entry_param e = {
        .attr.st_ino = fs_shown_inode(l->fs, l->handle->device, d->d_ino),
        .attr.st_mode = (mode_t)DTTOIF(d->d_type),
    };
    size_t need;
    if (l->plus) {
        need = fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0);
        if (need > left)
            return false;
        if (!is_dot(name))
            look_up_entry(l, d, &e);
        fuse_add_direntry_plus(l->req, l->data + l->used, left, name, &e, d->d_off);
    } else {
        need = fuse_add_direntry(l->req, l->data + l->used, left, name, &e.attr, d->d_off);
        if (need > left)
            return false;
    }
    l->used += need;
    return true;
}

/* Fills the listing from offset off; 0 or an errno value when nothing could be read. */
static int fill(struct listing *l, off_t off)
{
    struct dir_handle *h = l->handle;
    if (off != h->at)
        seekdir(h->stream, off);
    h->at = off;
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(h->stream);
        if (!d)
            return l->used ? 0 : errno;
        if (!add_entry(l, d)) {
            h->at = -1; /* one entry further than the kernel is: seek next time */
            return 0;
        }
        h->at = d->d_off;
    }
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi,
                 bool plus)
{
    if (is_virtual(ino)) {
        virtual_readdir(req, size, off, plus);
        return;
    }
    struct fs *fs = fs_of(req);
    struct listing l = {.req = req,
                        .fs = fs,
                        .dir = fs_node(fs, ino),
                        .handle = (struct dir_handle *)(uintptr_t)fi->fh,
                        .plus = plus,
                        .first = off == 0,
                        .size = size};
    AUTO(mem_free) char *data = l.data = mem_alloc(size);
    AUTO(mem_free)
    struct node **held = l.held =
        plus ? mem_zalloc(size / ENTRY_BYTES_MIN + 1, sizeof *held) : NULL;
    int err = ENOMEM;
    if (data && (held || !plus)) {
        pthread_mutex_lock(&l.handle->lock);
        err = fill(&l, off);
        pthread_mutex_unlock(&l.handle->lock);
    }
    int lost = err ? fuse_reply_err(req, err) : fuse_reply_buf(req, data, l.used);
    for (size_t i = 0; (err || lost) && i < l.n_held; i++)
        table_forget(fs->table, held[i], 1); /* the kernel did not get them */
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    list(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    list(req, ino, size, off, fi, true);
}
