#include "source_walk.h"

#include "beneath.h"
#include "fs.h"
#include "mounts.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

struct walk {
    struct fs *fs;
    const char *prefix; /* of the walk's paths; "" at the root */
    source_visit_fn *visit;
    void *arg;
};

static char *path_of(const struct walk *w, const struct image_entry *entry)
{
    return mem_printf("%s%s", w->prefix, entry->path);
}

static bool leaves_source(struct fs *fs, const char *path)
{
    char text[PATH_MAX];
    enum link_fate fate;
    return path && strlen(path) < PATH_MAX && fs_link(fs, path, &fate, text) == 0 &&
           fate == LINK_OUTSIDE;
}

static bool walk_follows(const struct image_entry *link, void *arg)
{
    struct walk *w = arg;
    AUTO(mem_free) char *path = w->fs->opt.follow ? path_of(w, link) : NULL;
    return path && leaves_source(w->fs, path);
}

static status walk_visit(const struct image_entry *entry, void *arg)
{
    struct walk *w = arg;
    if (atomic_load(&w->fs->ending))
        return STATUS_CANCELLED;
    if (entry->kind == IMAGE_ENTRY_DIR && mount_guard(entry->dirfd, entry->name))
        *entry->descend = false;
    if (entry->kind != IMAGE_ENTRY_FILE && entry->kind != IMAGE_ENTRY_SYMLINK)
        return STATUS_OK;
    AUTO(mem_free) char *path = path_of(w, entry);
    if (!path)
        return STATUS_NOMEM;
    if (entry->kind == IMAGE_ENTRY_SYMLINK && !leaves_source(w->fs, path))
        return STATUS_OK;
    return w->visit(w->arg, entry->dirfd, entry->name, path);
}

static status walk_dir(struct walk *w, int fd, struct errmsg *e)
{
    const struct image_walk_opts opts = {.follow = walk_follows};
    char root[64];
    snprintf(root, sizeof root, "/proc/self/fd/%d", fd);
    return image_walk(root, &opts, walk_visit, w, e);
}

status source_walk(struct fs *fs, const char *path, source_visit_fn *visit, void *arg,
                   struct errmsg *e)
{
    struct walk w = {fs, "", visit, arg};
    if (strcmp(path, ".") == 0)
        return walk_dir(&w, fs->root_fd, e);
    AUTO(fd_close) int fd = -1;
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
    int err = beneath_open_following(fs->root_fd, path, flags, &fd);
    if (err && fs->opt.follow)
        err = fs_open_path(fs, path, flags, &fd);
    if (err)
        return visit(arg, fs->root_fd, path, path);
    AUTO(mem_free) char *prefix = mem_printf("%s/", path);
    if (!prefix)
        return STATUS_NOMEM;
    w.prefix = prefix;
    return walk_dir(&w, fd, e);
}
