/*
 * The whole chain on a network that knows its images: a tiny UNet is trained here, in seconds, on
 * smooth waves; images that carry +-8/255 of noise must come back closer to what they were.
 */
#include "engine.h"
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One thread's arithmetic: under the thread sanitiser it would take minutes and tell nothing. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
enum { SKIPPED = 1 };
#else
enum { SKIPPED = 0 };
#endif

enum { SIZE = 16, PIXELS = SIZE * SIZE, BATCH = 16, STEPS = 300, T_MAX = 60, IMAGES = 6 };

/* Sums of two waves of random direction, in [-1,1]. */
static void clean_image(uint64_t id, float *out)
{
    struct nn_rng rng = nn_rng(id, 77);
    double p[8];
    for (uint64_t i = 0; i < 8; i++)
        p[i] = (double)nn_rng_uniform(rng, i);
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            out[y * SIZE + x] = (float)(0.55 * sin(0.5 * p[0] * x + 0.5 * p[1] * y + 6.3 * p[2]) +
                                        0.35 * sin(0.6 * p[3] * x - 0.6 * p[4] * y + 6.3 * p[5]));
}

struct trainer {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_optim *optim;
    struct nn_val x, t, noise, loss;
    double abar[T_MAX];
};

static void trainer_init(struct trainer *r, const struct purify_unet *cfg)
{
    struct errmsg e = {""};
    assert_int_equal(nn_params_new(&r->params), STATUS_OK);
    assert_int_equal(nn_graph_new(r->params, &r->graph), STATUS_OK);
    struct nn_graph *g = r->graph;
    struct nn_shape s = nn_shape4(BATCH, SIZE, SIZE, 1);
    r->x = nn_input(g, "x", NN_F32, s);
    r->t = nn_input(g, "t", NN_F32, nn_shape1(BATCH));
    r->noise = nn_input(g, "noise", NN_F32, s);
    r->loss = nn_mean(g, nn_mse(g, purify_unet_build(g, cfg, r->x, r->t, true), r->noise));
    nn_param_gradients(g, r->loss, NULL, 0, NULL);
    nn_output(g, r->loss, "loss");
    assert_int_equal(nn_params_init(r->params, 5), STATUS_OK);
    status st = nn_plan_new(g, &(struct nn_plan_options){.threads = 1}, &r->plan, &e);
    if (st)
        fail_msg("%s", errmsg_text(&e, st));
    assert_int_equal(
        nn_optim_new(r->params, &(struct nn_optim_options){.kind = NN_ADAM}, &r->optim), STATUS_OK);
    for (int t = 0; t < T_MAX; t++)
        r->abar[t] = purify_alpha_bar(cfg->beta, cfg->total, t);
}

/* Ho et al. 2020, algorithm 1. */
static void train_step(struct trainer *r, int step)
{
    struct nn_rng rng = nn_rng(9, (uint64_t)step);
    float *x = nn_plan_data(r->plan, r->x), *time = nn_plan_data(r->plan, r->t);
    float *noise = nn_plan_data(r->plan, r->noise);
    nn_rng_normal(rng, 0, noise, BATCH * PIXELS);
    for (int n = 0; n < BATCH; n++) {
        int t = (int)(nn_rng_u32(rng, 1u << 20 | (unsigned)n) % T_MAX);
        float a = (float)sqrt(r->abar[t]), b = (float)sqrt(1 - r->abar[t]);
        time[n] = (float)t;
        clean_image(1000 + (uint64_t)(step * BATCH + n), x + n * PIXELS);
        for (int k = n * PIXELS; k < (n + 1) * PIXELS; k++)
            x[k] = a * x[k] + b * noise[k];
    }
    assert_int_equal(nn_plan_run(r->plan), STATUS_OK);
    nn_optim_step(r->optim, 4e-3f * (1 - (float)step / STEPS));
    assert_int_equal(nn_plan_refresh(r->plan), STATUS_OK);
}

static void train(const char *path)
{
    struct purify_unet cfg = test_unet_cfg(1);
    struct purify_meta meta;
    struct trainer r = {0};
    cfg.attn_count = 0;
    cfg.mid_attn = false;
    cfg.t_max = T_MAX;
    trainer_init(&r, &cfg);
    for (int step = 0; step < STEPS; step++)
        train_step(&r, step);
    purify_unet_to_meta(&cfg, &meta);
    assert_int_equal(nn_params_save(r.params, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    nn_optim_free(r.optim);
    nn_plan_free(r.plan);
    nn_graph_free(r.graph);
    nn_params_free(r.params);
}

static double psnr(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (int k = 0; k < PIXELS; k++)
        sum += (double)(a[k] - b[k]) * (a[k] - b[k]);
    return 10 * log10(255.0 * 255 * PIXELS / sum);
}

struct result {
    double before, after, moved; /* PSNR to the clean image, and between input and output; dB */
};

static struct result purify(const struct purify_profile *wanted)
{
    struct purify_profile p = *wanted;
    struct purify_model *m = NULL;
    struct purify_engine *en = NULL;
    struct result mean = {0, 0, 0};
    struct errmsg e = {""};
    if (purify_profile_finish(&p, &e) || purify_model_load(&p, &m, &e) ||
        purify_engine_new(m, &en, &e))
        fail_msg("%s", e.text);
    for (int i = 0; i < IMAGES; i++) {
        float smooth[PIXELS];
        uint8_t clean[PIXELS], noisy[PIXELS], out[PIXELS];
        clean_image((uint64_t)i, smooth);
        image_from_f32(smooth, PIXELS, clean);
        for (int k = 0; k < PIXELS; k++) {
            int sign = nn_rng_u32(nn_rng(1, (uint64_t)i), (uint64_t)k) & 1 ? 8 : -8;
            noisy[k] = out[k] = (uint8_t)(clean[k] + sign);
        }
        struct image img = {SIZE, SIZE, 1, out, NULL};
        assert_int_equal(purify_engine_run(en, &img, NULL, NULL, &e), STATUS_OK);
        mean.before += psnr(noisy, clean) / IMAGES;
        mean.after += psnr(out, clean) / IMAGES;
        mean.moved += psnr(out, noisy) / IMAGES;
    }
    purify_engine_free(en);
    purify_model_free(m);
    return mean;
}

static void test_denoises(void **state)
{
    (void)state;
    if (SKIPPED)
        skip();
    char path[TEST_PATH];
    test_temp_file(path);
    train(path);
    struct purify_profile p;
    purify_profile_init(&p);
    snprintf(jcdp_of(&p)->model, sizeof jcdp_of(&p)->model, "%s", path);
    jcdp_of(&p)->t_start = 30;
    jcdp_of(&p)->rounds = 2;
    jcdp_of(&p)->average = 4;

    struct result ancestral = purify(&p);
    print_message("# %.1f dB, ancestral %.1f\n", ancestral.before, ancestral.after);
    jcdp_of(&p)->eta = 0;
    struct result ddim = purify(&p);
    jcdp_of(&p)->eta = 1;
    jcdp_of(&p)->guidance = PURIFY_GUIDE_JOINT;
    jcdp_of(&p)->pixel_scale = 8e4f;
    struct result pulled = purify(&p);
    unlink(path);
    print_message("# deterministic %.1f; unguided %.1f from the input, pulled %.1f\n", ddim.after,
                  ancestral.moved, pulled.moved);
    if (ancestral.after < ancestral.before + 0.5)
        fail_msg("%.2f dB before, %.2f after", ancestral.before, ancestral.after);
    if (ddim.after < ddim.before + 1)
        fail_msg("deterministic: %.2f dB before, %.2f after", ddim.before, ddim.after);
    if (pulled.moved < ancestral.moved + 0.5)
        fail_msg("guidance: output %.2f dB from the input, %.2f without", pulled.moved,
                 ancestral.moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denoises),
    };
    return cmocka_run_group_tests_name("purify/denoise", tests, NULL, NULL);
}
