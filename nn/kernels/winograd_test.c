/* The transforms against the direct sums, with the errors that winograd.h states. The kernels that
   use them are tested with the ops. */
#include "kernels/winograd.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { N = 2, H = 19, W = 13, C = 32, O = 16, TAPS = 9 };

/* y (N,H,W,O) is the convolution of x (N,H,W,C) with w (O,C,3,3), padded by one. */
struct data {
    float x[N * H * W * C], y[N * H * W * O], w[O * C * TAPS];
};
static struct data given, made;

static int64_t at(int n, int h, int w, int c, int channels)
{
    return (((int64_t)n * H + h) * W + w) * channels + c;
}

/* Calls f for every product of x, w and y: their offsets. */
static void each_product(void (*f)(int64_t x, int64_t w, int64_t y))
{
    for (int i = 0; i < N * H * W; i++)
        for (int k = 0; k < TAPS; k++) {
            int n = i / (H * W), h = i / W % H, w = i % W, ih = h + k / 3 - 1, iw = w + k % 3 - 1;
            if (ih < 0 || ih >= H || iw < 0 || iw >= W)
                continue;
            for (int o = 0; o < O; o++)
                for (int c = 0; c < C; c++)
                    f(at(n, ih, iw, c, C), ((int64_t)o * C + c) * TAPS + k, at(n, h, w, o, O));
        }
}

static double want[N * H * W * C]; /* of any of the three */
static void add_y(int64_t x, int64_t w, int64_t y)
{
    want[y] += (double)given.x[x] * given.w[w];
}
static void add_x(int64_t x, int64_t w, int64_t y)
{
    want[x] += (double)given.y[y] * given.w[w];
}
static void add_w(int64_t x, int64_t w, int64_t y)
{
    want[w] += (double)given.x[x] * given.y[y];
}

/* Root mean square of the error, relative. */
static double error_of(const float *got, size_t n)
{
    double error = 0, energy = 0;
    for (size_t i = 0; i < n; i++) {
        error += pow(got[i] - want[i], 2);
        energy += pow(want[i], 2);
    }
    return sqrt(error / energy);
}

static struct nn_wino_image image(int tile, int c, int before)
{
    return (struct nn_wino_image){.n = N,
                                  .h = H,
                                  .w = W,
                                  .c = c,
                                  .tile = tile,
                                  .rows = (H + tile - 1) / tile,
                                  .columns = (W + tile - 1) / tile,
                                  .top = before,
                                  .left = before};
}

static struct nn_wino_block block_new(const struct nn_wino_image *m)
{
    int tiles = (int)nn_wino_tiles(m);
    size_t floats = (size_t)nn_wino_planes(m->tile) * (size_t)nn_wino_plane(tiles, m->c);
    struct nn_wino_block b = {.tiles = tiles, .planes = mem_alloc_aligned(floats * sizeof(float))};
    assert_non_null(b.planes);
    return b;
}

static void convolve(int tile, const float *x, int from, int to, bool transposed, float *y)
{
    struct nn_wino_image read = image(tile, from, 1), written = image(tile, to, 0);
    struct nn_wino_filters f = {to, from, tile, transposed};
    struct nn_wino_block in = block_new(&read), out = block_new(&written);
    float *u = mem_alloc_aligned(nn_wino_filter_floats(&f) * sizeof *u);
    assert_non_null(u);
    nn_wino_filters_in(&f, given.w, u, 0, (int64_t)to / NN_PANEL * from);
    nn_wino_pixels(&read, x, &in, 0, in.tiles);
    for (int p = 0; p < nn_wino_planes(tile); p++)
        nn_panel_multiply(
            in.planes + p * nn_wino_plane(in.tiles, from), u + p * nn_wino_filter_plane(&f),
            out.planes + p * nn_wino_plane(in.tiles, to), in.tiles, from, to / NN_PANEL);
    nn_wino_results(&written, y, &(struct nn_wino_epilogue){.bias = NULL}, &out, 0, out.tiles);
    mem_free(u), mem_free(in.planes), mem_free(out.planes);
}

static void correlate(int tile, float *w)
{
    struct nn_wino_image read = image(tile, C, 1), other = image(tile, O, 0);
    struct nn_wino_filters f = {O, C, tile, false};
    struct nn_wino_block in = block_new(&read), out = block_new(&other);
    float *u = mem_alloc_aligned(nn_wino_filter_floats(&f) * sizeof *u);
    assert_non_null(u);
    nn_wino_pixels(&read, given.x, &in, 0, in.tiles);
    nn_wino_gradients(&other, given.y, &out, 0, out.tiles);
    for (int p = 0; p < nn_wino_planes(tile); p++)
        nn_panel_correlate(in.planes + p * nn_wino_plane(in.tiles, C),
                           out.planes + p * nn_wino_plane(in.tiles, O),
                           u + p * nn_wino_filter_plane(&f), in.tiles, C, O / NN_PANEL, false);
    nn_wino_filters_out(&f, u, w, 0, (int64_t)O / NN_PANEL * C);
    mem_free(u), mem_free(in.planes), mem_free(out.planes);
}

/* Random pixels as after a rectifier. */
static void fill(void)
{
    nn_rng_normal(nn_rng(3, 1), 0, given.x, ARRAY_LEN(given.x));
    nn_rng_normal(nn_rng(3, 2), 0, given.y, ARRAY_LEN(given.y));
    nn_rng_normal(nn_rng(3, 3), 0, given.w, ARRAY_LEN(given.w));
    for (size_t i = 0; i < ARRAY_LEN(given.x); i++)
        given.x[i] = fmaxf(given.x[i], 0);
}

static void errors_are_as_stated(int tile, double images, double filters)
{
    fill();
    memset(want, 0, sizeof want);
    each_product(add_y);
    convolve(tile, given.x, C, O, false, made.y);
    double y = error_of(made.y, ARRAY_LEN(made.y));
    memset(want, 0, sizeof want);
    each_product(add_x);
    convolve(tile, given.y, O, C, true, made.x);
    double x = error_of(made.x, ARRAY_LEN(made.x));
    memset(want, 0, sizeof want);
    each_product(add_w);
    correlate(tile, made.w);
    double w = error_of(made.w, ARRAY_LEN(made.w));
    print_message("# tiles of %d: y %.1e, dx %.1e, dw %.1e\n", tile, y, x, w);
    assert_true(y < images && x < images && w < filters);
}

static void tiles_of_4_are_exact(void **state)
{
    (void)state;
    errors_are_as_stated(4, 1e-6, 1e-6);
}

static void tiles_of_8_are_exact_for_bf16(void **state)
{
    (void)state;
    errors_are_as_stated(8, 4e-5, 8e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_of_4_are_exact),
        cmocka_unit_test(tiles_of_8_are_exact_for_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
