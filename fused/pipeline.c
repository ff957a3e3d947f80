/* Workers, and where fetches begin and end. */
#include "pipeline_parts.h"

#include "examine.h"
#include <string.h>

#include "base/banned.h"

static const uint64_t default_encoded_bytes = 256ull << 20;  /* a warm kernel never asks for them */
static const uint64_t default_inflight_bytes = 512ull << 20; /* 40 images of 2048x2048 at once */
static const uint64_t failure_log_ns =
    1000000000ull; /* each names a file; a broken model fails for all */

void pipeline_count(struct fused_pipeline *p, uint64_t *counter)
{
    pthread_mutex_lock(&p->lock);
    ++*counter;
    pthread_mutex_unlock(&p->lock);
}

static void log_failure(struct fused_pipeline *p, const struct fused_fetch *f, status st)
{
    unsigned dropped;
    if (!st || st == STATUS_CANCELLED || st == STATUS_AGAIN ||
        !log_gate_pass(&p->failure_gate, failure_log_ns, &dropped))
        return;
    if (dropped)
        log_error("%u more failures like the next one", dropped);
    log_error("%s: not purified: %s", f->file.name, errmsg_text(&f->err, st));
}

void fetch_finish(struct fused_pipeline *p, struct fused_fetch *f, status st)
{
    image_done(&f->img);
    mem_free(f->metadata);
    f->metadata = NULL;
    bool failed = st && st != STATUS_CANCELLED && st != STATUS_AGAIN;
    pthread_mutex_lock(&p->lock);
    f->finished = true;
    p->stats.inflight_bytes -= f->admitted;
    p->class_bytes[fetch_class(f)] -= f->admitted;
    p->stats.urgent -= f->priority == PURIFY_URGENT;
    p->stats.failed += failed;
    p->stats.damaged += !st && f->file.verdict.group != FUSED_GROUP_IMAGE;
    if (f->admitted)
        pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    log_failure(p, f, st);
    f->done(f, st);
}

static void *worker_main(void *arg)
{
    struct fused_pipeline *p = arg;
    pthread_setname_np(pthread_self(), "pipeline");
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct fused_fetch *f = queue_next(p);
        if (!f) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        bool large = fetch_class(f) == SIZE_LARGE;
        p->large_running += large;
        pthread_mutex_unlock(&p->lock);
        miss_run(p, f); /* f may be gone after it */
        pthread_mutex_lock(&p->lock);
        p->large_running -= large;
        if (large)
            pthread_cond_broadcast(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- fetches ---- */

void fused_fetch_init(struct fused_fetch *f, const struct fused_file *file, uint64_t index,
                      fused_done_fn *done, void *arg)
{
    *f = (struct fused_fetch){
        .file = *file, .index = index, .want_bytes = true, .done = done, .arg = arg};
    f->finished = true; /* until it is started */
}

void fused_fetch_start(struct fused_pipeline *p, struct fused_fetch *f, enum purify_priority prio)
{
    f->bytes = NULL;
    f->err.text[0] = 0;
    f->img = (struct image)IMAGE_INIT;
    f->metadata = NULL;
    pthread_mutex_lock(&p->lock);
    f->priority = f->abandoned ? PURIFY_SWEEP : prio;
    f->large = fetch_is_large(p, f);
    f->admitted = 0;
    f->finished = false;
    f->flight = NULL;
    p->stats.urgent += f->priority == PURIFY_URGENT;
    bool stopping = p->stopping;
    if (!stopping) {
        queue_push(p, f);
        pthread_cond_broadcast(&p->work); /* not every worker may take it */
    }
    pthread_mutex_unlock(&p->lock);
    if (stopping)
        fetch_finish(p, f, STATUS_CANCELLED);
}

void fused_fetch_abandon(struct fused_pipeline *p, struct fused_fetch *f)
{
    pthread_mutex_lock(&p->lock);
    f->abandoned = true;
    if (!f->finished && f->priority == PURIFY_URGENT) {
        bool queued = queue_remove(&p->queue[PURIFY_URGENT][fetch_class(f)], f);
        f->priority = PURIFY_SWEEP;
        p->stats.urgent--;
        if (queued)
            queue_push(p, f);
        else if (f->flight)
            flight_demote_if_unwanted(p, f->flight);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- looking at it ---- */

void pipeline_stats(struct fused_pipeline *p, struct pipeline_stats *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        out->queued[i] = p->queue[i][SIZE_SMALL].count + p->queue[i][SIZE_LARGE].count;
    pthread_mutex_unlock(&p->lock);
    out->encoded_bytes = lru_bytes(p->lru);
}

enum pipeline_state pipeline_state_of(struct fused_pipeline *p, const struct cache_file_id *id,
                                      const struct fused_verdict *v)
{
    enum pipeline_state state = PIPELINE_IDLE;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT * SIZE_COUNT; i++)
        for (const struct fused_fetch *f = p->queue[i / SIZE_COUNT][i % SIZE_COUNT].head; f;
             f = f->next)
            if (fused_same_file(&f->file.id, id))
                state = PIPELINE_QUEUED;
    const struct flight *fl = v->has_pixels ? flight_find(p, &v->pixels) : NULL;
    if (fl)
        state = fl->submitted ? PIPELINE_RUNNING : PIPELINE_QUEUED;
    pthread_mutex_unlock(&p->lock);
    return state;
}

unsigned pipeline_queue_depth(const struct fused_pipeline *p)
{
    return (unsigned)p->opt.purifier.queue_depth + (unsigned)p->workers;
}

/* ---- life ---- */

status pipeline_new(const struct pipeline_options *opt, struct fused_pipeline **out)
{
    struct fused_pipeline *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    p->opt = *opt;
    if (!p->opt.encoded_bytes)
        p->opt.encoded_bytes = default_encoded_bytes;
    if (!p->opt.inflight_bytes)
        p->opt.inflight_bytes = default_inflight_bytes;
    p->limits = examine_limits(opt->max_pixels);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        for (int size = 0; size < SIZE_COUNT; size++)
            p->queue[i][size].tail = &p->queue[i][size].head;
    p->overflow_tail = &p->overflow;
    status st = lru_new(p->opt.encoded_bytes, &p->lru);
    int want = opt->threads ? opt->threads : 2 * cpu_count();
    for (; !st && p->workers < want && p->workers < WORKERS_MAX; p->workers++) {
        int err = pthread_create(&p->worker[p->workers], NULL, worker_main, p);
        if (err) {
            st = status_from_errno(err);
            break;
        }
    }
    if (st) {
        pipeline_stop(p);
        pipeline_free(p);
        return st;
    }
    *out = p;
    return STATUS_OK;
}

void pipeline_stop(struct fused_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->worker[i], NULL);
    p->workers = 0;
    for (int i = 0; i < PURIFY_PRIORITY_COUNT * SIZE_COUNT; i++) {
        struct fetch_queue *q = &p->queue[i / SIZE_COUNT][i % SIZE_COUNT];
        pthread_mutex_lock(&p->lock);
        struct fused_fetch *f = q->head;
        *q = (struct fetch_queue){.head = NULL, .tail = &q->head};
        pthread_mutex_unlock(&p->lock);
        for (struct fused_fetch *next; f; f = next) {
            next = f->next;
            fetch_finish(p, f, STATUS_CANCELLED);
        }
    }
    flights_stop(p);
}

void pipeline_free(struct fused_pipeline *p)
{
    if (!p)
        return;
    CHECK(p->workers == 0 && p->stats.flights == 0);
    lru_free(p->lru);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}
