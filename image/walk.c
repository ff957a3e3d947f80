/*
 * The directory walk. Each level reads its names whole, sorts them, and then visits them, so that
 * the order does not depend on the file system. Levels are frames of a recursion that LEVELS_MAX
 * bounds.
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { LEVELS_MAX = 64, PATH_BYTES_MAX = 64 * 1024, NAMES_BYTES_MAX = 1 << 30 };

/* One directory that is being walked; the chain up to the root. */
struct level {
    const struct level *up;
    int depth;
    int fd;
    dev_t dev;
    ino_t ino;
};

struct walk {
    bool follow;
    image_walk_fn *fn;
    void *arg;
    struct buf path; /* of the current entry, relative to the root */
};

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

/* What a directory entry is. Asks the file system only when the directory does not say. */
static enum image_entry_kind kind_of(const struct walk *w, int dirfd, const char *name,
                                     unsigned char type, status *error)
{
    struct stat sb;
    int flags = w->follow ? 0 : AT_SYMLINK_NOFOLLOW;
    *error = STATUS_OK;
    if (type == DT_REG)
        return IMAGE_ENTRY_FILE;
    if (type == DT_DIR)
        return IMAGE_ENTRY_DIR;
    if (type == DT_LNK && !w->follow)
        return IMAGE_ENTRY_SYMLINK;
    int rc = fstatat(dirfd, name, &sb, flags);
    if (rc != 0 && w->follow) /* a link to nowhere is still a link */
        rc = fstatat(dirfd, name, &sb, AT_SYMLINK_NOFOLLOW);
    if (rc != 0) {
        *error = status_from_errno(errno);
        return IMAGE_ENTRY_ERROR;
    }
    switch (sb.st_mode & S_IFMT) {
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

static bool is_walked(const struct level *l, const struct stat *sb)
{
    for (; l; l = l->up)
        if (l->dev == sb->st_dev && l->ino == sb->st_ino)
            return true;
    return false;
}

static status report(const struct walk *w, enum image_entry_kind kind, int dirfd, const char *name,
                     status error)
{
    const struct image_entry entry = {kind, w->path.data, name, dirfd, error};
    return w->fn(&entry, w->arg);
}

static status walk_level(struct walk *w, DIR *dir, struct level *l);

/* Opens the directory and fills in its level; LIMIT when it is too deep or closes a loop. */
static status open_level(const struct walk *w, const struct level *up, const char *name,
                         struct level *out)
{
    AUTO(fd_close) int fd = -1;
    struct stat sb;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (w->follow ? 0 : O_NOFOLLOW);
    if (up->depth + 1 > LEVELS_MAX)
        return STATUS_LIMIT;
    status st = io_open(up->fd, name, flags, 0, &fd);
    if (st)
        return st;
    if (fstat(fd, &sb) != 0)
        return status_from_errno(errno);
    if (is_walked(up, &sb))
        return STATUS_LIMIT;
    *out = (struct level){up, up->depth + 1, TAKE_FD(fd), sb.st_dev, sb.st_ino};
    return STATUS_OK;
}

/* Walks the directory behind l->fd, which it closes. */
static status enter(struct walk *w, struct level *l)
{
    DIR *dir = fdopendir(l->fd);
    if (!dir) {
        status st = status_from_errno(errno);
        close(l->fd);
        return st;
    }
    status st = walk_level(w, dir, l);
    closedir(dir);
    return st;
}

static status visit_dir(struct walk *w, const struct level *l, const char *name)
{
    struct level below;
    status st = report(w, IMAGE_ENTRY_DIR, l->fd, name, STATUS_OK);
    if (st)
        return st;
    st = open_level(w, l, name, &below);
    if (st == STATUS_NOMEM)
        return st;
    if (st)
        return report(w, IMAGE_ENTRY_ERROR, l->fd, name, st);
    return enter(w, &below);
}

static status visit(struct walk *w, const struct level *l, const char *entry)
{
    const char *name = entry + 1;
    status error;
    enum image_entry_kind kind = kind_of(w, l->fd, name, (unsigned char)entry[0], &error);
    size_t keep = w->path.len;
    status st = keep ? buf_add(&w->path, "/", 1) : STATUS_OK;
    if (!st)
        st = buf_add(&w->path, name, strlen(name));
    if (!st)
        st = kind == IMAGE_ENTRY_DIR ? visit_dir(w, l, name) : report(w, kind, l->fd, name, error);
    w->path.len = keep;
    if (w->path.data)
        w->path.data[keep] = 0;
    return st;
}

/* A directory that cannot be read to its end is an error entry; what was read of it is not shown.
 */
static status walk_level(struct walk *w, DIR *dir, struct level *l)
{
    struct names list = {.text = BUF_INIT(NAMES_BYTES_MAX)};
    status st = names_read(dir, &list);
    if (!st)
        st = names_sort(&list);
    if (st && st != STATUS_NOMEM && l->up) {
        const char *slash = strrchr(w->path.data, '/');
        st = report(w, IMAGE_ENTRY_ERROR, l->up->fd, slash ? slash + 1 : w->path.data, st);
        list.n = 0;
    }
    for (size_t i = 0; i < list.n && !st; i++)
        st = visit(w, l, list.sorted[i]);
    names_done(&list);
    return st;
}

status image_walk(const char *root, const struct image_walk_opts *opts, image_walk_fn *fn,
                  void *arg, struct errmsg *e)
{
    struct walk w = {opts && opts->follow_symlinks, fn, arg, BUF_INIT(PATH_BYTES_MAX)};
    struct stat sb;
    int fd = -1;
    status st = io_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (st)
        return errmsg_set(e, st, "%s: %s", root, status_text(st));
    if (fstat(fd, &sb) != 0) {
        st = status_from_errno(errno);
        close(fd);
        return errmsg_set(e, st, "%s: %s", root, status_text(st));
    }
    struct level top = {NULL, 1, fd, sb.st_dev, sb.st_ino};
    st = enter(&w, &top);
    buf_done(&w.path);
    return st;
}
