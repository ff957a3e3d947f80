/* Going over all samples of a set, with several threads. */
#include "set_state.h"

#include <pthread.h>
#include <string.h>

struct sweep {
    struct train_set *set;
    status (*fn)(void *arg, int i, struct errmsg *e);
    void *arg;
    atomic_int next;
    pthread_mutex_t lock;
    int failed_at; /* guarded by lock, as below; lowest index that failed */
    status st;
    struct errmsg err;
};

static void sweep_job(void *arg)
{
    struct sweep *w = arg;
    for (;;) {
        int i = atomic_fetch_add(&w->next, 1);
        if (i >= w->set->n)
            return;
        struct errmsg err = {""};
        status st = stop_requested() ? STATUS_CANCELLED : w->fn(w->arg, i, &err);
        if (!st)
            continue;
        pthread_mutex_lock(&w->lock);
        if (i < w->failed_at) {
            w->failed_at = i;
            w->st = st;
            w->err = err;
        }
        pthread_mutex_unlock(&w->lock);
        /* Every lower index has been taken already, so the lowest failure will still be seen. */
        atomic_store(&w->next, w->set->n);
        return;
    }
}

status train_set_for_each(struct train_set *s, status (*fn)(void *arg, int i, struct errmsg *e),
                          void *arg, struct errmsg *e)
{
    struct sweep w = {.set = s, .fn = fn, .arg = arg, .failed_at = s->n};
    struct pool *pool = NULL;
    status st = pool_new("sweep", s->opt.threads, s->opt.threads, &pool);
    if (st)
        return st;
    pthread_mutex_init(&w.lock, NULL);
    for (int t = 0; t < s->opt.threads && !st; t++)
        st = pool_submit(pool, sweep_job, &w);
    pool_free(pool);
    pthread_mutex_destroy(&w.lock);
    if (!st && w.st) {
        st = w.st;
        if (e)
            *e = w.err;
    }
    return st;
}

/* ---- leaving out what does not decode ---- */

struct scan {
    struct train_set *set;
    status *result; /* (n) */
    pthread_mutex_t lock;
    int first; /* guarded by lock, as is the text */
    char text[256];
};

bool set_is_bad_file(status st)
{
    return st == STATUS_CORRUPT || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
}

static status scan_one(void *arg, int i, struct errmsg *e)
{
    struct scan *c = arg;
    struct set_view v;
    status st = train_set_view(c->set, i, &v, e);
    if (!st)
        train_set_view_done(&v);
    if (st && !set_is_bad_file(st))
        return st;
    c->result[i] = st;
    if (st) {
        pthread_mutex_lock(&c->lock);
        if (i < c->first) {
            c->first = i;
            snprintf(c->text, sizeof c->text, "%.255s", errmsg_text(e, st));
        }
        pthread_mutex_unlock(&c->lock);
    }
    return STATUS_OK;
}

status set_drop_bad(struct train_set *s, struct errmsg *e)
{
    AUTO(mem_free) status *result = mem_zalloc((size_t)s->n, sizeof *result);
    if (!result)
        return STATUS_NOMEM;
    struct scan c = {.set = s, .result = result, .first = s->n};
    pthread_mutex_init(&c.lock, NULL);
    status st = train_set_for_each(s, scan_one, &c, e);
    pthread_mutex_destroy(&c.lock);
    if (st)
        return st;
    int kept = 0;
    for (int i = 0; i < s->n; i++) {
        struct sample *from = &s->sample[i], *to = &s->sample[kept];
        if (result[i]) {
            mem_free(TAKE(from->path));
            s->bad++;
            continue;
        }
        kept++;
        if (to == from)
            continue;
        to->path = TAKE(from->path);
        to->label = from->label;
        atomic_store(&to->kept, atomic_exchange(&from->kept, NULL));
    }
    s->n = kept;
    memcpy(s->first_bad, c.text, sizeof s->first_bad);
    return STATUS_OK;
}

/* ---- identity ---- */

struct digest_sweep {
    struct train_set *set;
    uint64_t *sum; /* (n) checksum of pixels and size */
};

static status digest_one(void *arg, int i, struct errmsg *e)
{
    struct digest_sweep *d = arg;
    struct set_view v;
    status st = train_set_view(d->set, i, &v, e);
    if (st)
        return st;
    size_t bytes = (size_t)v.width * (size_t)v.height * (size_t)d->set->channels;
    d->sum[i] = checksum64(v.pixels, bytes) ^ ((uint64_t)v.width << 32 | (uint64_t)v.height);
    train_set_view_done(&v);
    return STATUS_OK;
}

status train_set_digest(struct train_set *s, struct digest *out, struct errmsg *e)
{
    AUTO(mem_free) uint64_t *sum = mem_zalloc((size_t)s->n, sizeof *sum);
    AUTO(buf_done) struct buf text = BUF_INIT((size_t)1 << 34);
    if (!sum)
        return STATUS_NOMEM;
    struct digest_sweep d = {s, sum};
    status st = train_set_for_each(s, digest_one, &d, e);
    for (int i = 0; i < s->n && !st; i++)
        st = buf_addf(&text, "%s\t%d\t%016llx\n", s->sample[i].path, s->sample[i].label,
                      (unsigned long long)sum[i]);
    if (st)
        return st;
    struct digest_part part = {text.data, text.len};
    return digest_sha256(&part, 1, out);
}
