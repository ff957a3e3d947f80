/*
 * Descriptors are O_PATH. Those that are not in use are kept in a list, latest first, and the last
 * of it is given up when there are more than DEST_OPEN_MAX; a directory without one is opened again
 * by its names from the nearest one above that has.
 */
#include "dest_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/banned.h"

/* ---- descriptors ---- */

/* Called with the lock held. */
static void idle_remove(struct dest_dir *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->tree->n_idle--;
}

/* Called with the lock held. */
static void idle_add(struct dest_dir *d)
{
    struct dest *t = d->tree;
    d->next = t->idle.next;
    d->prev = &t->idle;
    d->next->prev = d->prev->next = d;
    if (++t->n_idle <= DEST_OPEN_MAX)
        return;
    struct dest_dir *oldest = t->idle.prev;
    idle_remove(oldest);
    close(oldest->fd);
    oldest->fd = -1;
}

static int open_child(int at, const char *name)
{
    return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* What became of a name that should be one of our directories. */
static status lost(int err)
{
    return err == ENOENT || err == ENOTDIR || err == ELOOP ? STATUS_AGAIN : status_from_errno(err);
}

/* Called with the lock held. Opens d again, from the nearest directory above it that is open. */
static status reopen(struct dest_dir *d)
{
    struct dest_dir *from = d;
    size_t depth = 0;
    for (; from->fd < 0; from = from->up)
        depth++;
    struct dest_dir **way = mem_alloc(depth * sizeof *way);
    if (!way)
        return STATUS_NOMEM;
    struct dest_dir *step = d;
    for (size_t i = depth; i > 0; step = step->up)
        way[--i] = step;
    int at = from->fd;
    status st = STATUS_OK;
    for (size_t i = 0; i < depth && !st; i++) {
        int fd = open_child(at, way[i]->name);
        if (fd < 0)
            st = lost(errno);
        if (at != from->fd)
            close(at);
        at = fd;
    }
    mem_free(way);
    struct stat sb;
    if (!st && (fstat(at, &sb) < 0 || sb.st_dev != d->dev || sb.st_ino != d->ino)) {
        close(at);
        st = STATUS_AGAIN;
    }
    if (!st)
        d->fd = at;
    return st;
}

/* A descriptor to use until dest_dir_release. */
status dest_dir_use(struct dest_dir *d, int *out_fd)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&d->tree->lock);
    if (d->fd < 0)
        st = reopen(d);
    else if (!d->used && d->up)
        idle_remove(d);
    if (!st) {
        d->used++;
        *out_fd = d->fd;
    }
    pthread_mutex_unlock(&d->tree->lock);
    return st;
}

void dest_dir_release(struct dest_dir *d)
{
    pthread_mutex_lock(&d->tree->lock);
    if (--d->used == 0 && d->up)
        idle_add(d);
    pthread_mutex_unlock(&d->tree->lock);
}

/* ---- directories ---- */

static struct dest_dir *dir_new(struct dest *t, struct dest_dir *up, const char *name, int fd,
                                const struct stat *sb)
{
    struct dest_dir *d = mem_zalloc(1, sizeof *d + strlen(name) + 1);
    if (!d)
        return NULL;
    d->tree = t;
    d->up = up;
    d->dev = sb->st_dev;
    d->ino = sb->st_ino;
    d->refs = 1;
    d->fd = fd;
    d->used = 1;
    d->name = memcpy(d + 1, name, strlen(name) + 1);
    return d;
}

status dest_new(int root_fd, struct dest **out, struct dest_dir **out_root)
{
    struct stat sb;
    struct dest *t = mem_zalloc(1, sizeof *t);
    struct dest_dir *root = NULL;
    status st = !t ? STATUS_NOMEM : fstat(root_fd, &sb) < 0 ? status_from_errno(errno) : STATUS_OK;
    if (!st && !(root = dir_new(t, NULL, "", root_fd, &sb)))
        st = STATUS_NOMEM;
    if (st) {
        mem_free(t);
        close(root_fd);
        return st;
    }
    pthread_mutex_init(&t->lock, NULL);
    t->idle.next = t->idle.prev = &t->idle;
    t->dev = sb.st_dev;
    t->ino = sb.st_ino;
    t->root_fd = root_fd;
    t->root = root;
    *out = t;
    *out_root = root;
    return STATUS_OK;
}

void dest_free(struct dest *t)
{
    if (!t)
        return;
    CHECK(!t->root);
    close(t->root_fd);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

bool dest_is_root(const struct dest *t, dev_t dev, ino_t ino)
{
    return t->dev == dev && t->ino == ino;
}

void dest_like(struct dest_dir *d, const struct stat *source)
{
    d->has_like = true;
    d->mode = source->st_mode & DEST_MODE_MASK;
    d->time = source->st_mtim;
}

/* Makes the directory or finds it, and makes it one that we may write to. */
static status make_dir(int at, const char *name, int *out_fd, struct stat *out_sb)
{
    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return status_from_errno(errno);
    int fd = open_child(at, name);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? STATUS_EXISTS : status_from_errno(errno);
    if (fstat(fd, out_sb) < 0) {
        status st = status_from_errno(errno);
        close(fd);
        return st;
    }
    /* One that an earlier run made like a source that may not be written to. */
    if ((out_sb->st_mode & 0700) != 0700 &&
        fchmodat(fd, ".", (out_sb->st_mode & DEST_MODE_MASK) | 0700, 0) < 0) {
        status st = status_from_errno(errno);
        close(fd);
        return st;
    }
    *out_fd = fd;
    return STATUS_OK;
}

status dest_mkdir(struct dest_dir *up, const char *name, struct dest_dir **out)
{
    int at, fd = -1;
    struct stat sb;
    status st = dest_dir_use(up, &at);
    if (st)
        return st;
    st = make_dir(at, name, &fd, &sb);
    dest_dir_release(up);
    if (st)
        return st;
    struct dest_dir *d = dir_new(up->tree, dest_ref(up), name, fd, &sb);
    if (!d) {
        close(fd);
        dest_unref(up);
        return STATUS_NOMEM;
    }
    dest_dir_release(d);
    *out = d;
    return STATUS_OK;
}

struct dest_dir *dest_ref(struct dest_dir *d)
{
    pthread_mutex_lock(&d->tree->lock);
    d->refs++;
    pthread_mutex_unlock(&d->tree->lock);
    return d;
}

/* "." is the directory itself, whatever its name leads to by now. Not told when it fails: the files
   are there, and a file system may not know modes. */
static void look_like_source(struct dest_dir *d)
{
    int fd;
    if (!d->has_like || dest_dir_use(d, &fd))
        return;
    const struct timespec times[2] = {d->time, d->time};
    if (utimensat(fd, ".", times, 0) < 0 || fchmodat(fd, ".", d->mode, 0) < 0)
        errno = 0;
    dest_dir_release(d);
}

void dest_unref(struct dest_dir *d)
{
    while (d) {
        struct dest *t = d->tree;
        pthread_mutex_lock(&t->lock);
        bool last = d->refs == 1;
        if (!last)
            d->refs--;
        pthread_mutex_unlock(&t->lock);
        if (!last)
            return;
        look_like_source(d);
        struct dest_dir *up = d->up;
        pthread_mutex_lock(&t->lock);
        if (up && d->fd >= 0) {
            idle_remove(d);
            close(d->fd);
        }
        if (!up)
            t->root = NULL;
        pthread_mutex_unlock(&t->lock);
        mem_free(d);
        d = up; /* whose reference d held */
    }
}

/* ---- the file system below ---- */

/* syncfs wants more than O_PATH. */
status dest_sync(const struct dest *t)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(t->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (!st && syncfs(fd) < 0)
        st = status_from_errno(errno);
    return st;
}

status dest_is_over(const struct dest *t, status st)
{
    struct statvfs fs;
    if (st == STATUS_NO_SPACE)
        return st;
    bool read_only =
        st == STATUS_DENIED && fstatvfs(t->root_fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
    return read_only ? st : STATUS_OK;
}
