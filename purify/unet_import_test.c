/* Imported networks answer as PyTorch does: the files of tests/torch/unets.py. */
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILES "tests/golden/unets/"
static char out_path[] = "/tmp/purify-import-XXXXXX";

struct net {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
};

static void net_free(struct net *n)
{
    nn_plan_free(n->plan);
    nn_graph_free(n->graph);
    nn_params_free(n->params);
}

static void read_answer(const struct nn_file *f, const char *name, float *out, size_t n)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    assert_non_null(t);
    assert_int_equal(nn_file_read_f32(t, out, n), STATUS_OK);
}

/* The largest difference, relative to the largest value. */
static double worst(const float *got, const float *want, size_t n)
{
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff = fmax(diff, fabs((double)got[i] - (double)want[i]));
        size = fmax(size, fabs((double)want[i]));
    }
    return diff / size;
}

static void answers_alike_in(const char *weights, const char *answer,
                             const struct nn_plan_options *opt, double bound)
{
    enum { N = 2, SIDE = 8, ELEMENTS = N * SIDE * SIDE * 3 };
    float x[ELEMENTS], t[N], y[ELEMENTS];
    AUTO(nn_file_close) struct nn_file *f = NULL, *golden = NULL;
    struct purify_unet u;
    struct net n = {NULL, NULL, NULL};
    assert_int_equal(nn_file_open(answer, &golden, NULL), STATUS_OK);
    read_answer(golden, "x", x, ELEMENTS);
    read_answer(golden, "t", t, N);
    read_answer(golden, "y", y, ELEMENTS);
    assert_int_equal(nn_file_open(weights, &f, NULL), STATUS_OK);
    assert_int_equal(purify_unet_from_file(f, &u, NULL), STATUS_OK);
    assert_int_equal(nn_params_new(&n.params), STATUS_OK);
    assert_int_equal(nn_graph_new(n.params, &n.graph), STATUS_OK);
    struct nn_val vx = nn_input(n.graph, "x", NN_F32, nn_shape4(N, SIDE, SIDE, 3));
    struct nn_val vt = nn_input(n.graph, "t", NN_F32, nn_shape1(N));
    struct nn_val vy = purify_unet_build(n.graph, &u, vx, vt, false);
    nn_output(n.graph, vy, "y");
    assert_int_equal(nn_params_load(n.params, f, "", NULL), STATUS_OK);
    assert_int_equal(nn_plan_new(n.graph, opt, &n.plan, NULL), STATUS_OK);
    memcpy(nn_plan_data(n.plan, vx), x, sizeof x);
    memcpy(nn_plan_data(n.plan, vt), t, sizeof t);
    assert_int_equal(nn_plan_run(n.plan), STATUS_OK);
    double off = worst(nn_plan_data(n.plan, vy), y, ELEMENTS);
    print_message("%s, %s %s: at most %.1e off\n", answer, opt->device,
                  nn_precision_names[opt->precision], off);
    if (!(off < bound))
        fail_msg("%s, %s %s: %g off", answer, opt->device, nn_precision_names[opt->precision], off);
    net_free(&n);
}

/* The bounds that purify.h states. */
static void answers_alike(const char *weights, const char *answer)
{
    for (const char *const *d = nn_devices(); *d; d++)
        for (int p = 0; p < NN_PREC_COUNT; p++)
            if (nn_precision_supported(*d, (enum nn_precision)p))
                answers_alike_in(weights, answer,
                                 &(struct nn_plan_options){
                                     .device = *d, .threads = 1, .precision = (enum nn_precision)p},
                                 p == NN_PREC_F32 ? 1e-4 : 2e-2);
}

static struct purify_unet imported(const char *path, const struct purify_import *how)
{
    struct purify_unet u;
    struct errmsg e = {""};
    status st = purify_unet_import(path, how, out_path, &u, &e);
    if (st)
        fail_msg("%s: %s", path, errmsg_text(&e, st));
    return u;
}

static void guided_diffusion(void **state)
{
    (void)state;
    struct purify_unet u =
        imported(FILES "adm.safetensors",
                 &(struct purify_import){.size = 8, .groups = 2, .head_channels = 4});
    assert_int_equal(u.levels, 2);
    assert_int_equal(u.res_blocks, 2);
    assert_true(u.scale_shift && u.res_resample && u.mid_attn && u.plain_embedding);
    assert_int_equal(u.in_channels, 3); /* the learned variance is gone */
    answers_alike(out_path, FILES "adm.answer.safetensors");
}

static void improved_diffusion(void **state)
{
    (void)state;
    struct purify_unet u = imported(
        FILES "improved.safetensors",
        &(struct purify_import){
            .size = 8, .groups = 2, .heads = 2, .timesteps = 4000, .beta = PURIFY_BETA_COSINE});
    assert_int_equal(u.levels, 3);
    assert_int_equal(u.attn_count, 2);
    assert_int_equal(u.total, 4000);
    assert_int_equal(u.beta, PURIFY_BETA_COSINE);
    assert_true(!u.scale_shift && !u.res_resample && u.even_padding);
    answers_alike(out_path, FILES "improved.answer.safetensors");
}

static void diffusers(void **state)
{
    (void)state;
    const struct purify_import plain = {.prefix = NULL};
    struct purify_unet u = imported(FILES "hub_ddpm", &plain);
    assert_true(!u.even_padding && !u.plain_embedding && !u.head_channels);
    assert_int_equal(u.groups, 2);
    answers_alike(out_path, FILES "hub_ddpm.answer.safetensors");
    u = imported(FILES "hub_new", &plain);
    assert_true(u.even_padding && u.plain_embedding && u.scale_shift && u.res_resample);
    assert_int_equal(u.head_channels, 4);
    assert_int_equal(u.beta, PURIFY_BETA_COSINE);
    answers_alike(out_path, FILES "hub_new.answer.safetensors");
}

/* ---- what does not fit ---- */

static void refused(const char *path, const struct purify_import *how, const char *says)
{
    struct purify_unet u;
    struct errmsg e = {""};
    unlink(out_path);
    if (purify_unet_import(path, how, out_path, &u, &e) == STATUS_OK)
        fail_msg("%s was read", path);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    assert_int_not_equal(0, access(out_path, F_OK));
}

static void says_what_is_missing(void **state)
{
    (void)state;
    refused(FILES "adm.safetensors", &(struct purify_import){.size = 8, .groups = 2}, "--heads");
    refused(FILES "adm.safetensors",
            &(struct purify_import){.size = 8, .groups = 2, .head_channels = 3}, "heads by 3");
    refused(FILES "adm.safetensors", &(struct purify_import){.size = 8, .groups = 3, .heads = 1},
            "3 groups");
    refused(FILES "adm.safetensors", &(struct purify_import){.prefix = "ema.", .heads = 1},
            "ema.time_embed.0.weight");
    refused(FILES "hub_new/unet/diffusion_pytorch_model.safetensors",
            &(struct purify_import){.size = 8}, "config.json");
    refused(FILES "hub_new/scheduler", &(struct purify_import){.size = 8}, "no config.json");
    refused("/nowhere", &(struct purify_import){.size = 8}, "/nowhere");
}

/* A tensor that is left out, or has another shape, is named. */
static void names_the_tensor(void **state)
{
    (void)state;
    enum { MOST = 400 };
    const struct purify_import how = {.size = 8, .groups = 2, .head_channels = 4};
    struct nn_save_tensor all[MOST];
    float zeros[1 << 12] = {0};
    AUTO(nn_file_close) struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(FILES "adm.safetensors", &f, NULL), STATUS_OK);
    int n = nn_file_count(f), named = 0, asked = 0;
    char path[sizeof out_path + 8];
    snprintf(path, sizeof path, "%s.bad", out_path);
    assert_true(n <= MOST);
    for (int change = 0; change < 2; change++)
        for (int i = change; i < n; i += 3) {
            struct purify_unet u;
            struct errmsg e = {""};
            int kept = 0;
            for (int k = 0; k < n; k++) {
                const struct nn_file_tensor *t = nn_file_at(f, k);
                struct nn_shape s = t->shape;
                if (k == i && change)
                    s.dim[s.rank - 1]++;
                assert_true(nn_shape_count(s) <= (int64_t)ARRAY_LEN(zeros));
                if (k != i || change)
                    all[kept++] = (struct nn_save_tensor){t->name, s, zeros, false};
            }
            assert_int_equal(nn_file_save(path, all, kept, NULL, 0, NULL), STATUS_OK);
            if (purify_unet_import(path, &how, out_path, &u, &e) == STATUS_OK)
                fail_msg("read without %s", nn_file_at(f, i)->name);
            assert_int_not_equal(e.text[0], 0);
            asked++;
            named += strstr(e.text, nn_file_at(f, i)->name) != NULL;
        }
    /* the rest make another architecture, which something else then does not fit */
    assert_true(asked > n / 2 && named >= asked * 8 / 10);
    unlink(path);
}

/* Names that promise a network of gigabytes. */
static void small_files_stay_small(void **state)
{
    (void)state;
    static float zeros[4096 * 27];
    const struct nn_save_tensor all[] = {
        {"temb.dense.0.weight", nn_shape2(1, 1), zeros, false},
        {"conv_in.weight", nn_shape4(4096, 3, 3, 3), zeros, false},
        {"down.0.block.0.conv1.weight", nn_shape4(4096, 1, 1, 1), zeros, false},
        {"down.1.block.0.conv1.weight", nn_shape4(4096, 1, 1, 1), zeros, false},
    };
    char path[sizeof out_path + 8];
    snprintf(path, sizeof path, "%s.bad", out_path);
    assert_int_equal(nn_file_save(path, all, ARRAY_LEN(all), NULL, 0, NULL), STATUS_OK);
    refused(path, &(struct purify_import){.size = 32}, "numbers");
    unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(out_path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(out_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guided_diffusion), cmocka_unit_test(improved_diffusion),
        cmocka_unit_test(diffusers),        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(names_the_tensor), cmocka_unit_test(small_files_stay_small),
    };
    return cmocka_run_group_tests_name("purify/unet_import", tests, set_up, tear_down);
}
