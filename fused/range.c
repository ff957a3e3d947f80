#include "range.h"

#include <pthread.h>

#include "base/banned.h"

/* Enough for the purifier to form groups on every thread. */
enum { WINDOW_MIN = 8, WINDOW_MAX = 256 };

struct range {
    struct fused_pipeline *pipeline;
    struct range_options opt;
    pthread_mutex_t lock;
    uint64_t next;    /* guarded by lock, as all below */
    unsigned running; /* fetches that were begun, and range_start itself */
    status st;
    struct errmsg err;
    unsigned window;
    struct fused_fetch fetch[];
};

static void fetched(struct fused_fetch *f, status st);

status range_new(struct fused_pipeline *p, const struct range_options *opt, struct range **out)
{
    unsigned window = pipeline_queue_depth(p);
    window = window < WINDOW_MIN ? WINDOW_MIN : window > WINDOW_MAX ? WINDOW_MAX : window;
    if (opt->to - opt->from < window)
        window = (unsigned)(opt->to - opt->from);
    struct range *r = mem_zalloc(1, sizeof *r + window * sizeof r->fetch[0]);
    if (!r)
        return STATUS_NOMEM;
    r->pipeline = p;
    r->opt = *opt;
    r->next = opt->from;
    r->window = window;
    /* All of them now: who gives up may do so while the first are being started. */
    for (unsigned i = 0; i < window; i++) {
        fused_fetch_init(&r->fetch[i], opt->file, 0, fetched, r);
        r->fetch[i].want_bytes = opt->want_bytes;
    }
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return STATUS_OK;
}

void range_free(struct range *r)
{
    if (!r)
        return;
    CHECK(r->running == 0);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* The first failure counts. */
static void note(struct range *r, status st, const struct errmsg *e)
{
    pthread_mutex_lock(&r->lock);
    if (st && !r->st) {
        r->st = st;
        r->err = *e;
    }
    pthread_mutex_unlock(&r->lock);
}

/* The next image to fetch, or false: there is none. */
static bool next_image(struct range *r, uint64_t *out)
{
    pthread_mutex_lock(&r->lock);
    bool more = !r->st && r->next < r->opt.to;
    if (more)
        *out = r->next++;
    pthread_mutex_unlock(&r->lock);
    return more;
}

/* One that was running is no more. */
static void one_less(struct range *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->running == 0;
    struct errmsg e = r->err;
    status st = r->st;
    pthread_mutex_unlock(&r->lock);
    if (last)
        r->opt.done(r->opt.arg, st, &e);
}

/* A fetch's callback: takes in its image and goes on with the next. */
static void fetched(struct fused_fetch *f, status st)
{
    struct range *r = f->arg;
    struct errmsg e = f->err;
    if (!st)
        st = r->opt.image(r->opt.arg, f->index, f->bytes);
    fused_bytes_unref(f->bytes);
    note(r, st, &e);
    if (next_image(r, &f->index))
        fused_fetch_start(r->pipeline, f, r->opt.priority);
    else
        one_less(r);
}

void range_start(struct range *r)
{
    r->running = 1;
    for (unsigned i = 0; i < r->window; i++) {
        struct fused_fetch *f = &r->fetch[i];
        if (!next_image(r, &f->index))
            break;
        pthread_mutex_lock(&r->lock);
        r->running++;
        pthread_mutex_unlock(&r->lock);
        fused_fetch_start(r->pipeline, f, r->opt.priority);
    }
    one_less(r);
}

void range_abandon(struct range *r)
{
    note(r, STATUS_CANCELLED, &(const struct errmsg){""});
    for (unsigned i = 0; i < r->window; i++)
        fused_fetch_abandon(r->pipeline, &r->fetch[i]);
}
