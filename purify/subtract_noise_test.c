/*
 * Noise in front of a restorer: its place in the field, what a network is shown, and what is left.
 */
#include "network.h"
#include "subtract.h"
#include "test_ways.h"

/* ---- networks ---- */

/* Predicts `factor` times each pixel's value in [-1,1]; in grey levels, that much of its distance
   to the middle. */
static void save_proportional(const char *name, int channels, float factor)
{
    char path[160];
    struct purify_restorer cfg = test_restorer_cfg(channels);
    struct nn_params *p = test_restorer_params(&cfg);
    struct nn_param_entry *in = nn_params_find(p, "conv_in.weight"),
                          *out = nn_params_find(p, "conv_out.weight");
    for (int c = 0; c < 4 * channels; c++) {
        in->value[(c * in->shape.dim[1] + c) * 9 + 4] = 1; /* the middle of 3x3 */
        out->value[(c * out->shape.dim[1] + c) * 9 + 4] = factor * 127.5f / PURIFY_RESTORER_GREYS;
    }
    snprintf(path, sizeof path, "%s/%s.safetensors", dir.path, name);
    test_restorer_save(p, &cfg, path);
}

static int make_networks(void **state)
{
    char path[160];
    struct purify_restorer cfg = test_restorer_cfg(3);
    struct nn_params *filled = test_restorer_params(&cfg);
    make_dir(state);
    save_proportional("nothing", 3, 0);
    save_proportional("nothing1", 1, 0);
    save_proportional("half", 3, .5f);
    test_fill(filled);
    snprintf(path, sizeof path, "%s/filled.safetensors", dir.path);
    test_restorer_save(filled, &cfg, path);
    return 0;
}

static struct purify_model *denoising(const char *name, double noise, int passes)
{
    char text[200];
    snprintf(text, sizeof text,
             "[purify]\nchain = denoise\n[denoise]\nmodel = ./%s.safetensors\nnoise = %g\n"
             "passes = %d\n",
             name, noise, passes);
    return model_of(text);
}

/* ---- plainly ---- */

/* What a pass makes of v, a pixel's value, where the network takes `part` of what it sees. */
static double passed(double v, double noise, double part)
{
    double noisy = v + noise, left = noisy - part * (noisy - 127.5);
    return left < 0 ? 0 : left > 255 ? 255 : left;
}

/* Each value against the field that the header describes, within rounding to 8 bits (half a level,
   and as much again where the sum is a tie). */
static void comes_out_as_described(const char *name, int w, int h, int channels, double part)
{
    const double noise = 20;
    struct purify_model *m = denoising(name, noise, 2);
    struct image img, before;
    uint64_t key;
    const struct purify_restorer cfg = test_restorer_cfg(3);
    int unit = purify_restorer_unit(&cfg), wide = (w + unit - 1) / unit * unit;
    size_t row = (size_t)(wide * channels);
    float *field[2] = {mem_alloc(row * (size_t)h * sizeof(float)),
                       mem_alloc(row * (size_t)h * sizeof(float))};
    noisy_image(w, h, channels, 9, &img);
    noisy_image(w, h, channels, 9, &before);
    assert_int_equal(network_noise_key(&img, &purify_model_profile(m)->id, &key), STATUS_OK);
    for (uint64_t pass = 0; pass < 2; pass++)
        nn_rng_normal(nn_rng(key, 1ull << 63 | pass), 0, field[pass], row * (size_t)h);
    run_once(m, &img);
    for (int y = 0; y < h; y++)
        for (int u = 0; u < w * channels; u++) {
            size_t k = (size_t)(y * w * channels + u), at = (size_t)y * row + (size_t)u;
            double first = passed(before.pixels[k], noise * (double)field[0][at], part);
            double least = passed(rint(first - .01), noise * (double)field[1][at], part) - .51;
            double most = passed(rint(first + .01), noise * (double)field[1][at], part) + .51;
            if (img.pixels[k] < least || img.pixels[k] > most)
                fail_msg("%s, %dx%d of %d: row %d, value %d is %d, not %g to %g", name, w, h,
                         channels, y, u, img.pixels[k], least, most);
        }
    assert_memory_equal(img.alpha, before.alpha, (size_t)w * (size_t)h);
    for (int pass = 0; pass < 2; pass++)
        mem_free(field[pass]);
    image_done(&img);
    image_done(&before);
    purify_model_free(m);
}

static void noise_is_of_its_place(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {5, 3}, {32, 32}, {33, 17}, {900, 800}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        comes_out_as_described("nothing", shapes[i][0], shapes[i][1], 3, 0);
    comes_out_as_described("nothing1", 33, 17, 1, 0);
}

/* A grey image through a colour network: one noise for all three. */
static void grey_noise_for_grey_images(void **state)
{
    (void)state;
    comes_out_as_described("nothing", 33, 17, 1, 0);
    comes_out_as_described("half", 32, 32, 1, .5);
}

/* Half of what it is shown, noise included and unclipped, is what it takes. */
static void the_network_sees_the_noise(void **state)
{
    (void)state;
    comes_out_as_described("half", 32, 32, 3, .5);
    comes_out_as_described("half", 45, 70, 3, .5);
}

/* ---- promise 3 ---- */

static void takes_any_way(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {5, 3}, {32, 32}, {33, 17}, {150, 140}, {900, 800}};
    struct purify_model *m = denoising("filled", 12, 2);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        each_way("with noise", m, shapes[i][0], shapes[i][1], i < 4 ? 1 : 3);
    each_way("with noise", m, 32, 32, 3);
    purify_model_free(m);
}

/* A grey image of one value, and what the noise made of it, as differences. */
static void noise_of(const char *name, double noise, uint8_t first, int out[], int n)
{
    struct purify_model *m = denoising(name, noise, 1);
    struct image img;
    noisy_image(n, 1, 3, 1, &img);
    memset(img.pixels, 128, image_pixel_bytes(&img));
    img.pixels[0] = first;
    run_once(m, &img);
    for (int k = 0; k < n; k++)
        out[k] = img.pixels[k] - 128;
    image_done(&img);
    purify_model_free(m);
}

static double correlation(const int *a, const int *b, int n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int k = 1; k < n; k++) {
        ab += a[k] * b[k];
        aa += a[k] * a[k];
        bb += b[k] * b[k];
    }
    return ab / sqrt(aa * bb);
}

static void is_keyed_by_pixels_and_profile(void **state)
{
    (void)state;
    enum { N = 2000 };
    static int once[N], again[N], pixel[N], profile[N], none[N];
    noise_of("nothing", 12, 128, once, N);
    noise_of("nothing", 12, 128, again, N);
    noise_of("nothing", 12, 127, pixel, N);
    noise_of("nothing", 12.001, 128, profile, N);
    noise_of("nothing", 0, 128, none, N);
    assert_memory_equal(once, again, sizeof once);
    assert_true(fabs(correlation(once, pixel, N)) < .1);
    assert_true(fabs(correlation(once, profile, N)) < .1);
    double square = 0;
    for (int k = 0; k < N; k++) {
        assert_int_equal(none[k], 0);
        square += once[k] * once[k];
    }
    double deviation = sqrt(square / N);
    if (!(deviation > 11.3 && deviation < 12.7))
        fail_msg("noise of %g grey levels", deviation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_of_its_place),
        cmocka_unit_test(grey_noise_for_grey_images),
        cmocka_unit_test(the_network_sees_the_noise),
        cmocka_unit_test(takes_any_way),
        cmocka_unit_test(is_keyed_by_pixels_and_profile),
    };
    return cmocka_run_group_tests_name("purify/subtract_noise", tests, make_networks, remove_dir);
}
