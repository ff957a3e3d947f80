/* The images that a generation's networks are trained on. */
#include "families/gradients.h"

#include "set.h"
#include "stream.h"

enum {
    IMAGES = 512, /* a short training sees each a dozen times */
    LEAST = 64,
    /* a generation has streams of its own for: */
    STREAM_OF_FOLDERS = 0,
    STREAM_OF_SAMPLES,
    STREAM_OF_PLACES,
    STREAMS,
    WORDS = 4 /* of an image's place */
};
static const size_t most_bytes = (size_t)64 << 20; /* fewer images, but not less than LEAST */

static struct nn_rng pool_stream(const struct gradients *s, int64_t generation, int which)
{
    return stream(s->source.seed, STREAM_POOL, (uint64_t)generation * STREAMS + (uint64_t)which);
}

status gradients_pool_init(struct gradients *s)
{
    struct gradients_pool *p = &s->pool;
    int samples = train_set_info(s->source.set).samples;
    size_t row = family_count(s->frame), fit = most_bytes / row;
    p->generation = -1;
    p->max = fit < LEAST ? LEAST : fit < IMAGES ? (int)fit : IMAGES;
    p->pixels = mem_alloc((size_t)p->max * row);
    p->sample = mem_alloc((size_t)p->max * sizeof *p->sample);
    p->order = mem_alloc((size_t)samples * sizeof *p->order);
    p->folder = mem_alloc((size_t)samples * sizeof *p->folder);
    p->class_of = mem_alloc((size_t)samples * sizeof *p->class_of); /* no more folders than that */
    if (!p->pixels || !p->sample || !p->order || !p->folder || !p->class_of)
        return STATUS_NOMEM;
    return train_set_folders(s->source.set, p->folder, &p->folders);
}

void gradients_pool_done(struct gradients_pool *p)
{
    mem_free(p->pixels);
    mem_free(p->sample);
    mem_free(p->order);
    mem_free(p->folder);
    mem_free(p->class_of);
}

int gradients_true_class(const struct gradients_pool *p, int sample)
{
    int folder = p->folder[sample], k = folder < 0 ? -1 : p->class_of[folder];
    return k < GRADIENTS_CLASSES ? k : -1;
}

static status add(struct gradients *s, int sample, struct nn_rng places, struct errmsg *e)
{
    struct gradients_pool *p = &s->pool;
    struct set_view v;
    int size = s->frame.width;
    status st = train_set_view(s->source.set, sample, &v, e);
    if (st)
        return st;
    struct augment_placing at =
        set_view_place(&v, size, s->source.flip, places, (uint64_t)p->n * WORDS);
    set_view_cut(&v, at, size, s->frame.channels,
                 p->pixels + (size_t)p->n * family_count(s->frame));
    p->sample[p->n++] = sample;
    train_set_view_done(&v);
    return STATUS_OK;
}

status gradients_pool_fill(struct gradients *s, int64_t generation, struct errmsg *e)
{
    struct gradients_pool *p = &s->pool;
    int samples = train_set_info(s->source.set).samples;
    status st = STATUS_OK;
    if (p->generation == generation)
        return STATUS_OK;
    p->generation = -1;
    p->n = 0;
    nn_rng_shuffle(pool_stream(s, generation, STREAM_OF_FOLDERS), p->class_of, p->folders);
    nn_rng_shuffle(pool_stream(s, generation, STREAM_OF_SAMPLES), p->order, samples);
    for (int i = 0; i < samples && p->n < p->max && !st; i++) {
        bool wanted = p->folders < 2 || gradients_true_class(p, p->order[i]) >= 0;
        if (stop_requested())
            st = STATUS_CANCELLED;
        else if (wanted)
            st = add(s, p->order[i], pool_stream(s, generation, STREAM_OF_PLACES), e);
    }
    if (!st)
        p->generation = generation;
    return st;
}
