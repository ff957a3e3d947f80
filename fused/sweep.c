#include "sweep.h"

#include "fs.h"
#include "locks.h"
#include "under.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#include "base/banned.h"

/* Files ahead of the purifier: enough for it to form groups on every thread, up to a number at
 * which their descriptors are still few. (A reader's decoding overtakes theirs.) */
enum { AHEAD_MIN = 64, AHEAD_MAX = 512, HINTS_MAX = 65536 };
static const uint64_t warm_bytes_max = 256ull << 20;
static const long idle_poll_ns = 200 * 1000000l;
static const uint64_t start_delay_ns =
    2 * 1000000000ull; /* the first reader after a mount goes first */

enum ahead_kind { AHEAD_WARM, AHEAD_HINT, AHEAD_SWEEP };

struct item {
    struct item *next;
    char path[];
};

struct item_list {
    struct item *first, **last;
    uint64_t count;
};

struct sweep {
    struct fs *fs;
    pthread_t thread;
    bool started; /* the thread; written by sweep_new and sweep_stop */
    uint64_t start_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item_list warm, hints; /* guarded by lock, as all below */
    uint64_t warm_bytes;
    struct fused_warm_state warm_state;
    struct sweep_state state;
    unsigned ahead;     /* fetches that have not come back */
    unsigned ahead_max; /* not guarded: written by sweep_new */
    bool stopping;
    struct errmsg ended_early; /* why the sweep did; of its own thread */
    uint64_t unfit, too_large; /* of its files: failed; above HELD_BYTES_MIN */
};

/* One file on its way through the pipeline. */
struct ahead {
    struct sweep *sweep;
    enum ahead_kind kind;
    struct fused_fetch fetch;
    char path[];
};

static void count_done(struct sweep *s, enum ahead_kind kind, bool purified, bool failed)
{
    pthread_mutex_lock(&s->lock);
    s->state.purified += purified;
    s->state.failed += failed;
    s->unfit += failed && kind == AHEAD_SWEEP;
    if (kind == AHEAD_WARM) {
        s->warm_state.done++;
        s->warm_state.failed += failed;
    }
    pthread_mutex_unlock(&s->lock);
}

/* The fetch's callback. */
static void ahead_done(struct fused_fetch *f, status st)
{
    struct ahead *a = f->arg;
    struct sweep *s = a->sweep;
    bool failed = st && st != STATUS_CANCELLED;
    if (!st)
        fs_fetched(s->fs, NULL, f);
    if (failed && st != STATUS_AGAIN)
        named_add(s->fs->failures, &f->id, a->path, errmsg_text(&f->err, st));
    else if (!st)
        named_remove(s->fs->failures, &f->id);
    count_done(s, a->kind, !st && f->verdict.group == FUSED_GROUP_IMAGE, failed);
    close(f->fd);
    mem_free(a);
    pthread_mutex_lock(&s->lock);
    s->ahead--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- one file ---- */

/* Opens a regular file and judges it. 0 or an errno value; *out_fd is the caller's. */
static int open_and_examine(struct sweep *s, int base_fd, const char *name, const char *path,
                            struct cache_file_id *id, struct fused_verdict *v, int *out_fd)
{
    int fd, err = under_open_following(base_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd);
    struct stat sb;
    struct errmsg e = {""};
    if (err)
        return err;
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
        close(fd);
        return EINVAL;
    }
    *id = fused_file_id(&sb);
    status st = fused_examine(s->fs->pipeline, fd, id, path, v, &e);
    if (st) {
        close(fd);
        return fs_errno(st);
    }
    fs_note(s->fs, id, path, v);
    *out_fd = fd;
    return 0;
}

static void work_on(struct sweep *s, enum ahead_kind kind, int base_fd, const char *name,
                    const char *path)
{
    struct cache_file_id id;
    struct fused_verdict v;
    int fd;
    if (open_and_examine(s, base_fd, name, path, &id, &v, &fd)) {
        count_done(s, kind, false, kind != AHEAD_HINT);
        return;
    }
    if (v.group == FUSED_GROUP_IMAGE && v.size >= HELD_BYTES_MIN) {
        pthread_mutex_lock(&s->lock);
        s->too_large++;
        pthread_mutex_unlock(&s->lock);
    }
    struct ahead *a = NULL;
    if (v.group == FUSED_GROUP_IMAGE && !fused_is_cached(s->fs->pipeline, &v))
        a = mem_alloc(sizeof *a + strlen(path) + 1);
    if (!a) {
        close(fd);
        count_done(s, kind, false, false);
        return;
    }
    a->sweep = s;
    a->kind = kind;
    memcpy(a->path, path, strlen(path) + 1);
    a->fetch.fd = fd;
    a->fetch.id = id;
    a->fetch.verdict = v;
    a->fetch.name = a->path;
    a->fetch.want_bytes = a->fetch.same_bytes = false;
    a->fetch.done = ahead_done;
    a->fetch.arg = a;
    pthread_mutex_lock(&s->lock);
    s->ahead++;
    pthread_mutex_unlock(&s->lock);
    fused_fetch_start(s->fs->pipeline, &a->fetch, PURIFY_SWEEP);
}

/* ---- the thread ---- */

/* Called with s->lock held; waits a little or until something changed. */
static void wait_a_little(struct sweep *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += idle_poll_ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Called with s->lock held. */
static struct item *pop(struct item_list *l)
{
    struct item *it = l->first;
    if (!it)
        return NULL;
    l->first = it->next;
    if (!l->first)
        l->last = &l->first;
    l->count--;
    return it;
}

/* Works on announced files until there are none; true when the sweep may take its next file: there
   is room, and nobody waits for anything. False: it is to end. */
static bool serve_lists(struct sweep *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct item *it = NULL;
        enum ahead_kind kind = s->warm.first ? AHEAD_WARM : AHEAD_HINT;
        if (s->ahead < s->ahead_max)
            it = pop(kind == AHEAD_WARM ? &s->warm : &s->hints);
        if (it) {
            s->warm_bytes -= kind == AHEAD_WARM ? strlen(it->path) : 0;
            pthread_mutex_unlock(&s->lock);
            work_on(s, kind, s->fs->root_fd, it->path, it->path);
            mem_free(it);
            pthread_mutex_lock(&s->lock);
            continue;
        }
        if (s->ahead < s->ahead_max && time_mono_ns() >= s->start_ns + start_delay_ns) {
            pthread_mutex_unlock(&s->lock);
            struct pipeline_stats ps;
            pipeline_stats(s->fs->pipeline, &ps);
            if (ps.urgent == 0)
                return true;
            pthread_mutex_lock(&s->lock);
        }
        wait_a_little(s);
    }
    pthread_mutex_unlock(&s->lock);
    return false;
}

static status sweep_visit(const struct image_entry *entry, void *arg)
{
    struct sweep *s = arg;
    if (entry->kind != IMAGE_ENTRY_FILE)
        return STATUS_OK;
    if (!serve_lists(s))
        return STATUS_CANCELLED;
    work_on(s, AHEAD_SWEEP, entry->dirfd, entry->name, entry->path);
    pthread_mutex_lock(&s->lock);
    s->state.seen++;
    pthread_mutex_unlock(&s->lock);
    return STATUS_OK;
}

static void set_phase(struct sweep *s, const char *phase)
{
    pthread_mutex_lock(&s->lock);
    s->state.phase = phase;
    pthread_mutex_unlock(&s->lock);
}

static status walk_fd(int fd, image_walk_fn *fn, void *arg, struct errmsg *e)
{
    char root[64];
    snprintf(root, sizeof root, "/proc/self/fd/%d", fd);
    return image_walk(root, NULL, fn, arg, e);
}

/* All that was begun came back. */
static bool is_settled(struct sweep *s)
{
    pthread_mutex_lock(&s->lock);
    bool settled = s->ahead == 0;
    pthread_mutex_unlock(&s->lock);
    return settled;
}

static void add_objection(struct errmsg *to, const char *what, uint64_t files)
{
    size_t at = strlen(to->text);
    if (files)
        snprintf(to->text + at, sizeof to->text - at, "%s%s: %" PRIu64, at ? ", " : "", what,
                 files);
}

/* After the sweep. */
static void freeze(struct sweep *s)
{
    struct fs *fs = s->fs;
    struct errmsg why = {""};
    struct pipeline_stats ps;
    pipeline_stats(fs->pipeline, &ps);
    if (s->ended_early.text[0])
        snprintf(why.text, sizeof why.text, "the sweep ended early (%.200s)", s->ended_early.text);
    pthread_mutex_lock(&s->lock);
    add_objection(&why, "files failed", s->unfit);
    add_objection(&why, "files not stored", ps.no_space + ps.not_stored);
    add_objection(&why, "files too large", s->too_large);
    pthread_mutex_unlock(&s->lock);
    if (why.text[0]) {
        fs_not_frozen(fs, why.text);
        return;
    }
    log_info("%s: everything is purified; files are opened without asking from now on",
             fs->mountpoint);
    atomic_store(&fs->freeze, FREEZE_DONE);
}

static void *sweep_main(void *arg)
{
    struct sweep *s = arg;
    pthread_setname_np(pthread_self(), "sweep");
    status_ignore(setpriority(PRIO_PROCESS, 0, 19) ? STATUS_DENIED : STATUS_OK, "only a courtesy");
    bool swept = !s->fs->sweeping;
    while (serve_lists(s)) {
        if (swept) {
            if (atomic_load(&s->fs->freeze) == FREEZE_SWEEP && is_settled(s))
                freeze(s);
            pthread_mutex_lock(&s->lock);
            wait_a_little(s);
            pthread_mutex_unlock(&s->lock);
            continue;
        }
        set_phase(s, "running");
        struct errmsg e = {""};
        status st = walk_fd(s->fs->root_fd, sweep_visit, s, &e);
        if (st && st != STATUS_CANCELLED)
            log_warn("the sweep ended early: %s", errmsg_text(&e, st));
        if (st)
            errmsg_set(&s->ended_early, st, "%s", errmsg_text(&e, st));
        set_phase(s, "done");
        swept = true;
    }
    return NULL;
}

status sweep_new(struct fs *fs, struct sweep **out)
{
    struct sweep *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->fs = fs;
    s->ahead_max = pipeline_ahead(fs->pipeline);
    s->ahead_max = s->ahead_max < AHEAD_MIN ? AHEAD_MIN : s->ahead_max;
    s->ahead_max = s->ahead_max > AHEAD_MAX ? AHEAD_MAX : s->ahead_max;
    s->start_ns = time_mono_ns();
    s->warm.last = &s->warm.first;
    s->hints.last = &s->hints.first;
    s->state.phase = fs->sweeping ? "waiting" : "off";
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&s->thread, NULL, sweep_main, s);
    if (err) {
        sweep_free(s);
        return status_from_errno(err);
    }
    s->started = true;
    *out = s;
    return STATUS_OK;
}

void sweep_stop(struct sweep *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->started)
        pthread_join(s->thread, NULL);
    s->started = false;
}

static void list_clear(struct item_list *l)
{
    for (struct item *next, *it = l->first; it; it = next) {
        next = it->next;
        mem_free(it);
    }
}

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    sweep_stop(s);
    CHECK(s->ahead == 0);
    list_clear(&s->warm);
    list_clear(&s->hints);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* ---- lists ---- */

/* Called with s->lock held. */
static void push(struct item_list *l, struct item *it)
{
    it->next = NULL;
    *l->last = it;
    l->last = &it->next;
    l->count++;
}

static struct item *item_new(const char *path)
{
    struct item *it = mem_alloc(sizeof *it + strlen(path) + 1);
    if (it)
        memcpy(it->path, path, strlen(path) + 1);
    return it;
}

static status warm_file(struct sweep *s, const char *path)
{
    struct item *it = item_new(path);
    if (!it)
        return STATUS_NOMEM;
    status st = STATUS_OK;
    pthread_mutex_lock(&s->lock);
    if (s->warm_bytes + strlen(path) > warm_bytes_max) {
        st = STATUS_LIMIT;
    } else {
        push(&s->warm, it);
        s->warm_bytes += strlen(path);
        s->warm_state.total++;
        pthread_cond_broadcast(&s->changed);
        it = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    mem_free(it);
    return st;
}

void sweep_hint(struct sweep *s, const char *path)
{
    struct item *it = s && s->fs->sweeping ? item_new(path) : NULL;
    if (!it)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->hints.count < HINTS_MAX) {
        push(&s->hints, it);
        it = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    mem_free(it);
}

static status check_file(struct sweep *s, int base_fd, const char *name, const char *path,
                         struct fused_warm_check *io)
{
    struct cache_file_id id;
    struct fused_verdict v;
    int fd;
    io->files++;
    if (open_and_examine(s, base_fd, name, path, &id, &v, &fd)) {
        io->missing++;
        return STATUS_OK;
    }
    struct errmsg e = {""};
    status st = fused_identify(s->fs->pipeline, fd, &id, &v, &e);
    close(fd);
    bool cached = !st && (v.group != FUSED_GROUP_IMAGE || fused_is_cached(s->fs->pipeline, &v));
    *(cached ? &io->cached : &io->absent) += 1;
    return STATUS_OK;
}

/* What to do with each file of a path: queue it (check NULL) or count it. */
struct each_file {
    struct sweep *sweep;
    const char *prefix; /* of the walk's paths; "" at the root */
    struct fused_warm_check *check;
};

static status each_visit(const struct image_entry *entry, void *arg)
{
    const struct each_file *each = arg;
    if (atomic_load(&each->sweep->fs->ending))
        return STATUS_CANCELLED;
    if (entry->kind != IMAGE_ENTRY_FILE)
        return STATUS_OK;
    AUTO(mem_free) char *path = mem_printf("%s%s", each->prefix, entry->path);
    if (!path)
        return STATUS_NOMEM;
    return each->check ? check_file(each->sweep, entry->dirfd, entry->name, path, each->check)
                       : warm_file(each->sweep, path);
}

static status for_each_file(struct sweep *s, const char *path, struct fused_warm_check *check,
                            struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
    if (under_open_following(s->fs->root_fd, path, flags, &fd))
        return check ? check_file(s, s->fs->root_fd, path, path, check) : warm_file(s, path);
    bool root = strcmp(path, ".") == 0;
    AUTO(mem_free) char *prefix = mem_printf("%s%s", root ? "" : path, root ? "" : "/");
    if (!prefix)
        return STATUS_NOMEM;
    struct each_file each = {s, prefix, check};
    return walk_fd(fd, each_visit, &each, e);
}

status sweep_warm(struct sweep *s, const char *path, struct errmsg *e)
{
    return for_each_file(s, path, NULL, e);
}

status sweep_check(struct sweep *s, const char *path, struct fused_warm_check *io, struct errmsg *e)
{
    return for_each_file(s, path, io, e);
}

void sweep_warm_state(struct sweep *s, struct fused_warm_state *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->warm_state;
    pthread_mutex_unlock(&s->lock);
}

void sweep_state(struct sweep *s, struct sweep_state *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->state;
    pthread_mutex_unlock(&s->lock);
}
