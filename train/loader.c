/*
 * A ring of `ahead` slots; slot b % ahead holds batch b. The consumer owns the slot it was given
 * last; asking for the next batch hands that slot back, and the batch `ahead` further on is begun
 * in it. A slot is filled in chunks, each a pool job that writes only its own rows; the last chunk
 * to finish wakes the consumer. A batch whose samples are all kept in memory is filled by the
 * consumer itself when it asks: copying costs less than waking a thread, and leaves the cores to
 * the network.
 *
 * Every job that was begun has ended before the epoch is changed or the loader freed.
 */
#include "augment.h"
#include "set.h"
#include "stream.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { AHEAD_DEFAULT = 4, CHUNK_MAX = 16 };

struct slot {
    struct train_batch batch;
    float *x;
    int32_t *label;
    int *index;
    int pending; /* chunks not finished; guarded by the loader's lock, as below */
    bool here;   /* to be filled by the consumer */
    int failed_at;
    status st;
    struct errmsg err;
};

struct chunk {
    struct train_loader *loader;
    struct slot *slot;
    int from, to; /* rows */
};

struct train_loader {
    struct train_set *set;
    struct train_loader_options opt;
    int width, height, channels; /* of a row of x */
    int samples, batches;
    int *order; /* (samples) */
    struct augment_list augment;
    float std[TRAIN_CHANNELS_MAX];        /* without zeros */
    float table[TRAIN_CHANNELS_MAX][256]; /* of the network's input, or of [0,1] before rows that
                                             work on pixels */
    uint64_t epoch;
    int begun, given; /* batches begun, given to the consumer; this epoch */
    struct slot *slot;
    struct chunk *chunk; /* (ahead, chunks) */
    int chunk_rows, chunks;
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t done;
};

/* ---- one row ---- */

static void fill_row(const struct train_loader *l, const struct set_view *v,
                     struct augment_placing p, float *out)
{
    int c = l->channels;
    for (int y = 0; y < l->height; y++) {
        int sy = y + p.y;
        bool row_in = sy >= 0 && sy < v->height;
        for (int x = 0; x < l->width; x++, out += c) {
            int sx = p.x + (p.mirror ? l->width - 1 - x : x);
            bool in = row_in && sx >= 0 && sx < v->width;
            const uint8_t *src =
                in ? v->pixels + ((size_t)sy * (size_t)v->width + (size_t)sx) * (size_t)c
                   : (const uint8_t[TRAIN_CHANNELS_MAX]){0};
            for (int k = 0; k < c; k++)
                out[k] = l->table[k][src[k]];
        }
    }
}

/* out holds pixels in [0,1] and gets what the network wants. */
static status augment_row(const struct train_loader *l, struct augment_of of, float *spare,
                          float *out)
{
    size_t c = (size_t)l->channels, row = (size_t)l->width * (size_t)l->height * c;
    struct augment_pixels p = {l->width, l->height, l->channels, out, spare};
    status st = augment_apply(&l->augment, of, &p);
    for (size_t i = 0; i < row; i++)
        out[i] = (out[i] - l->opt.mean[i % c]) / l->std[i % c];
    return st;
}

static status fill_rows(const struct train_loader *l, struct slot *s, int from, int to, int *out_at,
                        struct errmsg *e)
{
    size_t row = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
    AUTO(mem_free) float *spare = l->augment.pixels ? mem_alloc(row * sizeof *spare) : NULL;
    *out_at = from;
    if (l->augment.pixels && !spare)
        return STATUS_NOMEM;
    for (int i = from; i < to; i++) {
        struct augment_of of = {l->opt.seed, l->epoch, s->index[i]};
        struct set_view v;
        *out_at = i;
        status st =
            stop_requested() ? STATUS_CANCELLED : train_set_view(l->set, s->index[i], &v, e);
        if (st)
            return st;
        struct augment_frame frame = {v.width, v.height, l->width, l->height};
        fill_row(l, &v, augment_place(&l->augment, of, frame), s->x + (size_t)i * row);
        train_set_view_done(&v);
        if (l->augment.pixels)
            st = augment_row(l, of, spare, s->x + (size_t)i * row);
        if (st)
            return st;
    }
    return STATUS_OK;
}

static void chunk_job(void *arg)
{
    struct chunk *c = arg;
    struct train_loader *l = c->loader;
    struct errmsg err = {""};
    int at = c->from;
    status st = fill_rows(l, c->slot, c->from, c->to, &at, &err);
    pthread_mutex_lock(&l->lock);
    if (st && at < c->slot->failed_at) {
        c->slot->failed_at = at;
        c->slot->st = st;
        c->slot->err = err;
    }
    if (--c->slot->pending == 0)
        pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
}

/* ---- batches ---- */

static int batch_first(const struct train_loader *l, int b)
{
    return b * l->opt.batch;
}

static int batch_size(const struct train_loader *l, int b)
{
    int left = l->samples - batch_first(l, b);
    return left < l->opt.batch ? left : l->opt.batch;
}

static void describe(struct train_loader *l, struct slot *s, int b)
{
    int n = batch_size(l, b), first = batch_first(l, b);
    size_t row = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
    for (int i = 0; i < l->opt.batch; i++) {
        s->index[i] = i < n ? l->order[first + i] : -1;
        s->label[i] = i < n ? train_set_label(l->set, s->index[i]) : -1;
    }
    memset(s->x + (size_t)n * row, 0, (size_t)(l->opt.batch - n) * row * sizeof(float));
    s->batch = (struct train_batch){n, s->x, s->label, s->index};
    s->st = STATUS_OK;
    s->err.text[0] = 0;
    s->failed_at = n;
    s->here = true;
    for (int i = 0; i < n && s->here; i++)
        s->here = train_set_is_kept(l->set, s->index[i]);
}

static status begin(struct train_loader *l)
{
    int b = l->begun++, at = b % l->opt.ahead;
    struct slot *s = &l->slot[at];
    describe(l, s, b);
    if (s->here)
        return STATUS_OK;
    int n = s->batch.n, chunks = (n + l->chunk_rows - 1) / l->chunk_rows;
    s->pending = chunks; /* no job of this slot is running */
    for (int i = 0; i < chunks; i++) {
        struct chunk *c = &l->chunk[at * l->chunks + i];
        int to = (i + 1) * l->chunk_rows;
        *c = (struct chunk){l, s, i * l->chunk_rows, to < n ? to : n};
        status st =
            pool_submit(l->pool, chunk_job, c); /* never waits: the queue holds all chunks */
        if (st) {
            pthread_mutex_lock(&l->lock);
            s->pending -= chunks - i;
            pthread_mutex_unlock(&l->lock);
            return st;
        }
    }
    return STATUS_OK;
}

/* A signal wakes nobody who waits for a condition, so one looks: ten times a second. */
static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 100 * 1000 * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static status await(struct train_loader *l, struct slot *s, struct errmsg *e)
{
    if (s->here) {
        int at;
        return fill_rows(l, s, 0, s->batch.n, &at, e);
    }
    pthread_mutex_lock(&l->lock);
    while (s->pending && !stop_requested()) {
        struct timespec until = soon();
        pthread_cond_clockwait(&l->done, &l->lock, CLOCK_MONOTONIC, &until);
    }
    status st = s->pending ? STATUS_CANCELLED : s->st;
    if (st && e)
        *e = s->err;
    pthread_mutex_unlock(&l->lock);
    return st;
}

int train_loader_batches(const struct train_loader *l)
{
    return l->batches;
}

status train_loader_start(struct train_loader *l, uint64_t epoch, int first)
{
    pool_wait_idle(l->pool);
    if (first < 0 || first > l->batches)
        return STATUS_INVALID;
    l->epoch = epoch;
    for (int i = 0; i < l->samples; i++)
        l->order[i] = i;
    if (l->opt.shuffle)
        nn_rng_shuffle(stream(l->opt.seed, STREAM_SHUFFLE, epoch), l->order, l->samples);
    l->begun = l->given = first;
    status st = STATUS_OK;
    while (!st && l->begun < l->batches && l->begun < first + l->opt.ahead)
        st = begin(l);
    return st;
}

status train_loader_next(struct train_loader *l, const struct train_batch **out, struct errmsg *e)
{
    /* The slot given last is free again. */
    if (l->begun < l->batches && l->begun < l->given + l->opt.ahead) {
        status st = begin(l);
        if (st)
            return st;
    }
    if (l->given == l->batches) {
        *out = NULL;
        return STATUS_OK;
    }
    struct slot *s = &l->slot[l->given % l->opt.ahead];
    status st = await(l, s, e);
    if (st)
        return st;
    l->given++;
    *out = &s->batch;
    return STATUS_OK;
}

/* ---- life ---- */

static void fill_table(struct train_loader *l)
{
    for (int k = 0; k < TRAIN_CHANNELS_MAX; k++) {
        l->std[k] = l->opt.std[k] != 0 ? l->opt.std[k] : 1;
        for (int v = 0; v < 256; v++)
            l->table[k][v] =
                l->augment.pixels ? (float)v / 255 : ((float)v / 255 - l->opt.mean[k]) / l->std[k];
    }
}

static status fix_shape(struct train_loader *l, struct errmsg *e)
{
    struct train_set_info info = train_set_info(l->set);
    struct train_loader_options *o = &l->opt;
    if (o->batch < 1 || o->pad < 0 || o->ahead < 0 || o->threads < 0 || o->crop < 0)
        return errmsg_set(e, STATUS_INVALID,
                          "batch must be positive, pad, crop, ahead not negative");
    if (o->crop > info.width || o->crop > info.height)
        return errmsg_set(e, STATUS_INVALID, "crop %d is larger than the images (%dx%d)", o->crop,
                          info.width, info.height);
    l->width = o->crop ? o->crop : info.width;
    l->height = o->crop ? o->crop : info.height;
    l->channels = info.channels;
    l->samples = info.samples;
    l->batches = o->drop_last ? info.samples / o->batch : (info.samples + o->batch - 1) / o->batch;
    return STATUS_OK;
}

/* Crop and flip first, whose options are as old as the loader. */
static status make_augments(struct train_loader *l, struct errmsg *e)
{
    const struct train_loader_options *o = &l->opt;
    char pad[16];
    snprintf(pad, sizeof pad, "%d", o->pad);
    status st = augment_list_parse(o->augment, &l->augment, e);
    if (!st && (o->pad || (o->crop && o->shuffle)))
        st = augment_list_add(&l->augment, "crop", &(struct param_arg){"pad", pad}, 1, e);
    if (!st && o->flip)
        st = augment_list_add(&l->augment, "flip", NULL, 0, e);
    return st;
}

static status alloc_slots(struct train_loader *l)
{
    size_t batch = (size_t)l->opt.batch;
    size_t row = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
    l->slot = mem_zalloc((size_t)l->opt.ahead, sizeof *l->slot);
    l->order = mem_zalloc((size_t)l->samples, sizeof *l->order);
    l->chunk = mem_zalloc((size_t)l->opt.ahead * (size_t)l->chunks, sizeof *l->chunk);
    if (!l->slot || !l->order || !l->chunk)
        return STATUS_NOMEM;
    for (int i = 0; i < l->opt.ahead; i++) {
        struct slot *s = &l->slot[i];
        s->x = mem_zalloc(batch * row, sizeof *s->x);
        s->label = mem_zalloc(batch, sizeof *s->label);
        s->index = mem_zalloc(batch, sizeof *s->index);
        if (!s->x || !s->label || !s->index)
            return STATUS_NOMEM;
    }
    return STATUS_OK;
}

status train_loader_new(struct train_set *set, const struct train_loader_options *opt,
                        struct train_loader **out, struct errmsg *e)
{
    struct train_loader *l = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    l->set = set;
    l->opt = *opt;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->done, NULL);
    status st = fix_shape(l, e);
    if (st)
        goto fail;
    if (!l->opt.ahead)
        l->opt.ahead = AHEAD_DEFAULT;
    if (l->opt.ahead < 2)
        l->opt.ahead = 2; /* one is the consumer's */
    if (!l->opt.threads)
        l->opt.threads = cpu_count();
    l->chunk_rows = l->opt.batch / l->opt.threads;
    l->chunk_rows = l->chunk_rows < 1 ? 1 : l->chunk_rows > CHUNK_MAX ? CHUNK_MAX : l->chunk_rows;
    l->chunks = (l->opt.batch + l->chunk_rows - 1) / l->chunk_rows;
    st = make_augments(l, e);
    if (st)
        goto fail;
    fill_table(l);
    st = alloc_slots(l);
    if (!st)
        st = pool_new("decode", l->opt.threads, l->opt.ahead * l->chunks, &l->pool);
    if (st)
        goto fail;
    *out = l;
    return STATUS_OK;
fail:
    train_loader_free(l);
    return st;
}

void train_loader_free(struct train_loader *l)
{
    if (!l)
        return;
    pool_free(l->pool);
    for (int i = 0; l->slot && i < l->opt.ahead; i++) {
        mem_free(l->slot[i].x);
        mem_free(l->slot[i].label);
        mem_free(l->slot[i].index);
    }
    augment_list_done(&l->augment);
    mem_free(l->slot);
    mem_free(l->order);
    mem_free(l->chunk);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->done);
    mem_free(l);
}
