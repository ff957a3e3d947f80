/* The whole of a copy. */
#include "copy_parts.h"

#include "pipeline.h"
#include "timed_wait.h"
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

/* Files on their way at once: enough for the purifier to form groups on every thread and for what
   waits beside it, few enough for the usual limit of descriptors. */
enum { OUTSTANDING_MIN = 256, OUTSTANDING_MAX = 512, WRITERS = 2 };
/* How soon a wish to stop is seen while nothing else happens, and how often progress is shown. */
static const long look_ns = 100 * 1000000;

const char copy_changed_text[] = "changed while it was read";

/* ---- what is said ---- */

void copy_report_failure(struct copying *c, const char *path, const char *why)
{
    if (atomic_load(&c->stopping))
        return;
    pthread_mutex_lock(&c->lock);
    c->result.failed++;
    if (c->copy->failed)
        c->copy->failed(c->copy->arg, path, why);
    pthread_mutex_unlock(&c->lock);
}

void copy_count(struct copying *c, enum fused_group group, const char *path, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->result.group[group]++;
    if (c->copy->named && group != FUSED_GROUP_IMAGE && group != FUSED_GROUP_OTHER)
        c->copy->named(c->copy->arg, group, path, why);
    pthread_mutex_unlock(&c->lock);
}

/* The first reason counts. */
void copy_end_early(struct copying *c, status why, const char *path)
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
void copy_report_unwritten(struct copying *c, const char *path, status st)
{
    if (dest_is_over(c->dest, st))
        copy_end_early(c, st, path);
    else if (st != STATUS_CANCELLED)
        copy_report_failure(c, path,
                            st == STATUS_AGAIN ? "its directory was exchanged while it was written"
                            : st == STATUS_EXISTS ? "something of that name is in the way"
                                                  : status_text(st));
}

/* ---- waiting ---- */

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
bool copy_goes_on(struct copying *c)
{
    if (c->copy->stop && c->copy->stop(c->copy->arg))
        copy_end_early(c, STATUS_CANCELLED, "");
    show_progress(c);
    return !atomic_load(&c->stopping);
}

/* Waits until at most `most` files are on their way, or it is to end. */
bool copy_wait_for_room(struct copying *c, unsigned most)
{
    for (;;) {
        if (!copy_goes_on(c))
            return false;
        const struct timespec until = timed_after(look_ns);
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
    if (copy_wait_for_room(c, 0))
        return;
    pipeline_stop(c->pipeline); /* what the purifier has comes back soon, as CANCELLED */
    pthread_mutex_lock(&c->lock);
    while (c->outstanding)
        pthread_cond_wait(&c->room, &c->lock);
    pthread_mutex_unlock(&c->lock);
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

status copy_open_dest(struct copying *c, const char *dir, struct errmsg *e)
{
    int fd;
    struct dest_dir *root;
    status st = io_open(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    if (!st)
        st = dest_new(fd, &c->dest, &root);
    if (st)
        return errmsg_set(e, st, "%s: %s", dir, status_text(st));
    c->dirs = mem_alloc(sizeof *c->dirs);
    if (!c->dirs) {
        dest_unref(root);
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
    status st = copy_open_dest(c, dir, e);
    int fd = -1;
    if (!st) {
        int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        st = io_open(AT_FDCWD, c->copy->src, flags, 0, &fd);
        errmsg_set(st ? e : NULL, st, "%s: %s", c->copy->src, status_text(st));
    }
    return st ? st : copy_open_file(c, c->dirs->dir, fd, name);
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
    status st = dest_sync(c->dest);
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
        copy_dir_of(c, "");
        dest_unref(c->dirs->dir);
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
    c.outstanding_max = pipeline_queue_depth(p) + WRITERS;
    if (c.outstanding_max < OUTSTANDING_MIN)
        c.outstanding_max = OUTSTANDING_MIN;
    if (c.outstanding_max > OUTSTANDING_MAX)
        c.outstanding_max = OUTSTANDING_MAX;
    st = pool_new("writer", WRITERS, (int)c.outstanding_max, &c.writers);
    if (st)
        return st;
    pthread_mutex_init(&c.lock, NULL);
    timed_cond_init(&c.room);
    st = run(&c, to, tree, e);
    pool_free(c.writers);
    dest_free(c.dest);
    if (c.src_fd >= 0)
        close(c.src_fd);
    pthread_cond_destroy(&c.room);
    pthread_mutex_destroy(&c.lock);
    *out = c.result;
    return st;
}
