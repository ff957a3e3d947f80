/* Convolutions by AMX (kernels/amx.h), which this device lists first, against the reference's sums in double, of numbers that bf16 holds: then every
   product is exact, and only sums and the results in bf16 round. */
#include "file/half.h"
#include "kernels/kernels.h"
#include "nn/nn.h"
#include "ops/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct shape {
    int n, h, w, c, o, kernel, stride;
    struct nn_conv pad; /* on four sides */
};
static const struct shape shapes[] = {
    {16, 1, 1, 32, 32, 1, 1, {0}},
    {32, 4, 4, 64, 96, 3, 1, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {37, 5, 3, 96, 64, 3, 2, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {70, 7, 9, 32, 32, 2, 1, {0}},
    {33, 6, 5, 32, 64, 5, 3, {.pad_top = 4, .pad_left = 0, .pad_bottom = 3, .pad_right = 2}},
    {20, 4, 3, 32, 32, 1, 2, {0}},
    /* channels that fill no tile */
    {20, 5, 6, 12, 64, 3, 1, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {17, 9, 7, 3, 40, 3, 2, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {16, 4, 4, 64, 12, 5, 1, {.pad_top = 2, .pad_left = 2, .pad_bottom = 2, .pad_right = 2}},
    {18, 3, 3, 49, 17, 1, 1, {0}},
    /* several blocks: of images, of rows */
    {130, 8, 8, 32, 32, 3, 1, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {70, 8, 8, 512, 32, 2, 1, {0}},
    {70, 8, 8, 32, 512, 1, 1, {0}},
    {33, 17, 17, 32, 32, 3, 1, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {33, 25, 21, 32, 64, 3, 2, {.pad_top = 1, .pad_left = 0, .pad_bottom = 0, .pad_right = 1}},
};

/* A tensor of numbers that bf16 holds, in both stores. */
struct numbers {
    float *wide;
    uint16_t *half;
    struct nn_shape shape;
};
enum { X, W, BIAS, DY, Y_RES, X_RES, NUMBERS };

static void numbers_new(struct numbers *t, struct nn_shape shape, uint64_t seed)
{
    size_t n = (size_t)nn_shape_count(shape);
    t->wide = mem_alloc(n * sizeof *t->wide);
    t->half = mem_alloc(n * sizeof *t->half);
    t->shape = shape;
    assert_true(t->wide && t->half);
    nn_rng_normal(nn_rng(seed, 1), 0, t->wide, n);
    nn_kernels_here()->to_bf16(t->wide, (int64_t)n, t->half);
    for (size_t i = 0; i < n; i++)
        t->wide[i] = nn_from_bf16(t->half[i]);
}

static struct nn_tensor wide(const struct numbers *t)
{
    return (struct nn_tensor){.shape = t->shape, .data = t->wide};
}
static struct nn_tensor half(const struct numbers *t)
{
    return (struct nn_tensor){.shape = t->shape, .data = t->half, .store = NN_STORE_BF16};
}

/* NULL where the CPU has no AMX. */
static const struct nn_kernel *kernel_of(enum nn_op op)
{
    const struct nn_kernel *const *k;
    for (int i = 0; (k = nn_device_onednn.list(i, NN_PREC_BF16)) != NULL; i++)
        for (; *k; k++)
            if ((*k)->op == op && !strncmp((*k)->name, "amx.", 4))
                return *k;
    return NULL;
}

static void *aligned(void *memory, size_t bytes)
{
    assert_non_null(memory);
    void *at = (void *)nn_align((uintptr_t)memory);
    memset(at, 0xff, bytes); /* NaN: nothing of it may be read */
    return at;
}

static void run_step(const struct nn_kernel *k, struct nn_step *s)
{
    struct errmsg e = {0};
    assert_true(k->supports(s));
    assert_int_equal(k->prepare(s, &e), STATUS_OK);
    AUTO(mem_free) void *scratch = mem_alloc(s->scratch_bytes + 64);
    AUTO(mem_free) void *packed = mem_alloc(s->packed_bytes + 64);
    s->scratch = aligned(scratch, s->scratch_bytes);
    s->packed = aligned(packed, s->packed_bytes);
    if (k->pack)
        assert_int_equal(k->pack(s), STATUS_OK);
    assert_int_equal(k->run(s), STATUS_OK);
    k->drop(s);
}

/* A result in bf16 is half a unit in its last place from the sum, and that near the reference's. */
static void assert_near(const char *what, const struct shape *s, const uint16_t *got,
                        const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float far = fabsf(nn_from_bf16(got[i]) - want[i]);
        if (!(far <= fabsf(want[i]) * 0x1p-8f + 1e-4f))
            fail_msg("%s, shape %d, element %d: %g, not %g", what, (int)(s - shapes), (int)i,
                     (double)nn_from_bf16(got[i]), (double)want[i]);
    }
}

static void assert_sums_near(const char *what, const struct shape *s, const float *got,
                             const float *want, int64_t n)
{
    double top = 0;
    for (int64_t i = 0; i < n; i++)
        top = fmax(top, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-5 * top))
            fail_msg("%s, shape %d, element %d: %g, not %g", what, (int)(s - shapes), (int)i,
                     (double)got[i], (double)want[i]);
}

static struct nn_step step_of(enum nn_op op, const struct shape *s, int threads)
{
    struct nn_step step = {.op = op,
                           .attr = {.conv = s->pad, .post = NN_POST_NONE},
                           .threads = threads,
                           .precision = NN_PREC_BF16};
    step.attr.conv.stride = s->stride;
    step.attr.conv.groups = 1;
    return step;
}

/* What the reference makes of it: without a residual and an activation, which it does not have. */
static void reference(enum nn_op op, const struct shape *shape, struct nn_tensor a,
                      struct nn_tensor b, struct nn_tensor c, struct nn_tensor y,
                      struct nn_tensor z)
{
    struct nn_step s = step_of(op, shape, 1);
    s.in[0] = a, s.in[1] = b, s.in[2] = c, s.out[0] = y, s.out[1] = z;
    assert_int_equal(nn_op_row(op)->reference.run(&s), STATUS_OK);
}

static void add_up(float *to, const float *more, int64_t n, bool relu)
{
    for (int64_t i = 0; i < n; i++) {
        to[i] += more[i];
        to[i] = relu && to[i] < 0 ? 0 : to[i];
    }
}

/* Whether channels fill tiles, as they have to where they are not padded. */
static bool full(const struct shape *s)
{
    return s->c % 32 == 0 && s->o % 32 == 0;
}

static void check_forward(const struct shape *s, const struct numbers *t, float *want,
                          uint16_t *got)
{
    int64_t n = nn_shape_count(t[DY].shape);
    struct nn_tensor none = {0}, y = {.shape = t[DY].shape, .data = want};
    reference(NN_OP_CONV2D, s, wide(&t[X]), wide(&t[W]), wide(&t[BIAS]), y, none);
    add_up(want, t[Y_RES].wide, n, true);
    for (int threads = 1; threads <= 3; threads++) {
        struct nn_step step = step_of(NN_OP_CONV2D, s, threads);
        step.in[0] = half(&t[X]), step.in[1] = wide(&t[W]), step.in[2] = wide(&t[BIAS]);
        step.in[1].constant = threads != 3; /* else packed again by the run */
        step.in[4] = half(&t[Y_RES]);
        step.attr.post = NN_POST(NN_RELU);
        step.out[0] = (struct nn_tensor){.shape = t[DY].shape, .data = got, .store = NN_STORE_BF16};
        bool few = t[DY].shape.dim[1] * t[DY].shape.dim[2] <= 64 && s->kernel > 1;
        if (!few || !full(s)) {
            assert_false(kernel_of(NN_OP_CONV2D)->supports(&step)); /* oneDNN's are faster */
            return;
        }
        run_step(kernel_of(NN_OP_CONV2D), &step);
        assert_near("forward", s, got, want, n);
    }
}

static void check_data(const struct shape *s, const struct numbers *t, float *want, uint16_t *got)
{
    int64_t n = nn_shape_count(t[X].shape);
    struct nn_tensor none = {0}, dx = {.shape = t[X].shape, .data = want};
    reference(NN_OP_CONV2D_DATA, s, wide(&t[DY]), wide(&t[W]), none, dx, none);
    add_up(want, t[X_RES].wide, n, false);
    for (int threads = 1; threads <= 3; threads++) {
        struct nn_step step = step_of(NN_OP_CONV2D_DATA, s, threads);
        step.in[0] = half(&t[DY]), step.in[1] = wide(&t[W]), step.in[2] = half(&t[X_RES]);
        step.in[1].constant = true;
        step.out[0] = (struct nn_tensor){.shape = t[X].shape, .data = got, .store = NN_STORE_BF16};
        if (!full(s)) {
            assert_false(kernel_of(NN_OP_CONV2D_DATA)->supports(&step));
            return;
        }
        run_step(kernel_of(NN_OP_CONV2D_DATA), &step);
        assert_near("data", s, got, want, n);
    }
}

static void check_weights(const struct shape *s, const struct numbers *t)
{
    size_t n = (size_t)nn_shape_count(t[W].shape), o = (size_t)s->o;
    AUTO(mem_free) float *want = mem_alloc((n + o) * sizeof *want);
    AUTO(mem_free) float *got = mem_alloc((n + o) * sizeof *got);
    AUTO(mem_free) float *first = mem_alloc((n + o) * sizeof *first);
    assert_true(want && got && first);
    struct nn_tensor none = {0}, dw = {.shape = t[W].shape, .data = want},
                     db = {.shape = t[BIAS].shape, .data = want + n};
    reference(NN_OP_CONV2D_WEIGHTS, s, wide(&t[X]), wide(&t[DY]), none, dw, db);
    for (int threads = 1; threads <= 3; threads++) {
        struct nn_step step = step_of(NN_OP_CONV2D_WEIGHTS, s, threads);
        step.in[0] = half(&t[X]), step.in[1] = half(&t[DY]);
        step.out[0] = dw, step.out[1] = db;
        step.out[0].data = got, step.out[1].data = got + n;
        memset(got, 0xff, (n + o) * sizeof *got);
        run_step(kernel_of(NN_OP_CONV2D_WEIGHTS), &step);
        assert_sums_near("dw", s, got, want, (int64_t)n);
        assert_sums_near("db", s, got + n, want + n, s->o);
        if (threads == 1)
            memcpy(first, got, n * sizeof *first);
        assert_memory_equal(first, got, n * sizeof *first);
    }
}

static void sums_are_right(void **state)
{
    (void)state;
    if (!kernel_of(NN_OP_CONV2D))
        skip();
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        const struct nn_conv *p = &s->pad;
        int rows = (s->h + p->pad_top + p->pad_bottom - s->kernel) / s->stride + 1;
        int columns = (s->w + p->pad_left + p->pad_right - s->kernel) / s->stride + 1;
        struct nn_shape x = nn_shape4(s->n, s->h, s->w, s->c),
                        y = nn_shape4(s->n, rows, columns, s->o);
        struct nn_shape of[NUMBERS] = {[X] = x,
                                       [W] = nn_shape4(s->o, s->c, s->kernel, s->kernel),
                                       [BIAS] = nn_shape1(s->o),
                                       [DY] = y,
                                       [Y_RES] = y,
                                       [X_RES] = x};
        struct numbers t[NUMBERS];
        for (int k = 0; k < NUMBERS; k++)
            numbers_new(&t[k], of[k], (uint64_t)(i * NUMBERS) + (uint64_t)k);
        size_t most =
            (size_t)(nn_shape_count(x) > nn_shape_count(y) ? nn_shape_count(x) : nn_shape_count(y));
        AUTO(mem_free) float *want = mem_alloc(most * sizeof *want);
        AUTO(mem_free) uint16_t *got = mem_alloc(most * sizeof *got);
        assert_true(want && got);
        check_forward(s, t, want, got);
        check_data(s, t, want, got);
        check_weights(s, t);
        for (int k = 0; k < NUMBERS; k++) {
            mem_free(t[k].wide);
            mem_free(t[k].half);
        }
    }
}

/* Images that must not see each other are not put into one tile. */
static void apart_they_are_left_to_others(void **state)
{
    (void)state;
    struct nn_tensor x = {.shape = nn_shape4(32, 4, 4, 32), .store = NN_STORE_BF16};
    struct nn_tensor w = {.shape = nn_shape4(32, 32, 3, 3)};
    if (!kernel_of(NN_OP_CONV2D))
        skip();
    for (enum nn_op op = NN_OP_CONV2D; op <= NN_OP_CONV2D_DATA; op++)
        for (int apart = 0; apart < 2; apart++) {
            struct nn_step s = {.op = op, .in = {x, w}, .out = {x}, .threads = 1, .apart = apart};
            s.attr.conv = nn_conv_same(3, 1);
            assert_int_equal(kernel_of(op)->supports(&s), !apart);
        }
}

static bool weights_fit(int n, int c, int o, enum nn_store store, int groups)
{
    struct nn_step s = {
        .attr.conv = nn_conv_same(3, 1),
        .in = {{.shape = nn_shape4(n, 8, 8, c), .store = store},
               {.shape = nn_shape4(n, 8, 8, o), .store = store}},
        .out = {{.shape = nn_shape4(o, c / groups, 3, 3)}},
        .threads = 2,
    };
    s.attr.conv.groups = groups;
    return kernel_of(NN_OP_CONV2D_WEIGHTS)->supports(&s);
}

static void what_does_not_fit_is_left_to_others(void **state)
{
    (void)state;
    if (!kernel_of(NN_OP_CONV2D))
        skip();
    assert_true(weights_fit(32, 32, 64, NN_STORE_BF16, 1));
    assert_false(weights_fit(15, 32, 64, NN_STORE_BF16, 1));
    assert_true(weights_fit(32, 3, 10, NN_STORE_BF16, 1));
    assert_false(weights_fit(32, 32, 64, NN_STORE_F32, 1));
    assert_false(weights_fit(32, 64, 64, NN_STORE_BF16, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_right),
        cmocka_unit_test(apart_they_are_left_to_others),
        cmocka_unit_test(what_does_not_fit_is_left_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
