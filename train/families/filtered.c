/*
 * Noise with the texture of a random filter: what signs and steps of a network's gradient look like
 * (EMN, Huang et al., ICLR 2021; TAP, Fowl et al., NeurIPS 2021), whose first layer is such filters.
 * Normal noise goes through a filter of 1 to 7 pixels that mixes the channels, then through tanh or
 * the sign. A quarter of the filters have a mean for each pair of channels, which makes the noise
 * smooth. Of a quarter of what is made, pixels are left out at random.
 */
#include "family.h"

#include "stream.h"

#include <assert.h>
#include <math.h>

enum {
    SIDE_MAX = 7,
    CHANNELS = TRAIN_CHANNELS_MAX,
    FILTER_MAX = CHANNELS * SIDE_MAX * SIDE_MAX * CHANNELS,
    /* words of the stream */
    AT_MEANS = 4,
    AT_FILTER = 16,
    AT_NOISE = 1024
};
static_assert(AT_MEANS + CHANNELS * CHANNELS <= AT_FILTER, "means and filter share words");
static_assert(AT_FILTER + FILTER_MAX <= AT_NOISE, "filter and noise share words");

static size_t noise_count(struct family_frame f)
{
    return (size_t)(f.width + SIDE_MAX - 1) * (size_t)(f.height + SIDE_MAX - 1) *
           (size_t)f.channels;
}

static status begin(struct family_frame f, void **out_state, struct errmsg *e)
{
    (void)e;
    return family_buffer(noise_count(f), out_state);
}

/* (C,side,side,C), the channel made first; each of norm 1, so that what is made has variance 1. */
static void make_filter(struct nn_rng r, int side, int channels, bool smooth, float *filter)
{
    int each = side * side * channels;
    float means[CHANNELS * CHANNELS];
    nn_rng_normal(r, AT_MEANS, means, (size_t)(channels * channels));
    nn_rng_normal(r, AT_FILTER, filter, (size_t)(channels * each));
    for (int c = 0; c < channels; c++, filter += each) {
        float square = 0;
        for (int i = 0; i < each; i++) {
            filter[i] += smooth ? means[c * channels + i % channels] : 0;
            square += filter[i] * filter[i];
        }
        for (int i = 0; i < each; i++)
            filter[i] /= sqrtf(square);
    }
}

static float filter_at(const float *noise, int stride, const float *filter, int side, int channels)
{
    float sum = 0;
    for (int y = 0; y < side; y++, noise += stride, filter += side * channels)
        for (int i = 0; i < side * channels; i++)
            sum += noise[i] * filter[i];
    return sum;
}

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    float *noise = state, filter[FILTER_MAX];
    int side = 1 + stream_below(nn_rng_u32(d.r, 0), SIDE_MAX), c = f.channels;
    int stride = (f.width + SIDE_MAX - 1) * c, each = side * side * c;
    uint32_t coins = nn_rng_u32(d.r, 1);
    bool signs = coins & 1, thinned = (coins >> 1 & 3) == 0, smooth = (coins >> 3 & 3) == 0;
    float steep = stream_uniform(d.r, 2, .5f, 2), kept = stream_uniform(d.r, 3, .1f, .9f);
    uint64_t at_thin = AT_NOISE + noise_count(f);
    (void)image;
    make_filter(d.r, side, c, smooth, filter);
    nn_rng_normal(d.r, AT_NOISE, noise, noise_count(f));
    for (int i = 0; i < f.width * f.height; i++) {
        bool left_out = thinned && nn_rng_uniform(d.r, at_thin + (uint64_t)i) >= kept;
        const float *from = noise + (i / f.width) * stride + (i % f.width) * c;
        for (int k = 0; k < c; k++) {
            float v = filter_at(from, stride, filter + k * each, side, c);
            v = signs ? v < 0 ? -1 : 1 : tanhf(steep * v);
            *out++ = left_out ? 0 : d.amplitude * v;
        }
    }
    return STATUS_OK;
}

const struct family_ops family_filtered = {
    .is = {.name = "filtered",
           .summary = "noise of a random filter's texture, as gradients of networks have it",
           .share = 22,
           FAMILY_TOLD_NOISE},
    .strides = true,
    .begin = begin,
    .end = family_buffer_end,
    .make = make,
};
