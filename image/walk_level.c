#include "walk_level.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { OPEN_MAX = 32 };

void walk_path_cut(struct walk *w, size_t len)
{
    w->path.len = len;
    if (w->path.data)
        w->path.data[len] = 0;
}

status walk_report_error(const struct walk *w, int dirfd, const char *name, status error)
{
    const struct image_entry en = {.kind = IMAGE_ENTRY_ERROR,
                                   .path = w->path.data,
                                   .name = name,
                                   .dirfd = dirfd,
                                   .error = error};
    return w->fn(&en, w->arg);
}

bool walk_is_in(const struct walk *w, const struct stat *sb)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->level[i].dev == sb->st_dev && w->level[i].ino == sb->st_ino)
            return true;
    return false;
}

status walk_open_dir(int dirfd, const char *name, bool linked, int *out_fd, struct stat *out_sb)
{
    AUTO(fd_close) int fd = -1;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (linked ? 0 : O_NOFOLLOW);
    status st = io_open(dirfd, name, flags, 0, &fd);
    if (st)
        return st;
    if (fstat(fd, out_sb) != 0)
        return status_from_errno(errno);
    *out_fd = TAKE_FD(fd);
    return STATUS_OK;
}

static status grow(struct walk *w)
{
    if (w->n < w->cap)
        return STATUS_OK;
    size_t cap = w->cap ? 2 * w->cap : 16;
    struct walk_level *more = mem_realloc(w->level, cap * sizeof *more);
    if (!more)
        return STATUS_NOMEM;
    w->level = more;
    w->cap = cap;
    return STATUS_OK;
}

status walk_push(struct walk *w, int fd, bool linked, const struct stat *sb)
{
    struct walk_level l = {.fd = fd,
                           .linked = linked,
                           .dev = sb->st_dev,
                           .ino = sb->st_ino,
                           .path_len = w->path.len,
                           .names = {.text = BUF_INIT(WALK_NAMES_BYTES_MAX)}};
    status st = grow(w);
    if (!st)
        st = walk_names_read(fd, &l.names);
    if (st) {
        walk_names_done(&l.names);
        close(fd);
        return st;
    }
    w->level[w->n++] = l;
    w->links += linked;
    if (w->n - w->first_open > OPEN_MAX) {
        close(w->level[w->first_open].fd);
        w->level[w->first_open++].fd = -1;
    }
    return STATUS_OK;
}

static bool is_level(const struct walk_level *l, const struct stat *sb)
{
    return l->dev == sb->st_dev && l->ino == sb->st_ino;
}

/* Opens level `to` by the names that led there. */
static status open_by_names(const struct walk *w, size_t to, int *out_fd)
{
    int at = w->level[0].fd;
    struct stat sb;
    AUTO(mem_free) char *path = mem_strdup(w->path.data);
    if (!path)
        return STATUS_NOMEM;
    for (size_t i = 1; i <= to; i++) {
        size_t from = w->level[i - 1].path_len;
        path[w->level[i].path_len] = 0;
        int fd;
        status st = walk_open_dir(at, path + from + (from > 0), w->level[i].linked, &fd, &sb);
        if (at != w->level[0].fd)
            close(at);
        if (st)
            return st;
        at = fd;
    }
    if (!is_level(&w->level[to], &sb)) {
        close(at);
        return STATUS_AGAIN;
    }
    *out_fd = at;
    return STATUS_OK;
}

/* Opens level `to` again when its child ends. */
static status reopen(struct walk *w, const struct walk_level *child, size_t to)
{
    struct stat sb;
    int fd;
    status st = child->linked ? STATUS_AGAIN : walk_open_dir(child->fd, "..", false, &fd, &sb);
    if (!st && !is_level(&w->level[to], &sb)) {
        close(fd);
        st = STATUS_AGAIN;
    }
    if (st)
        st = open_by_names(w, to, &fd);
    if (st)
        return st;
    w->level[to].fd = fd;
    w->first_open = to;
    return STATUS_OK;
}

status walk_pop(struct walk *w)
{
    struct walk_level child = w->level[--w->n];
    struct walk_level *up = w->n ? &w->level[w->n - 1] : NULL;
    status st = STATUS_OK;
    w->links -= child.linked;
    walk_names_done(&child.names);
    if (up && up->fd < 0) {
        st = reopen(w, &child, w->n - 1);
        walk_path_cut(w, up->path_len);
        if (st && st != STATUS_NOMEM) {
            const char *slash = strrchr(w->path.data, '/');
            up->next = up->names.n;
            w->first_open = w->n - 1; /* nothing is open but the root */
            st = walk_report_error(w, -1, slash ? slash + 1 : w->path.data, st);
        }
    }
    if (child.fd >= 0)
        close(child.fd);
    return st;
}

void walk_levels_done(struct walk *w)
{
    while (w->n) {
        struct walk_level *l = &w->level[--w->n];
        walk_names_done(&l->names);
        if (l->fd >= 0)
            close(l->fd);
    }
    mem_free(w->level);
}
