/*
 * Invariants
 *  1. Every fetch that fused_fetch_start was given ends in fetch_finish, once; nothing else calls
 *     done().
 *  2. A fetch is at any time in one place: a queue, the hands of one thread, or the waiters of one
 *     flight.
 *  3. A flight is in the table from its creation until on_purified, land_from_cache or a refusal
 *     takes it out; by then the pixels are in the cache's queue: a newcomer finds one or the other.
 *  4. inflight_bytes <= the limit, or one fetch is alone over it. Sweep fetches stay below a
 *     quarter of the limit, so that a reader never waits for memory that a sweep holds.
 *
 *     start --(memory, cache)--> finish
 *       |
 *     queue[urgent|sweep] -> worker: decode, digest
 *                               |
 *                            flight (known: join, promote;
 *                               |    new: cache, or submit, or wait in `overflow` for room)
 *                               |
 *                            on_purified: store, encode for each waiter -> finish
 *
 * Two openers of one unknown file both decode it; only the purification is shared. That is cheap
 * beside it.
 */
#include "pipeline.h"

#include "bytes.h"
#include "locks.h"
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

enum { FLIGHT_CHAINS = 4096, WORKERS_MAX = 64 };
static const uint64_t default_encoded_bytes = 256ull << 20;  /* a warm kernel never asks for them */
static const uint64_t default_inflight_bytes = 512ull << 20; /* 40 images of 2048x2048 at once */
static const uint64_t failure_log_ns =
    1000000000ull; /* each names a file; a broken model fails for all */
static const uint64_t space_log_ns = 60 * 1000000000ull; /* a full disk stays full */

struct flight {
    struct digest pixels;
    struct fused_pipeline *pipeline;
    struct purify_job job;
    struct image img; /* the purifier's until on_purified */
    struct fused_fetch *waiters;
    enum purify_priority priority;
    bool submitted;
    struct flight *chain;
    struct flight *overflow_next;
};

struct fetch_queue {
    struct fused_fetch *head, **tail;
    uint64_t count;
};

struct fused_pipeline {
    struct pipeline_options opt;
    struct image_limits limits;
    struct lru *lru;
    pthread_t worker[WORKERS_MAX];
    int workers;
    struct log_gate failure_gate, space_gate;

    pthread_mutex_t lock;
    pthread_cond_t work; /* a queue, inflight_bytes or stopping changed */
    bool stopping;       /* guarded by lock, as all below */
    struct fetch_queue queue[PURIFY_PRIORITY_COUNT];
    struct flight *flight[FLIGHT_CHAINS];
    struct flight *overflow,
        **overflow_tail; /* flights the purifier had no room for, oldest first */
    struct pipeline_stats stats;
};

/* ---- ending a fetch ---- */

static void count(struct fused_pipeline *p, uint64_t *counter)
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
    log_error("%s: not purified: %s", f->name, errmsg_text(&f->err, st));
}

/* The one place that answers a fetch. */
static void fetch_finish(struct fused_pipeline *p, struct fused_fetch *f, status st)
{
    image_done(&f->img);
    mem_free(f->head);
    f->head = NULL;
    bool failed = st && st != STATUS_CANCELLED && st != STATUS_AGAIN;
    pthread_mutex_lock(&p->lock);
    p->stats.inflight_bytes -= f->admitted;
    p->stats.urgent -= f->priority == PURIFY_URGENT;
    p->stats.failed += failed;
    p->stats.damaged += !st && f->kind == FUSED_ORIGINAL;
    if (f->admitted)
        pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    log_failure(p, f, st);
    f->done(f, st);
}

/* ---- encoding ---- */

static status encode(struct fused_pipeline *p, const struct cache_file_id *id,
                     const struct image_info *info, const struct image *img, const uint8_t *head,
                     struct fused_bytes **out, struct errmsg *e)
{
    struct fused_bytes *b;
    status st = bytes_new(info->encoded_size, &b);
    if (st)
        return st;
    st = image_encode(img, info, head, head ? info->metadata_bytes : 0, bytes_writable(b), b->len,
                      e);
    if (st) {
        fused_bytes_unref(b);
        return st;
    }
    lru_put(p->lru, id, b);
    *out = b;
    return STATUS_OK;
}

/* Answers f with these purified pixels; f->img has the alpha. */
static void deliver(struct fused_pipeline *p, struct fused_fetch *f, uint8_t *pixels)
{
    status st = STATUS_OK;
    f->kind = FUSED_IMAGE;
    if (f->want_bytes) {
        const struct image_info *info = &f->verdict.info;
        struct image view = {info->width, info->height, info->channels, pixels, f->img.alpha};
        st = encode(p, &f->id, info, &view, f->head, &f->bytes, &f->err);
    }
    fetch_finish(p, f, st);
}

/* ---- the cache ---- */

static struct cache_key key_of(const struct fused_pipeline *p, const struct digest *pixels)
{
    return (struct cache_key){.pixels = *pixels, .profile = p->opt.profile};
}

static status cache_pixels(struct fused_pipeline *p, const struct digest *pixels,
                           const struct image_info *info, struct cache_object *out)
{
    if (!p->opt.cache)
        return STATUS_NOT_FOUND;
    struct cache_key key = key_of(p, pixels);
    struct cache_object o;
    status st = cache_get(p->opt.cache, &key, &o);
    if (st)
        return st;
    if (o.shape.width != (uint32_t)info->width || o.shape.height != (uint32_t)info->height ||
        o.shape.channels != (uint32_t)info->channels) {
        cache_object_done(&o);
        return STATUS_NOT_FOUND;
    }
    *out = o;
    return STATUS_OK;
}

bool fused_is_cached(struct fused_pipeline *p, const struct fused_verdict *v)
{
    if (v->kind != FUSED_IMAGE || !v->has_pixels || !p->opt.cache)
        return false;
    struct cache_key key = key_of(p, &v->pixels);
    return cache_has(p->opt.cache, &key) == STATUS_OK;
}

static void on_stored(void *arg, status st)
{
    struct fused_pipeline *p = arg;
    if (!st)
        return;
    count(p, st == STATUS_NO_SPACE ? &p->stats.no_space : &p->stats.not_stored);
    unsigned dropped;
    if (log_gate_pass(&p->space_gate, space_log_ns, &dropped))
        log_warn("the cache did not store a purified image (and %u more): %s; served all the same",
                 dropped, status_text(st));
}

static void store(struct fused_pipeline *p, const struct flight *fl)
{
    if (!p->opt.cache)
        return;
    struct cache_key key = key_of(p, &fl->pixels);
    struct cache_shape shape = {(uint32_t)fl->img.width, (uint32_t)fl->img.height,
                                (uint32_t)fl->img.channels};
    status st = cache_try_put(p->opt.cache, &key, shape, fl->img.pixels,
                              image_pixel_bytes(&fl->img), on_stored, p);
    if (st)
        on_stored(p, st);
}

/* ---- answers that need no purifier ---- */

/* NOT_FOUND: the purifier is needed. */
static status bytes_from_cache(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                               const struct fused_verdict *v, struct fused_bytes **out,
                               struct errmsg *e)
{
    if (!v->has_pixels)
        return STATUS_NOT_FOUND;
    struct cache_object o;
    status st = cache_pixels(p, &v->pixels, &v->info, &o);
    if (st)
        return st;
    struct source_image src = {.img = IMAGE_INIT};
    if (v->info.has_alpha) /* only the source has it */
        st = source_decode(fd, id, &p->limits, &src, e);
    else
        st = source_head(fd, id, &v->info, &p->limits, &src.head);
    if (!st) {
        struct image view = {v->info.width, v->info.height, v->info.channels, o.pixels,
                             src.img.alpha};
        st = encode(p, id, &v->info, &view, src.head, out, e);
    }
    source_image_done(&src);
    cache_object_done(&o);
    return st;
}

unsigned pipeline_ahead(const struct fused_pipeline *p)
{
    return (unsigned)p->opt.purifier.ahead + (unsigned)p->workers;
}

struct fused_bytes *pipeline_memory(struct fused_pipeline *p, const struct cache_file_id *id)
{
    struct fused_bytes *b = lru_get(p->lru, id);
    if (b)
        count(p, &p->stats.memory_hits);
    return b;
}

status fused_fetch_now(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                       const struct fused_verdict *v, struct fused_bytes **out, struct errmsg *e)
{
    struct fused_bytes *b = pipeline_memory(p, id);
    if (b) {
        *out = b;
        return STATUS_OK;
    }
    status st = bytes_from_cache(p, fd, id, v, out, e);
    if (!st)
        count(p, &p->stats.cache_hits);
    return st;
}

/* ---- flights ---- */

static struct flight **chain_of(struct fused_pipeline *p, const struct digest *pixels)
{
    uint32_t h;
    memcpy(&h, pixels->byte, sizeof h);
    return &p->flight[h % FLIGHT_CHAINS];
}

/* Called with p->lock held. */
static struct flight *flight_find(struct fused_pipeline *p, const struct digest *pixels)
{
    struct flight *fl = *chain_of(p, pixels);
    while (fl && !digest_equal(&fl->pixels, pixels))
        fl = fl->chain;
    return fl;
}

/* Called with p->lock held. */
static void flight_unlink(struct fused_pipeline *p, struct flight *fl)
{
    struct flight **at = chain_of(p, &fl->pixels);
    while (*at != fl)
        at = &(*at)->chain;
    *at = fl->chain;
    p->stats.flights--;
}

static void flight_end(struct fused_pipeline *p, struct flight *fl, status st,
                       const struct errmsg *e)
{
    for (struct fused_fetch *next, *f = fl->waiters; f; f = next) {
        next = f->next;
        if (st) {
            if (e)
                f->err = *e;
            fetch_finish(p, f, st);
        } else {
            deliver(p, f, fl->img.pixels);
        }
    }
    image_done(&fl->img);
    mem_free(fl);
}

static void on_purified(struct purify_job *job, status st, const struct errmsg *e);

/* Called with p->lock held. AGAIN: the purifier's queue is full, so one of its jobs will end and
 * run the overflow. */
static status flight_submit(struct fused_pipeline *p, struct flight *fl)
{
    fl->job = (struct purify_job){.img = &fl->img, .done = on_purified, .arg = fl};
    fl->submitted = true;
    status st = p->stopping ? STATUS_CANCELLED
                            : p->opt.purifier.submit(p->opt.purifier.ctx, &fl->job, fl->priority);
    if (st)
        fl->submitted = false;
    return st;
}

/* Called with p->lock held. Gives waiting flights to the purifier; returns those that were refused.
 */
static struct flight *overflow_pump(struct fused_pipeline *p, status *out_st)
{
    struct flight *refused = NULL;
    while (p->overflow) {
        struct flight *fl = p->overflow;
        status st = flight_submit(p, fl);
        if (st == STATUS_AGAIN)
            break;
        p->overflow = fl->overflow_next;
        if (!p->overflow)
            p->overflow_tail = &p->overflow;
        if (st) {
            flight_unlink(p, fl);
            fl->overflow_next = refused;
            refused = fl;
            *out_st = st;
        }
    }
    return refused;
}

static void overflow_run(struct fused_pipeline *p)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&p->lock);
    struct flight *refused = overflow_pump(p, &st);
    pthread_mutex_unlock(&p->lock);
    for (struct flight *next; refused; refused = next) {
        next = refused->overflow_next;
        flight_end(p, refused, st, NULL);
    }
}

/* The purifier's callback: answers every waiter of one flight. */
static void on_purified(struct purify_job *job, status st, const struct errmsg *e)
{
    struct flight *fl = job->arg;
    struct fused_pipeline *p = fl->pipeline;
    if (!st)
        store(p, fl);
    pthread_mutex_lock(&p->lock);
    flight_unlink(p, fl);
    p->stats.purified += !st;
    pthread_mutex_unlock(&p->lock);
    flight_end(p, fl, st, e);
    overflow_run(p);
}

static void promote(struct fused_pipeline *p, struct flight *fl)
{
    fl->priority = PURIFY_URGENT;
    if (fl->submitted)
        p->opt.purifier.promote(p->opt.purifier.ctx, &fl->job);
}

/* Called with p->lock held. Makes a flight of f's pixels; nobody works on it yet. */
static void flight_insert(struct fused_pipeline *p, struct flight *fl, struct fused_fetch *f)
{
    *fl = (struct flight){
        .pixels = f->verdict.pixels, .pipeline = p, .waiters = f, .priority = f->priority};
    fl->img = f->img;
    fl->img.alpha = NULL; /* stays with f */
    f->img.pixels = NULL;
    fl->chain = *chain_of(p, &fl->pixels);
    *chain_of(p, &fl->pixels) = fl;
    p->stats.flights++;
}

/* Called with p->lock held. Takes over f's own copy of the pixels. */
static struct image flight_join(struct fused_pipeline *p, struct flight *fl, struct fused_fetch *f)
{
    struct image twin = f->img;
    twin.alpha = NULL;
    f->img.pixels = NULL;
    f->next = fl->waiters;
    fl->waiters = f;
    p->stats.coalesced++;
    if (f->priority == PURIFY_URGENT && fl->priority != PURIFY_URGENT)
        promote(p, fl);
    return twin;
}

/* A new flight whose pixels are in the cache already needs no purifier. Asked only now: whoever
   purified them took his flight out of the table after storing them, so that looking in this order
   cannot miss both. */
static bool land_from_cache(struct fused_pipeline *p, struct flight *fl,
                            const struct image_info *info)
{
    struct cache_object o;
    if (cache_pixels(p, &fl->pixels, info, &o))
        return false;
    memcpy(fl->img.pixels, o.pixels, o.len);
    cache_object_done(&o);
    pthread_mutex_lock(&p->lock);
    flight_unlink(p, fl);
    p->stats.cache_hits++;
    pthread_mutex_unlock(&p->lock);
    flight_end(p, fl, STATUS_OK, NULL);
    return true;
}

static void flight_take_off(struct fused_pipeline *p, struct flight *fl)
{
    pthread_mutex_lock(&p->lock);
    status st = p->overflow ? STATUS_AGAIN : flight_submit(p, fl);
    if (st == STATUS_AGAIN) {
        fl->overflow_next = NULL;
        *p->overflow_tail = fl;
        p->overflow_tail = &fl->overflow_next;
        st = STATUS_OK;
    } else if (st) {
        flight_unlink(p, fl);
    }
    pthread_mutex_unlock(&p->lock);
    if (st)
        flight_end(p, fl, st, NULL);
}

/* Joins the flight of the same pixels or starts one. */
static void fly(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct flight *own = mem_alloc(sizeof *own);
    if (!own) {
        fetch_finish(p, f, STATUS_NOMEM);
        return;
    }
    struct image twin = IMAGE_INIT;
    const struct image_info info = f->verdict.info;
    f->next = NULL;
    pthread_mutex_lock(&p->lock);
    struct flight *fl = flight_find(p, &f->verdict.pixels);
    if (fl)
        twin = flight_join(p, fl, f);
    else
        flight_insert(p, own, f);
    pthread_mutex_unlock(&p->lock);
    image_done(&twin);
    if (fl)
        mem_free(own);
    else if (!land_from_cache(p, own, &info))
        flight_take_off(p, own);
}

/* ---- workers ---- */

/* The file's own fault: it is served as it is, now and later. */
static void finish_damaged(struct fused_pipeline *p, struct fused_fetch *f, status st)
{
    verdict_damaged(&f->verdict, &f->id, errmsg_text(&f->err, st));
    memo_write(p->opt.cache, f->fd, &f->id, &f->verdict);
    f->kind = FUSED_ORIGINAL;
    snprintf(f->reason, sizeof f->reason, "%s", f->verdict.reason);
    f->err.text[0] = 0;
    fetch_finish(p, f, STATUS_OK);
}

static void run_miss(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct source_image src;
    status st = source_decode(f->fd, &f->id, &p->limits, &src, &f->err);
    if (source_is_at_fault(st)) {
        finish_damaged(p, f, st);
        return;
    }
    if (st) {
        fetch_finish(p, f, st);
        return;
    }
    f->img = src.img;
    f->head = src.head;
    f->verdict.info = src.info;
    f->verdict.pixels = src.pixels;
    f->verdict.has_pixels = true;
    memo_write(p->opt.cache, f->fd, &f->id, &f->verdict);
    fly(p, f);
}

static uint64_t cost_of(const struct fused_fetch *f)
{
    const struct image_info *info = &f->verdict.info;
    return (uint64_t)info->width * (uint64_t)info->height *
               (uint64_t)(info->channels + info->has_alpha) +
           f->id.size;
}

/* Called with p->lock held. The next fetch that there is memory for, or NULL. */
static struct fused_fetch *next_admissible(struct fused_pipeline *p)
{
    enum purify_priority prio = p->queue[PURIFY_URGENT].head ? PURIFY_URGENT : PURIFY_SWEEP;
    struct fetch_queue *q = &p->queue[prio];
    struct fused_fetch *f = q->head;
    if (!f)
        return NULL;
    uint64_t max = prio == PURIFY_URGENT ? p->opt.inflight_bytes : p->opt.inflight_bytes / 4;
    if (p->stats.inflight_bytes && p->stats.inflight_bytes + cost_of(f) > max)
        return NULL;
    q->head = f->next;
    if (!q->head)
        q->tail = &q->head;
    q->count--;
    f->admitted = cost_of(f);
    p->stats.inflight_bytes += f->admitted;
    return f;
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
        pthread_mutex_unlock(&p->lock);
        run_miss(p, f);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void fused_fetch_start(struct fused_pipeline *p, struct fused_fetch *f, enum purify_priority prio)
{
    f->kind = FUSED_IMAGE;
    f->bytes = NULL;
    f->reason[0] = 0;
    f->err.text[0] = 0;
    f->priority = prio;
    f->img = (struct image)IMAGE_INIT;
    f->head = NULL;
    f->admitted = 0;
    f->next = NULL;
    pthread_mutex_lock(&p->lock);
    p->stats.urgent += prio == PURIFY_URGENT;
    pthread_mutex_unlock(&p->lock);

    status st = STATUS_NOT_FOUND;
    if (f->want_bytes)
        st = fused_fetch_now(p, f->fd, &f->id, &f->verdict, &f->bytes, &f->err);
    else if (fused_is_cached(p, &f->verdict))
        st = STATUS_OK;
    if (st == STATUS_OK || st == STATUS_AGAIN) {
        fetch_finish(p, f, st);
        return;
    }
    /* NOT_FOUND, or the cache could not be read: purify. */
    f->err.text[0] = 0;
    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    if (!stopping) {
        struct fetch_queue *q = &p->queue[prio];
        *q->tail = f;
        q->tail = &f->next;
        q->count++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    if (stopping)
        fetch_finish(p, f, STATUS_CANCELLED);
}

/* ---- examine ---- */

/* Without its end mark a file is probably damaged: it is decoded before a size is promised. */
static status examine_body(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                           struct fused_verdict *v, struct errmsg *e)
{
    struct source_image src;
    struct errmsg why = {""};
    status st = source_decode(fd, id, &p->limits, &src, &why);
    if (source_is_at_fault(st)) {
        verdict_damaged(v, id, errmsg_text(&why, st));
    } else if (st) {
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    } else {
        v->pixels = src.pixels;
        v->has_pixels = true;
        source_image_done(&src);
    }
    memo_write(p->opt.cache, fd, id, v);
    return STATUS_OK;
}

/* Whether the file says that it is a PNG or JPEG. */
static bool has_signature(int fd)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    uint8_t b[8];
    size_t n;
    if (io_pread(fd, b, sizeof b, 0, &n))
        return false;
    return (n == sizeof png && memcmp(b, png, sizeof png) == 0) ||
           (n >= sizeof jpeg && memcmp(b, jpeg, sizeof jpeg) == 0);
}

status fused_examine(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                     struct fused_verdict *out, struct errmsg *e)
{
    struct fused_verdict v = {.kind = FUSED_IMAGE};
    struct errmsg why = {""};
    status st = image_probe_fd(fd, id->size, &p->limits, &v.info, &why);
    if (source_is_at_fault(st)) {
        verdict_damaged(&v, id, has_signature(fd) ? errmsg_text(&why, st) : "");
        *out = v;
        return STATUS_OK;
    }
    if (st)
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    v.size = v.info.encoded_size;
    st = memo_read(p->opt.cache, fd, id, &v);
    if (st && !v.info.complete) {
        st = examine_body(p, fd, id, &v, e);
        if (st)
            return st;
    }
    *out = v;
    return STATUS_OK;
}

/* ---- looking at it ---- */

void pipeline_stats(struct fused_pipeline *p, struct pipeline_stats *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        out->queued[i] = p->queue[i].count;
    pthread_mutex_unlock(&p->lock);
    out->encoded_bytes = lru_bytes(p->lru);
}

enum pipeline_state pipeline_state_of(struct fused_pipeline *p, const struct cache_file_id *id,
                                      const struct fused_verdict *v)
{
    enum pipeline_state state = PIPELINE_IDLE;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        for (const struct fused_fetch *f = p->queue[i].head; f; f = f->next)
            if (fused_same_file(&f->id, id))
                state = PIPELINE_QUEUED;
    const struct flight *fl = v->has_pixels ? flight_find(p, &v->pixels) : NULL;
    if (fl)
        state = fl->submitted ? PIPELINE_RUNNING : PIPELINE_QUEUED;
    pthread_mutex_unlock(&p->lock);
    return state;
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
    p->limits = image_limits_default();
    if (opt->max_pixels && opt->max_pixels < p->limits.max_pixels)
        p->limits.max_pixels = opt->max_pixels;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        p->queue[i].tail = &p->queue[i].head;
    p->overflow_tail = &p->overflow;
    status st = lru_new(p->opt.encoded_bytes, &p->lru);
    int want = opt->threads ? opt->threads : cpu_count();
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

static void cancel_flights(struct fused_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < FLIGHT_CHAINS; i++)
        for (struct flight *fl = p->flight[i]; fl; fl = fl->chain)
            if (fl->submitted)
                p->opt.purifier.cancel(p->opt.purifier.ctx, &fl->job);
    pthread_mutex_unlock(&p->lock);
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
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++) {
        pthread_mutex_lock(&p->lock);
        struct fused_fetch *f = p->queue[i].head;
        p->queue[i] = (struct fetch_queue){.head = NULL, .tail = &p->queue[i].head};
        pthread_mutex_unlock(&p->lock);
        for (struct fused_fetch *next; f; f = next) {
            next = f->next;
            fetch_finish(p, f, STATUS_CANCELLED);
        }
    }
    overflow_run(p); /* refuses all of them, since stopping is set */
    cancel_flights(p);
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
