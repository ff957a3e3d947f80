#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"
#include "protect/ntk_images.h"

#include <math.h>

static const struct ntk usual = {5, 1.76, .18};

static double uniform(uint64_t number, uint64_t at, double lo, double hi)
{
    return (double)stream_uniform(nn_rng(6, number), at, (float)lo, (float)hi);
}

static void assert_near(double got, double want, double most, const char *what)
{
    if (!(fabs(got - want) <= most))
        fail_msg("%s is %.9g, not %.9g", what, got, want);
}

/* ---- the kernel ---- */

static double erf_slope(double v)
{
    return 2 / sqrt(acos(-1)) * exp(-v * v);
}

/* The mean of f(u) f(v), u and v normal with these covariances, by a sum over a grid. */
static double mean_over_normal(double (*f)(double), double a, double b, double c)
{
    const double step = .1, far = 7;
    double sum = 0, weights = 0;
    for (double p = -far; p <= far; p += step)
        for (double q = -far; q <= far; q += step) {
            double w = exp(-(p * p + q * q) / 2);
            double v = c / sqrt(a) * p + sqrt(fmax(b - c * c / a, 0)) * q;
            sum += w * f(sqrt(a) * p) * f(v);
            weights += w;
        }
    return sum / weights;
}

/* The recursion as ntk.h has it, its means by sums. */
static double plain_kernel(const struct ntk *k, const double *x, const double *y, int n)
{
    double a = 0, b = 0, c = 0, t;
    for (int i = 0; i < n; i++) {
        a += x[i] * x[i] / n;
        b += y[i] * y[i] / n;
        c += x[i] * y[i] / n;
    }
    a = k->weight * a + k->bias;
    b = k->weight * b + k->bias;
    t = c = k->weight * c + k->bias;
    for (int l = 1;; l++) {
        double slope = mean_over_normal(erf_slope, a, b, c);
        if (l == k->layers)
            return slope * t;
        c = k->weight * mean_over_normal(erf, a, b, c) + k->bias;
        a = k->weight * mean_over_normal(erf, a, a, a) + k->bias;
        b = k->weight * mean_over_normal(erf, b, b, b) + k->bias;
        t = c + k->weight * slope * t;
    }
}

enum { VALUES = 6 };

static double mean_product(const double *x, const double *y)
{
    double sum = 0;
    for (int i = 0; i < VALUES; i++)
        sum += x[i] * y[i] / VALUES;
    return sum;
}

static double kernel(const struct ntk *k, const double *x, const double *y)
{
    double self[NTK_LAYERS_MAX], other[NTK_LAYERS_MAX];
    ntk_self(k, mean_product(x, x), self);
    ntk_self(k, mean_product(y, y), other);
    return ntk_pair(k, mean_product(x, y), self, other);
}

static void the_kernel_is_that_of_the_recursion(void **state)
{
    (void)state;
    for (int layers = 1; layers <= 5; layers++)
        for (uint64_t i = 0; i < 3; i++) {
            const struct ntk k = {layers, 1.76, .18};
            double x[VALUES], y[VALUES];
            for (uint64_t p = 0; p < VALUES; p++) {
                x[p] = uniform(i, p, -1, 1.5);
                y[p] = i == 2 ? x[p] : uniform(i, VALUES + p, -1, 1.5);
            }
            assert_near(kernel(&k, x, y), plain_kernel(&k, x, y, VALUES), 1e-9, "the kernel");
        }
}

static void the_kernels_gradient_is_its_slope(void **state)
{
    (void)state;
    for (int layers = 1; layers <= 5; layers++) {
        const struct ntk k = {layers, 1.76, .18};
        const double mean[3] = {.31, .42, .22}, by = 1e-5;
        double grad[3], a[NTK_LAYERS_MAX], b[NTK_LAYERS_MAX], by_a[NTK_LAYERS_MAX] = {0},
                                                              by_b[NTK_LAYERS_MAX] = {0};
        ntk_self(&k, mean[0], a);
        ntk_self(&k, mean[1], b);
        grad[2] = ntk_pair_gradient(&k, mean[2], a, b, 2, by_a, by_b);
        grad[0] = ntk_self_gradient(&k, a, by_a);
        grad[1] = ntk_self_gradient(&k, b, by_b);
        for (int of = 0; of < 3; of++) {
            double value[2];
            for (int up = 0; up < 2; up++) {
                double at[3] = {mean[0], mean[1], mean[2]};
                at[of] += up ? by : -by;
                ntk_self(&k, at[0], a);
                ntk_self(&k, at[1], b);
                value[up] = 2 * ntk_pair(&k, at[2], a, b);
            }
            assert_near(grad[of], (value[1] - value[0]) / (2 * by), 1e-7, "the slope");
        }
    }
}

/* ---- what was learned ---- */

/* Without likeness between images each learns for itself: (1 - exp(-k s)) / k of its label. */
static void what_is_learned_is_the_flows(void **state)
{
    (void)state;
    enum { N = 3, ALL = 4, CLASSES = 3 };
    static const int label[ALL] = {0, 1, 2, 1};
    const double diagonal[N] = {.5, 4, 300}, likeness[N] = {.4, 1.5, -40};
    const double time = 7, s = time / (N * CLASSES);
    double theta[N * ALL] = {0}, sum = 0, f[CLASSES];
    for (int i = 0; i < N; i++) {
        theta[i * ALL + i] = diagonal[i];
        theta[i * ALL + N] = likeness[i];
        f[i] = likeness[i] * (1 - exp(-diagonal[i] * s)) / diagonal[i];
        sum += exp(f[i]);
    }
    const struct ntk_flow flow = {.n = N,
                                  .held = 1,
                                  .classes = CLASSES,
                                  .time = time,
                                  .ridge = 0,
                                  .label = label,
                                  .theta = theta};
    struct ntk_loss loss;
    assert_int_equal(ntk_flow_loss(&flow, NULL, &loss), STATUS_OK);
    assert_near(loss.loss, log(sum) - f[1], .003, "the loss");
    assert_true(loss.error == 0);
}

enum { N = 5, HELD = 4, ALL = N + HELD, CLASSES = 3 };

static void the_flows_gradient_is_its_slope(void **state)
{
    (void)state;
    int label[ALL];
    double theta[N * ALL], grad[N * ALL];
    for (int i = 0; i < ALL; i++)
        label[i] = i % CLASSES;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < ALL; j++)
            theta[i * ALL + j] =
                uniform(3, (uint64_t)(j < i ? j * ALL + i : i * ALL + j), .5, 1) + 2 * (i == j);
    const struct ntk_flow flow = {.n = N,
                                  .held = HELD,
                                  .classes = CLASSES,
                                  .time = 10,
                                  .ridge = .05,
                                  .label = label,
                                  .theta = theta};
    struct ntk_loss loss[2];
    assert_int_equal(ntk_flow_loss(&flow, grad, &loss[0]), STATUS_OK);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < ALL; j++) { /* the kernel of learned images is symmetric */
            double *mirror = j < N && j != i ? &theta[j * ALL + i] : NULL;
            double at = theta[i * ALL + j], by = 1e-5;
            for (int up = 0; up < 2; up++) {
                theta[i * ALL + j] = at + (up ? by : -by);
                if (mirror)
                    *mirror = theta[i * ALL + j];
                assert_int_equal(ntk_flow_loss(&flow, NULL, &loss[up]), STATUS_OK);
            }
            theta[i * ALL + j] = at;
            if (mirror)
                *mirror = at;
            assert_near(grad[i * ALL + j] + (mirror ? grad[j * ALL + i] : 0),
                        (loss[1].loss - loss[0].loss) / (2 * by), 1e-8, "the slope");
        }
}

/* ---- images ---- */

static void the_loss_of_images_has_its_slope(void **state)
{
    (void)state;
    enum { PIXELS = 12 };
    const struct ntk_images_options o = {.kernel = usual,
                                         .n = N,
                                         .held = HELD,
                                         .classes = CLASSES,
                                         .values = PIXELS,
                                         .time = 60,
                                         .ridge = 1e-4,
                                         .threads = 1};
    struct ntk_images *m = NULL;
    struct ntk_loss loss[2];
    float grad[N * PIXELS];
    struct errmsg e = {""};
    toy_good(ntk_images_new(&o, &m, &e), &e);
    for (int i = 0; i < ALL; i++) {
        m->label[i] = i % CLASSES;
        for (int p = 0; p < PIXELS; p++)
            m->image[i * PIXELS + p] = (float)uniform(5, (uint64_t)(i * PIXELS + p), 0,
                                                      p % CLASSES == i % CLASSES ? 1 : .6);
    }
    assert_int_equal(ntk_images_loss(m, true, &loss[0]), STATUS_OK);
    memcpy(grad, m->grad, sizeof grad);
    for (int p = 0; p < N * PIXELS; p++) {
        float at = m->image[p];
        for (int up = 0; up < 2; up++) {
            m->image[p] = at + (up ? .01f : -.01f);
            assert_int_equal(ntk_images_loss(m, false, &loss[up]), STATUS_OK);
        }
        m->image[p] = at;
        assert_near((double)grad[p], (loss[1].loss - loss[0].loss) / .02, 2e-5, "the slope");
    }
    double most = 0;
    for (int p = 0; p < N * PIXELS; p++)
        most = fmax(most, fabs((double)grad[p]));
    assert_true(most > 1e-3);
    ntk_images_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_is_that_of_the_recursion),
        cmocka_unit_test(the_kernels_gradient_is_its_slope),
        cmocka_unit_test(what_is_learned_is_the_flows),
        cmocka_unit_test(the_flows_gradient_is_its_slope),
        cmocka_unit_test(the_loss_of_images_has_its_slope),
    };
    return cmocka_run_group_tests_name("ntk", tests, NULL, NULL);
}
