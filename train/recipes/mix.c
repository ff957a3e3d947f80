/*
 * Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): an image is mixed with another of its
 * batch, and so are their labels. In each of `rounds`, with probability p: as published data sets
 * of unlearnable examples are tested (methods of EMN's authors), each image draws its own partner
 * and share. A partner is as it was loaded.
 *
 * Words of the stream of (seed, step): a block for each round and image.
 */
#include "recipes/losses.h"
#include "run.h"
#include "stream.h"

#include <math.h>
#include <string.h>

struct options {
    float alpha, p;
    int rounds;
};
static const struct param rows[] = {
    {"alpha", PARAM_FLOAT, offsetof(struct options, alpha), .lo = .05, .hi = 2, .standard = "1",
     .about = "shares are from Beta(alpha, alpha)"},
    {"p", PARAM_FLOAT, offsetof(struct options, p), .lo = 0, .hi = 1, .standard = "0.5",
     .about = "probability in each round"},
    {"rounds", PARAM_INT, offsetof(struct options, rounds), .lo = 1, .hi = 16, .standard = "2",
     .about = "times that an image may be mixed"},
};

struct state {
    float *x, *target; /* the batch as it was loaded */
};

enum { WORDS = 1024, WORD_ACTS = 0, WORD_PARTNER, WORD_X, WORD_Y, WORD_SHARE, TRIES = 256 };

static size_t row_of(const struct run *r)
{
    struct train_net_shape s = r->model->shape;
    return (size_t)s.width * (size_t)s.height * (size_t)s.channels;
}

static status open_mix(struct run *r, struct errmsg *e)
{
    struct state *s = r->state;
    (void)e;
    s->x = mem_zalloc((size_t)r->batch * row_of(r), sizeof *s->x);
    s->target = mem_zalloc((size_t)r->batch * (size_t)r->model->shape.classes, sizeof *s->target);
    return s->x && s->target ? STATUS_OK : STATUS_NOMEM;
}

static void close_mix(struct run *r)
{
    struct state *s = r->state;
    mem_free(s->x);
    mem_free(s->target);
}

/* Of Beta(alpha, alpha), Jöhnk 1964: u^(1/alpha) / (u^(1/alpha) + v^(1/alpha)) of the first pair
   whose sum is at most 1. With alpha 2 that is one in six. */
static float share(struct nn_rng r, uint64_t at, double alpha)
{
    for (int i = 0; i < TRIES; i++, at += 2) {
        double u = pow((double)nn_rng_uniform(r, at), 1 / alpha);
        double v = pow((double)nn_rng_uniform(r, at + 1), 1 / alpha);
        if (u + v <= 1 && u + v > 0)
            return (float)(u / (u + v));
    }
    return .5f;
}

/* Part of the other image, 0..1, in row i of the batch; of it is row j. */
typedef float mix_fn(struct run *r, int i, int j, struct nn_rng rng, uint64_t at);

static status mix_batch(struct run *r, mix_fn *mix)
{
    const struct options *o = r->params;
    const struct state *s = r->state;
    size_t classes = (size_t)r->model->shape.classes;
    struct nn_rng rng = stream(r->opt->seed, STREAM_MIX, (uint64_t)r->at.step);
    memcpy(s->x, r->in, (size_t)r->batch * row_of(r) * sizeof *s->x);
    memcpy(s->target, r->target, (size_t)r->batch * classes * sizeof *s->target);
    for (int b = 0; b < o->rounds * r->batch; b++) {
        int i = b % r->batch;
        uint64_t at = (uint64_t)b * WORDS;
        if (!(nn_rng_uniform(rng, at + WORD_ACTS) < o->p))
            continue;
        int j = stream_below(nn_rng_u32(rng, at + WORD_PARTNER), r->batch);
        float part = mix(r, i, j, rng, at);
        float *t = r->target + (size_t)i * classes, *other = s->target + (size_t)j * classes;
        for (size_t k = 0; k < classes; k++)
            t[k] += part * (other[k] - t[k]);
    }
    return STATUS_OK;
}

static float blend(struct run *r, int i, int j, struct nn_rng rng, uint64_t at)
{
    const struct options *o = r->params;
    size_t row = row_of(r);
    float part = share(rng, at + WORD_SHARE, (double)o->alpha), *x = r->in + (size_t)i * row;
    const float *other = ((const struct state *)r->state)->x + (size_t)j * row;
    for (size_t p = 0; p < row; p++)
        x[p] += part * (other[p] - x[p]);
    return part;
}

static int within(float v, int n)
{
    return v < 0 ? 0 : v > (float)n ? n : (int)v;
}

/* A rectangle with the image's proportions and a centre anywhere, cut off at the image's border. */
static float paste(struct run *r, int i, int j, struct nn_rng rng, uint64_t at)
{
    const struct options *o = r->params;
    struct train_net_shape s = r->model->shape;
    float side = sqrtf(share(rng, at + WORD_SHARE, (double)o->alpha));
    float w = side * (float)s.width / 2, h = side * (float)s.height / 2;
    float cx = nn_rng_uniform(rng, at + WORD_X) * (float)s.width;
    float cy = nn_rng_uniform(rng, at + WORD_Y) * (float)s.height;
    int left = within(cx - w, s.width), right = within(cx + w, s.width);
    int top = within(cy - h, s.height), bottom = within(cy + h, s.height);
    size_t row = row_of(r), c = (size_t)s.channels;
    float *x = r->in + (size_t)i * row;
    const float *other = ((const struct state *)r->state)->x + (size_t)j * row;
    for (int y = top; y < bottom; y++) {
        size_t from = ((size_t)y * (size_t)s.width + (size_t)left) * c;
        memcpy(x + from, other + from, (size_t)(right - left) * c * sizeof *x);
    }
    return (float)((right - left) * (bottom - top)) / (float)(s.width * s.height);
}

static status mixup(struct run *r)
{
    return mix_batch(r, blend);
}

static status cutmix(struct run *r)
{
    return mix_batch(r, paste);
}

const struct recipe_ops recipe_mixup = {
    .is = {.name = "mixup",
           .summary = "images and labels blended with others of the batch",
           .params = PARAM_TABLE(rows, struct options)},
    .loss = &recipe_target_loss,
    .state_size = sizeof(struct state),
    .open = open_mix,
    .close = close_mix,
    .batch = mixup,
};
const struct recipe_ops recipe_cutmix = {
    .is = {.name = "cutmix",
           .summary = "a part of each image from another of the batch, and of its label",
           .params = PARAM_TABLE(rows, struct options)},
    .loss = &recipe_target_loss,
    .state_size = sizeof(struct state),
    .open = open_mix,
    .close = close_mix,
    .batch = cutmix,
};
