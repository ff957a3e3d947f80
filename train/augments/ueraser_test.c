/* What UEraser is made of: clouds, shuffled channels, TrivialAugment's operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "augments/fractal.h"
#include "augments/trivial.h"

#include <math.h>
#include <string.h>

enum { W = 20, H = 16, N_MAX = W * H * 3 };

/* x becomes what the list makes of it. */
static void apply(const char *list, int sample, int c, float *x)
{
    struct augment_list l;
    struct errmsg e = {""};
    float spare[N_MAX];
    if (augment_list_parse(list, &l, &e))
        fail_msg("%s", e.text);
    struct augment_pixels p = {W, H, c, x, spare};
    assert_int_equal(augment_apply(&l, (struct augment_of){3, 0, sample}, &p), STATUS_OK);
    augment_list_done(&l);
}

/* Mean and standard deviation of places of kornia's diamond_square (0.6.12), of 4000 maps each. */
static void fractals_have_the_distribution_of_kornias(void **state)
{
    (void)state;
    static const struct {
        int w, h;
        float roughness;
        int x, y;
        double mean, deviation;
    } row[] = {
        {32, 32, .5f, 0, 0, .1661, .0966},   {32, 32, .5f, 1, 0, .4876, .1137},
        {32, 32, .5f, 16, 0, .4961, .1750},  {32, 32, .5f, 6, 5, .4572, .0803},
        {32, 32, .5f, 0, 7, .7107, .1590},   {32, 32, .5f, 16, 16, .1659, .0483},
        {32, 32, .3f, 31, 31, .3738, .1111}, {48, 32, .7f, 24, 0, .5060, .2108},
        {48, 32, .7f, 24, 16, .4371, .2024}, {48, 32, .7f, 47, 31, .5284, .1052},
        {20, 40, .5f, 10, 20, .4212, .0744}, {20, 40, .5f, 19, 39, .4101, .0704},
    };
    enum { MAPS = 4000 };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        double sum = 0, squares = 0;
        for (int n = 0; n < MAPS; n++) {
            float map[48 * 40];
            uint64_t word = 16;
            assert_int_equal(augment_fractal(nn_rng(7, (uint64_t)n), &word, row[i].roughness,
                                             row[i].w, row[i].h, map, 1),
                             STATUS_OK);
            double v = (double)map[row[i].y * row[i].w + row[i].x];
            sum += v, squares += v * v;
        }
        double mean = sum / MAPS, deviation = sqrt(squares / MAPS - mean * mean);
        if (fabs(mean - row[i].mean) > .012 || fabs(deviation - row[i].deviation) > .008)
            fail_msg("row %zu: %.4f, %.4f", i, mean, deviation);
    }
}

/* Any size; no word is used twice, and none is left out of the count. */
static void fractals_are_of_any_size(void **state)
{
    (void)state;
    for (int w = 1; w < 40; w += 7)
        for (int h = 1; h < 40; h += 6) {
            float map[40 * 40 * 2];
            uint64_t word = 0;
            for (int i = 0; i < w * h * 2; i++)
                map[i] = -1;
            assert_int_equal(augment_fractal(nn_rng(1, 1), &word, .5f, w, h, map, 2), STATUS_OK);
            assert_true(word >= (uint64_t)(w * h));
            for (int i = 0; i < w * h * 2; i++)
                if (i % 2 ? map[i] != -1 : !(map[i] >= 0 && map[i] < 2))
                    fail_msg("%dx%d: value %d is %g", w, h, i, (double)map[i]);
        }
}

static void clouds_change_brightness_and_contrast(void **state)
{
    (void)state;
    int up = 0, down = 0, other = 0;
    for (int sample = 0; sample < 30; sample++) {
        float x[N_MAX], y[N_MAX];
        for (int i = 0; i < N_MAX; i++)
            x[i] = .5f, y[i] = .55f;
        apply("plasma-contrast:p=1", sample, 3, x);
        apply("plasma-contrast:p=1", sample, 3, y);
        for (int i = 0; i < N_MAX; i++) {
            assert_true(x[i] == .5f);              /* the middle stays */
            assert_true(y[i] >= .5f && y[i] <= 1); /* a factor of 0 or more */
            other += i % 3 && y[i] != y[i - i % 3];
        }
        apply("plasma-brightness:p=1", sample, 3, x);
        for (int i = 0; i < N_MAX; i++)
            up += x[i] > .7f, down += x[i] < .3f;
    }
    assert_true(up > 100 && down > 100);
    assert_true(other > 10 * N_MAX); /* channels have clouds of their own */
}

static void shuffled_channels_are_the_same_channels(void **state)
{
    (void)state;
    int orders[27] = {0}, kinds = 0;
    for (int sample = 0; sample < 100; sample++) {
        float x[N_MAX], was[N_MAX];
        int from[3] = {-1, -1, -1};
        for (int i = 0; i < N_MAX; i++)
            was[i] = (float)(i * 37 % 256) / 255;
        memcpy(x, was, sizeof x);
        apply("shuffle:p=1", sample, 3, x);
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++) {
                bool same = true;
                for (int i = 0; i < W * H; i++)
                    same = same && x[3 * i + k] == was[3 * i + j];
                from[k] = same ? j : from[k];
            }
        assert_int_equal(1 << from[0] | 1 << from[1] | 1 << from[2], 7);
        kinds += orders[from[0] * 9 + from[1] * 3 + from[2]]++ == 0;
    }
    assert_int_equal(kinds, 6);
}

/* ---- operations ---- */

static void make(float *x)
{
    for (int i = 0; i < W * H; i++) {
        int u = i % W, v = i / W;
        x[i] = (float)((u * u * 3 + v * v * 5 + u * v) % 200 + 20) / 255;
    }
}

static float did(enum trivial_operation op, float v, float value)
{
    float x[W * H], spare[W * H];
    struct augment_pixels p = {W, H, 1, x, spare};
    for (int i = 0; i < W * H; i++)
        x[i] = value / 255;
    augment_trivial_do(&p, op, v);
    return x[W + 1] * 255;
}

static void values_are_changed_as_kornia_does(void **state)
{
    (void)state;
    static const struct {
        enum trivial_operation op;
        float v, value, want;
    } row[] = {
        {TRIVIAL_POSTERISE, 0, 255, 0},       {TRIVIAL_POSTERISE, .4f, 255, 0},
        {TRIVIAL_POSTERISE, .6f, 255, 128},   {TRIVIAL_POSTERISE, 3, 127, 96},
        {TRIVIAL_POSTERISE, 3.9f, 200, 192},  {TRIVIAL_SOLARISE, .5f, 100, 100},
        {TRIVIAL_SOLARISE, .5f, 200, 55},     {TRIVIAL_CONTRAST, 1.5f, 100, 150},
        {TRIVIAL_CONTRAST, 1.5f, 200, 255},   {TRIVIAL_BRIGHTNESS, 1.2f, 100, 151},
        {TRIVIAL_BRIGHTNESS, .5f, 100, 0},    {TRIVIAL_SHARPNESS, 1.9f, 100, 100},
        {TRIVIAL_AUTO_CONTRAST, 0, 100, 100}, {TRIVIAL_EQUALISE, 0, 100, 100},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        float got = did(row[i].op, row[i].v, row[i].value);
        if (fabsf(got - row[i].want) > .01f)
            fail_msg("row %zu: %g, not %g", i, (double)got, (double)row[i].want);
    }
}

/* PIL's equalize and Sharpness of the same image (to a grey level, which it rounds to). */
static void images_are_changed_as_pil_does(void **state)
{
    (void)state;
    static const int equal[12] = {0, 2, 15, 49, 85, 123, 179, 243, 255, 77, 165, 255};
    static const int sharp[9] = {26, 36, 52, 74, 102, 136, 197, 0, 63};
    static const int smooth[9] = {31, 41, 57, 79, 107, 141, 160, 70, 90};
    float x[W * H], spare[W * H];
    struct augment_pixels p = {W, H, 1, x, spare};
    make(x);
    augment_trivial_do(&p, TRIVIAL_EQUALISE, 0);
    for (int i = 0; i < 12; i++)
        assert_int_equal(lrintf(x[i] * 255), equal[i]);
    for (int k = 0; k < 2; k++) {
        make(x);
        augment_trivial_do(&p, TRIVIAL_SHARPNESS, k ? .3f : 1.7f);
        for (int i = 0; i < 9; i++)
            assert_in_range(lrintf(x[W + 1 + i] * 255) - (k ? smooth : sharp)[i] + 1, 0, 2);
    }
}

/* Where a single bright pixel goes. */
static void images_move_as_kornia_moves_them(void **state)
{
    (void)state;
    static const struct {
        enum trivial_operation op;
        float v;
        int x, y;
    } row[] = {
        {TRIVIAL_TRANSLATE_X, .25f, 15 + 5, 4}, /* out of the image */
        {TRIVIAL_TRANSLATE_X, .1f, 15 + 2, 4},  {TRIVIAL_TRANSLATE_Y, .25f, 15, 4 + 4},
        {TRIVIAL_SHEAR_X, .005f, 15, 4},        {TRIVIAL_ROTATE, 3.14159265f, 19 - 15, 15 - 4},
        {TRIVIAL_ROTATE, .5236f, 12, 2}, /* from the right of the centre upwards */
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        float x[W * H] = {0}, spare[W * H], all = 0;
        struct augment_pixels p = {W, H, 1, x, spare};
        int most = 0;
        x[4 * W + 15] = 1;
        augment_trivial_do(&p, row[i].op, row[i].v);
        for (int k = 0; k < W * H; k++) {
            most = x[k] > x[most] ? k : most;
            all += x[k];
        }
        if (row[i].x >= W)
            assert_true(all == 0);
        else if (most != row[i].y * W + row[i].x)
            fail_msg("row %zu: at %d, %d", i, most % W, most / W);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fractals_have_the_distribution_of_kornias),
        cmocka_unit_test(fractals_are_of_any_size),
        cmocka_unit_test(clouds_change_brightness_and_contrast),
        cmocka_unit_test(shuffled_channels_are_the_same_channels),
        cmocka_unit_test(values_are_changed_as_kornia_does),
        cmocka_unit_test(images_are_changed_as_pil_does),
        cmocka_unit_test(images_move_as_kornia_moves_them),
    };
    return cmocka_run_group_tests_name("ueraser's augmentations", tests, NULL, NULL);
}
