#include "out_tree.h"

#include "png.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

static const size_t png_max = (size_t)1 << 31;

status out_tree_init(struct out_tree *t, int n_files)
{
    *t = (struct out_tree){.n_files = n_files};
    t->made = mem_zalloc((size_t)n_files + 1, sizeof *t->made);
    return t->made ? STATUS_OK : STATUS_NOMEM;
}

void out_tree_done(struct out_tree *t)
{
    for (size_t i = 0; i < t->n_dirs; i++)
        mem_free(t->dir[i]);
    mem_free(t->dir);
    mem_free(t->made);
    *t = (struct out_tree){.n_dirs = 0};
}

/* ---- directories ---- */

static status remember(struct out_tree *t, const char *path)
{
    if (t->n_dirs == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        char **grown = mem_realloc(t->dir, cap * sizeof *grown);
        if (!grown)
            return STATUS_NOMEM;
        t->dir = grown;
        t->cap = cap;
    }
    t->dir[t->n_dirs] = mem_strdup(path);
    return t->dir[t->n_dirs] ? (t->n_dirs++, STATUS_OK) : STATUS_NOMEM;
}

/* Remembered first: a directory that cannot be remembered is not made. */
static status make_one(struct out_tree *t, const char *path)
{
    status st = remember(t, path);
    if (st || mkdir(path, 0777) == 0)
        return st;
    int err = errno;
    mem_free(TAKE(t->dir[--t->n_dirs]));
    return err == EEXIST ? STATUS_OK : status_from_errno(err);
}

status out_tree_dir(struct out_tree *t, const char *path, struct errmsg *e)
{
    AUTO(mem_free) char *at = mem_strdup(path);
    if (!at)
        return STATUS_NOMEM;
    struct stat sb;
    for (char *s = at + 1;; s++) {
        if (*s && *s != '/')
            continue;
        char keep = *s;
        *s = 0;
        status st = stat(at, &sb) == 0 ? STATUS_OK : make_one(t, at);
        if (st)
            return errmsg_set(e, st, "cannot create directory %s: %s", at, status_text(st));
        *s = keep;
        if (!keep)
            break;
    }
    if (stat(at, &sb) < 0 || !S_ISDIR(sb.st_mode))
        return errmsg_set(e, STATUS_EXISTS, "%s exists and is not a directory", path);
    return STATUS_OK;
}

/* ---- files ---- */

static status create(const char *path, int *out_fd)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    status st = io_open(AT_FDCWD, path, flags, 0666, out_fd);
    if (st == STATUS_EXISTS && unlink(path) == 0)
        st = io_open(AT_FDCWD, path, flags, 0666, out_fd);
    return st;
}

status out_tree_png(struct out_tree *t, int i, const char *path, const struct image *img,
                    struct errmsg *e)
{
    AUTO(buf_done) struct buf b = BUF_INIT(png_max);
    AUTO(fd_close) int fd = -1;
    status st = train_png_bytes(img, &b, e);
    if (st)
        return errmsg_prefix(e, st, "%s", path);
    st = create(path, &fd);
    if (!st) {
        atomic_store(&t->made[i], true);
        st = io_write(fd, b.data, b.len);
    }
    return st ? errmsg_set(e, st, "cannot write %s: %s", path, status_text(st)) : STATUS_OK;
}

/* ---- undoing ---- */

void out_tree_undo(struct out_tree *t, char *(*path_of)(const void *arg, int i), const void *arg)
{
    for (int i = 0; i < t->n_files; i++) {
        AUTO(mem_free) char *path = atomic_load(&t->made[i]) ? path_of(arg, i) : NULL;
        if (path)
            (void)unlink(
                path); /* what cannot be removed stays: the failure is being told already */
    }
    while (t->n_dirs) {
        (void)rmdir(t->dir[--t->n_dirs]); /* not when somebody else has put something there */
        mem_free(TAKE(t->dir[t->n_dirs]));
    }
}
