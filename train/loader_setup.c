#include "loader.h"

enum { AHEAD_DEFAULT = 4, CHUNK_MAX = 16 };

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
        l->opt.ahead = 2; /* the consumer holds one */
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
