/*
 * The directory walk. Each level reads its names whole, sorts them, and then visits them, so that
 * the order does not depend on the file system. Levels are a stack on the heap, as deep as the file
 * system goes; of their descriptors only the root's and those of the deepest OPEN_MAX are kept. A
 * level that is come back to without one is opened again as its child's "..", or by names from the
 * root, and has to be the directory that it was.
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { OPEN_MAX = 32, PATH_BYTES_MAX = 1 << 28, NAMES_BYTES_MAX = 1 << 30 };

/* The names of one directory: text holds type byte, name, NUL for each. */
struct names {
    struct buf text;
    size_t n;
    const char **sorted; /* [n], each at its type byte */
};

static void names_done(struct names *l)
{
    mem_free(l->sorted);
    buf_done(&l->text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1);
}

static status names_read(DIR *dir, struct names *out)
{
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d)
            break;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        char type = (char)d->d_type;
        status st = buf_add(&out->text, &type, 1);
        if (!st)
            st = buf_add(&out->text, d->d_name, strlen(d->d_name) + 1);
        if (st)
            return st;
        out->n++;
    }
    return errno ? status_from_errno(errno) : STATUS_OK;
}

static status names_sort(struct names *l)
{
    l->sorted = mem_alloc(l->n * sizeof *l->sorted);
    if (!l->sorted)
        return STATUS_NOMEM;
    const char *at = l->text.data;
    for (size_t i = 0; i < l->n; i++) {
        l->sorted[i] = at;
        at += 1 + strlen(at + 1) + 1;
    }
    if (l->n)
        qsort(l->sorted, l->n, sizeof *l->sorted, by_name);
    return STATUS_OK;
}

/* One directory that is being walked. */
struct level {
    int fd; /* -1: not kept */
    bool linked;
    dev_t dev;
    ino_t ino;
    size_t path_len; /* of w->path, that leads here; 0: the root */
    struct names names;
    size_t next; /* the name to be visited */
};

struct walk {
    const struct image_walk_opts *opts;
    image_walk_fn *fn;
    void *arg;
    struct buf path; /* of the current entry, relative to the root */
    struct level *level;
    size_t n, room;
    size_t first_open; /* levels 1 .. first_open - 1 have no descriptor */
    size_t links;      /* levels that are linked */
};

static void path_cut(struct walk *w, size_t len)
{
    w->path.len = len;
    if (w->path.data)
        w->path.data[len] = 0;
}

/* ---- entries ---- */

static enum image_entry_kind kind_of_mode(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return IMAGE_ENTRY_FILE;
    case S_IFDIR:
        return IMAGE_ENTRY_DIR;
    case S_IFLNK:
        return IMAGE_ENTRY_SYMLINK;
    default:
        return IMAGE_ENTRY_OTHER;
    }
}

static bool is_followed(const struct walk *w, const struct image_entry *link)
{
    return w->opts->follow_symlinks || (w->opts->follow && w->opts->follow(link, w->arg));
}

/* What a directory entry is. Asks the file system only when the directory does not say. */
static void tell_kind(const struct walk *w, unsigned char type, struct image_entry *en)
{
    struct stat sb;
    en->kind = type == DT_REG   ? IMAGE_ENTRY_FILE
               : type == DT_DIR ? IMAGE_ENTRY_DIR
                                : IMAGE_ENTRY_SYMLINK;
    if (type != DT_REG && type != DT_DIR && type != DT_LNK) {
        if (fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW) != 0) {
            en->kind = IMAGE_ENTRY_ERROR;
            en->error = status_from_errno(errno);
            return;
        }
        en->kind = kind_of_mode(sb.st_mode);
    }
    /* A dangling link is reported as a link. */
    if (en->kind == IMAGE_ENTRY_SYMLINK && is_followed(w, en) &&
        fstatat(en->dirfd, en->name, &sb, 0) == 0) {
        en->kind = kind_of_mode(sb.st_mode);
        en->linked = true;
    }
}

static status report_error(const struct walk *w, int dirfd, const char *name, status error)
{
    const struct image_entry en = {.kind = IMAGE_ENTRY_ERROR,
                                   .path = w->path.data,
                                   .name = name,
                                   .dirfd = dirfd,
                                   .error = error};
    return w->fn(&en, w->arg);
}

/* ---- levels ---- */

/* Only a way through a link can come back to where it was. */
static bool is_walked(const struct walk *w, const struct stat *sb)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->level[i].dev == sb->st_dev && w->level[i].ino == sb->st_ino)
            return true;
    return false;
}

static status open_dir(int dirfd, const char *name, bool linked, int *out_fd, struct stat *out_sb)
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

static status names_of(int fd, struct names *out)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        status st = status_from_errno(errno);
        if (own >= 0)
            close(own);
        return st;
    }
    status st = names_read(dir, out);
    closedir(dir);
    return st ? st : names_sort(out);
}

static status room_for_level(struct walk *w)
{
    if (w->n < w->room)
        return STATUS_OK;
    size_t room = w->room ? 2 * w->room : 16;
    struct level *more = mem_realloc(w->level, room * sizeof *more);
    if (!more)
        return STATUS_NOMEM;
    w->level = more;
    w->room = room;
    return STATUS_OK;
}

/* Takes fd, also on failure. */
static status push(struct walk *w, int fd, bool linked, const struct stat *sb)
{
    struct level l = {.fd = fd,
                      .linked = linked,
                      .dev = sb->st_dev,
                      .ino = sb->st_ino,
                      .path_len = w->path.len,
                      .names = {.text = BUF_INIT(NAMES_BYTES_MAX)}};
    status st = room_for_level(w);
    if (!st)
        st = names_of(fd, &l.names);
    if (st) {
        names_done(&l.names);
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

static bool is_level(const struct level *l, const struct stat *sb)
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
        status st = open_dir(at, path + from + (from > 0), w->level[i].linked, &fd, &sb);
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

/* The level above the one that ends gets its descriptor back. */
static status reopen(struct walk *w, const struct level *child, size_t to)
{
    struct stat sb;
    int fd;
    status st = child->linked ? STATUS_AGAIN : open_dir(child->fd, "..", false, &fd, &sb);
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

/* Ends the deepest level. If the one above has been moved away meanwhile, what is left of it is an
   error entry. */
static status pop(struct walk *w)
{
    struct level child = w->level[--w->n];
    struct level *up = w->n ? &w->level[w->n - 1] : NULL;
    status st = STATUS_OK;
    w->links -= child.linked;
    names_done(&child.names);
    if (up && up->fd < 0) {
        st = reopen(w, &child, w->n - 1);
        path_cut(w, up->path_len);
        if (st && st != STATUS_NOMEM) {
            const char *slash = strrchr(w->path.data, '/');
            up->next = up->names.n;
            w->first_open = w->n - 1; /* nothing is open but the root */
            st = report_error(w, -1, slash ? slash + 1 : w->path.data, st);
        }
    }
    if (child.fd >= 0)
        close(child.fd);
    return st;
}

/* ---- visits ---- */

static status visit_dir(struct walk *w, struct image_entry *en)
{
    bool descend = true;
    en->descend = &descend;
    status st = w->fn(en, w->arg);
    if (st || !descend)
        return st;
    struct stat sb;
    int fd;
    st = open_dir(en->dirfd, en->name, en->linked, &fd, &sb);
    if (!st && (en->linked || w->links) && is_walked(w, &sb)) {
        close(fd);
        en->linked = true;
        st = STATUS_LIMIT;
    } else if (!st) {
        st = push(w, fd, en->linked, &sb);
    }
    if (!st || st == STATUS_NOMEM)
        return st;
    en->kind = IMAGE_ENTRY_ERROR;
    en->error = st;
    en->descend = NULL;
    return w->fn(en, w->arg);
}

static status visit_next(struct walk *w)
{
    struct level *l = &w->level[w->n - 1];
    const char *entry = l->names.sorted[l->next++];
    path_cut(w, l->path_len);
    status st = l->path_len ? buf_add(&w->path, "/", 1) : STATUS_OK;
    if (!st)
        st = buf_add(&w->path, entry + 1, strlen(entry + 1));
    if (st == STATUS_LIMIT) { /* the entry of its directory was reported instead */
        path_cut(w, l->path_len);
        return report_error(w, l->fd, ".", st);
    }
    if (st)
        return st;
    struct image_entry en = {.path = w->path.data, .name = entry + 1, .dirfd = l->fd};
    tell_kind(w, (unsigned char)entry[0], &en);
    return en.kind == IMAGE_ENTRY_DIR ? visit_dir(w, &en) : w->fn(&en, w->arg);
}

static status walk_all(struct walk *w)
{
    status st = STATUS_OK;
    while (!st && w->n) {
        const struct level *l = &w->level[w->n - 1];
        st = l->next < l->names.n ? visit_next(w) : pop(w);
    }
    return st;
}

static status open_root(struct walk *w, const char *root)
{
    struct stat sb;
    int fd = -1;
    status st = io_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (st)
        return st;
    if (fstat(fd, &sb) != 0) {
        st = status_from_errno(errno);
        close(fd);
        return st;
    }
    return push(w, fd, false, &sb);
}

status image_walk(const char *root, const struct image_walk_opts *opts, image_walk_fn *fn,
                  void *arg, struct errmsg *e)
{
    static const struct image_walk_opts none;
    struct walk w = {.opts = opts ? opts : &none,
                     .fn = fn,
                     .arg = arg,
                     .path = BUF_INIT(PATH_BYTES_MAX),
                     .first_open = 1};
    status st = open_root(&w, root);
    if (st)
        errmsg_set(e, st, "%s: %s", root, status_text(st));
    else
        st = walk_all(&w);
    while (w.n) {
        struct level *l = &w.level[--w.n];
        names_done(&l->names);
        if (l->fd >= 0)
            close(l->fd);
    }
    mem_free(w.level);
    buf_done(&w.path);
    return st;
}
