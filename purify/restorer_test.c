/* The restorer's network against convolutions written down plainly, its reach, and its file. */
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct purify_restorer small = {
    .in_channels = 1, .levels = 3, .width = {32, 64, 32}, .blocks = 1};

/* ---- plainly ---- */

struct map {
    int h, w, c;
    double *v; /* (h,w,c) */
};

static struct map map_new(int h, int w, int c)
{
    struct map m = {h, w, c, mem_zalloc((size_t)h * (size_t)w * (size_t)c, sizeof(double))};
    assert_non_null(m.v);
    return m;
}

static double *at(const struct map *m, int y, int x)
{
    return m->v + ((size_t)y * (size_t)m->w + (size_t)x) * (size_t)m->c;
}

static const struct nn_param_entry *entry(struct nn_params *p, const char *name, const char *leaf)
{
    char full[NN_NAME_MAX];
    snprintf(full, sizeof full, "%s.%s", name, leaf);
    const struct nn_param_entry *e = nn_params_find(p, full);
    if (!e)
        fail_msg("no parameter %s", full);
    return e;
}

/* Frees x. */
static struct map plain_conv(struct nn_params *p, const char *name, struct map x, int stride)
{
    const struct nn_param_entry *w = entry(p, name, "weight"), *b = entry(p, name, "bias");
    int o = w->shape.dim[0], k = w->shape.dim[2], pad = k / 2;
    struct map y = map_new(x.h / stride, x.w / stride, o);
    assert_int_equal(w->shape.dim[1], x.c);
    for (int i = 0; i < y.h * y.w * o; i++) {
        int row = i / o / y.w * stride - pad, column = i / o % y.w * stride - pad;
        double sum = (double)b->value[i % o];
        for (int t = 0; t < x.c * k * k; t++) {
            int yy = row + t / k % k, xx = column + t % k;
            if (yy >= 0 && yy < x.h && xx >= 0 && xx < x.w)
                sum += (double)w->value[(i % o) * x.c * k * k + t] * at(&x, yy, xx)[t / k / k];
        }
        y.v[i] = sum;
    }
    mem_free(x.v);
    return y;
}

static struct map copy_of(const struct map *x)
{
    struct map y = map_new(x->h, x->w, x->c);
    memcpy(y.v, x->v, (size_t)(x->h * x->w * x->c) * sizeof *y.v);
    return y;
}

static void plain_blocks(struct nn_params *p, struct map *x, const char *way, int level, int n)
{
    char name[NN_NAME_MAX];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s.%d.block.%d.conv0", way, level, i);
        struct map h = plain_conv(p, name, copy_of(x), 1);
        for (int k = 0; k < h.h * h.w * h.c; k++)
            h.v[k] = h.v[k] > 0 ? h.v[k] : 0;
        snprintf(name, sizeof name, "%s.%d.block.%d.conv1", way, level, i);
        h = plain_conv(p, name, h, 1);
        for (int k = 0; k < h.h * h.w * h.c; k++)
            x->v[k] += h.v[k];
        mem_free(h.v);
    }
}

/* Frees x. */
static struct map plain_restorer(struct nn_params *p, const struct purify_restorer *cfg,
                                 struct map x)
{
    struct map skip[PURIFY_LEVELS_MAX];
    char name[NN_NAME_MAX];
    int last = cfg->levels - 1;
    x = plain_conv(p, "conv_in", x, 1);
    for (int l = 0; l <= last; l++) {
        plain_blocks(p, &x, "down", l, cfg->blocks);
        if (l == last)
            break;
        skip[l] = copy_of(&x);
        snprintf(name, sizeof name, "down.%d.downsample", l);
        x = plain_conv(p, name, x, 2);
    }
    for (int l = last - 1; l >= 0; l--) {
        snprintf(name, sizeof name, "up.%d.upsample", l);
        struct map up = plain_conv(p, name, x, 1);
        x = skip[l];
        for (int i = 0; i < x.h * x.w; i++)
            for (int c = 0; c < x.c; c++)
                at(&x, i / x.w, i % x.w)[c] += at(&up, i / x.w / 2, i % x.w / 2)[c];
        mem_free(up.v);
        plain_blocks(p, &x, "up", l, cfg->blocks);
    }
    return plain_conv(p, "conv_out", x, 1);
}

/* ---- a plan ---- */

struct net {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in, *out;
    size_t elements;
};

/* Of images (n,height,width): made-up weights, or those it begins with; device as in a plan. */
static struct net net_new(const struct purify_restorer *cfg, int n, int height, int width,
                          bool filled, const char *device)
{
    struct net t = {0};
    struct nn_shape s = nn_shape4(n, height / 2, width / 2, 4 * cfg->in_channels);
    struct errmsg e = {""};
    assert_int_equal(nn_params_new(&t.params), STATUS_OK);
    assert_int_equal(nn_graph_new(t.params, &t.graph), STATUS_OK);
    struct nn_val x = nn_input(t.graph, "x", NN_F32, s);
    struct nn_val y = purify_restorer_build(t.graph, cfg, x);
    nn_output(t.graph, y, "y");
    assert_true(nn_shape_equal(nn_val_shape(t.graph, y), s));
    assert_int_equal(nn_params_init(t.params, 1), STATUS_OK);
    if (filled)
        test_fill(t.params);
    const struct nn_plan_options opt = {.device = device, .threads = 1};
    status st = nn_plan_new(t.graph, &opt, &t.plan, &e);
    if (st)
        fail_msg("no plan: %s", errmsg_text(&e, st));
    t.in = nn_plan_data(t.plan, x);
    t.out = nn_plan_data(t.plan, y);
    t.elements = (size_t)nn_shape_count(s);
    return t;
}

static void net_done(struct net *t)
{
    nn_plan_free(t->plan);
    nn_graph_free(t->graph);
    nn_params_free(t->params);
}

static void computes_what_its_contract_says(void **state)
{
    (void)state;
    struct net t = net_new(&small, 2, 16, 24, true, NULL);
    test_wave(t.in, t.elements, 0.3);
    assert_int_equal(nn_plan_run(t.plan), STATUS_OK);
    double largest = 0;
    for (int k = 0; k < 2; k++) {
        size_t half = t.elements / 2;
        struct map x = map_new(8, 12, 4);
        for (size_t i = 0; i < half; i++)
            x.v[i] = (double)t.in[(size_t)k * half + i];
        x = plain_restorer(t.params, &small, x);
        for (size_t i = 0; i < half; i++) {
            double got = (double)t.out[(size_t)k * half + i];
            if (!(fabs(got - x.v[i]) < 1e-5))
                fail_msg("image %d, [%zu] is %.9g, not %.9g", k, i, got, x.v[i]);
            largest = fmax(largest, fabs(got));
        }
        mem_free(x.v);
    }
    assert_true(largest > 0.1);
    net_done(&t);
}

static void begins_with_nothing(void **state)
{
    (void)state;
    struct purify_restorer cfg = purify_restorer_default();
    struct net t = net_new(&cfg, 1, 32, 32, false, NULL);
    test_wave(t.in, t.elements, 0.3);
    assert_int_equal(nn_plan_run(t.plan), STATUS_OK);
    for (size_t i = 0; i < t.elements; i++)
        assert_true(t.out[i] == 0);
    assert_int_equal(nn_params_elements(t.params, true), 1748684);
    double flop = nn_plan_info(t.plan).flops / (32 * 32);
    if (fabs(flop - 267264) > 1)
        fail_msg("%g flop a pixel", flop);
    assert_non_null(nn_params_find(t.params, "down.2.block.1.conv0.weight"));
    assert_non_null(nn_params_find(t.params, "up.0.block.1.conv1.bias"));
    assert_null(nn_params_find(t.params, "up.2.block.0.conv0.weight"));
    net_done(&t);
}

/* ---- reach ---- */

enum { LONG = 256 }; /* px */

/* Weights above 0 and no biases: an image of zeros gives zeros, and what is not 0 then comes from
   what was put in, however little arrives. */
static void fill_positive(struct nn_params *p)
{
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        int64_t n = nn_shape_count(e->shape);
        for (int64_t k = 0; k < n; k++)
            e->value[k] = e->shape.rank > 1 ? 0.01f : 0;
    }
}

/* From which pixel to which there is an answer to 2 pixels in a row at x. */
static void answered_at(struct net *t, int x, int *out_first, int *out_last)
{
    memset(t->in, 0, t->elements * sizeof *t->in);
    t->in[x / 2 * 4] = 1;
    assert_int_equal(nn_plan_run(t->plan), STATUS_OK);
    *out_first = LONG;
    *out_last = -1;
    for (size_t i = 0; i < t->elements; i++) {
        int column = (int)(i / 4 % (LONG / 2)) * 2;
        if (t->out[i] == 0)
            continue;
        *out_first = column < *out_first ? column : *out_first;
        *out_last = column + 1 > *out_last ? column + 1 : *out_last;
    }
}

/* No pixel changes a region that is further away than reach, on either side, and one of them
   changes what is so near that a smaller multiple of the unit would not do. On the device of plain
   sums: by Winograd's way, rounding errors come from a little further away. */
static void reaches(const struct purify_restorer *cfg, int expected)
{
    int unit = purify_restorer_unit(cfg), reach = purify_restorer_reach(cfg), most = 0;
    assert_int_equal(reach, expected);
    assert_int_equal(reach % unit, 0);
    struct net t = net_new(cfg, 1, unit, LONG, true, "reference");
    fill_positive(t.params);
    assert_int_equal(nn_plan_refresh(t.plan), STATUS_OK);
    for (int x = LONG / 2; x < LONG / 2 + unit; x += 2) {
        int first, last;
        answered_at(&t, x, &first, &last);
        assert_true(first <= x && last > x);
        int region = first / unit * unit + unit; /* where the first that has changed ends */
        most = x + 2 - region > most ? x + 2 - region : most;
        region = last / unit * unit;
        most = region - x > most ? region - x : most;
    }
    if (most > reach || most <= reach - unit)
        fail_msg("pixels up to %d away are seen, and it says %d", most, reach);
    net_done(&t);
}

static void sees_no_further_than_it_says(void **state)
{
    (void)state;
    const struct purify_restorer flat = {.in_channels = 1, .levels = 1, .width = {32}, .blocks = 1};
    struct purify_restorer standard = {
        .in_channels = 1, .levels = 3, .width = {32, 32, 32}, .blocks = 2};
    assert_int_equal(purify_restorer_default().levels, standard.levels);
    assert_int_equal(purify_restorer_default().blocks, standard.blocks);
    reaches(&flat, 8);
    reaches(&small, 56);
    reaches(&standard, 96);
}

/* ---- 2x2 pixels ---- */

static void folds_and_unfolds(void **state)
{
    (void)state;
    enum { H = 4, W = 6, C = 3 };
    float image[H * W * C], folded[H * W * C], back[H * W * C];
    for (int i = 0; i < H * W * C; i++)
        image[i] = (float)i;
    purify_restorer_fold(image, H, W, C, folded);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < C; c++) {
                int position = y / 2 * (W / 2) + x / 2, channel = (2 * (y % 2) + x % 2) * C + c;
                assert_true(folded[position * 4 * C + channel] == image[(y * W + x) * C + c]);
            }
    purify_restorer_unfold(folded, H, W, C, back);
    assert_memory_equal(back, image, sizeof image);
}

/* ---- configuration ---- */

static void says_what_is_wrong(void **state)
{
    (void)state;
    const struct {
        struct purify_restorer cfg;
        const char *says;
    } bad[] = {
        {{.in_channels = 2, .levels = 1, .width = {32}, .blocks = 1}, "2 image channels"},
        {{.in_channels = 3, .levels = 0, .blocks = 1}, "0 levels"},
        {{.in_channels = 3, .levels = 7, .blocks = 1}, "7 levels"},
        {{.in_channels = 3, .levels = 1, .width = {32}, .blocks = 0}, "0 residual blocks"},
        {{.in_channels = 3, .levels = 2, .width = {32, 48}, .blocks = 1}, "48 channels at level 1"},
        {{.in_channels = 3, .levels = 1, .width = {2048}, .blocks = 1}, "2048 channels"},
        {{.in_channels = 3, .levels = 4, .width = {32, 32, 32, 32}, .blocks = 4}, "away"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct errmsg e = {""};
        assert_int_equal(purify_restorer_check(&bad[i].cfg, &e), STATUS_INVALID);
        if (!strstr(e.text, bad[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, bad[i].says);
    }
    const struct purify_restorer standard = purify_restorer_default();
    assert_int_equal(purify_restorer_check(&standard, NULL), STATUS_OK);
}

static void comes_back_from_a_file(void **state)
{
    (void)state;
    char path[TEST_PATH];
    struct purify_meta meta;
    struct purify_restorer back;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct net t = net_new(&small, 1, 8, 8, true, NULL);
    test_temp_file(path);
    purify_restorer_to_meta(&small, &meta);
    assert_int_equal(nn_params_save(t.params, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    assert_int_equal(purify_restorer_from_file(f, &back, NULL), STATUS_OK);
    assert_memory_equal(&back, &small, sizeof back);
    assert_int_equal(nn_params_load(t.params, f, "", NULL), STATUS_OK);
    net_done(&t);
    unlink(path);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    const float one = 1;
    const struct nn_save_tensor tensor = {"x", nn_shape1(1), &one, false};
    const struct {
        struct nn_meta pair[4];
        const char *says;
    } bad[] = {
        {{{"architecture", "ddpm-unet"}}, "those of a ddpm-unet, not of a restorer"},
        {{{"architecture", "restorer"}, {"in_channels", "3"}, {"width", "32"}, {"note", ""}},
         "no metadata \"blocks\""},
        {{{"architecture", "restorer"}, {"in_channels", "3"}, {"width", "x"}, {"blocks", "1"}},
         "\"width\" of the weights file is \"x\""},
        {{{"architecture", "restorer"}, {"in_channels", "3"}, {"width", ""}, {"blocks", "1"}},
         "0 levels"},
    };
    char path[TEST_PATH];
    test_temp_file(path);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        struct purify_restorer out;
        struct errmsg e = {""};
        int n = bad[i].pair[1].key ? 4 : 1;
        assert_int_equal(nn_file_save(path, &tensor, 1, bad[i].pair, n, NULL), STATUS_OK);
        assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
        assert_int_equal(purify_restorer_from_file(f, &out, &e), STATUS_INVALID);
        if (!strstr(e.text, bad[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, bad[i].says);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_what_its_contract_says),
        cmocka_unit_test(begins_with_nothing),
        cmocka_unit_test(sees_no_further_than_it_says),
        cmocka_unit_test(folds_and_unfolds),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(comes_back_from_a_file),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests_name("purify/restorer", tests, NULL, NULL);
}
