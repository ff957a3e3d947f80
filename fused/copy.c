/*
 * `relearn purify`: a file or a tree through the pipeline into files.
 *
 *     walk (calling thread) -> fetch -> done() on the purifier's thread -> writers: aside, rename
 *
 * At most outstanding_max files are between the first and the last step; the walk waits for room.
 * A directory gets its mode and time when everything in it is written (into.h).
 *
 * What ends early ends soon: once `stopping` is set nothing is begun, what the purifier has is
 * cancelled, and what comes back is dropped without a word, since it is not its fault.
 */
#include "fused.h"

#include "beneath.h"
#include "into.h"
#include "links.h"
#include "list_copy.h"
#include "mounts.h"
#include "pipeline.h"
#include "verbatim.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/banned.h"

/* Enough for the purifier to form groups on every thread and for what waits beside it, few enough
   for the usual limit of descriptors. */
enum { OUTSTANDING_MIN = 256, OUTSTANDING_MAX = 512, WRITERS = 2 };
/* How often a file is read again that changed while it was read. */
enum { READ_TRIES = 4 };
/* How soon a wish to stop is seen while nothing else happens, and how often progress is shown. */
static const int64_t look_up_ns = 100 * 1000000;

static const char changed_text[] = "changed while it was read";

/* A directory of the copy that the walk is in. */
struct open_dir {
    struct open_dir *above;
    struct into_dir *dir;
    size_t path_len;
};

struct copying {
    struct fused_pipeline *pipeline;
    const struct fused_copy *copy;
    struct pool *writers;
    struct into *into;
    struct open_dir *dirs; /* the walk's */
    int src_fd;            /* O_PATH, of a tree */
    atomic_bool stopping, written;
    pthread_mutex_t lock;
    pthread_cond_t room;
    unsigned outstanding_max;
    unsigned outstanding; /* guarded by lock, as all below */
    status over;          /* what ended it before its end */
    char over_path[256];
    struct fused_copy_result result;
};

struct item {
    struct copying *c;
    struct fused_fetch fetch;
    struct stat sb;
    struct into_dir *dir;
    status st;
    int tries;
    uint64_t work;
    const char *name; /* in path */
    char path[];      /* relative to src */
};

/* ---- what is said ---- */

static void report_failure(struct copying *c, const char *path, const char *why)
{
    if (atomic_load(&c->stopping))
        return;
    pthread_mutex_lock(&c->lock);
    c->result.failed++;
    if (c->copy->failed)
        c->copy->failed(c->copy->arg, path, why);
    pthread_mutex_unlock(&c->lock);
}

static void count_as(struct copying *c, enum fused_group group, const char *path, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->result.group[group]++;
    if (c->copy->named && group != FUSED_GROUP_IMAGE && group != FUSED_GROUP_OTHER)
        c->copy->named(c->copy->arg, group, path, why);
    pthread_mutex_unlock(&c->lock);
}

/* The first reason counts. */
static void end_early(struct copying *c, status why, const char *path)
{
    pthread_mutex_lock(&c->lock);
    if (!atomic_exchange(&c->stopping, true)) {
        c->over = why;
        snprintf(c->over_path, sizeof c->over_path, "%s", path);
    }
    pthread_cond_broadcast(&c->room);
    pthread_mutex_unlock(&c->lock);
}

/* A failure to write: of one file, or of all that would follow. */
static void report_unwritten(struct copying *c, const char *path, status st)
{
    if (into_is_over(c->into, st))
        end_early(c, st, path);
    else if (st != STATUS_CANCELLED)
        report_failure(c, path,
                       st == STATUS_AGAIN    ? "its directory was exchanged while it was written"
                       : st == STATUS_EXISTS ? "something of that name is in the way"
                                             : status_text(st));
}

/* ---- one file ---- */

static void item_end(struct item *it)
{
    struct copying *c = it->c;
    fused_bytes_unref(it->fetch.bytes);
    close(it->fetch.file.fd);
    into_unref(it->dir);
    pthread_mutex_lock(&c->lock);
    c->outstanding--;
    c->result.done++;
    c->result.work += it->work;
    pthread_cond_signal(&c->room);
    pthread_mutex_unlock(&c->lock);
    mem_free(it);
}

static uint64_t work_of(const struct copying *c, const struct fused_verdict *v)
{
    return v->group == FUSED_GROUP_IMAGE ? fused_work(c->copy->model, v->info.width, v->info.height)
                                         : 0;
}

/* An image of a list is there. */
static void count_image(void *arg)
{
    struct item *it = arg;
    uint64_t work = work_of(it->c, &it->fetch.file.verdict);
    pthread_mutex_lock(&it->c->lock);
    it->c->result.work += work;
    pthread_mutex_unlock(&it->c->lock);
}

static int item_is_stopping(void *arg)
{
    const struct item *it = arg;
    return atomic_load(&it->c->stopping);
}

/* *out_reading: it is the source that failed. */
static status fill_aside(struct item *it, int fd, int *out_reading)
{
    const struct fused_bytes *b = it->fetch.bytes;
    const struct fused_file *file = &it->fetch.file;
    *out_reading = 0;
    if (b)
        return io_write(fd, b->data, b->len);
    if (file->verdict.group == FUSED_GROUP_IMAGE) {
        const struct list_copy lc = {.pipeline = it->c->pipeline,
                                     .from = file,
                                     .to = fd,
                                     .copied = count_image,
                                     .stop = item_is_stopping,
                                     .arg = it};
        return list_copy(&lc, out_reading, &it->fetch.err);
    }
    const struct verbatim v = {.from = file->fd,
                               .to = fd,
                               .padded_size = file->verdict.size,
                               .stop = item_is_stopping,
                               .arg = it};
    return verbatim_copy(&v, &it->sb, out_reading);
}

/* False when it was said why not. */
static bool write_item(struct item *it)
{
    struct into_file f;
    int reading = 0;
    status st = into_file_begin(it->dir, it->name, &f);
    if (st) {
        report_unwritten(it->c, it->path, st);
        return false;
    }
    st = fill_aside(it, f.fd, &reading);
    if (!st && atomic_load(&it->c->stopping))
        st = STATUS_CANCELLED;
    if (!st)
        st = into_file_end(it->dir, it->name, &f, &it->sb);
    else
        into_file_drop(it->dir, &f);
    if (st && reading && st != STATUS_CANCELLED)
        report_failure(it->c, it->path,
                       st == STATUS_AGAIN ? changed_text : errmsg_text(&it->fetch.err, st));
    else if (st)
        report_unwritten(it->c, it->path, st);
    return !st;
}

/* ---- fetching ---- */

static void item_fetched(struct fused_fetch *f, status st);

/* Looks at the file as it is now and asks for its bytes; item_fetched is called, perhaps at once. A
   file of many images is written by its images. */
static void begin_fetch(struct item *it)
{
    struct fused_fetch *f = &it->fetch;
    struct copying *c = it->c;
    struct errmsg e = {""};
    int fd = f->file.fd;
    status st = file_settle(fd, &it->sb);
    struct fused_file file = fused_file_of(fd, it->path, &it->sb);
    if (!st)
        st = fused_examine(c->pipeline, &file, &e);
    it->tries++;
    it->work = st || file.verdict.list.count ? 0 : work_of(c, &file.verdict);
    fused_fetch_init(f, &file, 0, item_fetched, it);
    f->err = e;
    if (!st && file.verdict.group == FUSED_GROUP_IMAGE && !file.verdict.list.count &&
        !atomic_load(&c->stopping))
        fused_fetch_start(c->pipeline, f, PURIFY_URGENT);
    else
        item_fetched(f, st);
}

static void item_written(struct item *it)
{
    const struct fused_verdict *v = &it->fetch.file.verdict;
    count_as(it->c, v->group, it->path, v->reason);
}

/* What is not purified is not written where it has to be. */
static bool is_refused(const struct item *it)
{
    return it->c->copy->strict && it->fetch.file.verdict.group == FUSED_GROUP_UNPURIFIED;
}

static void writer_run(void *arg)
{
    struct item *it = arg;
    struct copying *c = it->c;
    if (it->st == STATUS_AGAIN && it->tries < READ_TRIES && !atomic_load(&c->stopping)) {
        begin_fetch(it);
        return;
    }
    if (it->st)
        report_failure(c, it->path,
                       it->st == STATUS_AGAIN ? changed_text : errmsg_text(&it->fetch.err, it->st));
    else if (!atomic_load(&c->stopping) && (is_refused(it) || write_item(it)))
        item_written(it);
    item_end(it);
}

/* The fetch's callback. */
static void item_fetched(struct fused_fetch *f, status st)
{
    struct item *it = f->arg;
    it->st = st;
    if (pool_submit(it->c->writers, writer_run, it))
        writer_run(it);
}

/* ---- the calling thread ---- */

static void show_progress(struct copying *c)
{
    if (!c->copy->progress)
        return;
    pthread_mutex_lock(&c->lock);
    struct fused_copy_result now = c->result;
    pthread_mutex_unlock(&c->lock);
    c->copy->progress(c->copy->arg, &now);
}

/* Whether it is to go on. */
static bool look_up(struct copying *c)
{
    if (c->copy->stop && c->copy->stop(c->copy->arg))
        end_early(c, STATUS_CANCELLED, "");
    show_progress(c);
    return !atomic_load(&c->stopping);
}

/* Waits until at most `most` files are on their way, or it is to end. */
static bool wait_for_room(struct copying *c, unsigned most)
{
    for (;;) {
        if (!look_up(c))
            return false;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += look_up_ns;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&c->lock);
        int rc = 0;
        while (c->outstanding > most && !atomic_load(&c->stopping) && !rc)
            rc = pthread_cond_timedwait(&c->room, &c->lock, &until);
        bool room = c->outstanding <= most;
        pthread_mutex_unlock(&c->lock);
        if (room)
            return true;
    }
}

static void wait_all(struct copying *c)
{
    if (wait_for_room(c, 0))
        return;
    pipeline_stop(c->pipeline); /* what the purifier has comes back soon, as CANCELLED */
    pthread_mutex_lock(&c->lock);
    while (c->outstanding)
        pthread_cond_wait(&c->room, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

/* Takes fd. */
static status copy_open_file(struct copying *c, struct into_dir *dir, int fd, const char *path)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) { /* something else took its place */
        close(fd);
        report_failure(c, path, changed_text);
        return STATUS_OK;
    }
    struct item *it = mem_zalloc(1, sizeof *it + strlen(path) + 1);
    if (!it || !wait_for_room(c, c->outstanding_max - 1)) {
        close(fd);
        mem_free(it);
        return it ? STATUS_CANCELLED : STATUS_NOMEM;
    }
    it->c = c;
    it->fetch.file.fd = fd;
    it->dir = into_ref(dir);
    memcpy(it->path, path, strlen(path) + 1);
    it->name = strrchr(it->path, '/') ? strrchr(it->path, '/') + 1 : it->path;
    pthread_mutex_lock(&c->lock);
    c->outstanding++;
    c->result.files++;
    pthread_mutex_unlock(&c->lock);
    begin_fetch(it);
    return STATUS_OK;
}

static status copy_file(struct copying *c, struct into_dir *dir, const struct image_entry *en)
{
    int fd, err = en->linked ? beneath_open_linked(en->dirfd, en->name, &fd)
                             : beneath_open_data(en->dirfd, en->name, 0, &fd);
    if (!err)
        return copy_open_file(c, dir, fd, en->path);
    report_failure(c, en->path, strerror(err));
    return STATUS_OK;
}

/* Why a directory of the source is not entered, or NULL. */
static const char *barred(const struct copying *c, const struct image_entry *en,
                          const struct stat *sb)
{
    if (into_is_root(c->into, sb->st_dev, sb->st_ino))
        return "it is where the copy is written";
    return mount_guard(en->dirfd, en->name) ? "a mount of relearnfs is not copied" : NULL;
}

static status copy_dir(struct copying *c, struct into_dir *up, const struct image_entry *en)
{
    struct stat sb;
    *en->descend = false;
    if (fstatat(en->dirfd, en->name, &sb, en->linked ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
        report_failure(c, en->path, strerror(errno));
        return STATUS_OK;
    }
    const char *why = barred(c, en, &sb);
    if (why) {
        report_failure(c, en->path, why);
        return STATUS_OK;
    }
    struct open_dir *d = mem_alloc(sizeof *d);
    if (!d)
        return STATUS_NOMEM;
    status st = into_mkdir(up, en->name, &d->dir);
    if (st) {
        mem_free(d);
        report_unwritten(c, en->path, st);
        return STATUS_OK;
    }
    into_like(d->dir, &sb);
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
    count_as(c, group, path, why);
}

static status copy_link(struct copying *c, struct into_dir *dir, const struct image_entry *en)
{
    char text[PATH_MAX];
    enum link_fate fate;
    struct stat sb;
    status st = link_resolve_at(c->src_fd, en->dirfd, en->path, &fate, text);
    if (!st && fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        st = status_from_errno(errno);
    if (st) {
        report_failure(c, en->path, status_text(st));
        return st == STATUS_NOMEM ? st : STATUS_OK;
    }
    bool leaves = fate == LINK_OUTSIDE;
    bool excluded = fused_rules_match(c->copy->rules, en->path) == FUSED_RULE_EXCLUDE;
    if (!(leaves && !excluded && c->copy->strict))
        st = into_symlink(dir, en->name, text, &sb);
    if (st)
        report_unwritten(c, en->path, st);
    else if (leaves)
        count_link(c, excluded ? FUSED_GROUP_EXCLUDED : FUSED_GROUP_UNPURIFIED, en->path,
                   excluded ? "" : link_outside_text);
    return STATUS_OK;
}

/* Directories that the walk has left behind are let go. */
static struct into_dir *dir_of(struct copying *c, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    while (c->dirs->path_len > len) {
        struct open_dir *d = c->dirs;
        c->dirs = d->above;
        into_unref(d->dir);
        mem_free(d);
    }
    return c->dirs->dir;
}

static status copy_visit(const struct image_entry *en, void *arg)
{
    struct copying *c = arg;
    if (!look_up(c))
        return STATUS_CANCELLED;
    struct into_dir *dir = dir_of(c, en->path);
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
        report_failure(c, en->path,
                       en->linked && en->error == STATUS_LIMIT ? link_loop_text
                                                               : status_text(en->error));
        return STATUS_OK;
    }
}

/* Links within the source stay links. */
static bool copy_follows(const struct image_entry *en, void *arg)
{
    struct copying *c = arg;
    char text[PATH_MAX];
    enum link_fate fate;
    return c->copy->follow &&
           link_resolve_at(c->src_fd, en->dirfd, en->path, &fate, text) == STATUS_OK &&
           fate == LINK_OUTSIDE;
}

/* ---- where to ---- */

static status check_dirs(const char *src, const char *dst, struct errmsg *e)
{
    bool in = false, around = false;
    status st = mount_lies_in(dst, src, &in, e);
    if (!st && access(dst, F_OK) == 0)
        st = mount_lies_in(src, dst, &around, e);
    if (st)
        return st;
    return in || around
               ? errmsg_set(e, STATUS_INVALID,
                            "%s and %s: one lies in the other (choose a DST beside SRC)", src, dst)
               : STATUS_OK;
}

/* By their names, for what is not there yet. */
static bool holds(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return strncmp(dir, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static status check_cache(const char *src, const char *dst, const char *cache_dir, struct errmsg *e)
{
    bool in_src = false, in_dst = holds(dst, cache_dir), around = holds(cache_dir, dst);
    status st = src ? mount_lies_in(cache_dir, src, &in_src, e) : STATUS_OK;
    if (!st && !in_dst && access(dst, F_OK) == 0)
        st = mount_lies_in(cache_dir, dst, &in_dst, e);
    if (!st && !around && access(cache_dir, F_OK) == 0)
        st = mount_lies_in(dst, cache_dir, &around, e);
    if (st)
        return st;
    if (in_src)
        return errmsg_set(e, STATUS_INVALID,
                          "the cache %s lies in %s, which is never written (--cache DIR puts it "
                          "elsewhere)",
                          cache_dir, src);
    if (in_dst || around)
        return errmsg_set(e, STATUS_INVALID,
                          "the cache %s and %s: one lies in the other (--cache DIR puts it "
                          "elsewhere)",
                          cache_dir, dst);
    return STATUS_OK;
}

static char *place_of_one(const char *src, const char *dst)
{
    struct stat sb;
    const char *name = strrchr(src, '/') ? strrchr(src, '/') + 1 : src;
    if (stat(dst, &sb) < 0 || !S_ISDIR(sb.st_mode))
        return mem_strdup(dst);
    return mem_printf("%s/%s", dst, name);
}

status fused_copy_check(const char *src, const char *dst, const char *cache_dir, char **out_to,
                        bool *out_tree, struct errmsg *e)
{
    struct stat sb, there;
    if (stat(src, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", src, strerror(errno));
    bool tree = S_ISDIR(sb.st_mode);
    if (!tree && !S_ISREG(sb.st_mode))
        return errmsg_set(e, STATUS_INVALID, "%s: neither a file nor a directory", src);
    AUTO(mem_free) char *to = tree ? mem_strdup(dst) : place_of_one(src, dst);
    AUTO(mem_free) char *cache = NULL;
    status st = !to ? STATUS_NOMEM : cache_dir ? STATUS_OK : path_cache_dir(&cache);
    if (!st && tree)
        st = check_dirs(src, dst, e);
    if (!st && !tree && stat(to, &there) == 0 && there.st_dev == sb.st_dev &&
        there.st_ino == sb.st_ino)
        st = errmsg_set(e, STATUS_INVALID, "%s and %s are the same file", src, to);
    if (!st)
        st = check_cache(tree ? src : NULL, to, cache_dir ? cache_dir : cache, e);
    if (st)
        return st;
    *out_to = TAKE(to);
    *out_tree = tree;
    return STATUS_OK;
}

/* ---- how much there is to do ---- */

/* Beside the copy: reading all headers takes a while, and only the time left depends on it. */
static int need_not_count(void *arg)
{
    struct copying *c = arg;
    return atomic_load(&c->written) || atomic_load(&c->stopping);
}

static void *count_main(void *arg)
{
    struct copying *c = arg;
    struct fused_scan_result all;
    const struct fused_scan scan = {.src = c->copy->src,
                                    .rules = c->copy->rules,
                                    .model = c->copy->model,
                                    .max_pixels = c->copy->max_pixels,
                                    .follow = c->copy->follow,
                                    .stop = need_not_count,
                                    .arg = c};
    pthread_setname_np(pthread_self(), "count");
    if (fused_scan(&scan, &all, NULL))
        return NULL;
    pthread_mutex_lock(&c->lock);
    c->result.files_total = all.files;
    c->result.work_total = all.work;
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- all of it ---- */

static status open_into(struct copying *c, const char *dir, struct errmsg *e)
{
    int fd;
    struct into_dir *root;
    status st = io_open(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (!st)
        st = into_new(fd, &c->into, &root);
    if (st)
        return errmsg_set(e, st, "%s: %s", dir, status_text(st));
    c->dirs = mem_alloc(sizeof *c->dirs);
    if (!c->dirs) {
        into_unref(root);
        return STATUS_NOMEM;
    }
    *c->dirs = (struct open_dir){NULL, root, 0};
    return STATUS_OK;
}

static status copy_one_file(struct copying *c, const char *to, struct errmsg *e)
{
    const char *slash = strrchr(to, '/'), *name = slash ? slash + 1 : to;
    AUTO(mem_free)
    char *dir = slash ? mem_printf("%.*s", (int)(slash - to) + (slash == to), to) : mem_strdup(".");
    if (!dir)
        return STATUS_NOMEM;
    status st = open_into(c, dir, e);
    int fd = -1;
    if (!st) {
        int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        st = io_open(AT_FDCWD, c->copy->src, flags, 0, &fd);
        errmsg_set(st ? e : NULL, st, "%s: %s", c->copy->src, status_text(st));
    }
    return st ? st : copy_open_file(c, c->dirs->dir, fd, name);
}

static status copy_whole_tree(struct copying *c, struct errmsg *e)
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
        st = open_into(c, c->copy->dst, e);
    if (st)
        return st;
    into_like(c->dirs->dir, &sb);
    return image_walk(src, &opts, copy_visit, c, e);
}

static status why_over(const struct copying *c, struct errmsg *e)
{
    if (c->over == STATUS_CANCELLED)
        return c->over;
    char shown[512];
    return errmsg_set(e, c->over, "%s: %s: stopped at %s (what is there stays; --force goes on)",
                      c->copy->dst,
                      c->over == STATUS_DENIED ? "a read-only file system" : status_text(c->over),
                      text_shown(c->over_path, shown, sizeof shown));
}

static status sync_all(const struct copying *c, struct errmsg *e)
{
    status st = into_sync(c->into);
    return st ? errmsg_set(e, st, "%s: %s", c->copy->dst, status_text(st)) : STATUS_OK;
}

static status run(struct copying *c, const char *to, bool tree, struct errmsg *e)
{
    pthread_t counter;
    bool counting = c->copy->progress && pthread_create(&counter, NULL, count_main, c) == 0;
    status st = tree ? copy_whole_tree(c, e) : copy_one_file(c, to, e);
    wait_all(c);
    if (counting) {
        atomic_store(&c->written, true);
        pthread_join(counter, NULL);
    }
    if (c->dirs) {
        dir_of(c, "");
        into_unref(c->dirs->dir);
        mem_free(c->dirs);
    }
    if (c->over)
        return why_over(c, e);
    return st ? st : sync_all(c, e);
}

status fused_copy_tree(struct fused_pipeline *p, const struct fused_copy *copy,
                       struct fused_copy_result *out, struct errmsg *e)
{
    struct copying c = {.pipeline = p, .copy = copy, .src_fd = -1};
    AUTO(mem_free) char *to = NULL;
    bool tree = false;
    status st = fused_copy_check(copy->src, copy->dst, copy->cache_dir, &to, &tree, e);
    if (st)
        return st;
    c.outstanding_max = pipeline_ahead(p) + WRITERS;
    if (c.outstanding_max < OUTSTANDING_MIN)
        c.outstanding_max = OUTSTANDING_MIN;
    if (c.outstanding_max > OUTSTANDING_MAX)
        c.outstanding_max = OUTSTANDING_MAX;
    st = pool_new("writer", WRITERS, (int)c.outstanding_max, &c.writers);
    if (st)
        return st;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.room, NULL);
    st = run(&c, to, tree, e);
    pool_free(c.writers);
    into_free(c.into);
    if (c.src_fd >= 0)
        close(c.src_fd);
    pthread_cond_destroy(&c.room);
    pthread_mutex_destroy(&c.lock);
    *out = c.result;
    return st;
}
