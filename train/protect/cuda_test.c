#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { CLASSES = 4, EACH = 4, SIZES = 2, CHANNELS = 3, SIDE = 3, MOST = 20 * 13 * CHANNELS };
static const int sizes[SIZES][2] = {{12, 12}, {20, 13}}; /* width, height */

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    noise_tree("src", CLASSES, EACH, sizes, SIZES, CHANNELS);
    protect_ok(options("cuda", "src", "cuda"));
    return 0;
}

static void read_kernels(const char *dir, double kernel[CLASSES][SIDE * SIDE])
{
    json_t *r = read_record(dir), *list = json_object_get(r, "kernels");
    assert_int_equal(json_array_size(list), CLASSES);
    for (size_t k = 0; k < CLASSES; k++) {
        json_t *one = json_array_get(list, k);
        assert_int_equal(json_array_size(one), SIDE * SIDE);
        for (size_t i = 0; i < SIDE * SIDE; i++)
            kernel[k][i] = json_number_value(json_array_get(one, i));
    }
    json_decref(r);
}

static void a_kernel_is_blur_around_a_one(void **state)
{
    (void)state;
    double kernel[CLASSES][SIDE * SIDE];
    read_kernels("cuda", kernel);
    for (int k = 0; k < CLASSES; k++) {
        int ones = 0;
        for (int i = 0; i < SIDE * SIDE; i++) {
            ones += kernel[k][i] == 1;
            assert_true(kernel[k][i] == 1 || (kernel[k][i] >= 0 && kernel[k][i] < .3));
        }
        assert_int_equal(ones, 1);
        for (int o = 0; o < k; o++)
            assert_memory_not_equal(kernel[o], kernel[k], sizeof kernel[k]);
    }
}

/* By definition: images in [0,1], every window summed on its own, zero beyond the border. */
static void slow(const uint8_t *in, int w, int h, const double *kernel, double *out)
{
    double most = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < CHANNELS; c++) {
                double sum = 0;
                for (int a = -1; a <= 1; a++)
                    for (int b = -1; b <= 1; b++)
                        if (y + a >= 0 && y + a < h && x + b >= 0 && x + b < w)
                            sum += kernel[(a + 1) * SIDE + b + 1] *
                                   (in[((y + a) * w + x + b) * CHANNELS + c] / 255.0);
                out[(y * w + x) * CHANNELS + c] = sum;
                most = fmax(most, sum);
            }
    for (int p = 0; p < w * h * CHANNELS; p++)
        out[p] = most > 0 ? 255 * out[p] / most : 0;
}

static void images_are_their_classs_convolution(void **state)
{
    (void)state;
    double kernel[CLASSES][SIDE * SIDE];
    read_kernels("cuda", kernel);
    struct train_set *a = open_set("src"), *b = open_set("cuda");
    for (int i = 0; i < CLASSES * EACH; i++) {
        struct set_view x, y;
        double want[MOST];
        assert_int_equal(train_set_view(a, i, &x, NULL), STATUS_OK);
        assert_int_equal(train_set_view(b, i, &y, NULL), STATUS_OK);
        assert_int_equal(y.width, x.width);
        assert_int_equal(y.height, x.height);
        slow(x.pixels, x.width, x.height, kernel[i / EACH], want);
        bool full = false;
        for (int p = 0; p < x.width * x.height * CHANNELS; p++) {
            /* cut off, not rounded; floats may lie a hair on the other side of a whole number */
            if (y.pixels[p] > want[p] + 1e-3 || y.pixels[p] < want[p] - 1 - 1e-3)
                fail_msg("image %d, value %d: %d, not %g", i, p, y.pixels[p], want[p]);
            full = full || y.pixels[p] >= 254;
        }
        assert_true(full);
        train_set_view_done(&x);
        train_set_view_done(&y);
    }
    train_set_free(a);
    train_set_free(b);
}

/* One entry: the image itself, stretched to the full range. */
static void a_kernel_of_one_pixel_changes_nothing_else(void **state)
{
    (void)state;
    uint8_t pixels[4] = {0, 51, 102, 255};
    toy_mkdir("four/a");
    toy_mkdir("four/b");
    toy_image("four/a/0.png", 2, 2, 1, pixels);
    pixels[3] = 204;
    toy_image("four/b/0.png", 2, 2, 1, pixels);
    struct train_protect_options o = options("cuda", "four", "four-out");
    set(&o, "side", "1");
    o.quantise = TRAIN_ROUND;
    protect_ok(o);
    struct train_set *s = open_set("four-out");
    assert_int_equal(train_set_pixels(s, 0, pixels, NULL), STATUS_OK);
    assert_memory_equal(pixels, "\0\x33\x66\xff", 4);
    assert_int_equal(train_set_pixels(s, 1, pixels, NULL), STATUS_OK);
    assert_memory_equal(pixels, "\0\x40\x80\xff", 4); /* 63.75, 127.5, 255 */
    train_set_free(s);
}

static void parameters_do_what_they_say(void **state)
{
    (void)state;
    double kernel[CLASSES][SIDE * SIDE];
    struct train_protect_options o = options("cuda", "src", "sharp");
    set(&o, "blur", "0");
    protect_ok(o);
    read_kernels("sharp", kernel);
    for (int k = 0; k < CLASSES; k++) {
        double sum = 0;
        for (int i = 0; i < SIDE * SIDE; i++)
            sum += kernel[k][i];
        assert_true(sum == 1);
    }
    json_t *r = read_record("sharp");
    assert_true(json_number_value(json_object_get(r, "blur")) == 0);
    assert_int_equal(json_integer_value(json_object_get(r, "side")), SIDE);
    json_decref(r);
    o = options("cuda", "src", "even");
    set(&o, "side", "4");
    protect_fails(o, "odd");
    o = options("cuda", "src", "even");
    o.eps = 8;
    protect_fails(o, "--eps");
    assert_false(toy_there("cuda.perturbation.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_is_blur_around_a_one),
        cmocka_unit_test(images_are_their_classs_convolution),
        cmocka_unit_test(a_kernel_of_one_pixel_changes_nothing_else),
        cmocka_unit_test(parameters_do_what_they_say),
    };
    return cmocka_run_group_tests_name("cuda", tests, make_data, toy_teardown);
}
