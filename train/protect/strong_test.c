#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/strong.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { W = 6, H = 5, VALUES_MAX = W * H * 3 };

static void noise(float *v, uint64_t number, float lo, float hi)
{
    for (size_t i = 0; i < VALUES_MAX; i++)
        v[i] = stream_uniform(nn_rng(2, number), i, lo, hi);
}

/* Inside the image, as large as was asked, mirrored half of the time: then it is the mirror image of the
   same window. */
static void windows_are_cut_out_and_mirrored(void **state)
{
    (void)state;
    const struct shift_frame f = {W, H, 3};
    float in[VALUES_MAX], out[VALUES_MAX], other[VALUES_MAX], work[STRONG_WORK * VALUES_MAX];
    int mirrored = 0;
    noise(in, 0, 0, 1);
    for (uint64_t i = 0; i < 60; i++) {
        struct strong s = strong_draw(nn_rng(3, 1), STRONG_WORDS * i, .5, f);
        s.jitter = s.grey = false;
        strong_image(&s, f, in, out, work);
        bool mirror = s.map.ax < 0;
        if (mirror) {
            mirrored++;
            s.map.cx += s.map.ax * (W - 1);
            s.map.ax = -s.map.ax;
        }
        assert_true(s.map.ax * s.map.by > .55f * .74f && s.map.ax <= 1 && s.map.by <= 1);
        float left = s.map.cx + .5f - s.map.ax / 2, top = s.map.cy + .5f - s.map.by / 2;
        assert_true(left > -1e-5f && left + s.map.ax * W < W + 1e-5f);
        assert_true(top > -1e-5f && top + s.map.by * H < H + 1e-5f);
        strong_image(&s, f, in, other, work);
        double same = 0, turned = 0;
        for (int p = 0; p < VALUES_MAX; p++) {
            int x = p / 3 % W, back = p + (W - 1 - 2 * x) * 3;
            same += (double)fabsf(out[p] - other[p]);
            turned += (double)fabsf(out[p] - other[back]);
        }
        assert_true((mirror ? turned : same) < 1e-3);
    }
    assert_in_range(mirrored, 15, 45);
}

/* What many draws of an image have in common: mean and spread of its mean value and of its contrast,
   and how often it is grey. */
enum { DRAWS = 3000, FIGURES = 5 };
struct sums {
    double mean, mean2, contrast, contrast2, grey;
};

static void count(struct sums *s, const float *v, int n)
{
    double sum = 0, square = 0;
    bool grey = true;
    for (int i = 0; i < n; i++) {
        sum += (double)v[i] / n;
        square += (double)v[i] * (double)v[i] / n;
        grey = grey && v[i] == v[i - i % 3];
    }
    double contrast = sqrt(square - sum * sum);
    s->mean += sum / DRAWS;
    s->mean2 += sum * sum / DRAWS;
    s->contrast += contrast / DRAWS;
    s->contrast2 += contrast * contrast / DRAWS;
    s->grey += grey ? 1. / DRAWS : 0;
}

static void a_loader_can_do_the_same(void **state)
{
    (void)state;
    const struct shift_frame f = {W, H, 3};
    struct sums ours = {0}, rows = {0};
    float in[VALUES_MAX], out[VALUES_MAX], spare[VALUES_MAX], work[STRONG_WORK * VALUES_MAX];
    char text[STRONG_TEXT_MAX];
    struct augment_list list;
    struct errmsg e = {""};
    noise(in, 1, 0, .8f);
    for (int i = 0; i < VALUES_MAX / 2; i++)
        in[i] *= .3f; /* where the crop is shows */
    strong_text(.7, text);
    if (augment_list_parse(text, &list, &e))
        fail_msg("%s: %s", text, e.text);
    for (int i = 0; i < DRAWS; i++) {
        struct strong s = strong_draw(nn_rng(4, 1), STRONG_WORDS * (uint64_t)i, .7, f);
        strong_image(&s, f, in, out, work);
        count(&ours, out, VALUES_MAX);
        struct augment_pixels p = {W, H, 3, out, spare};
        memcpy(out, in, sizeof out);
        assert_int_equal(augment_apply(&list, (struct augment_of){5, 1, i}, &p), STATUS_OK);
        count(&rows, out, VALUES_MAX);
    }
    augment_list_done(&list);
    assert_true(ours.grey > .1 && ours.grey < .18); /* .14 */
    const double *a = (const double *)&ours, *b = (const double *)&rows;
    for (int i = 0; i < FIGURES; i++)
        if (fabs(a[i] - b[i]) > (i == FIGURES - 1 ? .03 : .03 * b[i]))
            fail_msg("figure %d: %g, of a loader's rows %g", i, a[i], b[i]);
}

static double product(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Along one value of the image, against differences; between corners all of it is linear, or nearly. */
static void check_gradient(const struct strong *s, struct shift_frame f, uint64_t number)
{
    const float step = 1.f / 256;
    int n = f.width * f.height * f.channels, wrong = 0;
    float in[VALUES_MAX], back[VALUES_MAX], weight[VALUES_MAX], out[VALUES_MAX];
    float work[STRONG_WORK * VALUES_MAX];
    noise(in, number, -.02f, 1.02f);
    noise(weight, number + 1, -1, 1);
    strong_gradient(s, f, in, weight, back, work);
    for (int i = 0; i < n; i++) {
        float was = in[i];
        in[i] = was + step;
        strong_image(s, f, in, out, work);
        double up = product(out, weight, n);
        in[i] = was - step;
        strong_image(s, f, in, out, work);
        double slope = (up - product(out, weight, n)) / (2 * (double)step);
        in[i] = was;
        wrong += fabs(slope - (double)back[i]) > .01 * (1 + fabs(slope));
    }
    /* A corner lies within a step of some. */
    if (wrong > n / 8)
        fail_msg("draw %d: %d of %d differ", (int)number, wrong, n);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    int grey = 0, jitter = 0;
    for (int channels = 1; channels <= 3; channels += 2)
        for (uint64_t i = 0; i < 60; i++) {
            const struct shift_frame f = {W, H, channels};
            struct strong s = strong_draw(nn_rng(5, 1), STRONG_WORDS * i, 1, f);
            grey += s.grey;
            jitter += s.jitter;
            check_gradient(&s, f, 2 * i);
        }
    assert_true(grey > 10 && jitter > 60);
}

/* Of each part by itself, where nothing has a corner: to the last digits. */
static void parts_have_known_gradients(void **state)
{
    (void)state;
    const struct shift_frame f = {1, 1, 3};
    const float in[3] = {.5f, .4f, .2f}, weight[3] = {1, 10, 100};
    float g[3], work[3 * STRONG_WORK];
    struct strong s = {.map = {.ax = 1, .by = 1}, .grey = true};
    strong_gradient(&s, f, in, weight, g, work);
    for (int k = 0; k < 3; k++)
        assert_true(fabsf(g[k] - 111 * augment_luma[k]) < 1e-4f);
    /* A third of the circle: red's value is green's now, and so on. */
    s = (struct strong){.map = {.ax = 1, .by = 1},
                        .jitter = true,
                        .brightness = 1,
                        .contrast = 1,
                        .saturation = 1,
                        .hue = 1.f / 3};
    float out[3];
    strong_image(&s, f, in, out, work);
    assert_true(fabsf(out[1] - .5f) < 1e-6f && fabsf(out[2] - .4f) < 1e-6f &&
                fabsf(out[0] - .2f) < 1e-6f);
    strong_gradient(&s, f, in, weight, g, work);
    assert_true(fabsf(g[0] - 10) < 1e-3f && fabsf(g[1] - 100) < 1e-3f && fabsf(g[2] - 1) < 1e-3f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_cut_out_and_mirrored),
        cmocka_unit_test(a_loader_can_do_the_same),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(parts_have_known_gradients),
    };
    return cmocka_run_group_tests_name("strong", tests, NULL, NULL);
}
