/* Gradients of filters by im2col against the direct sum in double, of numbers that bf16 holds: then
   every product is exact in both stores, and only the sums round. */
#include "file/half.h"
#include "kernels/kernels.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct shape {
    int n, h, w, c, o, kernel, stride;
};
static const struct shape shapes[] = {
    {1, 1, 1, 16, 16, 1, 1},   {3, 5, 5, 16, 48, 3, 2},    {1, 7, 9, 32, 16, 3, 1},
    {2, 9, 6, 16, 32, 1, 2},   {5, 4, 4, 48, 112, 3, 2},   {1, 13, 3, 16, 16, 5, 3},
    {7, 16, 16, 64, 32, 3, 2}, {2, 32, 32, 128, 16, 3, 2},
};

enum { IMAGE_MAX = 1 << 18, FILTERS_MAX = 1 << 16 };
static float x[IMAGE_MAX], dy[IMAGE_MAX], dw[FILTERS_MAX], db[256];
static uint16_t x_half[IMAGE_MAX], dy_half[IMAGE_MAX];
static double want_w[FILTERS_MAX], want_b[256];

static void fill(uint64_t seed, int64_t n, float *wide, uint16_t *half)
{
    assert_true(n <= IMAGE_MAX);
    nn_rng_normal(nn_rng(seed, 1), 0, wide, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, wide + i, sizeof bits);
        half[i] = (uint16_t)(bits >> 16);
        wide[i] = nn_from_bf16(half[i]);
    }
}

static int out_side(const struct shape *s, int side)
{
    return (side + 2 * (s->kernel / 2) - s->kernel) / s->stride + 1;
}

static void direct_sums(const struct shape *s)
{
    int taps = s->kernel * s->kernel, oh = out_side(s, s->h), ow = out_side(s, s->w);
    memset(want_w, 0, sizeof want_w);
    memset(want_b, 0, sizeof want_b);
    for (int64_t p = 0; p < (int64_t)s->n * oh * ow; p++) {
        int64_t n = p / (oh * ow);
        for (int o = 0; o < s->o; o++)
            want_b[o] += (double)dy[p * s->o + o];
        for (int k = 0; k < taps; k++) {
            int64_t h = p / ow % oh * s->stride - s->kernel / 2 + k / s->kernel;
            int64_t w = p % ow * s->stride - s->kernel / 2 + k % s->kernel;
            if (h < 0 || h >= s->h || w < 0 || w >= s->w)
                continue;
            for (int o = 0; o < s->o; o++)
                for (int c = 0; c < s->c; c++)
                    want_w[((int64_t)o * s->c + c) * taps + k] +=
                        (double)dy[p * s->o + o] * x[((n * s->h + h) * s->w + w) * s->c + c];
        }
    }
}

static double farthest(const float *got, const double *want, int64_t n)
{
    double top = 0, far = 0;
    for (int64_t i = 0; i < n; i++) {
        top = fmax(top, fabs(want[i]));
        far = fmax(far, fabs(got[i] - want[i]));
    }
    return far / top;
}

static void check(const struct nn_kernel *kernel, const struct shape *s, bool bf16, int threads)
{
    enum nn_store store = bf16 ? NN_STORE_BF16 : NN_STORE_F32;
    struct nn_shape ys = nn_shape4(s->n, out_side(s, s->h), out_side(s, s->w), s->o);
    struct nn_shape ws = nn_shape4(s->o, s->c, s->kernel, s->kernel);
    struct nn_step step = {
        .op = NN_OP_CONV2D_WEIGHTS,
        .attr = {.conv = nn_conv_same(s->kernel, s->stride), .post = NN_POST_NONE},
        .in = {{.shape = nn_shape4(s->n, s->h, s->w, s->c),
                .store = store,
                .data = bf16 ? (void *)x_half : x},
               {.shape = ys, .store = store, .data = bf16 ? (void *)dy_half : dy}},
        .out = {{.shape = ws, .data = dw}, {.shape = nn_shape1(s->o), .data = db}},
        .n_in = 2,
        .n_out = 2,
        .threads = threads,
        .precision = bf16 ? NN_PREC_BF16 : NN_PREC_F32,
    };
    struct errmsg e = {0};
    assert_true(nn_shape_count(ws) <= FILTERS_MAX && s->o <= 256);
    if (!kernel->supports(&step)) {
        assert_true(s->kernel == 1 && kernel == nn_kernels_here()->im2col_vnni[0]);
        return;
    }
    assert_int_equal(kernel->prepare(&step, &e), STATUS_OK);
    AUTO(mem_free) void *memory = mem_alloc(step.scratch_bytes + 64);
    assert_non_null(memory);
    step.scratch = (void *)nn_align((uintptr_t)memory);
    memset(step.scratch, 0xff, step.scratch_bytes); /* NaN: nothing of it may be read */
    memset(dw, 0xff, sizeof dw);
    assert_int_equal(kernel->run(&step), STATUS_OK);
    kernel->drop(&step);
    double w = farthest(dw, want_w, nn_shape_count(ws)), b = farthest(db, want_b, s->o);
    if (!(w < 1e-6 && b < 1e-6))
        fail_msg("%s, %d threads, shape %d: dw %g, db %g", kernel->name, threads, (int)(s - shapes),
                 w, b);
}

static void each_shape(const struct nn_kernel *kernel, bool bf16)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        fill(2 * i, (int64_t)s->n * s->h * s->w * s->c, x, x_half);
        fill(2 * i + 1, (int64_t)s->n * out_side(s, s->h) * out_side(s, s->w) * s->o, dy, dy_half);
        direct_sums(s);
        for (int threads = 1; threads <= 3; threads++)
            check(kernel, s, bf16, threads);
    }
}

static const struct nn_kernel *weights_of(const struct nn_kernel *const *list)
{
    while ((*list)->op != NN_OP_CONV2D_WEIGHTS)
        list++;
    return *list;
}

static void floats(void **state)
{
    (void)state;
    each_shape(weights_of(nn_kernels.im2col), false);
    each_shape(weights_of(nn_kernels_here()->im2col), false);
}

static void bf16(void **state)
{
    (void)state;
    each_shape(weights_of(nn_kernels_here()->im2col), true);
}

static void vnni(void **state)
{
    (void)state;
    if (!*nn_kernels_here()->im2col_vnni)
        skip();
    each_shape(weights_of(nn_kernels_here()->im2col_vnni), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats),
        cmocka_unit_test(bf16),
        cmocka_unit_test(vnni),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
