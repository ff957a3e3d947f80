/* From nodes to open files, and what files are served as. */
#include "fs.h"

#include "under.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

/* Without a watch, or for what has just changed: a change may go unnoticed for this long. */
static const double short_timeout = 1.0;
/* A change this young may be followed by another with the same time stamp, or have happened in a
   new directory before it was watched. */
static const int64_t recent_ns = 2 * 1000000000ll;

int fs_errno(status st)
{
    return st == STATUS_AGAIN ? ESTALE
                              : status_errno(st); /* the file changed under our hands: look again */
}

void fs_not_frozen(struct fs *fs, const char *why)
{
    log_warn("%s: not frozen: %s", fs->mountpoint, why);
    snprintf(fs->not_frozen.text, sizeof fs->not_frozen.text, "%s", why);
    atomic_store(&fs->freeze, FREEZE_NOT);
}

bool fs_is_recent(int64_t ns)
{
    return ns + recent_ns > (int64_t)time_real_ns();
}

int64_t fs_changed_ns(const struct stat *sb)
{
    struct cache_file_id id = fused_file_id(sb);
    return id.mtime_ns > id.ctime_ns ? id.mtime_ns : id.ctime_ns;
}

double fs_timeout(const struct fs *fs, const struct stat *sb)
{
    if (!atomic_load(&fs->watching) || fs_is_recent(fs_changed_ns(sb)))
        return fs->timeout < short_timeout ? fs->timeout : short_timeout;
    return fs->timeout;
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
    int fd, err = data ? under_open_data(fs->root_fd, path, 0, &fd)
                       : under_open(fs->root_fd, path, O_PATH, &fd);
    if (err)
        return err == ENOENT || err == ENOTDIR || err == ELOOP ? ESTALE : err;
    err = check_node(n, fd, sb);
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

void fs_note(struct fs *fs, const struct cache_file_id *id, const char *path,
             const struct fused_verdict *v)
{
    if (v->kind == FUSED_IMAGE)
        return;
    if (v->reason[0])
        named_add(fs->damaged, id, path, v->reason);
    else if (image_name_is_image(path))
        named_add(fs->damaged, id, path, "not a PNG or JPEG file");
    else
        named_add(fs->plain, id, path, "");
}

int fs_judge_open(struct fs *fs, struct node *n, int fd, const struct stat *sb, const char *path,
                  struct fused_verdict *out)
{
    struct cache_file_id id = fused_file_id(sb);
    struct errmsg e = {""};
    status st = fused_examine(fs->pipeline, fd, &id, out, &e);
    if (st) {
        log_warn("%s: cannot be examined: %s", path, errmsg_text(&e, st));
        return fs_errno(st);
    }
    struct node_version v = node_version(&id);
    struct node_known known;
    status before = table_recall(fs->table, n, &v, &known);
    if (before == STATUS_EXISTS) { /* whatever its former version was listed as */
        named_remove(fs->damaged, &id);
        named_remove(fs->plain, &id);
    }
    if (before)
        fs_note(fs, &id, path, out);
    known = (struct node_known){out->kind, fused_is_cached(fs->pipeline, out), out->size};
    table_remember(fs->table, n, &v, &known);
    return 0;
}

void fs_judge_damaged(struct fs *fs, struct node *n, const struct cache_file_id *id,
                      const char *path, const char *why)
{
    struct fused_verdict verdict = {.kind = FUSED_ORIGINAL, .size = id->size};
    snprintf(verdict.reason, sizeof verdict.reason, "%s", why);
    fs_note(fs, id, path, &verdict);
    struct node_version v = node_version(id);
    struct node_known known = {FUSED_ORIGINAL, false, id->size};
    table_remember(fs->table, n, &v, &known);
}

struct sent_notice {
    struct notice notice;
    struct fs *fs;
    struct node *node; /* referenced */
};

static void notice_sent(struct notice *notice)
{
    struct sent_notice *s = notice->arg;
    table_unref(s->fs->table, s->node);
    mem_free(s);
}

void fs_forget_cached(struct fs *fs, struct node *n, bool pages)
{
    struct sent_notice *s = mem_alloc(sizeof *s);
    if (!s) {
        table_unref(fs->table, n);
        return;
    }
    s->fs = fs;
    s->node = n;
    s->notice = (struct notice){.kind = pages ? NOTICE_PAGES : NOTICE_ATTRIBUTES,
                                .ino = fs_ino(fs, n),
                                .done = notice_sent,
                                .arg = s};
    notifier_push(fs->notifier, &s->notice);
}

void fs_found_damaged(struct fs *fs, const struct cache_file_id *id, const char *path,
                      const char *why)
{
    struct node *n = table_find(fs->table, id->device, id->inode);
    if (n) {
        fs_judge_damaged(fs, n, id, path, why);
        fs_forget_cached(fs, n, false);
        return;
    }
    struct fused_verdict verdict = {.kind = FUSED_ORIGINAL};
    snprintf(verdict.reason, sizeof verdict.reason, "%s", why);
    fs_note(fs, id, path, &verdict);
}

static void show_size(struct stat *sb, uint64_t size)
{
    sb->st_size = (off_t)size;
    sb->st_blocks = (blkcnt_t)((size + 511) / 512);
}

int fs_judge(struct fs *fs, struct node *n, int base_fd, const char *name, struct stat *sb)
{
    struct cache_file_id id = fused_file_id(sb);
    struct node_version v = node_version(&id);
    struct node_known known;
    if (table_recall(fs->table, n, &v, &known) == STATUS_OK) {
        if (known.kind == FUSED_IMAGE)
            show_size(sb, known.size);
        return 0;
    }
    AUTO(fd_close) int fd = -1;
    int err = under_open_data(base_fd, name, 0, &fd);
    struct stat now;
    if (err)
        return err;
    if (fstat(fd, &now) < 0)
        return errno;
    if (now.st_dev != sb->st_dev || now.st_ino != sb->st_ino || !S_ISREG(now.st_mode))
        return ESTALE;
    char path[PATH_MAX];
    if (table_path(fs->table, n, NULL, path))
        return ENAMETOOLONG;
    struct fused_verdict verdict;
    err = fs_judge_open(fs, n, fd, &now, path, &verdict);
    if (err)
        return err;
    *sb = now;
    if (verdict.kind == FUSED_IMAGE)
        show_size(sb, verdict.size);
    return 0;
}

/* Other devices below the source have numbers of their own, which may be the same as the root's:
   tools that look for hard links by number would take different files for one. */
uint64_t fs_shown_inode(const struct fs *fs, uint64_t device, uint64_t inode)
{
    if (device == fs->root_device)
        return inode;
    uint64_t h = (inode + device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

void fs_fill_entry(struct fs *fs, struct node *n, struct node *parent, int base_fd,
                   const char *name, const struct stat *sb, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.ino = fs_ino(fs, n), .attr = *sb};
    bool sure = !S_ISREG(sb->st_mode) || fs_judge(fs, n, base_fd, name, &e->attr) == 0;
    if (S_ISDIR(sb->st_mode))
        table_set_changed(fs->table, n, fs_changed_ns(sb));
    e->attr_timeout = sure ? fs_timeout(fs, &e->attr) : 0;
    /* The name can be believed as long as the directory it is in. */
    e->entry_timeout = fs_timeout(fs, sb);
    if (e->entry_timeout > short_timeout && fs_is_recent(table_changed(fs->table, parent)))
        e->entry_timeout = short_timeout;
    e->attr.st_ino = fs_shown_inode(fs, sb->st_dev, sb->st_ino);
}
