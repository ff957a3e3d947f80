/*
 * What JCDP costs beside its network evaluations: noise, guidance, the perceptual gradient, clamping.
 *
 *     bench_jcdp
 *
 * JSON lines for each network and guidance, on one thread, for a tile alone and for one of a full micro-batch:
 * milliseconds a tile, milliseconds that the same number of evaluations takes in a plan of the same batch (the limit),
 * and how much comes on top of them. RELEARN_DATA_DIR says where the shipped networks are.
 */
#include "purify/engine.h"
#include "purify/test_models.h"

enum { RUNS = 5 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of an evaluation of `batch` tiles, per tile, as an engine plans it. */
static status time_unet(const char *path, int batch, double *out, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(nn_plan_free) struct nn_plan *plan = NULL;
    struct purify_unet u;
    double took[RUNS];
    status st = nn_file_open(path, &f, e);
    if (!st)
        st = purify_unet_from_file(f, &u, e);
    if (!st)
        st = nn_params_new(&p);
    if (!st)
        st = nn_graph_new(p, &g);
    if (st)
        return st;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, u.size, u.size, u.in_channels));
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape1(batch));
    nn_output(g, purify_unet_build(g, &u, x, t, false), "y");
    st = nn_params_load(p, f, "", e);
    if (!st)
        st = nn_plan_new(g, &(struct nn_plan_options){.threads = 1, .shared = true}, &plan, e);
    if (st)
        return st;
    nn_rng_normal(nn_rng(1, 1), 0, nn_plan_data(plan, x), (size_t)(batch * u.size * u.size * u.in_channels));
    for (int k = 0; k < batch; k++)
        ((float *)nn_plan_data(plan, t))[k] = 20;
    for (int i = -1; !st && i < RUNS; i++) {
        enum { EACH = 10 };
        uint64_t start = time_mono_ns();
        for (int k = 0; !st && k < EACH; k++)
            st = nn_plan_run(plan);
        if (i >= 0)
            took[i] = (double)(time_mono_ns() - start) * 1e-9 / EACH / batch;
    }
    qsort(took, RUNS, sizeof took[0], by_size);
    *out = took[RUNS / 2];
    return st;
}

static status time_tile(const struct purify_profile *p, struct purify_cost *out, struct errmsg *e)
{
    AUTO(purify_model_free) struct purify_model *m = NULL;
    AUTO(purify_engine_free) struct purify_engine *en = NULL;
    status st = purify_model_load(p, &m, e);
    if (!st)
        st = purify_engine_new(m, &en, e);
    return st ? st : purify_engine_measure(en, out, e);
}

static void print(const char *name, const char *guidance, const char *how, double tile, double limit)
{
    printf("{\"name\": \"%s %s %s\", \"ms\": %.2f, \"limit_ms\": %.2f, \"on_top\": %.4f}\n", name, guidance, how,
           tile * 1e3, limit * 1e3, tile / limit - 1);
    fflush(stdout);
}

static status bench(const char *name, const char *path, struct errmsg *e)
{
    static const struct {
        const char *name, *pixel, *perceptual;
    } guidance[] = {{"none", "0", "0"}, {"pixel", "6694", "0"}, {"joint", "6694", "6694"}};
    for (size_t i = 0; i < ARRAY_LEN(guidance); i++) {
        struct purify_profile p;
        struct purify_cost tile;
        double alone = 0, bulk = 0;
        purify_profile_init(&p); /* t* 20, 4 rounds of 5 ancestral steps */
        status st = purify_profile_set(&p, "model", path, e);
        if (!st)
            st = purify_profile_set(&p, "guidance", "joint", e);
        if (!st)
            st = purify_profile_set(&p, "pixel_scale", guidance[i].pixel, e);
        if (!st)
            st = purify_profile_set(&p, "perceptual_scale", guidance[i].perceptual, e);
        if (!st)
            st = purify_profile_finish(&p, e);
        if (!st)
            st = time_unet(path, 1, &alone, e);
        if (!st)
            st = time_unet(path, PURIFY_MICRO_BATCH, &bulk, e);
        if (!st)
            st = time_tile(&p, &tile, e);
        if (st)
            return st;
        int evaluations = purify_profile_evaluations(&p);
        print(name, guidance[i].name, "alone", tile.alone_seconds, alone * evaluations);
        print(name, guidance[i].name, "bulk", tile.bulk_seconds, bulk * evaluations);
    }
    return STATUS_OK;
}

int main(void)
{
    char dir[] = "/tmp/bench-jcdp-XXXXXX", published[64], shipped[4096];
    const char *data = getenv("RELEARN_DATA_DIR");
    struct errmsg e = {""};
    if (!data || !mkdtemp(dir)) {
        fprintf(stderr, "bench_jcdp: RELEARN_DATA_DIR is not set, or /tmp cannot be written to\n");
        return 1;
    }
    snprintf(published, sizeof published, "%s/ddpm.safetensors", dir);
    snprintf(shipped, sizeof shipped, "%s/models/default.safetensors", data);
    status st = bench("shipped", shipped, &e);
    if (!st) {
        const struct purify_unet cfg = test_published_cfg();
        test_save_unet(published, &cfg, 0);
        st = bench("35.7 M", published, &e);
    }
    unlink(published);
    rmdir(dir);
    if (st)
        fprintf(stderr, "bench_jcdp: %s\n", errmsg_text(&e, st));
    return status_exit(st);
}
