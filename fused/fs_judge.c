/* What a file is served as: found out by its header, remembered with its node, listed for the status. */
#include "fs.h"

#include "beneath.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

/* ---- the lists of the status ---- */

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

/* ---- what is found out and remembered ---- */

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
    known = (struct node_known){.group = verdict->group,
                                .many = many,
                                .unsettled = fs_is_recent(fused_changed_ns(&file->id)),
                                .stored = stored,
                                .has_source = verdict->has_source,
                                .size = verdict->size,
                                .source = verdict->source};
    table_remember(fs->table, n, &v, &known);
    return stored;
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

/* ---- judging ---- */

/* What a file is and the version that it was belong together, and somebody may write to it between the
   look at its times and that at its bytes. A file that never rests is taken as it was last seen. */
static status examine_version(struct fs *fs, struct fused_file *io, struct errmsg *e)
{
    enum { TRIES = 8 };
    for (int i = 0;; i++) {
        struct stat sb;
        status st = fused_examine(fs->pipeline, io, e);
        if (st || i == TRIES || fstat(io->fd, &sb) < 0)
            return st;
        struct cache_file_id now = fused_file_id(&sb);
        if (fused_same_file(&now, &io->id))
            return STATUS_OK;
        io->id = now;
    }
}

int fs_judge_file(struct fs *fs, struct node *n, struct fused_file *io, bool *out_stored)
{
    struct errmsg e = {""};
    status st = examine_version(fs, io, &e);
    if (st) {
        log_warn("%s: cannot be examined: %s", io->name, errmsg_text(&e, st));
        return fs_errno(st);
    }
    *out_stored = remember(fs, n, io, false);
    return 0;
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
    int err = base_fd == fs->root_fd ? fs_open_data(fs, name, &fd)
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
    if (!err && file.id.ctime_ns != id.ctime_ns && fstat(fd, &now) < 0)
        err = errno;
    if (err)
        return err;
    *sb = now;
    fs_show_size(sb, file.verdict.size);
    return 0;
}
