/*
 * `relearn purify`: a file or a tree through the pipeline into files.
 *
 *     walk (calling thread) -> fetch -> done() on the purifier's thread -> writers: aside, rename
 *
 * At most outstanding_max files are between the first and the last step; the walk waits for room.
 * Directories get their mode and time when everything in them is written, deepest first.
 */
#include "fused.h"

#include "pipeline.h"
#include "under.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

/* Enough for the purifier to form groups on every thread and for what waits beside it, few enough
   for the usual limit of descriptors. */
enum { OUTSTANDING_MIN = 256, OUTSTANDING_MAX = 512, WRITERS = 2 };

struct made_dir {
    struct made_dir *next; /* made before this one */
    mode_t mode;
    struct timespec time;
    char path[];
};

struct copying {
    struct fused_pipeline *pipeline;
    const struct fused_copy *copy;
    struct pool *writers;
    int dst_fd;
    struct made_dir *dirs; /* the walk's */
    uint64_t total;
    pthread_mutex_t lock;
    pthread_cond_t room;
    unsigned outstanding_max;
    unsigned outstanding; /* guarded by lock, as all below */
    struct fused_copy_result result;
};

struct item {
    struct copying *c;
    struct fused_fetch fetch;
    struct stat sb;
    status st;
    char path[]; /* relative to src and dst */
};

static void report_failure(struct copying *c, const char *path, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->result.failed++;
    if (c->copy->failed)
        c->copy->failed(c->copy->arg, path, why);
    pthread_mutex_unlock(&c->lock);
}

static void item_end(struct item *it, uint64_t *counter)
{
    struct copying *c = it->c;
    fused_bytes_unref(it->fetch.bytes);
    close(it->fetch.fd);
    pthread_mutex_lock(&c->lock);
    if (counter)
        ++*counter;
    c->outstanding--;
    pthread_cond_signal(&c->room);
    pthread_mutex_unlock(&c->lock);
    mem_free(it);
}

/* ---- writing ---- */

/* A damaged image is followed by what makes up the size that a mount tells. */
static status copy_bytes(const struct item *it, int to)
{
    char chunk[65536];
    const struct fused_fetch *f = &it->fetch;
    for (uint64_t at = 0;;) {
        size_t n;
        status st =
            fused_read_original(f->fd, f->id.size, f->verdict.size, chunk, sizeof chunk, at, &n);
        if (!st && n)
            st = io_write(to, chunk, n);
        if (st || n == 0)
            return st;
        at += n;
    }
}

static status fill_aside(const struct item *it, int fd)
{
    const struct fused_bytes *b = it->fetch.bytes;
    status st = b ? io_write(fd, b->data, b->len) : copy_bytes(it, fd);
    if (st)
        return st;
    const struct timespec times[2] = {it->sb.st_mtim, it->sb.st_mtim};
    if (fchmod(fd, it->sb.st_mode & 07777) < 0 || futimens(fd, times) < 0)
        return status_from_errno(errno);
    return STATUS_OK;
}

/* The name beside path that it is first written under: the same in every run, so that nothing is
   left behind when a run that was interrupted is repeated; short, whatever the file is called. */
static char *aside_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return mem_printf("%.*s.relearn-part-%016llx", slash ? (int)(slash - path) + 1 : 0, path,
                      (unsigned long long)checksum64(path, strlen(path)));
}

static status write_item(const struct item *it)
{
    int dst = it->c->dst_fd;
    AUTO(mem_free) char *aside = aside_name(it->path);
    if (!aside)
        return STATUS_NOMEM;
    int fd;
    status st =
        io_open(dst, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600, &fd);
    if (st)
        return st;
    st = fill_aside(it, fd);
    if (close(fd) < 0 && !st)
        st = status_from_errno(errno);
    if (!st)
        st = io_rename(dst, aside, it->path);
    if (st)
        unlinkat(dst, aside, 0);
    return st;
}

static void writer_run(void *arg)
{
    struct item *it = arg;
    struct copying *c = it->c;
    status st = it->st ? it->st : write_item(it);
    if (st) {
        bool ours = it->st && it->fetch.err.text[0];
        report_failure(c, it->path,
                       ours                 ? it->fetch.err.text
                       : st == STATUS_AGAIN ? "changed while it was read"
                                            : status_text(st));
        item_end(it, NULL);
        return;
    }
    item_end(it, it->fetch.bytes ? &c->result.images : &c->result.originals);
}

/* The fetch's callback. */
static void item_fetched(struct fused_fetch *f, status st)
{
    struct item *it = f->arg;
    it->st = st;
    if (pool_submit(it->c->writers, writer_run, it))
        writer_run(it);
}

/* ---- the walk ---- */

static void start_item(struct item *it)
{
    struct fused_verdict *v = &it->fetch.verdict;
    struct copying *c = it->c;
    it->fetch.id = fused_file_id(&it->sb);
    it->fetch.bytes = NULL;
    it->fetch.err.text[0] = 0;
    it->fetch.name = it->path;
    it->fetch.want_bytes = true;
    it->fetch.same_bytes = false;
    it->fetch.done = item_fetched;
    it->fetch.arg = it;
    pthread_mutex_lock(&c->lock);
    while (c->outstanding >= c->outstanding_max)
        pthread_cond_wait(&c->room, &c->lock);
    c->outstanding++;
    c->result.files++;
    pthread_mutex_unlock(&c->lock);
    status st =
        fused_examine(c->pipeline, it->fetch.fd, &it->fetch.id, it->path, v, &it->fetch.err);
    if (st || v->group != FUSED_GROUP_IMAGE)
        item_fetched(&it->fetch, st);
    else
        fused_fetch_start(c->pipeline, &it->fetch, PURIFY_URGENT);
}

/* Takes fd. */
static status copy_open_file(struct copying *c, int fd, const char *path)
{
    struct item *it = mem_alloc(sizeof *it + strlen(path) + 1);
    if (!it || fstat(fd, &it->sb) < 0) {
        close(fd);
        mem_free(it);
        return STATUS_NOMEM;
    }
    it->c = c;
    it->fetch.fd = fd;
    memcpy(it->path, path, strlen(path) + 1);
    start_item(it);
    return STATUS_OK;
}

static status copy_file(struct copying *c, const struct image_entry *entry)
{
    int fd, err = under_open_data(entry->dirfd, entry->name, 0, &fd);
    if (!err)
        return copy_open_file(c, fd, entry->path);
    report_failure(c, entry->path, strerror(err));
    return STATUS_OK;
}

static status copy_dir(struct copying *c, int dirfd, const char *name, const char *path)
{
    struct stat sb;
    struct made_dir *d = mem_alloc(sizeof *d + strlen(path) + 1);
    if (!d)
        return STATUS_NOMEM;
    if (fstatat(dirfd, name, &sb, 0) < 0 ||
        (mkdirat(c->dst_fd, path, (sb.st_mode & 07777) | 0700) < 0 && errno != EEXIST)) {
        report_failure(c, path, strerror(errno));
        mem_free(d);
        return STATUS_OK;
    }
    d->mode = sb.st_mode & 07777;
    d->time = sb.st_mtim;
    memcpy(d->path, path, strlen(path) + 1);
    d->next = c->dirs;
    c->dirs = d;
    return STATUS_OK;
}

static status copy_link(struct copying *c, int dirfd, const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dirfd, name, target, sizeof target - 1);
    AUTO(mem_free) char *aside = aside_name(path);
    if (!aside)
        return STATUS_NOMEM;
    target[n < 0 ? 0 : n] = 0;
    struct stat sb;
    unlinkat(c->dst_fd, aside, 0);
    if (n < 0 || symlinkat(target, c->dst_fd, aside) < 0 ||
        renameat(c->dst_fd, aside, c->dst_fd, path) < 0) {
        report_failure(c, path, strerror(errno));
        unlinkat(c->dst_fd, aside, 0);
    } else if (fstatat(dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0) {
        const struct timespec times[2] = {sb.st_mtim, sb.st_mtim};
        utimensat(c->dst_fd, path, times, AT_SYMLINK_NOFOLLOW);
    }
    return STATUS_OK;
}

static void show_progress(struct copying *c)
{
    if (!c->copy->progress)
        return;
    pthread_mutex_lock(&c->lock);
    struct fused_copy_result now = c->result;
    pthread_mutex_unlock(&c->lock);
    c->copy->progress(c->copy->arg, &now, c->total);
}

static status copy_visit(const struct image_entry *entry, void *arg)
{
    struct copying *c = arg;
    if (c->copy->stop && c->copy->stop(c->copy->arg))
        return STATUS_CANCELLED;
    show_progress(c);
    switch (entry->kind) {
    case IMAGE_ENTRY_FILE:
        return copy_file(c, entry);
    case IMAGE_ENTRY_DIR:
        return copy_dir(c, entry->dirfd, entry->name, entry->path);
    case IMAGE_ENTRY_SYMLINK:
        return copy_link(c, entry->dirfd, entry->name, entry->path);
    case IMAGE_ENTRY_OTHER:
        pthread_mutex_lock(&c->lock);
        c->result.skipped++;
        pthread_mutex_unlock(&c->lock);
        return STATUS_OK;
    default:
        report_failure(c, entry->path, status_text(entry->error));
        return STATUS_OK;
    }
}

static status count_visit(const struct image_entry *entry, void *arg)
{
    struct copying *c = arg;
    c->total += entry->kind == IMAGE_ENTRY_FILE;
    return c->copy->stop && c->copy->stop(c->copy->arg) ? STATUS_CANCELLED : STATUS_OK;
}

static void finish_dirs(struct copying *c)
{
    for (struct made_dir *next, *d = c->dirs; d; d = next) {
        next = d->next;
        const struct timespec times[2] = {d->time, d->time};
        utimensat(c->dst_fd, d->path, times, 0);
        fchmodat(c->dst_fd, d->path, d->mode, 0);
        mem_free(d);
    }
}

static void wait_all(struct copying *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->outstanding) {
        pthread_mutex_unlock(&c->lock);
        show_progress(c);
        pthread_mutex_lock(&c->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1; /* how often the progress moves while only the purifier works */
        if (c->outstanding)
            pthread_cond_timedwait(&c->room, &c->lock, &until);
    }
    pthread_mutex_unlock(&c->lock);
    show_progress(c);
}

/* ---- where to ---- */

/* Neither directory may hold the other: the copy would be walked, or the source overwritten. */
static status check_apart(const char *src, const char *dst, struct errmsg *e)
{
    char a[PATH_MAX], b[PATH_MAX];
    if (!realpath(src, a) || !realpath(dst, b))
        return errmsg_set(e, status_from_errno(errno), "%s or %s: %s", src, dst, strerror(errno));
    size_t la = strlen(a), lb = strlen(b), n = la < lb ? la : lb;
    if (strncmp(a, b, n) == 0 && (a[n] == 0 || a[n] == '/' || n == 1) &&
        (b[n] == 0 || b[n] == '/' || n == 1))
        return errmsg_set(e, STATUS_INVALID, "%s and %s: one lies in the other", src, dst);
    return STATUS_OK;
}

static status open_dst(struct copying *c, const char *dst, struct errmsg *e)
{
    status st = io_open(AT_FDCWD, dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &c->dst_fd);
    return st ? errmsg_set(e, st, "%s: %s", dst, status_text(st)) : STATUS_OK;
}

static status copy_one_file(struct copying *c, struct errmsg *e)
{
    const char *src = c->copy->src, *dst = c->copy->dst;
    const char *name = strrchr(src, '/') ? strrchr(src, '/') + 1 : src;
    struct stat sb;
    bool into = stat(dst, &sb) == 0 && S_ISDIR(sb.st_mode);
    const char *slash = strrchr(dst, '/');
    AUTO(mem_free)
    char *dir = into    ? mem_strdup(dst)
                : slash ? mem_printf("%.*s", (int)(slash - dst) + (slash == dst), dst)
                        : mem_strdup(".");
    const char *to = into ? name : slash ? slash + 1 : dst;
    if (!dir)
        return STATUS_NOMEM;
    status st = open_dst(c, dir, e);
    struct stat there, source;
    if (!st && stat(src, &source) == 0 && fstatat(c->dst_fd, to, &there, 0) == 0 &&
        there.st_dev == source.st_dev && there.st_ino == source.st_ino)
        st = errmsg_set(e, STATUS_INVALID, "%s and %s are the same file", src, dst);
    c->total = 1;
    int fd = -1;
    if (!st) {
        st = io_open(AT_FDCWD, src, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, &fd);
        errmsg_set(st ? e : NULL, st, "%s: %s", src, status_text(st));
    }
    return st ? st : copy_open_file(c, fd, to);
}

static status copy_whole_tree(struct copying *c, struct errmsg *e)
{
    status st = io_mkdirs(c->copy->dst, 0, e);
    if (!st)
        st = check_apart(c->copy->src, c->copy->dst, e);
    if (!st)
        st = open_dst(c, c->copy->dst, e);
    if (!st)
        st = image_walk(c->copy->src, NULL, count_visit, c, e);
    if (!st)
        st = copy_dir(c, AT_FDCWD, c->copy->src, ".");
    return st ? st : image_walk(c->copy->src, NULL, copy_visit, c, e);
}

status fused_copy_tree(struct fused_pipeline *p, const struct fused_copy *copy,
                       struct fused_copy_result *out, struct errmsg *e)
{
    struct copying c = {.pipeline = p, .copy = copy, .dst_fd = -1};
    c.outstanding_max = pipeline_ahead(p) + WRITERS;
    if (c.outstanding_max < OUTSTANDING_MIN)
        c.outstanding_max = OUTSTANDING_MIN;
    if (c.outstanding_max > OUTSTANDING_MAX)
        c.outstanding_max = OUTSTANDING_MAX;
    struct stat sb;
    if (stat(copy->src, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", copy->src, strerror(errno));
    if (!S_ISDIR(sb.st_mode) && !S_ISREG(sb.st_mode))
        return errmsg_set(e, STATUS_INVALID, "%s: neither a file nor a directory", copy->src);
    status st = pool_new("writer", WRITERS, (int)c.outstanding_max, &c.writers);
    if (st)
        return st;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.room, NULL);
    st = S_ISDIR(sb.st_mode) ? copy_whole_tree(&c, e) : copy_one_file(&c, e);
    wait_all(&c);
    pool_free(c.writers);
    finish_dirs(&c);
    if (c.dst_fd >= 0) {
        if (syncfs(c.dst_fd) < 0 && !st)
            st = errmsg_set(e, status_from_errno(errno), "%s: %s", copy->dst, strerror(errno));
        close(c.dst_fd);
    }
    pthread_cond_destroy(&c.room);
    pthread_mutex_destroy(&c.lock);
    *out = c.result;
    return st;
}
