/*
 * Descriptors are O_PATH. Those that are not in use are kept in a list, latest first, and the last
 * of it is given up when there are more than INTO_OPEN_MAX; a directory without one is opened again
 * by its names from the nearest one above that has.
 */
#include "into.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/banned.h"

static const mode_t mode_mask = 0777;

struct into_dir {
    struct into *tree;
    struct into_dir *up; /* NULL: the root */
    dev_t dev;
    ino_t ino;
    bool has_like;
    mode_t mode;
    struct timespec time;
    unsigned refs;                /* guarded by tree->lock, as all below */
    int fd;                       /* -1: given up */
    unsigned used;                /* calls that use fd */
    struct into_dir *prev, *next; /* in tree->idle, when fd >= 0 and used == 0, but for the root */
    char *name;                   /* in the same allocation */
};

struct into {
    pthread_mutex_t lock;
    struct into_dir idle; /* ends of the list */
    unsigned n_idle;      /* guarded by lock */
    struct into_dir *root;
    dev_t dev;
    ino_t ino;
    int root_fd; /* its own, until into_free */
};

/* ---- descriptors ---- */

/* Called with the lock held. */
static void idle_remove(struct into_dir *d)
{
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->tree->n_idle--;
}

/* Called with the lock held. */
static void idle_add(struct into_dir *d)
{
    struct into *t = d->tree;
    d->next = t->idle.next;
    d->prev = &t->idle;
    d->next->prev = d->prev->next = d;
    if (++t->n_idle <= INTO_OPEN_MAX)
        return;
    struct into_dir *oldest = t->idle.prev;
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
static status reopen(struct into_dir *d)
{
    struct into_dir *from = d;
    size_t depth = 0;
    for (; from->fd < 0; from = from->up)
        depth++;
    struct into_dir **way = mem_alloc(depth * sizeof *way);
    if (!way)
        return STATUS_NOMEM;
    struct into_dir *step = d;
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

/* A descriptor to use until dir_release. */
static status dir_use(struct into_dir *d, int *out_fd)
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

static void dir_release(struct into_dir *d)
{
    pthread_mutex_lock(&d->tree->lock);
    if (--d->used == 0 && d->up)
        idle_add(d);
    pthread_mutex_unlock(&d->tree->lock);
}

/* ---- directories ---- */

static struct into_dir *dir_new(struct into *t, struct into_dir *up, const char *name, int fd,
                                const struct stat *sb)
{
    struct into_dir *d = mem_zalloc(1, sizeof *d + strlen(name) + 1);
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

status into_new(int root_fd, struct into **out, struct into_dir **out_root)
{
    struct stat sb;
    struct into *t = mem_zalloc(1, sizeof *t);
    struct into_dir *root = NULL;
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

void into_free(struct into *t)
{
    if (!t)
        return;
    CHECK(!t->root);
    close(t->root_fd);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

bool into_is_root(const struct into *t, dev_t dev, ino_t ino)
{
    return t->dev == dev && t->ino == ino;
}

void into_like(struct into_dir *d, const struct stat *source)
{
    d->has_like = true;
    d->mode = source->st_mode & mode_mask;
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
        fchmodat(fd, ".", (out_sb->st_mode & mode_mask) | 0700, 0) < 0) {
        status st = status_from_errno(errno);
        close(fd);
        return st;
    }
    *out_fd = fd;
    return STATUS_OK;
}

status into_mkdir(struct into_dir *up, const char *name, struct into_dir **out)
{
    int at, fd = -1;
    struct stat sb;
    status st = dir_use(up, &at);
    if (st)
        return st;
    st = make_dir(at, name, &fd, &sb);
    dir_release(up);
    if (st)
        return st;
    struct into_dir *d = dir_new(up->tree, into_ref(up), name, fd, &sb);
    if (!d) {
        close(fd);
        into_unref(up);
        return STATUS_NOMEM;
    }
    dir_release(d);
    *out = d;
    return STATUS_OK;
}

struct into_dir *into_ref(struct into_dir *d)
{
    pthread_mutex_lock(&d->tree->lock);
    d->refs++;
    pthread_mutex_unlock(&d->tree->lock);
    return d;
}

/* "." is the directory itself, whatever its name leads to by now. Not told when it fails: the files
   are there, and a file system may not know modes. */
static void look_like_source(struct into_dir *d)
{
    int fd;
    if (!d->has_like || dir_use(d, &fd))
        return;
    const struct timespec times[2] = {d->time, d->time};
    if (utimensat(fd, ".", times, 0) < 0 || fchmodat(fd, ".", d->mode, 0) < 0)
        errno = 0;
    dir_release(d);
}

void into_unref(struct into_dir *d)
{
    while (d) {
        struct into *t = d->tree;
        pthread_mutex_lock(&t->lock);
        bool last = d->refs == 1;
        if (!last)
            d->refs--;
        pthread_mutex_unlock(&t->lock);
        if (!last)
            return;
        look_like_source(d);
        struct into_dir *up = d->up;
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

/* ---- files ---- */

/* The same in every run, so that nothing is left behind when a run that was interrupted is
   repeated; short, whatever the file is called. */
static void aside_name(const char *name, char out[48])
{
    snprintf(out, 48, ".relearn-part-%016llx", (unsigned long long)checksum64(name, strlen(name)));
}

enum { NEW_TRIES = 8 };

static status open_new(int at, const char *name, int *out_fd)
{
    status st = STATUS_EXISTS;
    for (int i = 0; st == STATUS_EXISTS && i < NEW_TRIES; i++) {
        unlinkat(at, name, 0);
        st = io_open(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600, out_fd);
    }
    return st;
}

status into_file_begin(struct into_dir *d, const char *name, struct into_file *out)
{
    int at;
    struct into_file f = {.fd = -1};
    status st = dir_use(d, &at);
    if (st)
        return st;
    aside_name(name, f.aside);
    st = open_new(at, f.aside, &f.fd);
    dir_release(d);
    if (!st)
        *out = f;
    return st;
}

static void unlink_in(struct into_dir *d, const char *name)
{
    int at;
    if (dir_use(d, &at))
        return;
    unlinkat(at, name, 0);
    dir_release(d);
}

void into_file_drop(struct into_dir *d, struct into_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    unlink_in(d, f->aside);
}

status into_file_end(struct into_dir *d, const char *name, struct into_file *f,
                     const struct stat *source)
{
    const struct timespec times[2] = {source->st_mtim, source->st_mtim};
    status st = STATUS_OK;
    if (fchmod(f->fd, source->st_mode & mode_mask) < 0 || futimens(f->fd, times) < 0)
        st = status_from_errno(errno);
    if (close(f->fd) < 0 && !st)
        st = status_from_errno(errno);
    f->fd = -1;
    int at;
    if (!st)
        st = dir_use(d, &at);
    if (!st) {
        st = io_rename(at, f->aside, name);
        dir_release(d);
    }
    if (st)
        unlink_in(d, f->aside);
    return st;
}

static status place_symlink(int at, const char *aside, const char *name, const char *text,
                            const struct stat *source)
{
    unlinkat(at, aside, 0);
    if (symlinkat(text, at, aside) < 0)
        return status_from_errno(errno);
    const struct timespec times[2] = {source->st_mtim, source->st_mtim};
    if (utimensat(at, aside, times, AT_SYMLINK_NOFOLLOW) < 0)
        errno = 0; /* not every file system keeps a link's time */
    status st = io_rename(at, aside, name);
    if (st)
        unlinkat(at, aside, 0);
    return st;
}

status into_symlink(struct into_dir *d, const char *name, const char *text,
                    const struct stat *source)
{
    char aside[48];
    int at;
    status st = dir_use(d, &at);
    if (st)
        return st;
    aside_name(name, aside);
    st = place_symlink(at, aside, name, text, source);
    dir_release(d);
    return st;
}

/* syncfs wants more than O_PATH. */
status into_sync(const struct into *t)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(t->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (!st && syncfs(fd) < 0)
        st = status_from_errno(errno);
    return st;
}

status into_is_over(const struct into *t, status st)
{
    struct statvfs fs;
    if (st == STATUS_NO_SPACE)
        return st;
    bool read_only =
        st == STATUS_DENIED && fstatvfs(t->root_fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
    return read_only ? st : STATUS_OK;
}
