#include "sweep.h"

#include "beneath.h"
#include "fs.h"
#include "locks.h"
#include "mounts.h"
#include "range.h"
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
/* How long a cache that had no room is taken to be full before it is tried again. */
static const uint64_t full_ns = 10 * 1000000000ull;
enum { EVICTED_EVERY = 64 }; /* files between two looks at what was evicted: that asks the index */
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
    bool warm_begins;          /* its first name since the list was empty */
    struct errmsg ended_early; /* why the sweep did; of its own thread */
    uint64_t unfit, too_large; /* of its files: failed; above HELD_BYTES_MIN */
    struct {
        uint64_t lost;             /* purified and not stored for want of space, as last seen */
        uint64_t until_ns;         /* taken to be full so long */
        uint64_t objects, evicted; /* when this run began: what is evicted beyond these is ours */
        unsigned asked;
    } full; /* of the sweep's thread */
};

/* One file on its way through the pipeline. */
struct ahead {
    struct sweep *sweep;
    enum ahead_kind kind;
    struct fused_file file;
    struct fused_fetch fetch; /* of an image */
    struct range *range;      /* of a list of images */
    uint64_t lost;            /* with a list: stats.no_space when it began */
    unsigned fetches;         /* at once */
    char path[];
};

/* What became of a file. */
struct outcome {
    enum fused_group group;
    bool purified, failed, not_stored;
};

static void count_done(struct sweep *s, enum ahead_kind kind, const struct outcome *o)
{
    struct fused_warm_state *w = &s->warm_state;
    pthread_mutex_lock(&s->lock);
    s->state.purified += o->purified;
    s->state.failed += o->failed;
    s->unfit += o->failed && kind == AHEAD_SWEEP;
    if (kind == AHEAD_WARM) {
        w->done++;
        w->failed += o->failed;
        w->not_stored += o->not_stored;
        w->group[o->group] += !o->failed;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- is there room? ---- */

/* NULL: nothing that is purified now would be kept. */
static const struct cache *cache_of(const struct sweep *s)
{
    const struct cache *c = s->fs->stack.cache;
    return c && !cache_read_only(c) ? c : NULL;
}

/* A new run: what it purifies is its own from here on. */
static void room_begin(struct sweep *s)
{
    struct cache_stats cs = {0};
    struct pipeline_stats ps;
    pipeline_stats(s->fs->pipeline, &ps);
    if (cache_of(s))
        status_ignore(cache_stats(s->fs->stack.cache, &cs), "then any eviction counts as ours");
    s->full.lost = ps.no_space;
    s->full.objects = cs.objects;
    s->full.evicted = cs.evicted;
    s->full.until_ns = 0;
    s->full.asked = 0;
}

/* Whether what is purified now would be thrown away, or throw away what this run has purified. */
static bool is_full(struct sweep *s)
{
    struct pipeline_stats ps;
    struct cache_stats cs;
    uint64_t now = time_mono_ns();
    pipeline_stats(s->fs->pipeline, &ps);
    if (ps.no_space > s->full.lost) {
        s->full.lost = ps.no_space;
        s->full.until_ns = now + full_ns;
    }
    if (cache_of(s) && s->full.asked++ % EVICTED_EVERY == 0 &&
        cache_stats(s->fs->stack.cache, &cs) == STATUS_OK &&
        cs.evicted > s->full.evicted + s->full.objects)
        s->full.until_ns = now + full_ns;
    return now < s->full.until_ns;
}

static void ahead_end(struct ahead *a, const struct outcome *o)
{
    struct sweep *s = a->sweep;
    count_done(s, a->kind, o);
    close(a->file.fd);
    unsigned fetches = a->fetches;
    range_free(a->range);
    mem_free(a);
    pthread_mutex_lock(&s->lock);
    s->ahead -= fetches;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void note_outcome(struct ahead *a, status st, const struct errmsg *e)
{
    struct name_list *failures = a->sweep->fs->lists.failures;
    if (!st)
        name_list_remove(failures, &a->file.id);
    else if (st != STATUS_CANCELLED && st != STATUS_AGAIN)
        name_list_add(failures, &a->file.id, a->path, errmsg_text(e, st));
}

/* The callback of an image's fetch. */
static void ahead_fetched(struct fused_fetch *f, status st)
{
    struct ahead *a = f->arg;
    if (!st)
        fs_fetched(a->sweep->fs, NULL, &f->file);
    note_outcome(a, st, &f->err);
    struct outcome o = {.group = f->file.verdict.group,
                        .purified = !st && f->file.verdict.group == FUSED_GROUP_IMAGE,
                        .failed = st && st != STATUS_CANCELLED};
    ahead_end(a, &o);
}

/* Of one image of a list: nothing is purified to be thrown away. */
static status ahead_image(void *arg, uint64_t index, struct fused_bytes *b)
{
    struct ahead *a = arg;
    struct pipeline_stats ps;
    (void)index, (void)b;
    pipeline_stats(a->sweep->fs->pipeline, &ps);
    return ps.no_space > a->lost ? STATUS_NO_SPACE : STATUS_OK;
}

static void ahead_listed(void *arg, status st, const struct errmsg *e)
{
    struct ahead *a = arg;
    bool full = st == STATUS_NO_SPACE;
    if (!st)
        fs_list_stored(a->sweep->fs, &a->file);
    note_outcome(a, full ? STATUS_OK : st, e);
    struct outcome o = {.group = FUSED_GROUP_IMAGE,
                        .purified = !st,
                        .failed = st && !full && st != STATUS_CANCELLED,
                        .not_stored = full};
    ahead_end(a, &o);
}

/* ---- one file ---- */

/* A link out of the source, which nobody follows: it is shown, and what it leads to is not
 * purified.
 */
static bool note_link(struct fs *fs, struct fused_file *io)
{
    char text[PATH_MAX];
    enum link_fate fate;
    struct stat sb;
    AUTO(fd_close) int fd = -1;
    if (fs->opt.follow || beneath_open(fs->root_fd, io->name, O_PATH | O_NOFOLLOW, &fd) ||
        fstat(fd, &sb) < 0 || !S_ISLNK(sb.st_mode) || fs_link(fs, io->name, &fate, text) ||
        fate != LINK_OUTSIDE)
        return false;
    *io = fused_file_of(-1, io->name, &sb);
    verdict_unpurified(&io->verdict, link_outside_text);
    fs_note(fs, io);
    return true;
}

/* Opens a regular file and judges it. 0 or an errno value; out->fd is the caller's, -1 for a link
   that leaves the source. out->name is path. */
static int open_and_examine(struct fs *fs, int base_fd, const char *name, const char *path,
                            struct fused_file *out)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, fd;
    int err = beneath_open_following(base_fd, name, flags, &fd);
    struct stat sb;
    struct errmsg e = {""};
    if (err && fs->opt.follow)
        err = fs_open_path(fs, path, flags, &fd);
    if (err) {
        out->name = path;
        return note_link(fs, out) ? 0 : err;
    }
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
        close(fd);
        return EINVAL;
    }
    *out = fused_file_of(fd, path, &sb);
    status st = fused_examine(fs->pipeline, out, &e);
    if (st) {
        close(fd);
        return fs_errno(st);
    }
    fs_note(fs, out);
    return 0;
}

void sweep_look(struct fs *fs, int dirfd, const char *name, const char *path)
{
    struct fused_file f;
    if (open_and_examine(fs, dirfd, name, path, &f) == 0 && f.fd >= 0)
        close(f.fd);
}

static int is_ending(void *arg)
{
    struct fs *fs = arg;
    return atomic_load(&fs->ending);
}

/* Whether everything of an image or a list is stored: reads it. */
static bool is_stored(struct fs *fs, struct fused_file *io)
{
    struct errmsg e;
    uint64_t n = 0;
    if (io->verdict.list.count)
        return pipeline_list_stored(fs->pipeline, io, is_ending, fs, &n) == STATUS_OK &&
               n == io->verdict.list.count;
    return fused_identify(fs->pipeline, io, &e) == STATUS_OK &&
           (io->verdict.group != FUSED_GROUP_IMAGE || fused_is_cached(fs->pipeline, &io->verdict));
}

/* Whether the file is to go through the pipeline. */
static bool is_wanted(struct sweep *s, struct fused_file *io, struct outcome *o)
{
    const struct fused_verdict *v = &io->verdict;
    if (v->group != FUSED_GROUP_IMAGE)
        return false;
    if (v->size >= HELD_BYTES_MIN && !v->list.count) {
        pthread_mutex_lock(&s->lock);
        s->too_large++;
        pthread_mutex_unlock(&s->lock);
    }
    if (cache_of(s) && !is_full(s))
        return !fused_is_cached(s->fs->pipeline, v);
    /* Nothing is purified to be thrown away; what is stored already is found out all the same. */
    o->not_stored = !is_stored(s->fs, io);
    o->group = v->group;
    return false;
}

/* Gives what a is about to the pipeline. */
static status ahead_begin(struct ahead *a)
{
    struct sweep *s = a->sweep;
    struct fused_pipeline *p = s->fs->pipeline;
    struct pipeline_stats ps;
    a->fetches = 1;
    fused_fetch_init(&a->fetch, &a->file, 0, ahead_fetched, a);
    a->fetch.want_bytes = false;
    if (a->file.verdict.list.count) {
        const struct range_options o = {.file = &a->file,
                                        .to = a->file.verdict.list.count,
                                        .priority = PURIFY_SWEEP,
                                        .image = ahead_image,
                                        .done = ahead_listed,
                                        .arg = a};
        pipeline_stats(p, &ps);
        a->lost = ps.no_space;
        a->fetches = pipeline_ahead(p);
        status st = range_new(p, &o, &a->range);
        if (st)
            return st;
    }
    pthread_mutex_lock(&s->lock);
    s->ahead += a->fetches;
    pthread_mutex_unlock(&s->lock);
    if (a->range)
        range_start(a->range);
    else
        fused_fetch_start(p, &a->fetch, PURIFY_SWEEP);
    return STATUS_OK;
}

static void work_on(struct sweep *s, enum ahead_kind kind, int base_fd, const char *name,
                    const char *path)
{
    struct fused_file f;
    if (open_and_examine(s->fs, base_fd, name, path, &f)) {
        count_done(s, kind, &(struct outcome){.failed = kind != AHEAD_HINT});
        return;
    }
    struct outcome o = {.group = f.verdict.group};
    struct ahead *a = NULL;
    if (f.fd >= 0 && is_wanted(s, &f, &o))
        a = mem_zalloc(1, sizeof *a + strlen(path) + 1);
    if (a) {
        a->sweep = s;
        a->kind = kind;
        a->file = f;
        a->file.name = memcpy(a->path, path, strlen(path) + 1);
        if (ahead_begin(a) == STATUS_OK)
            return;
    }
    mem_free(a);
    if (f.fd >= 0)
        close(f.fd);
    count_done(s, kind, &o);
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
        if (it && kind == AHEAD_WARM && s->warm_begins) {
            s->warm_begins = false;
            pthread_mutex_unlock(&s->lock);
            room_begin(s);
            pthread_mutex_lock(&s->lock);
        }
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

/* A walk of the source, or of a directory in it. Mounts of ours are not entered. What a link leads
   to in the source is met there; others are followed where that was asked for, or else counted. */
struct tour {
    struct sweep *sweep;
    const char *prefix; /* of the walk's paths; "" at the root */
    /* name can be opened under dirfd, path under the root. */
    status (*visit)(struct tour *t, int dirfd, const char *name, const char *path);
    void *arg;
};

static char *tour_path(const struct tour *t, const struct image_entry *entry)
{
    return mem_printf("%s%s", t->prefix, entry->path);
}

static bool leaves_source(struct sweep *s, const char *path)
{
    char text[PATH_MAX];
    enum link_fate fate;
    return path && strlen(path) < PATH_MAX && fs_link(s->fs, path, &fate, text) == 0 &&
           fate == LINK_OUTSIDE;
}

static bool tour_follow(const struct image_entry *link, void *arg)
{
    struct tour *t = arg;
    AUTO(mem_free) char *path = t->sweep->fs->opt.follow ? tour_path(t, link) : NULL;
    return path && leaves_source(t->sweep, path);
}

static status tour_visit(const struct image_entry *entry, void *arg)
{
    struct tour *t = arg;
    if (atomic_load(&t->sweep->fs->ending))
        return STATUS_CANCELLED;
    if (entry->kind == IMAGE_ENTRY_DIR && mount_guard(entry->dirfd, entry->name))
        *entry->descend = false;
    if (entry->kind != IMAGE_ENTRY_FILE && entry->kind != IMAGE_ENTRY_SYMLINK)
        return STATUS_OK;
    AUTO(mem_free) char *path = tour_path(t, entry);
    if (!path)
        return STATUS_NOMEM;
    if (entry->kind == IMAGE_ENTRY_SYMLINK && !leaves_source(t->sweep, path))
        return STATUS_OK;
    return t->visit(t, entry->dirfd, entry->name, path);
}

static status tour_run(struct tour *t, int fd, struct errmsg *e)
{
    const struct image_walk_opts opts = {.follow = tour_follow};
    char root[64];
    snprintf(root, sizeof root, "/proc/self/fd/%d", fd);
    return image_walk(root, &opts, tour_visit, t, e);
}

static status sweep_visit(struct tour *t, int dirfd, const char *name, const char *path)
{
    struct sweep *s = t->sweep;
    if (!serve_lists(s))
        return STATUS_CANCELLED;
    if (is_full(s))
        return STATUS_NO_SPACE;
    work_on(s, AHEAD_SWEEP, dirfd, name, path);
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

/* After the sweep. Only what is on the disk counts: the cache writes behind. */
static void freeze(struct sweep *s)
{
    struct fs *fs = s->fs;
    struct errmsg why = {""};
    struct pipeline_stats ps;
    status st = fs->stack.cache ? cache_flush(fs->stack.cache) : STATUS_OK;
    pipeline_stats(fs->pipeline, &ps);
    if (!fs->stack.cache)
        snprintf(why.text, sizeof why.text, "there is no cache");
    else if (st && !ps.no_space && !ps.not_stored)
        snprintf(why.text, sizeof why.text, "the cache was not written: %s", status_text(st));
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
             fs->path.mountpoint);
    atomic_store(&fs->freezing.state, FREEZE_DONE);
}

/* The sweep's end, for the status: phase "done", or "full", or why it ended early. */
static void end_sweep(struct sweep *s, status st, struct errmsg *e)
{
    if (st == STATUS_NO_SPACE)
        errmsg_set(e, st,
                   "the cache is full: what is read from now on is purified and not kept, or takes "
                   "the place of what was (a larger cache_size, or relearn cache rm)");
    if (st)
        errmsg_set(&s->ended_early, st, "%s", errmsg_text(e, st));
    if (st && st != STATUS_CANCELLED)
        log_warn("the sweep ended early: %s", errmsg_text(e, st));
    pthread_mutex_lock(&s->lock);
    if (st && st != STATUS_CANCELLED)
        snprintf(s->state.why, sizeof s->state.why, "%s", errmsg_text(e, st));
    pthread_mutex_unlock(&s->lock);
    set_phase(s, st == STATUS_NO_SPACE ? "full" : "done");
}

static void run_sweep(struct sweep *s)
{
    struct errmsg e = {""};
    room_begin(s);
    struct tour t = {s, "", sweep_visit, NULL};
    status st = tour_run(&t, s->fs->root_fd, &e);
    end_sweep(s, st, &e);
}

/* Once all of it came back: the last files may have met a full cache. */
static void settle_sweep(struct sweep *s)
{
    struct errmsg e = {""};
    status_ignore(cache_flush(s->fs->stack.cache), "each image is counted by itself");
    if (!s->ended_early.text[0] && is_full(s))
        end_sweep(s, STATUS_NO_SPACE, &e);
}

static void *sweep_main(void *arg)
{
    struct sweep *s = arg;
    pthread_setname_np(pthread_self(), "sweep");
    status_ignore(setpriority(PRIO_PROCESS, 0, 19) ? STATUS_DENIED : STATUS_OK, "only a courtesy");
    bool swept = !s->fs->opt.sweeping || !cache_of(s), settled = swept;
    while (serve_lists(s)) {
        if (swept && !settled && is_settled(s)) {
            settled = true;
            settle_sweep(s);
        }
        if (swept) {
            if (atomic_load(&s->fs->freezing.state) == FREEZE_SWEEP && is_settled(s))
                freeze(s);
            pthread_mutex_lock(&s->lock);
            wait_a_little(s);
            pthread_mutex_unlock(&s->lock);
            continue;
        }
        set_phase(s, "running");
        run_sweep(s);
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
    s->state.phase = fs->opt.sweeping && cache_of(s) ? "waiting" : "off";
    if (fs->opt.sweeping && !cache_of(s))
        snprintf(s->state.why, sizeof s->state.why, "there is no cache to keep what is purified");
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
        s->warm_begins |= s->warm_state.done == s->warm_state.total;
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
    struct item *it = s && s->fs->opt.sweeping ? item_new(path) : NULL;
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
    struct fused_file f;
    struct fused_pipeline *p = s->fs->pipeline;
    io->files++;
    if (open_and_examine(s->fs, base_fd, name, path, &f)) {
        io->missing++;
        return STATUS_OK;
    }
    struct errmsg e = {""};
    uint64_t images = f.verdict.list.count ? f.verdict.list.count : 1, cached = 0;
    status st = f.fd < 0 ? STATUS_OK : fused_identify(p, &f, &e);
    if (!st && f.verdict.list.count)
        st = pipeline_list_stored(p, &f, is_ending, s->fs, &cached);
    else if (!st)
        cached = fused_is_cached(p, &f.verdict);
    if (f.fd >= 0)
        close(f.fd);
    io->group[f.verdict.group]++;
    if (f.verdict.group == FUSED_GROUP_IMAGE) {
        io->cached += st ? 0 : cached;
        io->absent += images - (st ? 0 : cached);
    }
    return STATUS_OK;
}

static status check_visit(struct tour *t, int dirfd, const char *name, const char *path)
{
    return check_file(t->sweep, dirfd, name, path, t->arg);
}

static status warm_visit(struct tour *t, int dirfd, const char *name, const char *path)
{
    (void)dirfd, (void)name;
    return warm_file(t->sweep, path);
}

/* check NULL: queues each file of a path, else counts it. */
static status for_each_file(struct sweep *s, const char *path, struct fused_warm_check *check,
                            struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
    int err = beneath_open_following(s->fs->root_fd, path, flags, &fd);
    if (err && s->fs->opt.follow)
        err = fs_open_path(s->fs, path, flags, &fd);
    if (err)
        return check ? check_file(s, s->fs->root_fd, path, path, check) : warm_file(s, path);
    bool root = strcmp(path, ".") == 0;
    AUTO(mem_free) char *prefix = mem_printf("%s%s", root ? "" : path, root ? "" : "/");
    if (!prefix)
        return STATUS_NOMEM;
    struct tour t = {s, prefix, check ? check_visit : warm_visit, check};
    return tour_run(&t, fd, e);
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
