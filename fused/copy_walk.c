/* The source's directories, links and files, on the calling thread. */
#include "copy_parts.h"

#include "mounts.h"
#include "tree_entry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

static status copy_file(struct copying *c, struct dest_dir *dir, const struct image_entry *en)
{
    int fd, err = entry_open(en, &fd);
    if (!err)
        return copy_open_file(c, dir, fd, en->path);
    copy_report_failure(c, en->path, strerror(err));
    return STATUS_OK;
}

/* Why a directory of the source is not entered, or NULL. */
static const char *barred(const struct copying *c, const struct image_entry *en,
                          const struct stat *sb)
{
    if (dest_is_root(c->dest, sb->st_dev, sb->st_ino))
        return "it is where the copy is written";
    return mount_guard(en->dirfd, en->name) ? "a mount of relearnfs is not copied" : NULL;
}

static status copy_dir(struct copying *c, struct dest_dir *up, const struct image_entry *en)
{
    struct stat sb;
    *en->descend = false;
    if (fstatat(en->dirfd, en->name, &sb, en->linked ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
        copy_report_failure(c, en->path, strerror(errno));
        return STATUS_OK;
    }
    const char *why = barred(c, en, &sb);
    if (why) {
        copy_report_failure(c, en->path, why);
        return STATUS_OK;
    }
    struct open_dir *d = mem_alloc(sizeof *d);
    if (!d)
        return STATUS_NOMEM;
    status st = dest_mkdir(up, en->name, &d->dir);
    if (st) {
        mem_free(d);
        copy_report_unwritten(c, en->path, st);
        return STATUS_OK;
    }
    dest_like(d->dir, &sb);
    d->path_len = strlen(en->path);
    d->above = c->dirs;
    c->dirs = d;
    *en->descend = true;
    return STATUS_OK;
}

static void count_link(struct copying *c, enum fused_group group, const char *path, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->result.files++;
    c->result.done++;
    pthread_mutex_unlock(&c->lock);
    copy_count(c, group, path, why);
}

static status copy_link(struct copying *c, struct dest_dir *dir, const struct image_entry *en)
{
    char text[PATH_MAX];
    enum link_fate fate;
    struct stat sb;
    status st = entry_link(c->src_fd, en, &fate, text);
    if (!st && fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        st = status_from_errno(errno);
    if (st) {
        copy_report_failure(c, en->path, status_text(st));
        return st == STATUS_NOMEM ? st : STATUS_OK;
    }
    const char *why;
    bool leaves = fate == LINK_OUTSIDE;
    enum fused_group group = entry_link_group(c->copy->rules, en, &why);
    if (!(leaves && group == FUSED_GROUP_UNPURIFIED && c->copy->strict))
        st = dest_symlink(dir, en->name, text, &sb);
    if (st)
        copy_report_unwritten(c, en->path, st);
    else if (leaves)
        count_link(c, group, en->path, why);
    return STATUS_OK;
}

/* Directories that the walk has left behind are let go. */
struct dest_dir *copy_dir_of(struct copying *c, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    while (c->dirs->path_len > len) {
        struct open_dir *d = c->dirs;
        c->dirs = d->above;
        dest_unref(d->dir);
        mem_free(d);
    }
    return c->dirs->dir;
}

static status copy_visit(const struct image_entry *en, void *arg)
{
    struct copying *c = arg;
    if (!copy_goes_on(c))
        return STATUS_CANCELLED;
    struct dest_dir *dir = copy_dir_of(c, en->path);
    switch (en->kind) {
    case IMAGE_ENTRY_FILE:
        return copy_file(c, dir, en);
    case IMAGE_ENTRY_DIR:
        return copy_dir(c, dir, en);
    case IMAGE_ENTRY_SYMLINK:
        return copy_link(c, dir, en);
    case IMAGE_ENTRY_OTHER:
        pthread_mutex_lock(&c->lock);
        c->result.skipped++;
        pthread_mutex_unlock(&c->lock);
        return STATUS_OK;
    default:
        copy_report_failure(c, en->path, entry_error(en));
        return STATUS_OK;
    }
}

/* Links within the source stay links. */
static bool copy_follows(const struct image_entry *en, void *arg)
{
    struct copying *c = arg;
    return c->copy->follow && entry_leaves(c->src_fd, en);
}

status copy_whole_tree(struct copying *c, struct errmsg *e)
{
    struct stat sb;
    const struct image_walk_opts opts = {.follow = copy_follows};
    const char *src = c->copy->src;
    status st = io_open(AT_FDCWD, src, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, &c->src_fd);
    if (!st && fstat(c->src_fd, &sb) < 0)
        st = status_from_errno(errno);
    if (st)
        return errmsg_set(e, st, "%s: %s", src, status_text(st));
    st = io_mkdirs(c->copy->dst, 1, e);
    if (!st)
        st = copy_open_dest(c, c->copy->dst, e);
    if (st)
        return st;
    dest_like(c->dirs->dir, &sb);
    return image_walk(src, &opts, copy_visit, c, e);
}
