/* From nodes to open files, and what files are served as. */
#include "fs.h"

#include "beneath.h"
#include "mounts.h"
#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/vfs.h>
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
    if (!atomic_load(&fs->watching.all) || fs_is_recent(fs_changed_ns(sb)))
        return fs->opt.timeout < short_timeout ? fs->opt.timeout : short_timeout;
    return fs->opt.timeout;
}

/* ---- opening ---- */

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
static int open_data(struct fs *fs, const char *path, int *out_fd)
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
    int fd, err = data ? open_data(fs, path, &fd) : fs_open_path(fs, path, O_PATH, &fd);
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

/* ---- what it is served as ---- */

void fs_note(struct fs *fs, const struct fused_file *file)
{
    const struct fused_verdict *v = &file->verdict;
    if (v->group != FUSED_GROUP_IMAGE)
        name_list_add(fs->lists.group[v->group], &file->id, file->name, v->reason);
}

struct fused_file fs_note_link(struct fs *fs, const char *path, const struct stat *sb)
{
    struct fused_file link = fused_file_of(-1, path, sb);
    verdict_unpurified(&link.verdict, link_outside_text);
    fs_note(fs, &link);
    return link;
}

static void forget_notes(struct fs *fs, const struct cache_file_id *id)
{
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        if (fs->lists.group[g])
            name_list_remove(fs->lists.group[g], id);
}

/* Takes in what was found out about a version of n. all: every image of a list is stored. Returns
   whether what it is served as is stored. */
static bool remember(struct fs *fs, struct node *n, const struct fused_file *file, bool all)
{
    const struct fused_verdict *verdict = &file->verdict;
    struct node_version v = node_version(&file->id);
    struct node_known known;
    status before = table_recall(fs->table, n, &v, &known);
    bool other = before || known.group != verdict->group;
    if (before == STATUS_EXISTS) /* whatever its former version was listed as */
        forget_notes(fs, &file->id);
    if (other)
        fs_note(fs, file);
    bool many = verdict->list.count > 0;
    bool stored = many ? all || (!before && known.stored) : fused_is_cached(fs->pipeline, verdict);
    int64_t changed = file->id.mtime_ns > file->id.ctime_ns ? file->id.mtime_ns : file->id.ctime_ns;
    known = (struct node_known){.group = verdict->group,
                                .many = many,
                                .unsettled = fs_is_recent(changed),
                                .stored = stored,
                                .has_source = verdict->has_source,
                                .size = verdict->size,
                                .source = verdict->source};
    table_remember(fs->table, n, &v, &known);
    return stored;
}

int fs_judge_file(struct fs *fs, struct node *n, struct fused_file *io, bool *out_stored)
{
    struct errmsg e = {""};
    status st = fused_examine(fs->pipeline, io, &e);
    if (st) {
        log_warn("%s: cannot be examined: %s", io->name, errmsg_text(&e, st));
        return fs_errno(st);
    }
    *out_stored = remember(fs, n, io, false);
    return 0;
}

/* What is remembered of a version, if that is all there is to know. Of a list the places of its
   images are not remembered. */
static bool recall(struct fs *fs, struct node *n, const struct stat *sb, struct fused_file *io)
{
    struct node_version v = node_version(&io->id);
    struct node_known known;
    if (table_recall(fs->table, n, &v, &known) || known.many ||
        (known.has_source && !devices_sure(&fs->devices, sb->st_dev, io->fd)) ||
        (known.group == FUSED_GROUP_IMAGE && !known.stored))
        return false;
    io->verdict = (struct fused_verdict){.group = known.group,
                                         .size = known.size,
                                         .has_source = known.has_source,
                                         .source = known.source};
    if (known.group == FUSED_GROUP_UNPURIFIED) {
        AUTO(mem_free) char *why = name_list_why(fs->lists.group[known.group], &io->id);
        snprintf(io->verdict.reason, sizeof io->verdict.reason, "%s", why ? why : "damaged");
    }
    return true;
}

int fs_open_judged(struct fs *fs, struct node *n, char *out_path, struct fused_file *out,
                   bool *out_ready)
{
    struct stat sb;
    int fd, err = fs_open_node_data(fs, n, out_path, &sb, &fd);
    if (err)
        return err;
    struct fused_file f = fused_file_of(fd, out_path, &sb);
    bool ready = recall(fs, n, &sb, &f);
    if (!ready)
        err = fs_judge_file(fs, n, &f, &ready);
    if (err) {
        close(fd);
        return err;
    }
    *out_ready = ready || f.verdict.group != FUSED_GROUP_IMAGE || f.verdict.list.count;
    *out = f;
    return 0;
}

static void found(struct fs *fs, struct node *n, const struct fused_file *file, bool all)
{
    struct node *at = n ? NULL : table_find(fs->table, file->id.device, file->id.inode, file->name);
    if (n || at)
        remember(fs, n ? n : at, file, all);
    else
        fs_note(fs, file);
    table_unref(fs->table, at);
}

void fs_fetched(struct fs *fs, struct node *n, const struct fused_file *file)
{
    found(fs, n, file, false);
}

void fs_list_stored(struct fs *fs, const struct fused_file *file)
{
    found(fs, NULL, file, true);
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

void fs_show_size(struct stat *sb, uint64_t size)
{
    if ((uint64_t)sb->st_size == size)
        return; /* served as it is: blocks, too */
    sb->st_size = (off_t)size;
    sb->st_blocks = (blkcnt_t)((size + 511) / 512);
}

int fs_judge(struct fs *fs, struct node *n, int base_fd, const char *name, struct stat *sb)
{
    struct cache_file_id id = fused_file_id(sb);
    struct node_version v = node_version(&id);
    struct node_known known;
    if (table_recall(fs->table, n, &v, &known) == STATUS_OK) {
        fs_show_size(sb, known.size);
        return 0;
    }
    AUTO(fd_close) int fd = -1;
    int err = base_fd == fs->root_fd ? open_data(fs, name, &fd)
                                     : beneath_open_data(base_fd, name, 0, &fd);
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
    struct fused_file file = fused_file_of(fd, path, &now);
    bool stored;
    err = fs_judge_file(fs, n, &file, &stored);
    if (err)
        return err;
    *sb = now;
    fs_show_size(sb, file.verdict.size);
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
