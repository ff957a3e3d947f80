/*
 * The sampler against its formulas written out one step at a time in double precision, with noise
 * and networks made up.
 */
#include "jcdp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 2, ELEMENTS = 12, N = BATCH * ELEMENTS };

/* ---- made-up noise and networks ---- */

static double fake_noise(int purpose, int round, int step, int k)
{
    return sin(1.3 * k + 7.1 * purpose + 3.7 * round + 0.9 * step) * 1.4;
}
static double fake_eps(double x, int t, int k)
{
    return 0.8 * tanh(3 * x) + 0.05 * cos(t + k);
}
static double fake_gradient(double x, double y, int k)
{
    return 0.2 * (x - y) * (x - y) * (x - y) + 0.01 * k * (x - y);
}

struct fake {
    float eps[N], gradient[N];
    int evaluations, gradients, noises[3], stop_after;
};

static status env_eps(void *ctx, const float *x, int t, const float **out_eps)
{
    struct fake *f = ctx;
    f->evaluations++;
    for (int k = 0; k < N; k++)
        f->eps[k] = (float)fake_eps((double)x[k], t, k);
    *out_eps = f->eps;
    return STATUS_OK;
}

static status env_gradient(void *ctx, const float *x, const float *y, const float **out_grad)
{
    struct fake *f = ctx;
    f->gradients++;
    for (int k = 0; k < N; k++)
        f->gradient[k] = (float)fake_gradient((double)x[k], (double)y[k], k);
    *out_grad = f->gradient;
    return STATUS_OK;
}

static void env_noise(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out)
{
    struct fake *f = ctx;
    f->noises[purpose]++;
    for (int k = 0; k < N; k++)
        out[k] = (float)fake_noise((int)purpose, round, step, k);
}

static int env_stop(void *ctx)
{
    struct fake *f = ctx;
    return f->stop_after && f->evaluations >= f->stop_after;
}

/* ---- the oracle ---- */

static double clamp(double x)
{
    return x < -1 ? -1 : x > 1 ? 1 : x;
}

struct chain {
    double abar, before, beta, posterior, variance;
    int t;
};

static void init(struct purify_jcdp *out)
{
    struct purify_profile p;
    purify_profile_init(&p);
    *out = *purify_profile_jcdp(&p);
}

/* The quantities of step i from the definitions, visiting round(i (t*-1) / (S-1)). */
static struct chain chain_at(const struct purify_jcdp *p, int i)
{
    struct chain c = {0};
    int last = p->t_start - 1;
    int at[2];
    for (int d = 0; d < 2; d++)
        at[d] = p->steps > 1 ? (int)floor((double)(i - d) * last / (p->steps - 1) + 0.5) : last;
    c.t = at[0];
    c.abar = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, at[0]);
    c.before = i > 0 ? purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, at[1]) : 1;
    c.beta = 1 - c.abar / c.before;
    c.posterior = c.beta * (1 - c.before) / (1 - c.abar);
    c.variance = p->variance == PURIFY_FIXED_LARGE ? c.beta : c.posterior;
    if (i == 0)
        c.variance = p->steps > 1 ? chain_at(p, 1).posterior : c.beta;
    return c;
}

static double oracle_step(const struct purify_jcdp *p, int round, int i, int k, double x,
                          double prot)
{
    struct chain c = chain_at(p, i);
    double eps = (double)(float)fake_eps((double)(float)x, c.t, k);
    double x0 = clamp((x - sqrt(1 - c.abar) * eps) / sqrt(c.abar));
    /* Song et al. 2021, eq. 12, with the noise direction taken from the clamped x0 */
    double direction = (x - sqrt(c.abar) * x0) / sqrt(1 - c.abar);
    double eta = i < p->deterministic_steps ? 0 : (double)p->eta, sigma2 = eta * eta * c.posterior;
    double mean = sqrt(c.before) * x0 + sqrt(fmax(0, 1 - c.before - sigma2)) * direction;
    if (eta == 1) { /* Ho et al. 2020, eq. 7: another way to the same number */
        double ho = sqrt(c.before) * c.beta / (1 - c.abar) * x0 +
                    sqrt(1 - c.beta) * (1 - c.before) / (1 - c.abar) * x;
        if (fabs(ho - mean) > 1e-9)
            fail_msg("eq. 7 gives %.15g, eq. 12 %.15g", ho, mean);
    }
    double y = sqrt(c.abar) * prot + sqrt(1 - c.abar) * fake_noise(JCDP_REFERENCE, round, i, k);
    bool joint = p->guidance == PURIFY_GUIDE_JOINT, phased = p->guidance == PURIFY_GUIDE_PHASED;
    double pull = 0;
    if (joint || (phased && c.t > 10))
        pull += (double)p->pixel_scale * 2 / ELEMENTS * (y - x);
    if (joint || (phased && c.t <= 10))
        pull -= (double)p->perceptual_scale * fake_gradient(x, y, k);
    double next = mean + c.variance * sqrt(1 - c.abar) / sqrt(c.abar) * pull;
    if (i > 0)
        next += eta * sqrt(c.variance) * fake_noise(JCDP_STEP, round, i, k);
    return next;
}

static void oracle(const struct purify_jcdp *p, const float *prot, double *out)
{
    double abar = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, p->t_start - 1);
    for (int k = 0; k < N; k++) {
        double z = (double)prot[k];
        for (int round = 0; round < p->rounds; round++) {
            double x =
                sqrt(abar) * z + sqrt(1 - abar) * fake_noise(JCDP_JUMP, round, p->steps - 1, k);
            for (int i = p->steps - 1; i >= 0; i--)
                x = oracle_step(p, round, i, k, x, (double)prot[k]);
            z = x;
        }
        out[k] = z;
    }
}

/* ---- tests ---- */

static const struct purify_unet cfg = {.beta = PURIFY_BETA_LINEAR, .total = 1000};

static void make_input(float *z)
{
    for (int k = 0; k < N; k++)
        z[k] = (float)sin(k * 1.7);
}

static void check(const struct purify_jcdp *p)
{
    struct fake f = {.evaluations = 0};
    struct jcdp_env env = {&f, env_eps, env_gradient, env_noise, env_stop};
    AUTO(jcdp_free) struct jcdp *j = NULL;
    float z[N];
    double expected[N];
    make_input(z);
    oracle(p, z, expected);
    assert_int_equal(jcdp_new(p, &cfg, BATCH, ELEMENTS, &j), STATUS_OK);
    assert_int_equal(jcdp_run(j, &env, z), STATUS_OK);
    for (int k = 0; k < N; k++)
        if (!(fabs((double)z[k] - expected[k]) < 2e-5))
            fail_msg("t* %d, %d rounds of %d, eta %g (0 in the last %d), guidance %d, variance %d, "
                     "[%d]: %.9g != %.9g",
                     p->t_start, p->rounds, p->steps, (double)p->eta, p->deterministic_steps,
                     (int)p->guidance, (int)p->variance, k, (double)z[k], expected[k]);
    assert_int_equal(f.evaluations, p->rounds * p->steps);
    assert_int_equal(f.noises[JCDP_JUMP], p->rounds);
    int quiet = p->deterministic_steps > 1 ? p->deterministic_steps : 1;
    assert_int_equal(f.noises[JCDP_STEP], p->eta > 0 ? p->rounds * (p->steps - quiet) : 0);
    if (p->guidance == PURIFY_GUIDE_NONE)
        assert_int_equal(f.noises[JCDP_REFERENCE] + f.gradients, 0);
    else
        assert_int_equal(f.noises[JCDP_REFERENCE], p->rounds * p->steps);
    if (p->guidance == PURIFY_GUIDE_JOINT)
        assert_int_equal(f.gradients, p->rounds * p->steps);
}

static void test_formulas(void **state)
{
    (void)state;
    static const struct {
        int t_start, rounds, steps, deterministic;
    } runs[] = {{20, 4, 20, 0}, {20, 4, 5, 0}, {36, 2, 6, 0},  {100, 1, 10, 0},
                {7, 3, 1, 0},   {1, 2, 1, 0},  {2, 1, 2, 0},   {20, 4, 5, 1},
                {20, 4, 5, 2},  {36, 2, 6, 5}, {100, 1, 10, 3}};
    static const float etas[] = {1, 0, 0.5f};
    for (size_t r = 0; r < ARRAY_LEN(runs); r++)
        for (size_t n = 0; n < ARRAY_LEN(etas); n++)
            for (int guidance = 0; guidance < PURIFY_GUIDE_COUNT; guidance++)
                for (int variance = 0; variance < PURIFY_VARIANCE_COUNT; variance++) {
                    struct purify_jcdp p;
                    init(&p);
                    p.t_start = runs[r].t_start;
                    p.rounds = runs[r].rounds;
                    p.steps = runs[r].steps;
                    p.eta = etas[n];
                    p.deterministic_steps = runs[r].deterministic;
                    p.guidance = (enum purify_guidance)guidance;
                    p.variance = (enum purify_variance)variance;
                    p.pixel_scale = 40;
                    p.perceptual_scale = 5;
                    check(&p);
                }
}

/* Of a network that knows the clean image: the noise that it is shown, a row for each step. */
struct knowing {
    float clean[N], eps[8][N];
    int calls;
};

static status knowing_eps(void *ctx, const float *x, int t, const float **out_eps)
{
    struct knowing *w = ctx;
    double abar = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, t);
    float *eps = w->eps[w->calls++];
    for (int k = 0; k < N; k++)
        eps[k] = (float)(((double)x[k] - sqrt(abar) * (double)w->clean[k]) / sqrt(1 - abar));
    *out_eps = eps;
    return STATUS_OK;
}

static void knowing_noise(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out)
{
    (void)ctx;
    for (int k = 0; k < N; k++)
        out[k] = (float)fake_noise((int)purpose, round, step, k);
}

/* A deterministic step hands the noise on, at the level of the next one: only ancestral steps
   change what the network is shown. */
static void test_deterministic_steps_keep_the_noise(void **state)
{
    (void)state;
    struct purify_jcdp p;
    init(&p);
    p.t_start = 60;
    p.steps = 6;
    p.rounds = 1;
    p.deterministic_steps = 4;
    struct knowing w = {.calls = 0};
    struct jcdp_env env = {&w, knowing_eps, NULL, knowing_noise, NULL};
    AUTO(jcdp_free) struct jcdp *j = NULL;
    float z[N];
    make_input(z);
    make_input(w.clean);
    assert_int_equal(jcdp_new(&p, &cfg, BATCH, ELEMENTS, &j), STATUS_OK);
    assert_int_equal(jcdp_run(j, &env, z), STATUS_OK);
    for (int i = 1; i < 6; i++) {
        double most = 0;
        for (int k = 0; k < N; k++)
            most = fmax(most, fabs((double)w.eps[i][k] - (double)w.eps[i - 1][k]));
        if (i < 3 ? most < .1 : most > 1e-3)
            fail_msg("the noise changes by %g in step %d of 6", most, i);
    }
    for (int k = 0; k < N; k++)
        assert_true(fabs((double)z[k] - (double)w.clean[k]) < 1e-5);
}

/* At the released code's batch of 500 its scale moves an image by 1.6e-4 of the gap at t = 19. */
static void test_released_scale(void **state)
{
    (void)state;
    AUTO(purify_schedule_free) struct purify_schedule *s = NULL;
    assert_int_equal(purify_schedule_new(PURIFY_BETA_LINEAR, 1000, 20, 20, PURIFY_FIXED_LARGE, &s),
                     STATUS_OK);
    double scale = 3.347e6 / 500; /* ours is per image */
    double a = s->alpha_bar[19];
    double pull = s->variance[19] * scale * sqrt(1 - a) / sqrt(a) * 2 / 3072;
    if (fabs(pull - 1.6e-4) > 0.05e-4)
        fail_msg("a step pulls by %g of the gap, not by 1.6e-4", pull);
}

static void test_stops(void **state)
{
    (void)state;
    struct purify_jcdp p;
    init(&p);
    AUTO(jcdp_free) struct jcdp *j = NULL;
    assert_int_equal(jcdp_new(&p, &cfg, BATCH, ELEMENTS, &j), STATUS_OK);
    for (int after = 1; after < 20; after += 6) {
        struct fake f = {.stop_after = after};
        struct jcdp_env env = {&f, env_eps, NULL, env_noise, env_stop};
        float z[N];
        make_input(z);
        assert_int_equal(jcdp_run(j, &env, z), STATUS_CANCELLED);
        assert_int_equal(f.evaluations, after);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    struct purify_jcdp p;
    init(&p);
    struct jcdp *j = NULL;
    for (unsigned long n = 1; n <= 3; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        assert_int_equal(jcdp_new(&p, &cfg, BATCH, ELEMENTS, &j), STATUS_NOMEM);
        assert_null(j);
    }
    fault_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_deterministic_steps_keep_the_noise),
        cmocka_unit_test(test_released_scale),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("purify/jcdp", tests, NULL, NULL);
}
