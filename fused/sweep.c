/* The thread. */
#include "sweep_parts.h"

#include "source_walk.h"
#include "timed_wait.h"
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/banned.h"

/* Files under way at once: enough for the purifier to form groups on every thread, up to a number
 * at which their descriptors are still few. (A reader's decoding overtakes theirs.) */
enum { UNDER_WAY_MIN = 64, UNDER_WAY_MAX = 512 };
static const long idle_poll_ns = 200 * 1000000l;
static const uint64_t start_delay_ns =
    2 * 1000000000ull; /* the first reader after a mount goes first */

/* ---- announced files ---- */

/* Called with s->lock held; waits a little or until something changed. */
static void wait_a_little(struct sweep *s)
{
    const struct timespec until = timed_after(idle_poll_ns);
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Works on announced files until there are none; true when the sweep may take its next file: there
   is room, and nobody waits for anything. False: it is to end. */
static bool serve_lists(struct sweep *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        struct sweep_item *it = NULL;
        enum sweep_origin kind = s->warm.first ? SWEEP_WARM : SWEEP_HINT;
        if (s->under_way < s->under_way_max)
            it = sweep_list_pop(kind == SWEEP_WARM ? &s->warm : &s->hints);
        if (it && kind == SWEEP_WARM && s->warm_begins) {
            s->warm_begins = false;
            pthread_mutex_unlock(&s->lock);
            cache_room_begin(&s->room, s->fs);
            pthread_mutex_lock(&s->lock);
        }
        if (it) {
            s->warm_bytes -= kind == SWEEP_WARM ? strlen(it->path) : 0;
            pthread_mutex_unlock(&s->lock);
            sweep_work_on(s, kind, s->fs->root_fd, it->path, it->path);
            mem_free(it);
            pthread_mutex_lock(&s->lock);
            continue;
        }
        if (s->under_way < s->under_way_max && time_mono_ns() >= s->start_ns + start_delay_ns) {
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

/* ---- the source ---- */

static status sweep_visit(void *arg, int dirfd, const char *name, const char *path)
{
    struct sweep *s = arg;
    if (!serve_lists(s))
        return STATUS_CANCELLED;
    if (cache_is_full(&s->room))
        return STATUS_NO_SPACE;
    sweep_work_on(s, SWEEP_TREE, dirfd, name, path);
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
    cache_room_begin(&s->room, s->fs);
    status st = source_walk(s->fs, ".", sweep_visit, s, &e);
    end_sweep(s, st, &e);
}

/* All that was begun came back. */
static bool is_settled(struct sweep *s)
{
    pthread_mutex_lock(&s->lock);
    bool settled = s->under_way == 0;
    pthread_mutex_unlock(&s->lock);
    return settled;
}

/* Once all of it came back: the last files may have met a full cache. */
static void settle_sweep(struct sweep *s)
{
    struct errmsg e = {""};
    status_ignore(cache_flush(s->fs->stack.cache), "each image is counted by itself");
    if (!s->ended_early.text[0] && cache_is_full(&s->room))
        end_sweep(s, STATUS_NO_SPACE, &e);
}

/* ---- a mount that freezes ---- */

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

/* ---- life ---- */

static void *sweep_main(void *arg)
{
    struct sweep *s = arg;
    pthread_setname_np(pthread_self(), "sweep");
    status_ignore(setpriority(PRIO_PROCESS, 0, 19) ? STATUS_DENIED : STATUS_OK, "only a courtesy");
    bool swept = !s->fs->opt.sweeping || !cache_keeps(s->fs), settled = swept;
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
    s->room.fs = fs;
    s->under_way_max = pipeline_queue_depth(fs->pipeline);
    s->under_way_max = s->under_way_max < UNDER_WAY_MIN ? UNDER_WAY_MIN : s->under_way_max;
    s->under_way_max = s->under_way_max > UNDER_WAY_MAX ? UNDER_WAY_MAX : s->under_way_max;
    s->start_ns = time_mono_ns();
    s->warm.last = &s->warm.first;
    s->hints.last = &s->hints.first;
    s->state.phase = fs->opt.sweeping && cache_keeps(s->fs) ? "waiting" : "off";
    if (fs->opt.sweeping && !cache_keeps(s->fs))
        snprintf(s->state.why, sizeof s->state.why, "there is no cache to keep what is purified");
    pthread_mutex_init(&s->lock, NULL);
    timed_cond_init(&s->changed);
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

void sweep_free(struct sweep *s)
{
    if (!s)
        return;
    sweep_stop(s);
    CHECK(s->under_way == 0);
    sweep_list_clear(&s->warm);
    sweep_list_clear(&s->hints);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

void sweep_state(struct sweep *s, struct sweep_state *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->state;
    pthread_mutex_unlock(&s->lock);
}
