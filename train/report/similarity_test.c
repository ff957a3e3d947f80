#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/nn.h"
#include "purify/purify.h"
#include "report/lpips.h"
#include "report/similarity.h"
#include "toy.h"

#include <math.h>

enum { W = 14, H = 13, C = 3 };

static struct image noise(uint64_t seed, int spread)
{
    struct image img = IMAGE_INIT;
    struct nn_rng r = nn_rng(5, seed);
    assert_int_equal(image_alloc(W, H, C, false, &img), STATUS_OK);
    for (int i = 0; i < W * H * C; i++)
        img.pixels[i] = (uint8_t)(100 + stream_below(nn_rng_u32(r, (uint64_t)i), spread));
    return img;
}

/* As the paper writes it, of one window whose top left corner is (x0,y0). */
static double window(const struct image *a, const struct image *b, int x0, int y0, int c)
{
    double sum = 0, ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int y = 0; y < 11; y++)
            for (int x = 0; x < 11; x++) {
                double w = exp(-((x - 5) * (x - 5) + (y - 5) * (y - 5)) / 4.5);
                int at = ((y0 + y) * W + x0 + x) * C + c;
                double p = a->pixels[at], q = b->pixels[at];
                sum += pass == 0 ? w : 0;
                ma += pass == 1 ? w / sum * p : 0;
                mb += pass == 1 ? w / sum * q : 0;
                va += pass == 2 ? w / sum * (p - ma) * (p - ma) : 0;
                vb += pass == 2 ? w / sum * (q - mb) * (q - mb) : 0;
                cov += pass == 2 ? w / sum * (p - ma) * (q - mb) : 0;
            }
    return (2 * ma * mb + 6.5025) * (2 * cov + 58.5225) /
           ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225));
}

static void ssim_is_that_of_the_paper(void **state)
{
    (void)state;
    struct image a = noise(1, 100), b = noise(2, 60);
    double want = 0, got;
    for (int c = 0; c < C; c++)
        for (int y = 0; y + 11 <= H; y++)
            for (int x = 0; x + 11 <= W; x++)
                want += window(&a, &b, x, y, c) / (C * (H - 10) * (W - 10));
    assert_int_equal(train_ssim(&a, &b, &got), STATUS_OK);
    assert_true(fabs(got - want) < 1e-9);
    assert_int_equal(train_ssim(&a, &a, &got), STATUS_OK);
    assert_true(fabs(got - 1) < 1e-12);
    a.height = 10; /* no window fits */
    assert_int_equal(train_ssim(&a, &a, &got), STATUS_OK);
    assert_true(isnan(got));
    image_done(&a);
    image_done(&b);
}

static void psnr_is_of_the_mean_error(void **state)
{
    (void)state;
    struct image a = noise(1, 1), b = noise(1, 1);
    double n;
    for (int i = 0; i < W * H * C; i++)
        b.pixels[i] = (uint8_t)(b.pixels[i] + (i % 2 ? 5 : 0));
    double error = train_square_error(&a, &b, &n);
    assert_true(n == W * H * C);
    assert_true(fabs(train_psnr(error, n) - 10 * log10(255 * 255 / 12.5)) < 1e-9);
    assert_true(isinf(train_psnr(train_square_error(&a, &a, &n), n)));
    image_done(&a);
    image_done(&b);
}

/* A network of random weights: what is tested is that they are read, and the images compared. */
static void write_percept(const char *path)
{
    const struct purify_percept_cfg cfg = {
        .net = PURIFY_PERCEPT_VGG, .in_channels = 3, .stages = 1, .width = {8}, .classes = 2};
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct purify_meta meta;
    struct nn_shape s = nn_shape4(1, 16, 16, 3);
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    purify_percept_distance(g, &cfg, nn_input(g, "a", NN_F32, s), nn_input(g, "b", NN_F32, s));
    assert_int_equal(nn_params_init(p, 3), STATUS_OK);
    purify_percept_to_meta(&cfg, &meta);
    assert_int_equal(nn_params_save(p, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    nn_graph_free(g);
    nn_params_free(p);
}

static void a_distance_is_read_from_its_weights(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct lpips *l = NULL;
    struct image a = noise(1, 100), b = noise(2, 100);
    double same, other, back;
    write_percept(toy_path("percept"));
    toy_good(lpips_open(toy_path("percept"), &l, &e), &e);
    assert_string_equal(lpips_name(l), "percept-vgg");
    toy_good(lpips_distance(l, &a, &a, &same, &e), &e);
    toy_good(lpips_distance(l, &a, &b, &other, &e), &e);
    toy_good(lpips_distance(l, &b, &a, &back, &e), &e);
    assert_true(same == 0 && other > 0);
    assert_true(fabs(other - back) <= 1e-5 * other);
    lpips_close(l);
    l = NULL;
    toy_write("junk", "junk", 4);
    toy_bad(lpips_open(toy_path("junk"), &l, &e), &e, "junk");
    assert_null(l);
    image_done(&a);
    image_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ssim_is_that_of_the_paper),
        cmocka_unit_test(psnr_is_of_the_mean_error),
        cmocka_unit_test(a_distance_is_read_from_its_weights),
    };
    return cmocka_run_group_tests_name("similarity", tests, toy_setup, toy_teardown);
}
