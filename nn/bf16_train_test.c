/*
 * Training with 16-bit intermediates follows the loss curve of training in f32: over 300 steps of a
 * small ResNet and a small UNet the two differ by no more than two runs in f32 with other batches
 * do. On every device that can.
 */
#include "net_cases.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16, SIDE = 8, CLASSES = 4, STEPS = 300, WINDOW = 30, WINDOWS = STEPS / WINDOW };
enum { ELEMENTS = SIDE * SIDE * 3 };

struct curve {
    double loss[WINDOWS]; /* mean of each window */
};

/* An image of a class: its own waves, and noise. */
static void draw(struct nn_rng rng, int kind, float *out)
{
    nn_rng_normal(rng, 0, out, ELEMENTS);
    for (int i = 0; i < ELEMENTS; i++)
        out[i] = 0.5f * out[i] + (float)sin(0.1 * (kind + 1) * i + kind);
}

static void fill(struct nn_plan *p, bool unet, uint64_t seed, int step)
{
    struct nn_rng rng = nn_rng(seed, (uint64_t)step << 32);
    for (int n = 0; n < BATCH; n++) {
        float *x = (float *)nn_plan_data_named(p, "x") + (size_t)n * ELEMENTS;
        int kind = (int)(nn_rng_u32(rng, (uint64_t)n) % CLASSES);
        draw(nn_rng(seed, (uint64_t)step << 32 | (uint64_t)(n + 1)), kind, x);
        if (!unet) {
            ((int32_t *)nn_plan_data_named(p, "labels"))[n] = kind;
            continue;
        }
        float *noise = (float *)nn_plan_data_named(p, "noise") + (size_t)n * ELEMENTS;
        float part = 0.2f + 0.6f * nn_rng_uniform(rng, (uint64_t)(BATCH + n));
        nn_rng_normal(nn_rng(seed + 1, (uint64_t)step << 32 | (uint64_t)n), 0, noise, ELEMENTS);
        for (int i = 0; i < ELEMENTS; i++)
            x[i] = sqrtf(1 - part * part) * x[i] + part * noise[i];
        ((float *)nn_plan_data_named(p, "t"))[n] = 1000 * part;
    }
}

static struct nn_val build(struct nn_graph *g, bool unet)
{
    struct nn_val logits, loss;
    if (unet) {
        struct nn_val noise = nn_input(g, "noise", NN_F32, nn_shape4(BATCH, SIDE, SIDE, 3));
        loss = nn_mse(g, net_unet(g, BATCH, SIDE, 8, 3), noise);
    } else {
        loss = net_resnet18(g, BATCH, SIDE, 4, true, &logits);
    }
    loss = nn_mean(g, loss);
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    return loss;
}

static struct curve train(const char *device, bool unet, enum nn_precision precision, uint64_t seed)
{
    AUTO(nn_params_free) struct nn_params *params = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(nn_plan_free) struct nn_plan *plan = NULL;
    AUTO(nn_optim_free) struct nn_optim *optim = NULL;
    const struct nn_plan_options opt = {.device = device, .precision = precision, .threads = 1};
    const struct nn_optim_options adam = {.kind = NN_ADAM};
    struct errmsg e = {""};
    struct curve c = {{0}};
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val loss = build(g, unet);
    assert_int_equal(nn_params_init(params, 1), STATUS_OK);
    if (nn_plan_new(g, &opt, &plan, &e))
        fail_msg("%s: %s", device, e.text);
    assert_int_equal(nn_optim_new(params, &adam, &optim), STATUS_OK);
    for (int step = 0; step < STEPS; step++) {
        fill(plan, unet, seed, step);
        assert_int_equal(nn_plan_run(plan), STATUS_OK);
        c.loss[step / WINDOW] += (double)*(float *)nn_plan_data(plan, loss) / WINDOW;
        nn_optim_step(optim, 1e-3f);
        assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
    }
    return c;
}

static double apart(const struct curve *a, const struct curve *b)
{
    double sum = 0;
    for (int i = 0; i < WINDOWS; i++)
        sum += fabs(a->loss[i] - b->loss[i]) / WINDOWS;
    return sum;
}

static void follows_f32(const char *device, bool unet)
{
    struct curve whole = train(device, unet, NN_PREC_F32, 7),
                 other = train(device, unet, NN_PREC_F32, 8),
                 half = train(device, unet, NN_PREC_BF16, 7);
    double noise = apart(&whole, &other), off = apart(&whole, &half);
    print_message("# %s, %s: loss %.3f to %.3f, in bf16 to %.3f; apart by %.4f, other batches by "
                  "%.4f\n",
                  device, unet ? "unet" : "resnet", whole.loss[0], whole.loss[WINDOWS - 1],
                  half.loss[WINDOWS - 1], off, noise);
    assert_true(whole.loss[WINDOWS - 1] < 0.8 * whole.loss[0]); /* there is something to follow */
    if (!(off <= noise))
        fail_msg("%s: the curves are %g apart, more than the noise of %g", device, off, noise);
    if (memcmp(&whole, &half, sizeof whole) == 0)
        fail_msg("%s computed in f32", device);
}

static void on_each_device(bool unet)
{
    for (const char *const *d = nn_devices(); *d; d++)
        if (strcmp(*d, "reference") != 0 && nn_precision_supported(*d, NN_PREC_BF16))
            follows_f32(*d, unet);
}

static void resnet(void **state)
{
    (void)state;
    on_each_device(false);
}

static void unet(void **state)
{
    (void)state;
    on_each_device(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resnet), cmocka_unit_test(unet)};
    return cmocka_run_group_tests_name("nn/bf16_train", tests, NULL, NULL);
}
