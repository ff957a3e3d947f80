/*
 * Speed of whole networks: a forward pass, and a training step as a trainer does it, which is
 * forward, backward, the optimiser's step and nn_plan_refresh.
 *
 *     bench_nn                         names of the rows this CPU can do, one a line
 *     bench_nn ROW [THREADS [DEVICE]]
 *
 * The second prints one JSON line that describes the row; then, for each line of standard input,
 * which is a number of seconds, one with the medians of the steps that were done in about that
 * time: ms of a step, cpu_ms of CPU time, plan_ms of its nn_plan_run alone. pairs.py asks so, in
 * turns with bench_nn.py, which has the same networks in PyTorch.
 *
 * product_share is the part of nn_plan_run that convolutions, matrix products and attention take,
 * in a training step with their gradients, op by op from the plan's profile. product_share *
 * plan_ms is the limit: the step if everything else (norms, activations, sums, copies, the
 * optimiser, packing weights) were free. BENCH_PROFILE=1 prints a profile to stderr.
 */
#include "timing.h"
#include "net_cases.h"
#include "nn/nn.h"

#include <string.h>

enum { SIDE = 32, CLASSES = 10, RUNS_MAX = 4096, PROFILES = 3, BUF_MAX = 1 << 20 };
/* A step that takes longer is profiled once, never for nothing. */
static const double long_ms = 3000;

struct net_kind {
    const char *name;
    int width, levels; /* levels: of a UNet */
    struct nn_val (*classifier)(struct nn_graph *g, int batch, int side, int width, bool training,
                                struct nn_val *out_logits); /* NULL: a UNet */
};
static const struct net_kind ddpm = {"ddpm", 128, 4, NULL}, unet32 = {"unet32", 32, 3, NULL},
                             resnet18 = {"resnet18", 64, 0, net_resnet18},
                             mobile = {"mobile", 32, 0, net_mobile}, vit = {"vit", 192, 0, net_vit};

struct row {
    const struct net_kind *net;
    int batch;
    bool train;
};
static const struct row rows[] = {
    {&ddpm, 16, false},     {&ddpm, 1, false},    {&ddpm, 64, true},
    {&unet32, 16, false},   {&unet32, 16, true},  {&resnet18, 128, false},
    {&resnet18, 128, true}, {&mobile, 128, true}, {&vit, 128, true},
};

enum { NAME_MAX_BYTES = 64 };
static const char *row_name(const struct row *r, enum nn_precision precision,
                            char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%s %s b%d %s", r->net->name, r->train ? "train" : "forward",
             r->batch, nn_precision_names[precision]);
    return out;
}

/* What a row is measured with. */
struct subject {
    const struct row *row;
    struct nn_params *params;
    struct nn_plan *plan;
    struct nn_optim *optim; /* NULL: forward only */
};
static void subject_done(struct subject *s)
{
    nn_optim_free(s->optim);
    nn_plan_free(s->plan);
    nn_params_free(s->params);
}

static void build(struct nn_graph *g, const struct row *r)
{
    struct nn_val logits, y, loss = NN_NONE;
    if (!r->net->classifier) {
        y = net_unet(g, r->batch, SIDE, r->net->width, r->net->levels);
        if (r->train)
            loss = nn_mse(g, y, nn_input(g, "noise", NN_F32, nn_val_shape(g, y)));
    } else {
        loss = r->net->classifier(g, r->batch, SIDE, r->net->width, r->train, &logits);
        y = logits;
    }
    if (r->train) {
        y = nn_mean(g, loss);
        nn_param_gradients(g, y, NULL, 0, NULL);
    }
    nn_output(g, y, "y");
}

static void fill(struct nn_plan *p, const struct row *r)
{
    size_t n = (size_t)r->batch * SIDE * SIDE * 3;
    float *t = nn_plan_data_named(p, "t"), *noise = nn_plan_data_named(p, "noise");
    int32_t *labels = nn_plan_data_named(p, "labels");
    nn_rng_normal(nn_rng(1, 1), 0, nn_plan_data_named(p, "x"), n);
    if (noise)
        nn_rng_normal(nn_rng(1, 2), 0, noise, n);
    for (int i = 0; t && i < r->batch; i++)
        t[i] = (float)i;
    for (int i = 0; labels && i < r->batch; i++)
        labels[i] = i % CLASSES;
}

static status subject_init(struct subject *s, enum nn_precision precision, int threads,
                           const char *device, struct errmsg *e)
{
    static const struct nn_optim_options sgd = {.kind = NN_SGD,
                                                .momentum = .9f,
                                                .weight_decay = 5e-4f},
                                         adam = {.kind = NN_ADAM};
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    status st = nn_params_new(&s->params);
    if (!st)
        st = nn_graph_new(s->params, &g);
    if (st)
        return st;
    build(g, s->row);
    st = nn_params_init(s->params, 1);
    struct nn_plan_options options = {.threads = threads, .device = device, .precision = precision};
    if (!st)
        st = nn_plan_new(g, &options, &s->plan, e);
    if (!st && s->row->train)
        st = nn_optim_new(s->params, s->row->net->classifier ? &sgd : &adam, &s->optim);
    if (!st)
        fill(s->plan, s->row);
    return st;
}

/* ---- time ---- */

struct took {
    double ms, cpu_ms, plan_ms;
};

static status step(struct subject *s, struct took *out)
{
    static const float lr = 1e-4f; /* stays finite whatever the precision */
    double start = wall_ms(), cpu_start = cpu_ms();
    status st = nn_plan_run(s->plan);
    out->plan_ms = wall_ms() - start;
    if (!st && s->optim) {
        nn_optim_step(s->optim, lr);
        st = nn_plan_refresh(s->plan);
    }
    out->ms = wall_ms() - start;
    out->cpu_ms = cpu_ms() - cpu_start;
    return st;
}

/* The first step after the other side's turn finds its caches cold: it is not counted unless steps
   are very long. */
static status turn(struct subject *s, double seconds, struct took *last)
{
    static double ms[RUNS_MAX], cpu[RUNS_MAX], plan[RUNS_MAX];
    status st = last->ms < long_ms ? step(s, last) : STATUS_OK;
    double end = wall_ms() + seconds * 1e3;
    int n = 0;
    while (!st && n < RUNS_MAX && (n == 0 || wall_ms() < end)) {
        st = step(s, last);
        ms[n] = last->ms;
        cpu[n] = last->cpu_ms;
        plan[n++] = last->plan_ms;
    }
    if (st)
        return st;
    printf("{\"ms\": %.3f, \"cpu_ms\": %.3f, \"plan_ms\": %.3f}\n", median(ms, n), median(cpu, n),
           median(plan, n));
    fflush(stdout);
    return STATUS_OK;
}

/* ---- the limit ---- */

static bool is_product(const char *line)
{
    static const char *const ops[] = {"conv2d", "linear", "attention"}; /* and their gradients */
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strncmp(line, ops[i], strlen(ops[i])) == 0)
            return true;
    return false;
}

/* The part of a profile's time that its products take. */
static double profile_share(const char *profile)
{
    double product = 0, all = 0;
    char copy[256];
    for (const char *line = profile; line && *line;
         line = strchr(line, '\n'), line += line != NULL) {
        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
        const char *last = strrchr(copy, ' ');
        double us = last ? strtod(last, NULL) : 0;
        all += us;
        product += is_product(copy) ? us : 0;
    }
    return all > 0 ? product / all : 0;
}

static status product_share(struct subject *s, double step_ms, double *out)
{
    double share[PROFILES];
    int n = step_ms > long_ms ? 1 : PROFILES;
    for (int i = 0; i < n; i++) {
        __attribute__((cleanup(buf_donep))) struct buf text = BUF_INIT(BUF_MAX);
        status st = nn_plan_profile(s->plan, &text);
        if (st)
            return st;
        share[i] = profile_share(text.data);
        if (i == n - 1 && getenv("BENCH_PROFILE"))
            fputs(text.data, stderr);
    }
    *out = median(share, n);
    return STATUS_OK;
}

/* ---- a row ---- */

static void describe(const struct subject *s, const char *name, enum nn_precision precision,
                     double share)
{
    struct nn_plan_info info = nn_plan_info(s->plan);
    printf("{\"name\": \"%s\", \"batch\": %d, \"precision\": \"%s\", \"parameters\": %lld, "
           "\"product_share\": %.4f, \"gflop\": %.3f, \"arena_mb\": %.1f, \"ops\": %d}\n",
           name, s->row->batch, nn_precision_names[precision],
           (long long)nn_params_elements(s->params, true), share, info.flops / 1e9,
           (double)info.arena_bytes / 1e6, info.ops);
    fflush(stdout);
}

static status measure(const struct row *r, enum nn_precision precision, int threads,
                      const char *device, struct errmsg *e)
{
    __attribute__((cleanup(subject_done))) struct subject s = {.row = r};
    char name[NAME_MAX_BYTES], line[64];
    struct took warm = {0};
    double share = 0;
    status st = subject_init(&s, precision, threads, device, e);
    for (int i = 0; !st && i < 2; i++)
        st = step(&s, &warm);
    if (!st)
        st = product_share(&s, warm.ms, &share);
    if (!st)
        describe(&s, row_name(r, precision, name), precision, share);
    while (!st && fgets(line, sizeof line, stdin))
        st = turn(&s, strtod(line, NULL), &warm);
    return st;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    const char *device = argc > 3 ? argv[3] : NULL;
    char name[NAME_MAX_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (enum nn_precision p = 0; p < NN_PREC_COUNT; p++) {
            row_name(&rows[i], p, name);
            if (argc == 1 && nn_precision_supported(NULL, p))
                puts(name);
            if (argc == 1 || strcmp(name, argv[1]) != 0)
                continue;
            struct errmsg e = {""};
            status st = measure(&rows[i], p, threads, device, &e);
            if (st)
                fprintf(stderr, "bench_nn: %s: %s\n", name, errmsg_text(&e, st));
            return status_exit(st);
        }
    }
    if (argc == 1)
        return 0;
    fprintf(stderr, "bench_nn: no row is called %s\n", argv[1]);
    return 2;
}
