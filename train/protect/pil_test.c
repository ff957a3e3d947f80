#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"
#include "protect/pil.h"

#include <math.h>

enum { SIDE = 8, CLASSES = 4, EACH = 60, VALUES = SIDE * SIDE, N = CLASSES * EACH };

static struct train_protect_options pil(const char *dst)
{
    struct train_protect_options o = options("pil", "src", dst);
    set(&o, "epochs", "1000");
    set(&o, "batch", "100");
    return o;
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("src", CLASSES, EACH, SIDE, 1, 1);
    protect_ok(pil("pil"));
    return 0;
}

/* ---- the loss ---- */

enum { K = 3, D = 5 };
struct example {
    float a[D * K], b[K * K], x[D], noise[D], clean[K], scratch[3 * K], grad[D];
    struct pil_model model;
};

static void fill(struct example *x)
{
    float *all[] = {x->a, x->b, x->x, x->noise};
    const size_t n[] = {D * K, K * K, D, D};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t p = 0; p < n[i]; p++)
            all[i][p] = stream_uniform(nn_rng(8, i), p, -1, 1);
    x->model = (struct pil_model){K, D, x->a, x->b};
    protect_pil_logits(&x->model, x->x, x->scratch, x->clean);
}

/* As it is written in pil.c, a term at a time. */
static double plain_loss(const struct example *x, double balance, int label)
{
    double z[2][K], sum[2] = {0, 0}, kl = 0;
    for (int of = 0; of < 2; of++)
        for (int k = 0; k < K; k++) {
            z[of][k] = 0;
            for (int h = 0; h < K; h++)
                for (int p = 0; p < D; p++)
                    z[of][k] += (double)x->b[k * K + h] * x->a[p * K + h] *
                                (of ? x->x[p] - x->noise[p] : x->noise[p]);
            sum[of] += exp(z[of][k]);
        }
    for (int k = 0; k < K; k++)
        kl += 1. / K * log(1. / K / (exp(z[1][k]) / sum[1]));
    return balance * -log(exp(z[0][label]) / sum[0]) + (1 - balance) * kl;
}

static void the_loss_is_the_published_one(void **state)
{
    (void)state;
    struct example x;
    fill(&x);
    for (int label = 0; label < K; label++)
        for (float balance = 0; balance <= 1; balance += .25f) {
            double got =
                protect_pil_loss(&x.model, balance, label, x.clean, x.noise, x.scratch, x.grad);
            double want = plain_loss(&x, (double)balance, label);
            if (fabs(got - want) > 1e-5)
                fail_msg("label %d, balance %g: %g, not %g", label, (double)balance, got, want);
            for (int p = 0; p < D; p++) {
                struct example up = x, down = x;
                up.noise[p] += 1e-3f;
                down.noise[p] -= 1e-3f;
                double slope = (plain_loss(&up, (double)balance, label) -
                                plain_loss(&down, (double)balance, label)) /
                               ((double)up.noise[p] - (double)down.noise[p]);
                if (fabs(slope - (double)x.grad[p]) > 1e-3)
                    fail_msg("label %d, balance %g, value %d: slope %g, not %g", label,
                             (double)balance, p, (double)x.grad[p], slope);
            }
        }
}

/* ---- all of it ---- */

static void it_is_bounded_and_linearly_separable(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch, wrong = 1;
    float *d = read_delta("pil.perturbation.safetensors", &s, &patch);
    assert_true(nn_shape_equal(s, nn_shape4(N, SIDE, SIDE, 1)));
    for (int i = 0; i < N * VALUES; i++)
        if (!(fabsf(d[i]) <= 8.0f / 255))
            fail_msg("value %d: %g", i, (double)(255 * d[i]));
    /* A perceptron (Rosenblatt 1958) finds hyperplanes if there are any. */
    static double w[CLASSES][VALUES];
    for (int pass = 0; pass < 500 && wrong; pass++) {
        wrong = 0;
        for (int i = 0; i < N; i++) {
            int label = i / EACH, best = 0;
            double score[CLASSES] = {0};
            for (int k = 0; k < CLASSES; k++) {
                for (int p = 0; p < VALUES; p++)
                    score[k] += w[k][p] * d[i * VALUES + p];
                best = score[k] > score[best] ? k : best;
            }
            wrong += best != label || pass == 0;
            for (int p = 0; p < VALUES && best != label; p++) {
                w[label][p] += d[i * VALUES + p];
                w[best][p] -= d[i * VALUES + p];
            }
        }
    }
    assert_int_equal(wrong, 0);
    mem_free(d);
}

/* A quarter of an image is bright, which one says the class. What is added makes it darker there. */
static void it_takes_away_what_says_the_class(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("pil.perturbation.safetensors", &s, &patch);
    for (int i = 0; i < N; i++) {
        int label = i / EACH;
        double own = 0, rest = 0;
        for (int p = 0; p < VALUES; p++) {
            int quarter = (p % SIDE >= SIDE / 2) | (p / SIDE >= SIDE / 2) << 1;
            *(quarter == label ? &own : &rest) += (double)d[i * VALUES + p];
        }
        if (!(own < rest / 3))
            fail_msg("image %d: %g where its class is, %g elsewhere", i, own, rest / 3);
    }
    mem_free(d);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(pil("pil"), "pil");
    assert_seed_matters(pil("pil"), "pil");
}

static void the_record_tells_of_the_surrogate(void **state)
{
    (void)state;
    json_t *r = read_record("pil");
    assert_int_equal(json_integer_value(json_object_get(r, "epochs")), 1000);
    assert_int_equal(json_integer_value(json_object_get(r, "batch")), 100);
    /* bright quarters are told apart by a linear classifier */
    double error = json_number_value(json_object_get(r, "surrogate_error"));
    if (!(error <= .05))
        fail_msg("error %g", error);
    json_decref(r);
    struct train_protect_options o = pil("large-batch");
    set(&o, "batch", "512");
    struct train_protect_result result = protect_ok(o);
    assert_int_equal(result.rounds, 1000);
    r = read_record("large-batch");
    assert_int_equal(json_integer_value(json_object_get(r, "batch")), N);
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_the_published_one),
        cmocka_unit_test(it_is_bounded_and_linearly_separable),
        cmocka_unit_test(it_takes_away_what_says_the_class),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(the_record_tells_of_the_surrogate),
    };
    return cmocka_run_group_tests_name("pil", tests, make_data, toy_teardown);
}
