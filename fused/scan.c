/*
 * Looking at a tree by headers and names: what will be purified, and what it costs. Also a copy's
 * notion of how much there is to do, on a thread of its own.
 */
#include "fused.h"

#include "beneath.h"
#include "examine.h"
#include "mounts.h"
#include "pipeline.h"
#include "tree_entry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

struct scanning {
    const struct fused_scan *scan;
    struct image_limits limits;
    int src_fd; /* O_PATH, of a tree */
    uint64_t entries;
    struct fused_scan_result result;
};

uint64_t fused_work(const struct purify_model *model, int width, int height)
{
    return model ? (uint64_t)purify_model_tiles(model, width, height)
                 : (uint64_t)width * (uint64_t)height;
}

static void fail(struct scanning *s, const char *path, const char *why)
{
    s->result.failed++;
    if (s->scan->failed)
        s->scan->failed(s->scan->arg, path, why);
}

static void count_as(struct scanning *s, enum fused_group group, const char *path, const char *why)
{
    s->result.files++;
    s->result.group[group]++;
    if (s->scan->named && group != FUSED_GROUP_IMAGE && group != FUSED_GROUP_OTHER)
        s->scan->named(s->scan->arg, group, path, why);
}

static void add_images(struct scanning *s, const struct image_info *info, uint64_t count)
{
    struct fused_scan_result *r = &s->result;
    uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;
    uint64_t work = fused_work(s->scan->model, info->width, info->height);
    r->pixels += count * pixels;
    r->work += count * work;
    if (work > r->largest_work)
        r->largest_work = work;
    r->cache_bytes += count * cache_object_bytes(pixels * (uint64_t)info->channels);
}

static void scan_open_file(struct scanning *s, int fd, const char *path)
{
    struct stat sb;
    struct fused_verdict v;
    struct errmsg e = {""};
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
        fail(s, path, "changed while it was looked at");
        return;
    }
    struct fused_file file = fused_file_of(fd, path, &sb);
    status st = examine_file(&s->limits, s->scan->rules, &file, &v, &e);
    if (st) {
        fail(s, path, errmsg_text(&e, st));
        return;
    }
    s->result.bytes += (uint64_t)sb.st_size;
    if (v.group == FUSED_GROUP_IMAGE)
        add_images(s, &v.info, v.list.count ? v.list.count : 1);
    count_as(s, v.group, path, v.reason);
}

static void scan_file(struct scanning *s, const struct image_entry *en)
{
    int fd, err = entry_open(en, &fd);
    if (err) {
        fail(s, en->path, strerror(err));
        return;
    }
    scan_open_file(s, fd, en->path);
    close(fd);
}

static void scan_link(struct scanning *s, const struct image_entry *en)
{
    char text[PATH_MAX];
    enum link_fate fate;
    status st = entry_link(s->src_fd, en, &fate, text);
    if (st) {
        fail(s, en->path, status_text(st));
    } else if (fate == LINK_OUTSIDE) {
        const char *why;
        enum fused_group group = entry_link_group(s->scan->rules, en, &why);
        count_as(s, group, en->path, why);
    }
}

static bool scan_follows(const struct image_entry *en, void *arg)
{
    struct scanning *s = arg;
    return s->scan->follow && entry_leaves(s->src_fd, en);
}

static status scan_visit(const struct image_entry *en, void *arg)
{
    struct scanning *s = arg;
    const struct fused_scan *scan = s->scan;
    if (scan->stop && scan->stop(scan->arg))
        return STATUS_CANCELLED;
    if (scan->entries_max && s->entries++ == scan->entries_max) {
        s->result.whole = false;
        return STATUS_EXISTS; /* enough was seen */
    }
    switch (en->kind) {
    case IMAGE_ENTRY_FILE:
        scan_file(s, en);
        break;
    case IMAGE_ENTRY_DIR:
        if (mount_guard(en->dirfd, en->name)) {
            *en->descend = false;
            fail(s, en->path, "a mount of relearnfs");
        }
        break;
    case IMAGE_ENTRY_SYMLINK:
        scan_link(s, en);
        break;
    case IMAGE_ENTRY_OTHER:
        s->result.skipped++;
        break;
    default:
        fail(s, en->path, entry_error(en));
    }
    if (scan->progress)
        scan->progress(scan->arg, &s->result);
    return STATUS_OK;
}

static status scan_tree(struct scanning *s, struct errmsg *e)
{
    const struct image_walk_opts opts = {.follow = scan_follows};
    const char *src = s->scan->src;
    status st = io_open(AT_FDCWD, src, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, &s->src_fd);
    if (st)
        return errmsg_set(e, st, "%s: %s", src, status_text(st));
    st = image_walk(src, &opts, scan_visit, s, e);
    close(s->src_fd);
    return st == STATUS_EXISTS && !s->result.whole ? STATUS_OK : st;
}

static status scan_one(struct scanning *s, struct errmsg *e)
{
    const char *src = s->scan->src, *slash = strrchr(src, '/');
    int fd, err = beneath_open_linked(AT_FDCWD, src, &fd);
    if (err)
        return errmsg_set(e, status_from_errno(err), "%s: %s", src, strerror(err));
    scan_open_file(s, fd, slash ? slash + 1 : src);
    close(fd);
    return STATUS_OK;
}

status fused_scan(const struct fused_scan *scan, struct fused_scan_result *out, struct errmsg *e)
{
    struct scanning s = {.scan = scan, .limits = examine_limits(scan->max_pixels), .src_fd = -1};
    struct stat sb;
    s.result.whole = true;
    if (stat(scan->src, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", scan->src, strerror(errno));
    if (!S_ISDIR(sb.st_mode) && !S_ISREG(sb.st_mode))
        return errmsg_set(e, STATUS_INVALID, "%s: neither a file nor a directory", scan->src);
    status st = S_ISDIR(sb.st_mode) ? scan_tree(&s, e) : scan_one(&s, e);
    if (!st)
        *out = s.result;
    return st;
}
