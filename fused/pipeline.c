/*
 * Invariants
 *  1. Every fetch that fused_fetch_start was given ends in fetch_finish, once; nothing else calls
 *     done().
 *  2. A fetch is at any time in one place: a queue, the hands of one thread, or the waiters of one
 *     flight.
 *  3. A flight is in the table from its creation until on_purified, land_from_cache or a refusal
 *     takes it out; by then the pixels are in the cache's queue: a newcomer finds one or the other.
 *  4. Memory is admitted in two lanes, for small and for large images, each with a share of the
 *     limit that the other cannot take, so that no small image waits until a large one is purified,
 *     nor the other way round. In each lane the bytes admitted are within its share, or one fetch
 *     is alone over it. Sweep fetches stay below a quarter of the share, so that a reader never
 *     waits for memory that a sweep holds. One worker at least takes no large images.
 *  5. stats.urgent counts the unfinished fetches whose priority is urgent: whoever changes a
 *     priority changes it, too.
 *
 *     start --(memory, cache)--> finish
 *       |
 *     queue[urgent|sweep][lane] -> worker: read, SHA-256, memo; decode, pixel digest
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
#include "examine.h"
#include "jail.h"
#include "locks.h"
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

enum { FLIGHT_CHAINS = 4096, WORKERS_MAX = 64 };
enum lane { LANE_SMALL, LANE_LARGE, LANE_COUNT };
/* Of inflight_bytes: what makes an image large, and the share of its lane (small ones have the
   rest). 32 MiB and 384 MiB by default: ten photographs of 12 Mpixel at once. */
enum { LARGE_DIVISOR = 16, LARGE_SHARE_NUM = 3, LARGE_SHARE_DEN = 4 };
/* Encoded on the thread that asks, when the pixels are stored: a JPEG of so many pixels takes some
   milliseconds. */
enum { NOW_PIXELS_MAX = 1 << 20 };
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
    struct fetch_queue queue[PURIFY_PRIORITY_COUNT][LANE_COUNT];
    uint64_t lane_bytes[LANE_COUNT]; /* admitted */
    int large_running;               /* workers that have a large image in hand */
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
    const struct image_info *info = &f->verdict.info;
    return samples_of(info) * per_sample[info->source_format] + f->id.size;
}

static enum lane lane_of(const struct fused_pipeline *p, const struct fused_fetch *f)
{
    return cost_of(f) > p->opt.inflight_bytes / LARGE_DIVISOR ? LANE_LARGE : LANE_SMALL;
}

/* The one place that answers a fetch. */
static void fetch_finish(struct fused_pipeline *p, struct fused_fetch *f, status st)
{
    image_done(&f->img);
    mem_free(f->metadata);
    f->metadata = NULL;
    bool failed = st && st != STATUS_CANCELLED && st != STATUS_AGAIN;
    pthread_mutex_lock(&p->lock);
    f->finished = true;
    p->stats.inflight_bytes -= f->admitted;
    p->lane_bytes[lane_of(p, f)] -= f->admitted;
    p->stats.urgent -= f->priority == PURIFY_URGENT;
    p->stats.failed += failed;
    p->stats.damaged += !st && f->verdict.group != FUSED_GROUP_IMAGE;
    if (f->admitted)
        pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    log_failure(p, f, st);
    f->done(f, st);
}

/* ---- encoding ---- */

static status encode(struct fused_pipeline *p, const struct fused_verdict *v,
                     const struct image *img, const uint8_t *metadata, struct fused_bytes **out,
                     struct errmsg *e)
{
    const struct image_info *info = &v->info;
    struct fused_bytes *b;
    status st = bytes_new(info->encoded_size, &b);
    if (st)
        return st;
    st = image_encode(img, info, metadata, metadata ? info->metadata_bytes : 0, bytes_writable(b),
                      b->len, e);
    if (st) {
        fused_bytes_unref(b);
        return st;
    }
    lru_put(p->lru, &v->source, b);
    *out = b;
    return STATUS_OK;
}

/* Answers f with these purified pixels; f->img has the alpha. */
static void deliver(struct fused_pipeline *p, struct fused_fetch *f, uint8_t *pixels)
{
    status st = STATUS_OK;
    if (f->want_bytes) {
        const struct image_info *info = &f->verdict.info;
        struct image view = {info->width, info->height, info->channels, pixels, f->img.alpha};
        st = encode(p, &f->verdict, &view, f->metadata, &f->bytes, &f->err);
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
    if (v->group != FUSED_GROUP_IMAGE || !v->has_pixels || !p->opt.cache)
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

/* Of an image without alpha, which only the source has. NOT_FOUND: the purifier is needed. */
static status bytes_from_cache(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                               const struct fused_verdict *v, struct fused_bytes **out,
                               struct errmsg *e)
{
    struct cache_object o;
    AUTO(mem_free) uint8_t *metadata = NULL;
    status st = cache_pixels(p, &v->pixels, &v->info, &o);
    if (st)
        return st;
    st = source_metadata(fd, id, &v->source, &v->info, &p->limits, &metadata);
    if (!st) {
        struct image view = {v->info.width, v->info.height, v->info.channels, o.pixels, NULL};
        st = encode(p, v, &view, metadata, out, e);
    }
    cache_object_done(&o);
    return st;
}

unsigned pipeline_ahead(const struct fused_pipeline *p)
{
    return (unsigned)p->opt.purifier.ahead + (unsigned)p->workers;
}

struct fused_bytes *pipeline_memory(struct fused_pipeline *p, const struct digest *source)
{
    struct fused_bytes *b = lru_get(p->lru, source);
    if (b)
        count(p, &p->stats.memory_hits);
    return b;
}

status fused_fetch_now(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                       const struct fused_verdict *v, struct fused_bytes **out, struct errmsg *e)
{
    if (!v->has_source)
        return STATUS_NOT_FOUND;
    struct fused_bytes *b = pipeline_memory(p, &v->source);
    if (b) {
        *out = b;
        return STATUS_OK;
    }
    if (!v->has_pixels || v->info.has_alpha ||
        (uint64_t)v->info.width * (uint64_t)v->info.height > NOW_PIXELS_MAX)
        return STATUS_NOT_FOUND;
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
    for (struct fused_fetch *f = fl->waiters; f; f = f->next)
        f->flight = NULL; /* it is about to end */
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

/* Called with p->lock held, after a waiter of fl stopped being urgent. */
static void demote_if_unwanted(struct fused_pipeline *p, struct flight *fl)
{
    for (const struct fused_fetch *f = fl->waiters; f; f = f->next)
        if (f->priority == PURIFY_URGENT)
            return;
    fl->priority = PURIFY_SWEEP;
    if (fl->submitted)
        p->opt.purifier.demote(p->opt.purifier.ctx, &fl->job);
}

/* Called with p->lock held. Makes a flight of f's pixels; nobody works on it yet. */
static void flight_insert(struct fused_pipeline *p, struct flight *fl, struct fused_fetch *f)
{
    f->flight = fl;
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
    f->flight = fl;
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
    verdict_unpurified(&f->verdict, errmsg_text(&f->err, st));
    memo_write(p->opt.cache, &f->verdict);
    f->err.text[0] = 0;
    fetch_finish(p, f, STATUS_OK);
}

/* Decodes into f. The header must say what it said when a size was promised. */
static status decode(struct fused_pipeline *p, struct fused_fetch *f,
                     const struct source_bytes *src)
{
    struct image_info info;
    status st =
        p->opt.jail
            ? jail_decode(p->opt.jail, src->data, src->len, &p->limits, &f->img, &info, &f->err)
            : image_decode(src->data, src->len, &p->limits, &f->img, &info, &f->err);
    if (st)
        return st;
    if (info.encoded_size != f->verdict.size)
        return STATUS_AGAIN;
    f->verdict.info = info;
    if (info.metadata_bytes) {
        f->metadata = mem_alloc(info.metadata_bytes);
        st = f->metadata
                 ? image_metadata(src->data, src->len, &info, &p->limits, f->metadata, &f->err)
                 : STATUS_NOMEM;
        if (st)
            return st;
    }
    return purify_pixel_digest(&f->img, &f->verdict.pixels);
}

/* Reads the file and learns its digest. AGAIN: it changed. */
static status read_source(struct fused_pipeline *p, struct fused_fetch *f, struct source_bytes *src)
{
    struct digest source;
    status st = source_read(f->fd, &f->id, &p->limits, src, &f->err);
    if (!st)
        st = digest_sha256(&(struct digest_part){src->data, src->len}, 1, &source);
    if (!st && f->same_bytes && !digest_equal(&source, &f->verdict.source))
        st = STATUS_AGAIN;
    if (st)
        return st;
    f->verdict.source = source;
    f->verdict.has_source = true;
    if (p->opt.immutable && p->opt.cache)
        status_ignore(cache_file_put(p->opt.cache, &f->id, &source),
                      "it is read again when it is needed");
    return STATUS_OK;
}

/* True when f needs no decoding, and was answered. */
static bool known_bytes(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fused_verdict *v = &f->verdict;
    f->bytes = f->want_bytes ? pipeline_memory(p, &v->source) : NULL;
    if (!f->bytes && memo_read(p->opt.cache, v))
        return false;
    status st = STATUS_OK;
    if (!f->bytes && v->group == FUSED_GROUP_IMAGE) {
        if (!f->want_bytes)
            st = fused_is_cached(p, v) ? STATUS_OK : STATUS_NOT_FOUND;
        else if (v->info.has_alpha)
            st = STATUS_NOT_FOUND; /* the flight finds the pixels in the cache, too */
        else
            st = bytes_from_cache(p, f->fd, &f->id, v, &f->bytes, &f->err);
        if (!st)
            count(p, &p->stats.cache_hits);
    }
    if (st && st != STATUS_AGAIN)
        return false;
    fetch_finish(p, f, st);
    return true;
}

/* What f holds once it is decoded, until it is answered. */
static void keep_pixels_only(struct fused_pipeline *p, struct fused_fetch *f)
{
    uint64_t kept = samples_of(&f->verdict.info) + f->verdict.info.metadata_bytes;
    if (kept >= f->admitted)
        return;
    pthread_mutex_lock(&p->lock);
    p->stats.inflight_bytes -= f->admitted - kept;
    p->lane_bytes[lane_of(p, f)] -= f->admitted - kept;
    f->admitted = kept;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void run_miss(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct source_bytes src = {NULL, 0};
    status st = read_source(p, f, &src);
    if (!st && known_bytes(p, f)) {
        mem_free(src.data);
        return;
    }
    if (!st)
        st = decode(p, f, &src);
    mem_free(src.data);
    if (source_is_at_fault(st)) {
        finish_damaged(p, f, st);
    } else if (st) {
        fetch_finish(p, f, st);
    } else {
        f->verdict.has_pixels = true;
        memo_write(p->opt.cache, &f->verdict);
        keep_pixels_only(p, f);
        fly(p, f);
    }
}

/* Called with p->lock held. */
static void queue_push(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fetch_queue *q = &p->queue[f->priority][lane_of(p, f)];
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
static bool is_admissible(const struct fused_pipeline *p, enum purify_priority prio, enum lane lane)
{
    const struct fused_fetch *f = p->queue[prio][lane].head;
    uint64_t large = p->opt.inflight_bytes / LARGE_SHARE_DEN * LARGE_SHARE_NUM;
    uint64_t max = lane == LANE_LARGE ? large : p->opt.inflight_bytes - large;
    if (prio == PURIFY_SWEEP)
        max /= 4;
    if (!f || (lane == LANE_LARGE && p->workers > 1 && p->large_running >= p->workers - 1))
        return false;
    return !p->lane_bytes[lane] || p->lane_bytes[lane] + cost_of(f) <= max;
}

/* Called with p->lock held. The next fetch that there is memory for, or NULL. */
static struct fused_fetch *next_admissible(struct fused_pipeline *p)
{
    for (int prio = 0; prio < PURIFY_PRIORITY_COUNT; prio++)
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            if (!is_admissible(p, (enum purify_priority)prio, (enum lane)lane))
                continue;
            struct fused_fetch *f = p->queue[prio][lane].head;
            queue_remove(&p->queue[prio][lane], f);
            f->admitted = cost_of(f);
            p->stats.inflight_bytes += f->admitted;
            p->lane_bytes[lane] += f->admitted;
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
        bool large = lane_of(p, f) == LANE_LARGE;
        p->large_running += large;
        pthread_mutex_unlock(&p->lock);
        run_miss(p, f); /* f may be gone after it */
        pthread_mutex_lock(&p->lock);
        p->large_running -= large;
        if (large)
            pthread_cond_broadcast(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void fused_fetch_start(struct fused_pipeline *p, struct fused_fetch *f, enum purify_priority prio)
{
    f->bytes = NULL;
    f->err.text[0] = 0;
    f->priority = prio;
    f->img = (struct image)IMAGE_INIT;
    f->metadata = NULL;
    f->admitted = 0;
    f->finished = false;
    f->flight = NULL;
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
        bool queued = queue_remove(&p->queue[PURIFY_URGENT][lane_of(p, f)], f);
        f->priority = PURIFY_SWEEP;
        p->stats.urgent--;
        if (queued)
            queue_push(p, f);
        else if (f->flight)
            demote_if_unwanted(p, f->flight);
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

status fused_examine(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                     const char *path, struct fused_verdict *out, struct errmsg *e)
{
    struct fused_verdict v;
    status st = examine_file(&p->limits, p->opt.rules, fd, id, path, &v, e);
    if (st)
        return st;
    if (v.group == FUSED_GROUP_IMAGE)
        recall(p, id, &v);
    *out = v;
    return STATUS_OK;
}

status fused_identify(struct fused_pipeline *p, int fd, const struct cache_file_id *id,
                      struct fused_verdict *io, struct errmsg *e)
{
    if (io->group != FUSED_GROUP_IMAGE)
        return STATUS_OK;
    if (!io->has_source) {
        uint64_t n;
        status st = digest_sha256_fd(fd, id->size, &io->source, &n);
        if (!st)
            st = n == id->size ? source_unchanged(fd, id) : STATUS_AGAIN;
        if (st)
            return errmsg_set(e, st, "%s", status_text(st));
        io->has_source = true;
    }
    if (!io->has_pixels)
        status_ignore(memo_read(p->opt.cache, io), "then it is decoded again");
    return STATUS_OK;
}

/* ---- looking at it ---- */

void pipeline_stats(struct fused_pipeline *p, struct pipeline_stats *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        out->queued[i] = p->queue[i][LANE_SMALL].count + p->queue[i][LANE_LARGE].count;
    pthread_mutex_unlock(&p->lock);
    out->encoded_bytes = lru_bytes(p->lru);
}

enum pipeline_state pipeline_state_of(struct fused_pipeline *p, const struct cache_file_id *id,
                                      const struct fused_verdict *v)
{
    enum pipeline_state state = PIPELINE_IDLE;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT * LANE_COUNT; i++)
        for (const struct fused_fetch *f = p->queue[i / LANE_COUNT][i % LANE_COUNT].head; f;
             f = f->next)
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
    p->limits = examine_limits(opt->max_pixels);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    for (int i = 0; i < PURIFY_PRIORITY_COUNT; i++)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            p->queue[i][lane].tail = &p->queue[i][lane].head;
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
    for (int i = 0; i < PURIFY_PRIORITY_COUNT * LANE_COUNT; i++) {
        struct fetch_queue *q = &p->queue[i / LANE_COUNT][i % LANE_COUNT];
        pthread_mutex_lock(&p->lock);
        struct fused_fetch *f = q->head;
        *q = (struct fetch_queue){.head = NULL, .tail = &q->head};
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
