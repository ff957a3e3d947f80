/*
 * Every op: gradients against central finite differences, every device and fusion against the
 * reference. A failure prints the line that runs the one case again:
 *
 *     NN_TEST_OP=conv2d NN_TEST_SEED=17 build/nn/ops/op_test
 */
#include "ops/op_cases.h"
#include "plan/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SEEDS_GRADIENT = 6, SEEDS_DEVICE = 12, PROBES = 4 };

static const struct op_maker *only_op(void)
{
    const char *name = getenv("NN_TEST_OP");
    for (int i = 0; name && i < OP_MAKERS_COUNT; i++)
        if (!strcmp(op_makers[i].name, name))
            return &op_makers[i];
    return NULL;
}

static void each_seed(const struct op_maker *m, int seeds,
                      void (*check)(const struct op_maker *, uint64_t seed))
{
    const char *seed = getenv("NN_TEST_SEED");
    for (int k = 0; k < seeds; k++)
        if ((!only_op() || only_op() == m) && (!seed || strtoll(seed, NULL, 10) == k))
            check(m, (uint64_t)k);
}

static void each_case(int seeds, void (*check)(const struct op_maker *, uint64_t seed))
{
    for (int i = 0; i < OP_MAKERS_COUNT; i++)
        each_seed(&op_makers[i], seeds, check);
}

static void rerun_line(const struct op_maker *m, uint64_t seed)
{
    print_error("again: NN_TEST_OP=%s NN_TEST_SEED=%llu build/nn/ops/op_test\n", m->name,
                (unsigned long long)seed);
}

static void require(status st, const struct errmsg *e, const struct op_maker *m, uint64_t seed)
{
    if (!st)
        return;
    rerun_line(m, seed);
    fail_msg("%s: %s", status_text(st), errmsg_text(e, st));
}

/* A case with gradients of sum(y * r), r random, for all leaves. */
struct probe {
    struct op_case c;
    struct nn_val r;
    struct nn_val grad[CASE_LEAVES_MAX];
};

static void probe_new(struct probe *p, const struct op_maker *m, uint64_t seed, bool gradients)
{
    struct errmsg e = {0};
    memset(p, 0, sizeof *p);
    require(op_case_new(&p->c, m, seed), &e, m, seed);
    struct nn_graph *g = p->c.graph;
    if (gradients) {
        p->r = nn_input(g, "r", NN_F32, nn_val_shape(g, p->c.y));
        struct nn_val loss = nn_mul(g, p->c.y, p->r), inputs[CASE_LEAVES_MAX], out[CASE_LEAVES_MAX];
        int n = 0, which[CASE_LEAVES_MAX];
        for (int i = 0; i < p->c.n_leaves; i++)
            if (g->st == STATUS_OK && g->values[p->c.leaf[i].id].source == NN_FROM_INPUT &&
                strncmp(m->name, "attention", 9)) {
                which[n] = i;
                inputs[n++] = p->c.leaf[i];
            }
        for (int i = 0; i < p->c.n_leaves && !strncmp(m->name, "attention", 9); i++)
            if (i != 1) { /* k may be unused: the loss need not depend on it */
                which[n] = i;
                inputs[n++] = p->c.leaf[i];
            }
        nn_param_gradients(g, loss, inputs, n, out);
        for (int i = 0; i < n; i++) {
            char name[16];
            p->grad[which[i]] = nn_affine(g, out[i], 1, 0);
            snprintf(name, sizeof name, "g%d", which[i]);
            nn_output(g, p->grad[which[i]], name);
        }
    }
    struct nn_val y = nn_affine(g, p->c.y, 1, 0);
    nn_output(g, y, "y");
    p->c.y = y;
    require(nn_graph_status(g, &e), &e, m, seed);
}

static void fill_r(struct probe *p, struct nn_plan *plan)
{
    if (p->r.id)
        nn_rng_normal(nn_rng(p->c.seed, 50), 0, nn_plan_data(plan, p->r),
                      (size_t)nn_shape_count(nn_val_shape(p->c.graph, p->r)));
}

static struct nn_plan *plan_of(struct probe *p, struct nn_plan_options o, const struct op_maker *m,
                               uint64_t seed)
{
    struct nn_plan *plan = NULL;
    struct errmsg e = {0};
    op_case_fill_params(&p->c);
    require(nn_plan_new(p->c.graph, &o, &plan, &e), &e, m, seed);
    op_case_fill(&p->c, plan);
    fill_r(p, plan);
    nn_plan_seed(plan, 7, 3);
    return plan;
}

static void run(struct nn_plan *plan)
{
    assert_int_equal(nn_plan_run(plan), STATUS_OK);
}

static size_t count_of(const struct probe *p, struct nn_val v)
{
    return (size_t)nn_shape_count(nn_val_shape(p->c.graph, v));
}

/* ---- finite differences ---- */

/* sum(y * r) in double, after a run with the same mask and the same running statistics. */
static double loss_of(struct probe *p, struct nn_plan *plan, const float *r)
{
    struct nn_param_entry *mean = nn_params_find(p->c.params, "mean");
    struct nn_param_entry *var = nn_params_find(p->c.params, "var");
    float keep_mean[64], keep_var[64];
    if (mean) {
        memcpy(keep_mean, mean->value, (size_t)mean->shape.dim[0] * sizeof(float));
        memcpy(keep_var, var->value, (size_t)var->shape.dim[0] * sizeof(float));
    }
    nn_plan_seed(plan, 7, 3);
    assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
    run(plan);
    if (mean) {
        memcpy(mean->value, keep_mean, (size_t)mean->shape.dim[0] * sizeof(float));
        memcpy(var->value, keep_var, (size_t)var->shape.dim[0] * sizeof(float));
    }
    const float *y = nn_plan_data_named(plan, "y");
    double sum = 0;
    for (size_t i = 0; i < count_of(p, p->c.y); i++)
        sum += (double)y[i] * r[i];
    return sum;
}

static double difference(struct probe *p, struct nn_plan *plan, const float *r, float *at, float h)
{
    float keep = *at, up = keep + h, down = keep - h;
    *at = up;
    double a = loss_of(p, plan, r);
    *at = down;
    double b = loss_of(p, plan, r);
    *at = keep;
    return (a - b) / ((double)up - (double)down);
}

/* Probes whose gradient is not 0, and all probes: comparing 0 with 0 says little. */
static int probes_told, probes_made;

/* From `at` on the next element whose gradient is not 0; at itself when there is none. */
static size_t next_told(const float *g, size_t n, size_t at)
{
    for (size_t i = 0; i < n; i++)
        if (g[(at + i) % n] != 0)
            return (at + i) % n;
    return at;
}

static void check_leaf(struct probe *p, struct nn_plan *plan, const float *r, int i, double scale,
                       const struct op_maker *m)
{
    struct nn_val leaf = p->c.leaf[i];
    const struct nn_value *v = &p->c.graph->values[leaf.id];
    bool param = v->source == NN_FROM_PARAM;
    if (!param && !p->grad[i].id)
        return;
    float *x = param ? v->param->value : nn_plan_data(plan, leaf);
    (void)loss_of(p, plan, r);
    const float *grad = param ? v->param->grad : nn_plan_data(plan, p->grad[i]);
    size_t n = count_of(p, leaf);
    AUTO(mem_free) float *g = mem_alloc(n * sizeof *g);
    memcpy(g, grad, n * sizeof *g);
    for (int k = 0; k < PROBES; k++) {
        size_t at = nn_rng_u32(nn_rng(p->c.seed, 60), (uint64_t)(i * PROBES + k)) % n;
        if (k > 0) /* the first is any: what should be 0 is looked at as well */
            at = next_told(g, n, at);
        probes_told += g[at] != 0;
        probes_made++;
        double coarse = difference(p, plan, r, &x[at], 1e-2f);
        double fine = difference(p, plan, r, &x[at], 4e-3f);
        double error = fabs(fine - g[at]), allowed = 1e-2 * fabs(g[at]) + 2e-4 * scale;
        if (error <= allowed || fabs(coarse - g[at]) <= allowed)
            continue;
        if (fabs(coarse - fine) > allowed / 2)
            continue; /* a kink (ReLU, maximum) between the two points */
        rerun_line(m, p->c.seed);
        fail_msg("%s leaf %d element %zu: gradient %g, finite differences %g and %g", m->name, i,
                 at, (double)g[at], coarse, fine);
    }
}

static void check_gradient(const struct op_maker *m, uint64_t seed)
{
    if (m->no_gradient || m->no_differences)
        return;
    struct probe p;
    probe_new(&p, m, seed, true);
    struct nn_plan *plan = plan_of(
        &p, (struct nn_plan_options){.device = "reference", .threads = 1, .no_fusion = true}, m,
        seed);
    size_t n = count_of(&p, p.c.y);
    AUTO(mem_free) float *r = mem_alloc(n * sizeof *r);
    memcpy(r, nn_plan_data(plan, p.r), n * sizeof *r);
    double scale = 1;
    const float *y = (run(plan), nn_plan_data_named(plan, "y"));
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)y[i] * r[i]) * sqrt((double)n));
    op_case_fill_params(&p.c);
    for (int i = 0; i < p.c.n_leaves; i++)
        check_leaf(&p, plan, r, i, scale, m);
    nn_plan_free(plan);
    op_case_done(&p.c);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < OP_MAKERS_COUNT; i++) {
        probes_told = probes_made = 0;
        each_seed(&op_makers[i], SEEDS_GRADIENT, check_gradient);
        if (2 * probes_told < probes_made)
            fail_msg("%s: only %d of %d probes have a gradient", op_makers[i].name, probes_told,
                     probes_made);
    }
}

/* ---- devices ---- */

/* Everything a run produces: y, gradients, running statistics, one after the other. */
struct results {
    float *at;
    size_t n;
    size_t start[2 * CASE_LEAVES_MAX + 4];
    int parts;
};

static void add_part(struct results *r, const float *x, size_t n)
{
    r->at = mem_realloc(r->at, (r->n + n + 1) * sizeof *r->at);
    assert_non_null(r->at);
    memcpy(r->at + r->n, x, n * sizeof *x);
    r->start[r->parts++] = r->n;
    r->n += n;
    r->start[r->parts] = r->n;
}

static struct results results_of(struct probe *p, struct nn_plan *plan)
{
    struct results r = {0};
    add_part(&r, nn_plan_data_named(plan, "y"), count_of(p, p->c.y));
    for (int i = 0; i < p->c.n_leaves; i++)
        if (p->grad[i].id)
            add_part(&r, nn_plan_data(plan, p->grad[i]), count_of(p, p->grad[i]));
    for (int i = 0; i < nn_params_count(p->c.params); i++) {
        const struct nn_param_entry *e = nn_params_at(p->c.params, i);
        size_t n = (size_t)nn_shape_count(e->shape);
        if (e->trainable && e->grad)
            add_part(&r, e->grad, n);
        else if (!e->trainable)
            add_part(&r, e->value, n);
    }
    return r;
}

static struct results run_with(struct probe *p, struct nn_plan_options o, const struct op_maker *m,
                               uint64_t seed)
{
    struct nn_plan *plan = plan_of(p, o, m, seed);
    plan->poison = true;
    run(plan);
    struct results r = results_of(p, plan);
    nn_plan_free(plan);
    return r;
}

static void compare(const struct results *a, const struct results *b, double tolerance,
                    const struct op_maker *m, uint64_t seed, const char *what)
{
    assert_int_equal(a->n, b->n);
    for (int part = 0; part < a->parts; part++) {
        double largest = 1;
        for (size_t i = a->start[part]; i < a->start[part + 1]; i++)
            largest = fmax(largest, fabs((double)a->at[i]));
        for (size_t i = a->start[part]; i < a->start[part + 1]; i++)
            if (!(fabs((double)a->at[i] - b->at[i]) <= tolerance * largest)) {
                rerun_line(m, seed);
                fail_msg("%s, %s, part %d element %zu: %.9g, reference %.9g (largest %g)", m->name,
                         what, part, i - a->start[part], (double)b->at[i], (double)a->at[i],
                         largest);
            }
    }
}

/* ThreadSanitizer sees neither oneDNN's stores nor what orders its threads: it would report
 * nonsense. */
static bool unwatched(const char *device)
{
#ifdef __SANITIZE_THREAD__
    return !strcmp(device, "onednn");
#else
    (void)device;
    return false;
#endif
}

static void check_devices(const struct op_maker *m, uint64_t seed)
{
    struct probe p;
    probe_new(&p, m, seed, !m->no_gradient);
    struct results expected =
        run_with(&p, (struct nn_plan_options){.device = "reference", .threads = 1}, m, seed);
    for (const char *const *d = nn_devices(); *d; d++)
        for (int variant = 0; variant < 4; variant++) {
            struct nn_plan_options o = {
                .device = *d, .threads = 1 + (variant & 1), .no_fusion = variant & 2};
            if ((o.threads > 1 && unwatched(*d)) || (variant && !strcmp(*d, "reference")))
                continue;
            char what[64];
            snprintf(what, sizeof what, "%s, %d threads%s", *d, o.threads,
                     o.no_fusion ? ", no fusion" : "");
            struct results got = run_with(&p, o, m, seed);
            compare(&expected, &got, (double)m->tolerance, m, seed, what);
            mem_free(got.at);
        }
    mem_free(expected.at);
    op_case_done(&p.c);
}

static void devices_match_the_reference(void **state)
{
    (void)state;
    each_case(SEEDS_DEVICE, check_devices);
}

/* The builds of kernels/ give the same bits. */
static void check_widths(const struct op_maker *m, uint64_t seed)
{
    static const char *const narrower[] = {"avx2", "avx512"};
    struct probe p;
    probe_new(&p, m, seed, !m->no_gradient);
    for (enum nn_precision precision = 0; precision < NN_PREC_COUNT; precision++) {
        const struct nn_plan_options o = {
            .device = "openblas", .threads = 2, .precision = precision};
        struct results widest = run_with(&p, o, m, seed);
        for (size_t i = 0; i < ARRAY_LEN(narrower); i++) {
            assert_int_equal(setenv("RELEARN_CPU", narrower[i], 1), 0);
            struct results narrow = run_with(&p, o, m, seed);
            assert_int_equal(unsetenv("RELEARN_CPU"), 0);
            compare(&widest, &narrow, 0, m, seed, narrower[i]);
            mem_free(narrow.at);
        }
        mem_free(widest.at);
    }
    op_case_done(&p.c);
}

static void vectors_do_not_change_bits(void **state)
{
    (void)state;
    each_case(SEEDS_DEVICE, check_widths);
}

/* bf16 keeps 8 bits: a bound on each element's error would be as large as some results, so the
   error's energy is bounded instead, for each result alone: zeros in its place are all error. */
#define BF16_ERROR 1e-2 /* of a result's energy */
#define BF16_NOISE 4e-6 /* an element, where results cancel out */
static void check_bf16(const struct op_maker *m, uint64_t seed)
{
    struct probe p;
    probe_new(&p, m, seed, !m->no_gradient);
    struct results a =
        run_with(&p, (struct nn_plan_options){.device = "reference", .threads = 1}, m, seed);
    for (const char *const *d = nn_devices(); *d; d++) {
        if (!nn_precision_supported(*d, NN_PREC_BF16) || unwatched(*d))
            continue;
        struct results b = run_with(
            &p, (struct nn_plan_options){.device = *d, .threads = 2, .precision = NN_PREC_BF16}, m,
            seed);
        assert_int_equal(a.n, b.n);
        for (int part = 0; part < a.parts; part++) {
            size_t n = a.start[part + 1] - a.start[part];
            double error = 0, energy = 0;
            for (size_t i = a.start[part]; i < a.start[part + 1]; i++) {
                error += pow((double)a.at[i] - b.at[i], 2);
                energy += pow((double)a.at[i], 2);
            }
            if (!(error <= BF16_ERROR * energy + BF16_NOISE * (double)n)) {
                rerun_line(m, seed);
                fail_msg("%s on %s in bf16, part %d of %d: error %g of %g, %zu elements", m->name,
                         *d, part, a.parts, error, energy, n);
            }
        }
        mem_free(b.at);
    }
    mem_free(a.at);
    op_case_done(&p.c);
}

static void bf16_is_near(void **state)
{
    (void)state;
    each_case(SEEDS_DEVICE / 2, check_bf16);
}

/* ---- NaN ---- */

/* Quiet and signalling, of both signs, with bits everywhere that arithmetic on bits might use. */
static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001,
                                0x7fc00001, 0x7fc000ff, 0xffc00100, 0x7fffffff,
                                0xffffffff, 0x7fa00000, 0x7fc0017f, 0xff80007f};

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

struct poke {
    int leaf; /* -1: none */
    size_t at;
    float value, plus;
};

static struct results run_poked(struct probe *p, struct nn_plan_options o, const struct op_maker *m,
                                uint64_t seed, struct poke poke)
{
    struct nn_plan *plan = plan_of(p, o, m, seed);
    if (poke.leaf >= 0) {
        const struct nn_value *v = &p->c.graph->values[p->c.leaf[poke.leaf].id];
        float *x =
            v->source == NN_FROM_PARAM ? v->param->value : nn_plan_data(plan, p->c.leaf[poke.leaf]);
        x[poke.at] = poke.plus != 0 ? x[poke.at] + poke.plus : poke.value;
        assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
    }
    run(plan);
    struct results r = results_of(p, plan);
    nn_plan_free(plan);
    return r;
}

/* With one NaN: what the element had an influence on is NaN by the reference, and what is NaN by
   the reference is NaN everywhere. (An algorithm may spread it further.) */
static void check_one_nan(struct probe *p, const struct op_maker *m, uint64_t seed,
                          struct poke poke)
{
    static const char *const cpus[] = {NULL, "avx512", "avx2"};
    const struct nn_plan_options plain = {.device = "reference", .threads = 1, .no_fusion = true};
    struct results kept = run_poked(p, plain, m, seed, (struct poke){.leaf = -1});
    struct results expected = run_poked(p, plain, m, seed, poke);
    for (int sign = -1; sign <= 1; sign += 2) {
        struct results moved =
            run_poked(p, plain, m, seed,
                      (struct poke){.leaf = poke.leaf, .at = poke.at, .plus = 99.0f * (float)sign});
        for (size_t i = 0; i < moved.start[1]; i++) /* y */
            if (moved.at[i] != kept.at[i] && !isnan(expected.at[i])) {
                rerun_line(m, seed);
                fail_msg("%s: NaN in leaf %d becomes %g", m->name, poke.leaf,
                         (double)expected.at[i]);
            }
        mem_free(moved.at);
    }
    for (const char *const *d = nn_devices(); *d; d++)
        for (int variant = 0; variant < 12; variant++) {
            struct nn_plan_options o = {.device = *d,
                                        .threads = 1,
                                        .no_fusion = variant & 1,
                                        .precision = variant & 2 ? NN_PREC_BF16 : NN_PREC_F32};
            if (!nn_precision_supported(*d, o.precision) || (variant && !strcmp(*d, "reference")))
                continue;
            if (cpus[variant / 4])
                assert_int_equal(setenv("RELEARN_CPU", cpus[variant / 4], 1), 0);
            struct results got = run_poked(p, o, m, seed, poke);
            assert_int_equal(unsetenv("RELEARN_CPU"), 0);
            for (size_t i = 0; i < got.n; i++)
                if (isnan(expected.at[i]) && !isnan(got.at[i])) {
                    rerun_line(m, seed);
                    fail_msg("%s on %s, variant %d: NaN in leaf %d is lost, element %zu is %g",
                             m->name, *d, variant, poke.leaf, i, (double)got.at[i]);
                }
            mem_free(got.at);
        }
    mem_free(kept.at);
    mem_free(expected.at);
}

static void check_nan(const struct op_maker *m, uint64_t seed)
{
    if (m->no_differences) /* large */
        return;
    struct probe p;
    probe_new(&p, m, seed, !m->no_gradient);
    for (int i = 0; i < p.c.n_leaves; i++) {
        uint32_t random = nn_rng_u32(nn_rng(seed, 70), (uint64_t)i);
        check_one_nan(&p, m, seed,
                      (struct poke){.leaf = i,
                                    .at = random % count_of(&p, p.c.leaf[i]),
                                    .value = of_bits(nans[(random >> 8) % ARRAY_LEN(nans)])});
    }
    op_case_done(&p.c);
}

static void nan_is_kept(void **state)
{
    (void)state;
    each_case(SEEDS_GRADIENT, check_nan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(devices_match_the_reference),
        cmocka_unit_test(vectors_do_not_change_bits),
        cmocka_unit_test(bf16_is_near),
        cmocka_unit_test(nan_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
