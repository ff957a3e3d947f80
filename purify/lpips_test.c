/* LPIPS against PyTorch (numbers printed by lpips_oracle.py), and what it refuses. */
#include "percept.h"
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BATCH = 2, IMAGE = 1000 }; /* ranks from IMAGE on are those of the images */

/* As lpips_oracle.py: MurmurHash3's finaliser over element and rank, in [0,1). */
static double uniform(uint32_t i, uint32_t rank)
{
    uint32_t h = i + rank * 0x9e3779b9u;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return (h ^ h >> 16) / 4294967296.0;
}

static double value_of(const struct nn_param_entry *e, double u)
{
    if (!e->trainable) /* weights of a distance: not below 0 */
        return u;
    if (e->shape.rank == 1)
        return 0.1 * (2 * u - 1);
    double fan = (double)(nn_shape_count(e->shape) / e->shape.dim[0]);
    return sqrt(6 / fan) * (2 * u - 1);
}

static void fill(struct nn_params *p)
{
    enum { MOST = 64 };
    struct nn_param_entry *entry[MOST];
    int n = nn_params_count(p);
    assert_true(n <= MOST);
    for (int i = 0; i < n; i++)
        entry[i] = nn_params_at(p, i);
    qsort(entry, (size_t)n, sizeof entry[0], test_by_name);
    for (int j = 0; j < n; j++)
        for (int64_t i = 0; i < nn_shape_count(entry[j]->shape); i++)
            entry[j]->value[i] = (float)value_of(entry[j], uniform((uint32_t)i, (uint32_t)j));
}

/* a and b: multiples of 1/128 and 1/256, exact on both sides */
static void fill_images(float *a, float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double va = floor(256 * uniform((uint32_t)i, IMAGE)) / 128 - 1;
        double vb = floor(256 * uniform((uint32_t)i, IMAGE + 1)) / 128 - 1;
        a[i] = (float)va;
        b[i] = (float)((va + vb) / 2);
    }
}

/* ---- numbers ---- */

enum { SOME = 8 };
struct golden {
    enum purify_percept_net net;
    int side, channels;
    double feature[PURIFY_FEATURES_MAX]; /* mean at each depth, of a */
    double distance[BATCH];
    double gradient[SOME];                  /* elements (2k+1)/16 of the way */
    double mean_gradient, largest_gradient; /* of absolute values */
};
static const struct golden golden[] = {
    {PURIFY_LPIPS_ALEXNET,
     31,
     3,
     {0.726089929, 0.986229265, 0.607087562, 0.240931348, 0.0910530141},
     {0.404985678, 0.38350142},
     {-0.000313760073, -0.00098407556, -0.00127297071, 0.00033713756, -0.000498969775,
      -0.00143307509, 0.00152740193, -0.000323173181},
     0.00101658709,
     0.00659623486},
    {PURIFY_LPIPS_ALEXNET,
     32,
     3,
     {0.732531186, 1.0126154, 0.617538268, 0.244651447, 0.0937093572},
     {0.373488463, 0.370289718},
     {0.000492885143, -0.000358924162, -0.000882590205, 0.000709189517, 0.00073870602,
      0.000270158027, 0.000133479117, -0.000116384823},
     0.00103004944,
     0.00645591336},
    {PURIFY_LPIPS_ALEXNET,
     64,
     3,
     {0.746479567, 1.3973886, 1.88362282, 1.59297069, 1.18988851},
     {0.374413452, 0.395891925},
     {-0.000173196907, 4.02224289e-05, 3.51043429e-05, -0.000143930677, -4.71915629e-05,
      -0.000456950012, -9.22713018e-05, 8.30986122e-06},
     0.000242452637,
     0.00176036063},
    {PURIFY_LPIPS_ALEXNET,
     32,
     1,
     {0.728069988, 0.995108782, 0.622398865, 0.243247815, 0.0914167319},
     {0.345880755, 0.431438928},
     {-0.00237190303, -0.00324877442, -0.00308161591, -0.00187538962, -0.000726711223,
      -0.00203685786, -0.00118272318, -0.0019454725},
     0.00188249528,
     0.0120141076},
    {PURIFY_LPIPS_VGG16,
     16,
     3,
     {0.655994745, 0.936994322, 0.878590227, 0.387829668, 0.0330152548},
     {0.365989606, 0.37584601},
     {-2.73190563e-05, -0.00227836069, 0.00114444726, -0.00145541909, 0.0012697622, 0.00328066517,
      -0.00212135934, -0.00172566964},
     0.0016722082,
     0.00747933787},
    {PURIFY_LPIPS_VGG16,
     32,
     3,
     {0.711470394, 1.07542313, 1.30993248, 1.0896967, 0.462973065},
     {0.328502647, 0.325047936},
     {0.000110490733, 0.000203634218, -0.000567143377, -5.08270508e-06, 0.000286551398,
      -0.00021646674, -0.00011464819, -9.31285123e-05},
     0.000387537844,
     0.00194388107},
    {PURIFY_LPIPS_VGG16,
     64,
     3,
     {0.724519775, 1.14060821, 1.54561092, 1.50313906, 1.18001986},
     {0.310957623, 0.320852422},
     {-7.7909872e-05, 6.25644018e-05, 0.000124191053, 6.17285103e-05, 4.9277134e-05,
      -5.56443244e-06, 2.89475911e-05, -3.8154501e-05},
     9.16011688e-05,
     0.000458694847},
    {PURIFY_LPIPS_SQUEEZENET,
     17,
     3,
     {0.741498107, 2.27998734, 1.64758077, 1.73333267, 1.16560047, 0.691062237, 0.498449856},
     {0.275872645, 0.292084005},
     {-0.0024537217, -0.00292909549, -0.00185243935, -0.00217016944, 0.000283623884, 0.000959683712,
      -0.00278649365, -0.00138874376},
     0.00183039163,
     0.0137308833},
    {PURIFY_LPIPS_SQUEEZENET,
     32,
     3,
     {0.781378111, 2.72809361, 2.4695425, 2.99205192, 2.13374324, 1.22369151, 0.892511674},
     {0.276739778, 0.247833355},
     {-0.000603196248, 0.000806797837, 0.000159719588, -0.000468669553, 0.000130415691,
      0.000484485555, 0.000778038649, -0.000348728702},
     0.000546185604,
     0.00552237301},
    {PURIFY_LPIPS_SQUEEZENET,
     64,
     3,
     {0.775151458, 2.83752865, 2.84325865, 3.79594845, 3.24816925, 2.11266973, 1.68214425},
     {0.277415605, 0.279634591},
     {-0.0002711316, -0.000146349379, 0.000143800444, 2.76888873e-05, 0.000289355032,
      -0.000257842025, 0.000153986989, 0.000187185073},
     0.00020642242,
     0.00340364268},
    {PURIFY_LPIPS_SQUEEZENET,
     32,
     1,
     {0.735422176, 2.6470124, 2.27605961, 2.75777254, 1.98614535, 1.14610787, 0.828354792},
     {0.269973872, 0.274889763},
     {-0.000569026655, -0.00375567862, -0.00299027141, -0.00136755956, -0.00154898043,
      0.00060331495, -0.00291551234, -0.00143536067},
     0.0014469706,
     0.0124579726},
};

/* |got - expected| in units of `scale`, where it may be 1e-4. */
static void near(const struct golden *g, const char *what, double got, double expected,
                 double scale)
{
    if (!(fabs(got - expected) <= 1e-4 * scale))
        fail_msg("%s, %dx%d, %d channels: %s is %.9g, not %.9g",
                 purify_percept_name(&(struct purify_percept_cfg){.net = g->net}), g->side, g->side,
                 g->channels, what, got, expected);
}

static double mean(const float *x, size_t n, bool absolute)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += absolute ? fabs((double)x[i]) : (double)x[i];
    return sum / (double)n;
}

/* One graph with everything that is compared as its outputs. */
struct bench {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_val a, b, feature[PURIFY_FEATURES_MAX], distance, gradient;
    int features;
    size_t elements;
};

static void bench_begin(struct bench *t, const struct golden *gold)
{
    *t = (struct bench){0};
    struct errmsg e = {""};
    struct purify_percept_cfg cfg = {.net = gold->net, .in_channels = 3};
    struct nn_shape s = nn_shape4(BATCH, gold->side, gold->side, gold->channels);
    assert_int_equal(nn_params_new(&t->params), STATUS_OK);
    assert_int_equal(nn_graph_new(t->params, &t->graph), STATUS_OK);
    t->elements = (size_t)nn_shape_count(s);
    t->a = nn_input(t->graph, "a", NN_F32, s);
    t->b = nn_input(t->graph, "b", NN_F32, s);
    t->features = purify_percept_features(t->graph, &cfg, t->a, t->feature);
    t->distance = purify_percept_distance(t->graph, &cfg, t->a, t->b);
    nn_gradients(t->graph, t->distance, &t->a, 1, &t->gradient);
    for (int i = 0; i < t->features; i++)
        nn_output(t->graph, t->feature[i], "feature");
    nn_output(t->graph, t->distance, "distance");
    nn_output(t->graph, t->gradient, "gradient");
    fill(t->params);
    status st = nn_plan_new(t->graph, &(struct nn_plan_options){.threads = 1}, &t->plan, &e);
    if (st)
        fail_msg("no plan: %s", errmsg_text(&e, st));
    fill_images(nn_plan_data(t->plan, t->a), nn_plan_data(t->plan, t->b), t->elements);
    assert_int_equal(nn_plan_run(t->plan), STATUS_OK);
}

static void bench_end(struct bench *t)
{
    nn_plan_free(t->plan);
    nn_graph_free(t->graph);
    nn_params_free(t->params);
}

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        const struct golden *g = &golden[i];
        struct bench t;
        bench_begin(&t, g);
        for (int s = 0; s < t.features; s++) {
            size_t n = (size_t)nn_shape_count(nn_val_shape(t.graph, t.feature[s]));
            near(g, "a feature", mean(nn_plan_data(t.plan, t.feature[s]), n, false), g->feature[s],
                 g->feature[s]);
        }
        const float *d = nn_plan_data(t.plan, t.distance), *da = nn_plan_data(t.plan, t.gradient);
        for (int k = 0; k < BATCH; k++)
            near(g, "the distance", (double)d[k], g->distance[k], g->distance[k]);
        for (size_t k = 0; k < SOME; k++)
            near(g, "the gradient", (double)da[(2 * k + 1) * t.elements / (2 * SOME)],
                 g->gradient[k], g->largest_gradient);
        near(g, "the mean gradient", mean(da, t.elements, true), g->mean_gradient,
             g->mean_gradient);
        bench_end(&t);
    }
}

/* ---- what fits ---- */

static struct purify_percept_cfg cfg_of(int net)
{
    return (struct purify_percept_cfg){.net = (enum purify_percept_net)net, .in_channels = 3};
}

static status build(const struct purify_percept_cfg *cfg, int side, int channels)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    struct nn_shape s = nn_shape4(1, side, side, channels);
    purify_percept_distance(g, cfg, nn_input(g, "a", NN_F32, s), nn_input(g, "b", NN_F32, s));
    return nn_graph_status(g, NULL);
}

/* The smallest side that each network says it takes is the smallest that can be built. */
static void test_smallest(void **state)
{
    (void)state;
    for (int net = 0; net < PURIFY_PERCEPT_COUNT; net++) {
        struct purify_percept_cfg cfg = net ? cfg_of(net) : test_percept_cfg(3);
        struct errmsg e = {""};
        int side = 1;
        while (side < 64 && build(&cfg, side, 3) != STATUS_OK) {
            assert_int_equal(purify_percept_check(&cfg, side, 3, &e), STATUS_INVALID);
            assert_non_null(strstr(e.text, purify_percept_name(&cfg)));
            side++;
        }
        assert_int_equal(purify_percept_check(&cfg, side, 3, NULL), STATUS_OK);
        assert_int_equal(purify_percept_check(&cfg, 1 << 10, 2, NULL), STATUS_INVALID);
    }
}

/* Grey images are taken by those alone that can read them. */
static void test_grey(void **state)
{
    (void)state;
    for (int net = PURIFY_PERCEPT_VGG + 1; net < PURIFY_PERCEPT_COUNT; net++) {
        struct purify_percept_cfg cfg = cfg_of(net);
        assert_int_equal(purify_percept_check(&cfg, 64, 1, NULL), STATUS_OK);
        assert_int_equal(build(&cfg, 64, 1), STATUS_OK);
    }
    struct purify_percept_cfg vgg = test_percept_cfg(3);
    assert_int_equal(purify_percept_check(&vgg, 64, 1, NULL), STATUS_INVALID);
}

/* An image is at no distance of itself, and nothing pulls it away from there. */
static void test_itself(void **state)
{
    (void)state;
    struct bench t;
    bench_begin(&t, &(struct golden){.net = PURIFY_LPIPS_SQUEEZENET, .side = 32, .channels = 3});
    memcpy(nn_plan_data(t.plan, t.b), nn_plan_data(t.plan, t.a), t.elements * sizeof(float));
    assert_int_equal(nn_plan_run(t.plan), STATUS_OK);
    assert_true(mean(nn_plan_data(t.plan, t.distance), BATCH, true) == 0);
    assert_true(mean(nn_plan_data(t.plan, t.gradient), t.elements, true) == 0);
    bench_end(&t);
}

static void test_metadata(void **state)
{
    (void)state;
    char path[TEST_PATH];
    test_temp_file(path);
    for (int net = PURIFY_PERCEPT_VGG + 1; net <= PURIFY_PERCEPT_COUNT; net++) {
        AUTO(nn_file_close) struct nn_file *f = NULL;
        struct purify_percept_cfg cfg = cfg_of(net % PURIFY_PERCEPT_COUNT), back;
        struct purify_meta meta = {.pair = {{"architecture", "lpips-resnet"}}, .n = 1};
        float one = 1;
        struct nn_save_tensor t = {"t", nn_shape1(1), &one, false};
        struct errmsg e = {""};
        bool known = net < PURIFY_PERCEPT_COUNT;
        if (known)
            purify_percept_to_meta(&cfg, &meta);
        assert_int_equal(nn_file_save(path, &t, 1, meta.pair, meta.n, NULL), STATUS_OK);
        assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
        assert_int_equal(purify_percept_from_file(f, &back, &e),
                         known ? STATUS_OK : STATUS_INVALID);
        if (known)
            assert_memory_equal(&back, &cfg, sizeof cfg);
        else
            assert_non_null(strstr(e.text, "lpips-resnet"));
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_grey),     cmocka_unit_test(test_itself),
        cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests_name("purify/lpips", tests, NULL, NULL);
}
