#include "estimator.h"

#include "correlate.h"
#include "protect/protect.h"
#include "stream.h"

#include <math.h>
#include <string.h>

static const float least_amplitude = 4, most_amplitude = 16; /* grey levels of published bounds */

/* Words of an image's stream; the kernel's are of STREAM_KERNEL. */
enum { WORD_IS_PLAIN, WORD_IS_PERTURBED, WORD_FAMILY, WORD_AMPLITUDE, WORD_MOST, WORD_IS_LARGE };

static struct nn_rng image_stream(const struct estimator *s, enum stream purpose, int i)
{
    return stream(s->fit.opt->seed, purpose,
                  (uint64_t)s->fit.step << 16 | (uint64_t)i); /* a batch has at most 2^16 */
}

/* What is added to an image without a filter: of some family, or nothing. */
static status draw_delta(struct estimator *s, struct nn_rng r, int i, struct errmsg *e)
{
    memset(s->delta, 0, s->row * sizeof *s->delta);
    if (nn_rng_uniform(r, WORD_IS_PERTURBED) >= s->opt->perturbed)
        return STATUS_OK;
    const struct family_entry *family =
        &s->mix.entry[family_mix_pick(&s->mix, (double)nn_rng_uniform(r, WORD_FAMILY))];
    struct family_draw draw = {
        .r = image_stream(s, STREAM_DELTA, i),
        .amplitude = stream_uniform(r, WORD_AMPLITUDE, least_amplitude, most_amplitude)};
    status st = family->ops->make(family->state, s->frame, draw, NULL, s->delta);
    return st ? errmsg_prefix(e, st, "family %s", family->ops->is.name) : st;
}

static void draw_kernel(const struct estimator *s, struct nn_rng r, int i, float *out)
{
    correlate_draw(image_stream(s, STREAM_KERNEL, i), s->cfg.side,
                   stream_uniform(r, WORD_MOST, 0, s->opt->blur), out);
}

/* What the network is to say: the kernel with a sum of 1; or none. */
static void say(const float *kernel, int entries, float *out)
{
    float sum = 0;
    for (int k = 0; k < entries; k++)
        sum += kernel ? kernel[k] : 0;
    for (int k = 0; k < entries; k++)
        out[k] = kernel ? kernel[k] / sum : k == entries / 2 ? 1 : 0;
}

struct part {
    int x, y, side;
};

/* A part of what is shown: that of an image (size,size,C) in [0,1], through the kernel or, where that
   is NULL, with the delta. */
static void show(const struct estimator *s, const float *image, const float *kernel, struct part at)
{
    int size = s->cfg.size, c = s->cfg.in_channels;
    for (size_t p = 0; p < s->row; p++)
        s->clean[p] = (uint8_t)lroundf(image[p] * 255);
    if (kernel)
        correlate_bright(s->clean, size, size, c, kernel, s->cfg.side, s->filtered);
    for (int y = at.y; y < at.y + at.side; y++)
        for (int p = (y * size + at.x) * c; p < (y * size + at.x + at.side) * c; p++)
            s->shown[p] = kernel ? (uint8_t)s->filtered[p]
                                 : protect_quantise(s->clean[p], s->delta[p] / 255, TRAIN_ROUND);
}

/* Image i of the batch; or as of a large one: its first quarter, beside and above those of the next. */
static void show_image(const struct estimator *s, const struct train_batch *b, int i,
                       const float *kernel, bool large)
{
    int size = s->cfg.size, half = size / 2;
    if (!large)
        show(s, b->x + (size_t)i * s->row, kernel, (struct part){0, 0, size});
    for (int q = 0; q < 4 && large; q++)
        show(s, b->x + (size_t)((i + q) % s->fit.batch) * s->row, kernel,
             (struct part){q % 2 * half, q / 2 * half, half});
}

static status load_image(struct estimator *s, int i, const struct train_batch *b, struct errmsg *e)
{
    float kernel[PURIFY_ESTIMATOR_ENTRIES_MAX];
    struct nn_rng r = image_stream(s, STREAM_FAMILY, i);
    int entries = s->cfg.side * s->cfg.side;
    float *x = s->x + (size_t)i * s->row;
    bool plain = nn_rng_uniform(r, WORD_IS_PLAIN) < s->opt->plain;
    bool large = nn_rng_uniform(r, WORD_IS_LARGE) < s->opt->large;
    status st = plain ? draw_delta(s, r, i, e) : STATUS_OK;
    if (st)
        return st;
    if (!plain)
        draw_kernel(s, r, i, kernel);
    say(plain ? NULL : kernel, entries, s->target + (ptrdiff_t)i * entries);
    show_image(s, b, i, plain ? NULL : kernel, large);
    for (size_t p = 0; p < s->row; p++)
        x[p] = (float)s->shown[p] / 127.5f - 1;
    return STATUS_OK;
}

status train_estimator_load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct estimator *s = arg;
    status st = STATUS_OK;
    for (int i = 0; i < s->fit.batch && !st; i++)
        st = load_image(s, i, b, e);
    return st;
}
