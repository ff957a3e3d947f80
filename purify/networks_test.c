/* The UNet and the perceptual distance against PyTorch (numbers printed by networks_oracle.py). */
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(const char *what, const float *got, size_t stride, const double *expected,
                        size_t n, double tol)
{
    for (size_t k = 0; k < n; k++)
        if (!(fabs((double)got[k * stride] - expected[k]) < tol))
            fail_msg("%s[%zu] is %.9g, not %.9g", what, k * stride, (double)got[k * stride],
                     expected[k]);
}

static double mean_abs(const float *x, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += fabs((double)x[k]);
    return sum / (double)n;
}

struct net {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
};

static void net_begin(struct net *n)
{
    *n = (struct net){0};
    assert_int_equal(nn_params_new(&n->params), STATUS_OK);
    assert_int_equal(nn_graph_new(n->params, &n->graph), STATUS_OK);
}

static void net_plan(struct net *n)
{
    struct errmsg e = {""};
    assert_int_equal(nn_params_init(n->params, 1), STATUS_OK);
    test_fill(n->params);
    status st = nn_plan_new(n->graph, &(struct nn_plan_options){.threads = 1}, &n->plan, &e);
    if (st)
        fail_msg("no plan: %s", errmsg_text(&e, st));
}

static void net_end(struct net *n)
{
    nn_plan_free(n->plan);
    nn_graph_free(n->graph);
    nn_params_free(n->params);
}

static void test_unet_numbers(void **state)
{
    (void)state;
    static const struct purify_unet cfg = {.in_channels = 3,
                                           .size = 16,
                                           .ch = 8,
                                           .levels = 3,
                                           .ch_mult = {1, 2, 3},
                                           .res_blocks = 2,
                                           .attn_count = 1,
                                           .attn = {8},
                                           .mid_attn = true,
                                           .groups = 4,
                                           .dropout = 0.1f,
                                           .total = 1000,
                                           .t_max = 1000};
    static const double expected[] = {-0.00317549143, 0.0220957805,  0.0240969798,
                                      -0.0796977236,  -0.0351439042, 0.233506981,
                                      -0.0431775503,  -0.456418002,  -0.280170421};
    struct net n;
    net_begin(&n);
    struct nn_val x = nn_input(n.graph, "x", NN_F32, nn_shape4(2, 16, 16, 3));
    struct nn_val t = nn_input(n.graph, "t", NN_F32, nn_shape1(2));
    struct nn_val y = purify_unet_build(n.graph, &cfg, x, t, false);
    assert_int_equal(nn_params_count(n.params), 270);
    assert_int_equal(nn_params_elements(n.params, true), 159251);
    nn_output(n.graph, y, "y");
    net_plan(&n);
    test_wave(nn_plan_data(n.plan, x), 1536, 0.3);
    float *time = nn_plan_data(n.plan, t);
    time[0] = 3;
    time[1] = 150;
    assert_int_equal(nn_plan_run(n.plan), STATUS_OK);
    const float *out = nn_plan_data(n.plan, y);
    assert_near("unet", out, 191, expected, ARRAY_LEN(expected), 2e-5);
    if (fabs(mean_abs(out, 1536) - 0.249402676) > 1e-5)
        fail_msg("mean |y| is %.9g, not 0.249402676", mean_abs(out, 1536));
    net_end(&n);
}

/* The published CIFAR-10 network: number and names of its parameters. */
static void test_published(void **state)
{
    (void)state;
    const struct purify_unet cfg = test_published_cfg();
    static const struct {
        const char *name;
        int rank, dim[4];
    } some[] = {
        {"temb.dense.0.weight", 2, {512, 128, 1, 1}},
        {"temb.dense.1.bias", 1, {512, 1, 1, 1}},
        {"conv_in.weight", 4, {128, 3, 3, 3}},
        {"down.0.block.1.conv2.weight", 4, {128, 128, 3, 3}},
        {"down.1.block.0.nin_shortcut.weight", 4, {256, 128, 1, 1}},
        {"down.1.block.0.temb_proj.weight", 2, {256, 512, 1, 1}},
        {"down.1.attn.1.proj_out.bias", 1, {256, 1, 1, 1}},
        {"down.2.downsample.conv.weight", 4, {256, 256, 3, 3}},
        {"mid.block_1.norm1.weight", 1, {256, 1, 1, 1}},
        {"mid.attn_1.q.weight", 4, {256, 256, 1, 1}},
        {"mid.block_2.conv1.weight", 4, {256, 256, 3, 3}},
        {"up.3.block.2.conv1.weight", 4, {256, 512, 3, 3}},
        {"up.1.attn.2.norm.weight", 1, {256, 1, 1, 1}},
        {"up.0.block.0.norm1.weight", 1, {384, 1, 1, 1}},
        {"up.0.block.2.nin_shortcut.weight", 4, {128, 256, 1, 1}},
        {"up.1.upsample.conv.weight", 4, {256, 256, 3, 3}},
        {"norm_out.weight", 1, {128, 1, 1, 1}},
        {"conv_out.weight", 4, {3, 128, 3, 3}},
    };
    struct net n;
    net_begin(&n);
    struct nn_val x = nn_input(n.graph, "x", NN_F32, nn_shape4(1, 32, 32, 3));
    purify_unet_build(n.graph, &cfg, x, nn_input(n.graph, "t", NN_F32, nn_shape1(1)), true);
    struct errmsg e = {""};
    if (nn_graph_status(n.graph, &e))
        fail_msg("%s", e.text);
    assert_int_equal(nn_params_count(n.params), 328);
    assert_int_equal(nn_params_elements(n.params, true), 35746307);
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        const struct nn_param_entry *p = nn_params_find(n.params, some[i].name);
        if (!p)
            fail_msg("no parameter %s", some[i].name);
        assert_int_equal(p->shape.rank, some[i].rank);
        for (int d = 0; d < some[i].rank; d++)
            assert_int_equal(p->shape.dim[d], some[i].dim[d]);
    }
    assert_null(nn_params_find(n.params, "down.3.downsample.conv.weight"));
    assert_null(nn_params_find(n.params, "up.0.upsample.conv.weight"));
    assert_null(nn_params_find(n.params, "down.0.block.0.nin_shortcut.weight"));
    net_end(&n);
}

/* A fresh network predicts no noise (Ho et al. start the last convolution at zero), and attention
   stays with its level when the input is larger than what the network was trained on. */
static void test_other_sizes(void **state)
{
    (void)state;
    struct purify_unet cfg = test_unet_cfg(1);
    struct net n;
    net_begin(&n);
    struct nn_val x = nn_input(n.graph, "x", NN_F32, nn_shape4(1, 24, 40, 1));
    struct nn_val y =
        purify_unet_build(n.graph, &cfg, x, nn_input(n.graph, "t", NN_F32, nn_shape1(1)), true);
    nn_output(n.graph, y, "y");
    assert_non_null(nn_params_find(n.params, "down.1.attn.0.q.weight"));
    assert_null(nn_params_find(n.params, "down.0.attn.0.q.weight"));
    assert_int_equal(nn_params_init(n.params, 3), STATUS_OK);
    struct errmsg e = {""};
    status st = nn_plan_new(n.graph, &(struct nn_plan_options){.threads = 1}, &n.plan, &e);
    if (st)
        fail_msg("%s", errmsg_text(&e, st));
    test_wave(nn_plan_data(n.plan, x), 24 * 40, 1);
    assert_int_equal(nn_plan_run(n.plan), STATUS_OK);
    assert_true(mean_abs(nn_plan_data(n.plan, y), 24 * 40) == 0);
    net_end(&n);
}

static void test_percept(void **state)
{
    (void)state;
    static const double logits[] = {0.0789050059, 0.0177149237, 0.0198129425, 0.188782494,
                                    -0.0210805278};
    static const double distance[] = {0.0434093966, 0.0517806608};
    static const double gradient[] = {0.000303643819, -0.000578590894, -0.00382822971,
                                      -0.00477878876, -0.00564602301,  -0.00831048307,
                                      0.00585284369,  -0.00757878562,  0.00624801116};
    struct purify_percept_cfg cfg = test_percept_cfg(3);
    struct net n;
    net_begin(&n);
    struct nn_val a = nn_input(n.graph, "a", NN_F32, nn_shape4(2, 8, 8, 3));
    struct nn_val b = nn_input(n.graph, "b", NN_F32, nn_shape4(2, 8, 8, 3)), grad = NN_NONE;
    struct nn_val z = purify_percept_logits(n.graph, &cfg, a);
    struct nn_val d = purify_percept_distance(n.graph, &cfg, a, b);
    nn_gradients(n.graph, d, &a, 1, &grad);
    nn_output(n.graph, z, "logits");
    nn_output(n.graph, d, "distance");
    nn_output(n.graph, grad, "gradient");
    net_plan(&n);
    test_wave(nn_plan_data(n.plan, a), 384, 0);
    test_wave(nn_plan_data(n.plan, b), 384, 1);
    assert_int_equal(nn_plan_run(n.plan), STATUS_OK);
    assert_near("logits", nn_plan_data(n.plan, z), 1, logits, ARRAY_LEN(logits), 1e-6);
    assert_near("distance", nn_plan_data(n.plan, d), 1, distance, ARRAY_LEN(distance), 1e-6);
    assert_near("gradient", nn_plan_data(n.plan, grad), 47, gradient, ARRAY_LEN(gradient), 1e-6);
    if (fabs(mean_abs(nn_plan_data(n.plan, grad), 384) - 0.00306432315) > 1e-7)
        fail_msg("mean |gradient| is %.9g", mean_abs(nn_plan_data(n.plan, grad), 384));
    net_end(&n);
}

/* A sample's bits are its own: not of its place in the micro-batch, nor of its neighbours. */
static void test_neighbours(void **state)
{
    (void)state;
    enum { BATCH = 3, ELEMENTS = 768 };
    struct purify_unet cfg = test_unet_cfg(3);
    struct net n;
    net_begin(&n);
    struct nn_val x = nn_input(n.graph, "x", NN_F32, nn_shape4(BATCH, 16, 16, 3));
    struct nn_val t = nn_input(n.graph, "t", NN_F32, nn_shape1(BATCH));
    struct nn_val y = purify_unet_build(n.graph, &cfg, x, t, false);
    nn_output(n.graph, y, "y");
    net_plan(&n);
    float expected[ELEMENTS], *in = nn_plan_data(n.plan, x), *time = nn_plan_data(n.plan, t);
    const float *out = nn_plan_data(n.plan, y);
    for (int place = 0; place < BATCH; place++)
        for (int others = 0; others < 3; others++) {
            for (int k = 0; k < BATCH; k++) {
                test_wave(in + k * ELEMENTS, ELEMENTS, k == place ? 0.5 : others * 10.0 + k);
                time[k] = k == place ? 7 : (float)(others + k);
            }
            for (int k = 0; others == 1 && k < BATCH * ELEMENTS; k++)
                if (k / ELEMENTS != place)
                    in[k] = 0;
            assert_int_equal(nn_plan_run(n.plan), STATUS_OK);
            if (place == 0 && others == 0)
                memcpy(expected, out, sizeof expected);
            assert_memory_equal(out + place * ELEMENTS, expected, sizeof expected);
        }
    net_end(&n);
}

enum { SIDE = 32, SAMPLE = SIDE * SIDE * 3, SEVERAL = 4 };

/* Samples first, first + 1, ... through a plan of n: predicted noise, or the distance's gradient.
 */
static void eval_samples(struct nn_params *params, const struct purify_unet *unet,
                         const struct purify_percept_cfg *percept, enum nn_precision precision,
                         int first, int n, float *out)
{
    struct nn_graph *g = NULL;
    struct nn_plan *plan = NULL;
    struct errmsg e = {""};
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val a = nn_input(g, "a", NN_F32, nn_shape4(n, SIDE, SIDE, 3)), b, y = NN_NONE;
    if (unet) {
        b = nn_input(g, "t", NN_F32, nn_shape1(n));
        y = purify_unet_build(g, unet, a, b, false);
    } else {
        b = nn_input(g, "b", NN_F32, nn_shape4(n, SIDE, SIDE, 3));
        nn_gradients(g, purify_percept_distance(g, percept, a, b), &a, 1, &y);
    }
    nn_output(g, y, "y");
    if (first == 0) {
        assert_int_equal(nn_params_init(params, 1), STATUS_OK);
        test_fill(params);
    }
    const struct nn_plan_options opt = {.threads = 1, .precision = precision, .shared = true};
    status st = nn_plan_new(g, &opt, &plan, &e);
    if (st)
        fail_msg("no plan: %s", errmsg_text(&e, st));
    float *in = nn_plan_data(plan, a), *in2 = nn_plan_data(plan, b);
    for (int k = 0; k < n; k++) {
        test_wave(in + k * SAMPLE, SAMPLE, first + k);
        if (unet)
            in2[k] = (float)(3 * (first + k));
        else
            test_wave(in2 + k * SAMPLE, SAMPLE, 7 * (first + k) + 1);
    }
    assert_int_equal(nn_plan_run(plan), STATUS_OK);
    memcpy(out, nn_plan_data(plan, y), (size_t)(n * SAMPLE) * sizeof *out);
    nn_plan_free(plan);
    nn_graph_free(g);
}

static void assert_batch_unseen(const char *what, const struct purify_unet *unet,
                                const struct purify_percept_cfg *percept,
                                enum nn_precision precision)
{
    static float several[SEVERAL * SAMPLE], one[SAMPLE];
    struct nn_params *params = NULL;
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    eval_samples(params, unet, percept, precision, 0, SEVERAL, several);
    assert_true(mean_abs(several, SAMPLE) > 0);
    assert_memory_not_equal(several, several + SAMPLE, sizeof one);
    for (int k = 1; k < SEVERAL; k += 2) {
        eval_samples(params, unet, percept, precision, k, 1, one);
        if (memcmp(one, several + k * SAMPLE, sizeof one) != 0)
            fail_msg("%s in %s: sample %d depends on the batch", what,
                     nn_precision_names[precision], k);
    }
    nn_params_free(params);
}

/* Nor are they of the micro-batch's size. The shipped networks, the published one and LPIPS. */
static void test_batch_unseen(void **state)
{
    (void)state;
    const struct purify_unet published = test_published_cfg();
    const struct purify_unet shipped = {.in_channels = 3,
                                        .size = SIDE,
                                        .ch = 32,
                                        .levels = 3,
                                        .ch_mult = {1, 2, 2},
                                        .res_blocks = 1,
                                        .groups = 8,
                                        .total = 1000,
                                        .t_max = 120};
    for (int k = 0; k < NN_PREC_COUNT; k++) {
        if (!nn_precision_supported(NULL, (enum nn_precision)k))
            continue;
        assert_batch_unseen("shipped", &shipped, NULL, (enum nn_precision)k);
        assert_batch_unseen("published", &published, NULL, (enum nn_precision)k);
    }
    for (int net = 0; net < PURIFY_PERCEPT_COUNT; net++) {
        const struct purify_percept_cfg cfg = {.net = (enum purify_percept_net)net,
                                               .in_channels = 3,
                                               .stages = 4,
                                               .width = {16, 32, 64, 64},
                                               .classes = 10};
        assert_batch_unseen(purify_percept_name(&cfg), NULL, &cfg, NN_PREC_F32);
    }
}

/* ---- metadata ---- */

static void save_meta(const char *path, const struct nn_meta *meta, int n)
{
    float one = 1;
    struct nn_save_tensor t = {"t", nn_shape1(1), &one, false};
    assert_int_equal(nn_file_save(path, &t, 1, meta, n, NULL), STATUS_OK);
}

static status read_unet(const char *path, struct purify_unet *out, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    return purify_unet_from_file(f, out, e);
}

static void assert_written_as(const struct purify_unet *cfg, const struct purify_meta *wanted)
{
    struct purify_meta got;
    purify_unet_to_meta(cfg, &got);
    assert_int_equal(got.n, wanted->n);
    for (int i = 0; i < got.n; i++)
        assert_string_equal(got.pair[i].value, wanted->pair[i].value);
}

static void test_unet_metadata(void **state)
{
    (void)state;
    char path[TEST_PATH];
    test_temp_file(path);
    struct purify_unet cfg = test_unet_cfg(3), back;
    cfg.dropout = 0.1f;
    cfg.beta = PURIFY_BETA_COSINE;
    struct purify_meta meta;
    purify_unet_to_meta(&cfg, &meta);
    save_meta(path, meta.pair, meta.n);
    assert_int_equal(read_unet(path, &back, NULL), STATUS_OK);
    assert_written_as(&back, &meta);

    /* each key left out, and each with nonsense */
    static const char *const nonsense[] = {"",     "x", "-1",  "999999999999",
                                           "1,2,", ",", "1e3", "0x10"};
    for (int i = 0; i < meta.n; i++) {
        struct nn_meta pair[24];
        memcpy(pair, meta.pair, sizeof pair);
        pair[i] = pair[meta.n - 1];
        save_meta(path, pair, meta.n - 1);
        struct errmsg e = {""};
        assert_int_equal(read_unet(path, &back, &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, meta.pair[i].key));
        for (size_t k = 0; k < ARRAY_LEN(nonsense); k++) {
            if (!*nonsense[k] && strcmp(meta.pair[i].key, "attn") == 0)
                continue; /* none is a fine list */
            memcpy(pair, meta.pair, sizeof pair);
            pair[i].value = nonsense[k];
            save_meta(path, pair, meta.n);
            if (read_unet(path, &back, &e) != STATUS_INVALID)
                fail_msg("%s = \"%s\" was taken", pair[i].key, nonsense[k]);
        }
    }
    unlink(path);
}

/* What later papers changed is kept too, and a file that does not mention it is Ho et al.'s. */
static void test_variant_metadata(void **state)
{
    (void)state;
    char path[TEST_PATH];
    test_temp_file(path);
    struct purify_unet cfg = test_unet_cfg(3), back;
    struct purify_meta plain, meta;
    purify_unet_to_meta(&cfg, &plain);
    cfg.scale_shift = cfg.res_resample = cfg.even_padding = cfg.plain_embedding = true;
    cfg.heads = 2;
    cfg.head_channels = 4;
    cfg.norm_eps = 1e-5f;
    cfg.t_scale = 0.25f;
    purify_unet_to_meta(&cfg, &meta);
    assert_int_equal(meta.n, plain.n + 8);
    save_meta(path, meta.pair, meta.n);
    assert_int_equal(read_unet(path, &back, NULL), STATUS_OK);
    assert_written_as(&back, &meta);
    for (int i = plain.n; i < meta.n; i++) {
        const char *kept = meta.pair[i].value;
        meta.pair[i].value = "-1";
        save_meta(path, meta.pair, meta.n);
        assert_int_equal(read_unet(path, &back, NULL), STATUS_INVALID);
        meta.pair[i].value = kept;
    }
    unlink(path);
}

static void test_unet_check(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        int value;
    } bad[] = {
#define BAD(field, value) {offsetof(struct purify_unet, field), value}
        BAD(in_channels, 2), BAD(size, 15),      BAD(size, 0),          BAD(size, 1 << 20),
        BAD(ch, 0),          BAD(ch, 9),         BAD(ch, 1 << 20),      BAD(levels, 0),
        BAD(levels, 7),      BAD(ch_mult[1], 0), BAD(ch_mult[1], 9999), BAD(res_blocks, 0),
        BAD(res_blocks, 9),  BAD(attn_count, 7), BAD(attn_count, -1),   BAD(attn[0], 5),
        BAD(groups, 3),      BAD(groups, 0),     BAD(total, 0),         BAD(total, 1 << 20),
        BAD(t_max, 0),       BAD(t_max, 1001),   BAD(beta, 7),
#undef BAD
    };
    struct purify_unet good = test_unet_cfg(3);
    assert_int_equal(purify_unet_check(&good, NULL), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct purify_unet u = good;
        struct errmsg e = {""};
        memcpy((char *)&u + bad[i].offset, &bad[i].value, sizeof(int));
        if (purify_unet_check(&u, &e) != STATUS_INVALID || !e.text[0])
            fail_msg("case %zu was taken", i);
    }
}

static void test_percept_metadata(void **state)
{
    (void)state;
    char path[TEST_PATH];
    test_temp_file(path);
    struct purify_percept_cfg cfg = test_percept_cfg(1), back;
    struct purify_meta meta;
    purify_percept_to_meta(&cfg, &meta);
    static const char *const widths[] = {"6,10", "", "0", "4,x", "1,2,3,4,5,6,7", "99999"};
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        for (int k = 0; k < meta.n; k++)
            if (strcmp(meta.pair[k].key, "width") == 0)
                meta.pair[k].value = widths[i];
        save_meta(path, meta.pair, meta.n);
        AUTO(nn_file_close) struct nn_file *f = NULL;
        assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
        assert_int_equal(purify_percept_from_file(f, &back, NULL),
                         i == 0 ? STATUS_OK : STATUS_INVALID);
        struct purify_unet unet; /* another architecture is said to be one */
        struct errmsg e = {""};
        assert_int_equal(purify_unet_from_file(f, &unet, &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, "percept-vgg"));
    }
    assert_int_equal(back.stages, 2);
    assert_int_equal(back.width[1], 10);
    assert_int_equal(back.in_channels, 1);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet_numbers),  cmocka_unit_test(test_published),
        cmocka_unit_test(test_other_sizes),   cmocka_unit_test(test_percept),
        cmocka_unit_test(test_neighbours),    cmocka_unit_test(test_batch_unseen),
        cmocka_unit_test(test_unet_metadata), cmocka_unit_test(test_variant_metadata),
        cmocka_unit_test(test_unet_check),    cmocka_unit_test(test_percept_metadata),
    };
    return cmocka_run_group_tests_name("purify/networks", tests, NULL, NULL);
}
