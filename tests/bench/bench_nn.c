/*
 * Speed of whole networks, and of their convolutions and matrix products alone, which is the limit
 * for the rest:
 *
 *     bench_nn [THREADS [DEVICE]]
 *
 * One JSON line per network: median milliseconds of a run (by the clock, and of CPU time, which
 * with one thread is the number to compare on a busy machine), of the products alone, GFLOP/s,
 * memory. tests/bench/bench_nn.py times the same networks in PyTorch.
 */
#include "net_cases.h"
#include "nn/nn.h"

#include <string.h>
#include <time.h>

enum { RUNS = 7, BUF_MAX = 1 << 20 };

struct bench {
    const char *name;
    int batch, side, width;
    bool unet, train;
};
static const struct bench benches[] = {
    {"unet128 forward", 4, 32, 128, true, false}, {"unet32 forward", 16, 32, 32, true, false},
    {"unet32 train", 16, 32, 32, true, true},     {"resnet18 forward", 32, 32, 64, false, false},
    {"resnet18 train", 32, 32, 64, false, true},
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double v[RUNS])
{
    qsort(v, RUNS, sizeof *v, by_size);
    return v[RUNS / 2];
}

static void build(const struct bench *b, struct nn_graph *g)
{
    struct nn_val logits;
    struct nn_val y = b->unet ? net_unet(g, b->batch, b->side, b->width)
                              : net_resnet18(g, b->batch, b->side, b->width, b->train, &logits);
    if (b->train)
        nn_param_gradients(g, nn_mean(g, b->unet ? nn_mul(g, y, y) : y), NULL, 0, NULL);
    nn_output(g, b->unet ? y : b->train ? y : logits, "y");
}

static void fill(struct nn_plan *p, const struct bench *b)
{
    nn_rng_normal(nn_rng(1, 1), 0, nn_plan_data_named(p, "x"),
                  (size_t)b->batch * (size_t)b->side * (size_t)b->side * 3);
    for (int i = 0; i < b->batch; i++) {
        if (b->unet)
            ((float *)nn_plan_data_named(p, "t"))[i] = (float)i;
        else
            ((int32_t *)nn_plan_data_named(p, "labels"))[i] = i % 10;
    }
}

static bool is_product(const char *line)
{
    static const char *const ops[] = {"conv2d", "linear", "attention"};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strncmp(line, ops[i], strlen(ops[i])) == 0)
            return true;
    return false;
}

/* The part of a profile's time that its convolutions and matrix products take. */
static double product_share(const char *profile)
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

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static status measure(const struct bench *b, int threads, const char *device, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *params = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(nn_plan_free) struct nn_plan *p = NULL;
    double whole[RUNS], cpu[RUNS], share[RUNS];
    status st = nn_params_new(&params);
    if (!st)
        st = nn_graph_new(params, &g);
    if (st)
        return st;
    build(b, g);
    st = nn_params_init(params, 1);
    if (!st)
        st = nn_plan_new(g, &(struct nn_plan_options){.threads = threads, .device = device}, &p, e);
    if (st)
        return st;
    fill(p, b);
    for (int i = -2; !st && i < RUNS; i++) {
        uint64_t start = time_mono_ns();
        double cpu_start = cpu_ms();
        st = nn_plan_run(p);
        if (i >= 0) {
            whole[i] = (double)(time_mono_ns() - start) / 1e6;
            cpu[i] = cpu_ms() - cpu_start;
        }
    }
    for (int i = 0; !st && i < RUNS; i++) {
        __attribute__((cleanup(buf_donep))) struct buf text = BUF_INIT(BUF_MAX);
        st = nn_plan_profile(p, &text);
        share[i] = st ? 0 : product_share(text.data);
        if (!st && i == 0 && getenv("BENCH_PROFILE"))
            fputs(text.data, stderr);
    }
    if (st)
        return st;
    struct nn_plan_info info = nn_plan_info(p);
    double ms = median(whole), cpu_median = median(cpu), part = median(share);
    printf("{\"name\": \"%s\", \"batch\": %d, \"ms\": %.2f, \"cpu_ms\": %.2f, \"limit_ms\": %.2f, "
           "\"gflops\": %.1f, \"arena_mb\": %.1f, \"ops\": %d}\n",
           b->name, b->batch, ms, cpu_median, part * ms, info.flops / ms / 1e6,
           (double)info.arena_bytes / 1e6, info.ops);
    fflush(stdout);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    for (size_t i = 0; i < ARRAY_LEN(benches); i++) {
        struct errmsg e = {""};
        const char *only = getenv("BENCH_ONLY");
        if (only && !strstr(benches[i].name, only))
            continue;
        status st = measure(&benches[i], threads, argc > 2 ? argv[2] : NULL, &e);
        if (st) {
            fprintf(stderr, "bench_nn: %s: %s\n", benches[i].name, errmsg_text(&e, st));
            return status_exit(st);
        }
    }
    return 0;
}
