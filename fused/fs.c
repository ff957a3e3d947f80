/* What the kernel is told of a node, and for how long it may believe it. */
#include "fs.h"

#include "beneath.h"
#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/xattr.h>

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
    log_warn("%s: not frozen: %s", fs->path.mountpoint, why);
    snprintf(fs->freezing.why_not.text, sizeof fs->freezing.why_not.text, "%s", why);
    atomic_store(&fs->freezing.state, FREEZE_NOT);
}

/* ---- how long it may be believed ---- */

bool fs_is_recent(int64_t ns)
{
    return ns + recent_ns > (int64_t)time_real_ns();
}

int64_t fs_changed_ns(const struct stat *sb)
{
    struct cache_file_id id = fused_file_id(sb);
    return fused_changed_ns(&id);
}

double fs_timeout(const struct fs *fs, const struct stat *sb)
{
    if (!atomic_load(&fs->watching.all) || fs_is_recent(fs_changed_ns(sb)))
        return fs->opt.timeout < short_timeout ? fs->opt.timeout : short_timeout;
    return fs->opt.timeout;
}

/* Whether changes here may not be heard of although the source is watched: behind a link that
   leaves it, on a file system whose files change elsewhere, or too deep for the watch. */
static bool is_unheard(struct fs *fs, struct node *dir, const struct stat *sb)
{
    char path[PATH_MAX];
    if (fs->opt.follow || !devices_sure(&fs->devices, sb->st_dev, fs->root_fd))
        return true;
    return atomic_load(&fs->watching.deep) &&
           (table_path(fs->table, dir, NULL, path) || watch_is_blind(fs, path));
}

/* ---- which file is this? ---- */

/* Whether the file with this number that is known at another place is there still: then it is
   another file. */
static bool is_still_there(struct fs *fs, const char *path, const struct stat *sb)
{
    AUTO(fd_close) int fd = -1;
    struct stat there;
    return fs_open_path(fs, path, O_PATH, &fd) == 0 && fstat(fd, &there) == 0 &&
           there.st_dev == sb->st_dev && there.st_ino == sb->st_ino;
}

status fs_lookup_node(struct fs *fs, struct node *parent, const char *name, const struct stat *sb,
                      int fd, struct node **out)
{
    char elsewhere[PATH_MAX];
    bool unsure = !devices_sure(&fs->devices, sb->st_dev, fd) &&
                  table_elsewhere(fs->table, parent, name, sb->st_dev, sb->st_ino, elsewhere) &&
                  is_still_there(fs, elsewhere, sb);
    return table_lookup(fs->table, parent, name, sb->st_dev, sb->st_ino, unsure, out);
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

/* ---- entries ---- */

/* With an access ACL the group's bits are a mask, and who may read is written where the kernel does
   not look on our behalf: others than the owner are then let in by nothing. Only where others may
   come at all, since for the mounting user the source itself is asked when a file is opened. */
static void narrow_mode(struct fs *fs, int base_fd, const char *name, struct stat *sb)
{
    char proc[64];
    AUTO(fd_close) int fd = -1;
    if (!fs->opt.allow_other || !(sb->st_mode & 0077) || S_ISLNK(sb->st_mode))
        return;
    int err = base_fd == fs->root_fd ? fs_open_path(fs, name, O_PATH, &fd)
                                     : beneath_open(base_fd, name, O_PATH, &fd);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    if (err || getxattr(proc, "system.posix_acl_access", NULL, 0) >= 0 ||
        (errno != ENODATA && errno != EOPNOTSUPP))
        sb->st_mode &= ~(mode_t)0077;
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
    bool believed = e->entry_timeout > short_timeout || e->attr_timeout > short_timeout;
    if (believed && is_unheard(fs, parent, sb)) {
        e->entry_timeout = fmin(e->entry_timeout, short_timeout);
        e->attr_timeout = fmin(e->attr_timeout, short_timeout);
    }
    e->attr.st_ino = fs_shown_inode(fs, sb->st_dev, sb->st_ino);
    narrow_mode(fs, base_fd, name, &e->attr);
}

/* ---- forgetting ---- */

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
