#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { CLASSES = 3, EACH = 6, SIZES = 2, WIDTH = 32, HEIGHT = 32, CHANNELS = 3, TAPS = 8 };
static const int sizes[SIZES][2] = {{32, 32}, {20, 25}}; /* width, height */

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    noise_tree("src", CLASSES, EACH, sizes, SIZES, CHANNELS);
    struct train_protect_options o = options("ar", "src", "ar");
    protect_ok(o);
    return 0;
}

static void read_filters(double f[CLASSES][CHANNELS][TAPS])
{
    json_t *r = read_record("ar"), *list = json_object_get(r, "filters");
    assert_int_equal(json_array_size(list), CLASSES * CHANNELS);
    for (size_t i = 0; i < CLASSES * CHANNELS; i++)
        for (size_t t = 0; t < TAPS; t++)
            f[i / CHANNELS][i % CHANNELS][t] =
                json_number_value(json_array_get(json_array_get(list, i), t));
    json_decref(r);
}

/* The convolution with -1 in the last place, at (y,x) of a channel: a plain loop over the window.
 */
static double residual(const float *d, const double *filter, int y, int x, int c)
{
    double sum = 0;
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            double w = a * 3 + b == TAPS ? -1 : filter[a * 3 + b];
            sum += w * d[((y - 2 + a) * WIDTH + x - 2 + b) * CHANNELS + c];
        }
    return sum;
}

static double most_residual(const float *d, double f[CHANNELS][TAPS], int w, int h)
{
    double most = 0;
    for (int y = 2; y < h; y++)
        for (int x = 2; x < w; x++)
            for (int c = 0; c < CHANNELS; c++)
                most = fmax(most, fabs(residual(d, f[c], y, x, c)));
    return most;
}

static void noise_obeys_its_class_and_no_other(void **state)
{
    (void)state;
    double f[CLASSES][CHANNELS][TAPS];
    struct nn_shape s;
    int patch;
    float *d = read_delta("ar.perturbation.safetensors", &s, &patch);
    read_filters(f);
    assert_int_equal(patch, 1);
    assert_true(nn_shape_equal(s, nn_shape4(CLASSES * EACH, HEIGHT, WIDTH, CHANNELS)));
    for (int i = 0; i < CLASSES * EACH; i++) {
        const float *mine = d + (size_t)i * HEIGHT * WIDTH * CHANNELS;
        const int *size = sizes[i % EACH % SIZES];
        double largest = 0;
        for (int p = 0; p < HEIGHT * WIDTH * CHANNELS; p++)
            largest = fmax(largest, fabs((double)mine[p]));
        for (int k = 0; k < CLASSES; k++) {
            double most = most_residual(mine, f[k], size[0], size[1]);
            if (k == i / EACH && most > 1e-5 * largest) /* floats hold it to 6e-8, taps add up */
                fail_msg("image %d of class %d: off by %g of %g", i, k, most, largest);
            if (k != i / EACH && most < .05 * largest)
                fail_msg("image %d obeys class %d as well: %g of %g", i, k, most, largest);
        }
    }
    mem_free(d);
}

static void filters_are_as_published(void **state)
{
    (void)state;
    double f[CLASSES][CHANNELS][TAPS];
    read_filters(f);
    for (int k = 0; k < CLASSES; k++)
        for (int c = 0; c < CHANNELS; c++) {
            double sum = 0;
            for (int t = 0; t < TAPS; t++)
                sum += f[k][c][t];
            assert_true(fabs(sum - 1) < 1e-9);
        }
}

static void the_norm_is_one_at_cifars_size(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("ar.perturbation.safetensors", &s, &patch);
    for (int i = 0; i < CLASSES * EACH; i++) {
        const int *size = sizes[i % EACH % SIZES];
        double sum = 0, want = sqrt(size[0] * size[1] * CHANNELS / 3072.0);
        for (int p = 0; p < HEIGHT * WIDTH * CHANNELS; p++) {
            double v = d[(size_t)i * HEIGHT * WIDTH * CHANNELS + (size_t)p];
            int x = p / CHANNELS % WIDTH, y = p / CHANNELS / WIDTH;
            if (x >= size[0] || y >= size[1])
                assert_true(v == 0);
            sum += v * v;
        }
        if (fabs(sqrt(sum) - want) > 1e-5)
            fail_msg("image %d: norm %g, not %g", i, sqrt(sum), want);
    }
    /* a fresh start for each image of a class */
    assert_memory_not_equal(d, d + (size_t)2 * HEIGHT * WIDTH * CHANNELS, 64 * sizeof *d);
    mem_free(d);
}

static void it_repeats_itself_whatever_the_threads(void **state)
{
    (void)state;
    struct train_protect_options o = options("ar", "src", "ar");
    o.threads = 1;
    assert_repeats(o, "ar");
    toy_assert_same_file(toy_path("ar/b/3.png"), toy_path("again/b/3.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_obeys_its_class_and_no_other),
        cmocka_unit_test(filters_are_as_published),
        cmocka_unit_test(the_norm_is_one_at_cifars_size),
        cmocka_unit_test(it_repeats_itself_whatever_the_threads),
    };
    return cmocka_run_group_tests_name("ar", tests, make_data, toy_teardown);
}
