/* The queue, memory, workers, and where fetches begin and end. */
#include "pipeline_parts.h"

#include "examine.h"
#include <string.h>

#include "base/banned.h"

/* Of inflight_bytes: what makes an image large, and the share of its class (small ones have the
   rest). 32 MiB and 384 MiB by default: ten photographs of 12 Mpixel at once. */
enum { LARGE_DIVISOR = 16, LARGE_SHARE_NUM = 3, LARGE_SHARE_DEN = 4 };
static const uint64_t default_encoded_bytes = 256ull << 20;  /* a warm kernel never asks for them */
static const uint64_t default_inflight_bytes = 512ull << 20; /* 40 images of 2048x2048 at once */
static const uint64_t failure_log_ns =
    1000000000ull; /* each names a file; a broken model fails for all */

/* ---- memory and the end of a fetch ---- */

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

static uint64_t samples_of(const struct image_info *info)
{
    return (uint64_t)info->width * (uint64_t)info->height *
           (uint64_t)(info->channels + info->has_alpha);
}

/* Bytes that reading and decoding f take at most: the file, the pixels, and what decoders keep
   beside them: a progressive JPEG's coefficients (two bytes each), libwebp's four bytes a pixel and
   tables, rows and planes of the others. The jail holds them to more than this (jail.h). */
static uint64_t cost_of(const struct fused_fetch *f)
{
    static const unsigned per_sample[IMAGE_FORMAT_COUNT] = {
        [IMAGE_PNG] = 2, [IMAGE_JPEG] = 4, [IMAGE_WEBP] = 6,
        [IMAGE_BMP] = 2, [IMAGE_GIF] = 3,  [IMAGE_TIFF] = 3,
    };
    const struct fused_verdict *v = &f->file.verdict;
    const struct image_info *info = &v->info;
    if (v->list.count)
        return 2 * v->list.bytes;
    return samples_of(info) * per_sample[info->source_format] + f->file.id.size;
}

static enum size_class class_of(const struct fused_fetch *f)
{
    return f->large ? SIZE_LARGE : SIZE_SMALL;
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
    p->class_bytes[class_of(f)] -= f->admitted;
    p->stats.urgent -= f->priority == PURIFY_URGENT;
    p->stats.failed += failed;
    p->stats.damaged += !st && f->file.verdict.group != FUSED_GROUP_IMAGE;
    if (f->admitted)
        pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    log_failure(p, f, st);
    f->done(f, st);
}

void fetch_keeps_pixels_only(struct fused_pipeline *p, struct fused_fetch *f)
{
    uint64_t kept = samples_of(&f->file.verdict.info) + f->file.verdict.info.metadata_bytes;
    if (kept >= f->admitted)
        return;
    pthread_mutex_lock(&p->lock);
    p->stats.inflight_bytes -= f->admitted - kept;
    p->class_bytes[class_of(f)] -= f->admitted - kept;
    f->admitted = kept;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

/* ---- queue and workers ---- */

/* Called with p->lock held. */
static void queue_push(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fetch_queue *q = &p->queue[f->priority][class_of(f)];
    f->next = NULL;
    *q->tail = f;
    q->tail = &f->next;
    q->count++;
}

/* Called with p->lock held. False: it is not there. */
static bool queue_remove(struct fetch_queue *q, struct fused_fetch *f)
{
    for (struct fused_fetch **at = &q->head; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            if (!f->next)
                q->tail = at;
            q->count--;
            return true;
        }
    return false;
}

/* Called with p->lock held. */
static bool is_admissible(const struct fused_pipeline *p, enum purify_priority prio,
                          enum size_class size)
{
    const struct fused_fetch *f = p->queue[prio][size].head;
    uint64_t large = p->opt.inflight_bytes / LARGE_SHARE_DEN * LARGE_SHARE_NUM;
    uint64_t max = size == SIZE_LARGE ? large : p->opt.inflight_bytes - large;
    if (prio == PURIFY_SWEEP)
        max /= 4;
    if (!f || (size == SIZE_LARGE && p->workers > 1 && p->large_running >= p->workers - 1))
        return false;
    return !p->class_bytes[size] || p->class_bytes[size] + cost_of(f) <= max;
}

/* Called with p->lock held. The next fetch that there is memory for, or NULL. */
static struct fused_fetch *next_admissible(struct fused_pipeline *p)
{
    for (int prio = 0; prio < PURIFY_PRIORITY_COUNT; prio++)
        for (int size = 0; size < SIZE_COUNT; size++) {
            if (!is_admissible(p, (enum purify_priority)prio, (enum size_class)size))
                continue;
            struct fused_fetch *f = p->queue[prio][size].head;
            queue_remove(&p->queue[prio][size], f);
            f->admitted = cost_of(f);
            p->stats.inflight_bytes += f->admitted;
            p->class_bytes[size] += f->admitted;
            return f;
        }
    return NULL;
}

static void *worker_main(void *arg)
{
    struct fused_pipeline *p = arg;
    pthread_setname_np(pthread_self(), "pipeline");
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct fused_fetch *f = next_admissible(p);
        if (!f) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        bool large = class_of(f) == SIZE_LARGE;
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
    f->priority = prio;
    f->large = cost_of(f) > p->opt.inflight_bytes / LARGE_DIVISOR;
    f->admitted = 0;
    f->finished = false;
    f->flight = NULL;
    p->stats.urgent += prio == PURIFY_URGENT;
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
    if (!f->finished && f->priority == PURIFY_URGENT) {
        bool queued = queue_remove(&p->queue[PURIFY_URGENT][class_of(f)], f);
        f->priority = PURIFY_SWEEP;
        p->stats.urgent--;
        if (queued)
            queue_push(p, f);
        else if (f->flight)
            flight_demote_if_unwanted(p, f->flight);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- examine ---- */

/* What another mount of an immutable source learned. */
static void recall(struct fused_pipeline *p, const struct cache_file_id *id,
                   struct fused_verdict *v)
{
    if (!p->opt.immutable || !p->opt.cache || cache_file_get(p->opt.cache, id, &v->source))
        return;
    v->has_source = true;
    status_ignore(memo_read(p->opt.cache, v), "then it is decoded again");
}

status fused_examine(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e)
{
    struct fused_verdict v;
    status st = examine_file(&p->limits, p->opt.rules, io, &v, e);
    if (st)
        return st;
    if (v.group == FUSED_GROUP_IMAGE && !v.list.count)
        recall(p, &io->id, &v);
    io->verdict = v;
    return STATUS_OK;
}

status fused_identify(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e)
{
    struct fused_verdict *v = &io->verdict;
    if (v->group != FUSED_GROUP_IMAGE || v->list.count)
        return STATUS_OK;
    if (!v->has_source) {
        uint64_t n;
        status st = digest_sha256_fd(io->fd, io->id.size, &v->source, &n);
        if (!st)
            st = n == io->id.size ? source_unchanged(io->fd, &io->id) : STATUS_AGAIN;
        if (st)
            return errmsg_set(e, st, "%s", status_text(st));
        v->has_source = true;
    }
    if (!v->has_pixels)
        status_ignore(memo_read(p->opt.cache, v), "then it is decoded again");
    return STATUS_OK;
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
