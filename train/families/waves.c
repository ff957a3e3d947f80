/* A few plane waves of any direction, up to half a turn a pixel. */
#include "family.h"

#include "stream.h"

#include <math.h>
#include <string.h>

enum { WAVES_MAX = 4, WORDS = 8 };
static const float turn = 6.28318530717958647692f;

struct wave {
    float x, y;                       /* radians a pixel */
    float phase;                      /* of all channels */
    float height[TRAIN_CHANNELS_MAX]; /* -1 to 1 */
};

static struct wave draw_wave(struct nn_rng r, uint64_t at, struct family_frame f)
{
    int longest = f.width > f.height ? f.width : f.height;
    float direction = stream_uniform(r, at, 0, turn);
    float speed = turn * stream_uniform(r, at + 1, .5f / (float)longest, .5f);
    struct wave w = {.x = speed * cosf(direction),
                     .y = speed * sinf(direction),
                     .phase = stream_uniform(r, at + 2, 0, turn)};
    for (int c = 0; c < f.channels; c++)
        w.height[c] = stream_uniform(r, at + 3 + (uint64_t)c, -1, 1);
    return w;
}

/* So that no channel can exceed the amplitude, and one may reach it. */
static float scale_of(const struct wave *w, int n, int channels)
{
    float most = 0;
    for (int c = 0; c < channels; c++) {
        float sum = 0;
        for (int i = 0; i < n; i++)
            sum += fabsf(w[i].height[c]);
        most = sum > most ? sum : most;
    }
    return most > 0 ? 1 / most : 0;
}

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    struct wave w[WAVES_MAX];
    int n = 1 + stream_below(nn_rng_u32(d.r, 0), WAVES_MAX);
    (void)state;
    (void)image;
    for (int i = 0; i < n; i++)
        w[i] = draw_wave(d.r, (uint64_t)(i + 1) * WORDS, f);
    float scale = d.amplitude * scale_of(w, n, f.channels);
    memset(out, 0, family_count(f) * sizeof *out);
    for (int p = 0; p < f.width * f.height; p++, out += f.channels)
        for (int i = 0; i < n; i++) {
            float at = w[i].x * (float)(p % f.width) + w[i].y * (float)(p / f.width);
            float v = scale * cosf(at + w[i].phase);
            for (int c = 0; c < f.channels; c++)
                out[c] += v * w[i].height[c];
        }
    return STATUS_OK;
}

const struct family_ops family_waves = {
    .is = {.name = "waves", .summary = "a few plane waves", .share = 8, .told = "plane waves"},
    .make = make,
};
