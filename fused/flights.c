/* Purification, once for all fetches of the same pixels. The table of flights is guarded by the
   pipeline's lock. */
#include "pipeline_parts.h"

#include <string.h>

#include "base/banned.h"

static struct flight **chain_of(struct fused_pipeline *p, const struct digest *pixels)
{
    uint32_t h;
    memcpy(&h, pixels->byte, sizeof h);
    return &p->flight[h % FLIGHT_CHAINS];
}

struct flight *flight_find(struct fused_pipeline *p, const struct digest *pixels)
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
            fetch_deliver(p, f, fl->img.pixels);
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

/* Called with p->lock held. Gives waiting flights to the purifier; returns those that were
   refused. */
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
        store_pixels(p, &fl->pixels, &fl->img);
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

void flight_demote_if_unwanted(struct fused_pipeline *p, struct flight *fl)
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
        .pixels = f->file.verdict.pixels, .pipeline = p, .waiters = f, .priority = f->priority};
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
   purified them removed that flight from the table after storing them, so that looking in this
   order cannot miss both. */
static bool flight_from_cache(struct fused_pipeline *p, struct flight *fl,
                              const struct image_info *info)
{
    struct cache_object o;
    if (stored_pixels(p, &fl->pixels, info, &o))
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

static void flight_launch(struct fused_pipeline *p, struct flight *fl)
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

void flight_join_or_start(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct flight *own = mem_alloc(sizeof *own);
    if (!own) {
        fetch_finish(p, f, STATUS_NOMEM);
        return;
    }
    struct image twin = IMAGE_INIT;
    const struct image_info info = f->file.verdict.info;
    f->next = NULL;
    pthread_mutex_lock(&p->lock);
    struct flight *fl = flight_find(p, &f->file.verdict.pixels);
    if (fl)
        twin = flight_join(p, fl, f);
    else
        flight_insert(p, own, f);
    pthread_mutex_unlock(&p->lock);
    image_done(&twin);
    if (fl)
        mem_free(own);
    else if (!flight_from_cache(p, own, &info))
        flight_launch(p, own);
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

void flights_stop(struct fused_pipeline *p)
{
    overflow_run(p); /* refuses all of them, since stopping is set */
    cancel_flights(p);
}
