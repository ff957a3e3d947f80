/*
 * Speed of a cell's training as a whole: images loaded, cropped and mirrored, forward, backward,
 * clipping, the optimiser's step. The images are noise, 32x32, and stay decoded in memory, as those
 * of CIFAR do from the second epoch on.
 *
 *     bench_cell                 names of the rows this CPU can do, one a line
 *     bench_cell ROW [THREADS]   as of bench_nn
 *
 * plan_ms is what the network takes: forward, backward and the gradients' norm. product_share is 1,
 * so that pairs.py's limit is a step whose images, weights' update and weights' packing are free.
 * bench_cell.py does the same in PyTorch.
 */
#include "timing.h"
#include "train/class_step.h"
#include "train/loop.h"
#include "train/png.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, CLASSES = 10, EACH = 52, RUNS_MAX = 4096, WARM = 2 }; /* 4 batches of 128 */
static const double long_ms = 3000;

static const struct row {
    const char *net;
    int batch;
} rows[] = {{"resnet18", 128}, {"resnet18", 32}};

enum { NAME_MAX_BYTES = 64 };
static const char *row_name(const struct row *r, enum nn_precision precision,
                            char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%s cell b%d %s", r->net, r->batch,
             nn_precision_names[precision]);
    return out;
}

/* ---- images ---- */

static status write_images(const char *dir, struct errmsg *e)
{
    uint8_t pixels[SIDE * SIDE * 3];
    status st = STATUS_OK;
    for (int i = 0; i < CLASSES * EACH && !st; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%d", dir, i % CLASSES);
        if (mkdir(path, 0777) && errno != EEXIST)
            return errmsg_set(e, STATUS_IO, "cannot make %s", path);
        for (size_t p = 0; p < sizeof pixels; p++)
            pixels[p] = (uint8_t)nn_rng_u32(nn_rng(1, (uint64_t)i), p);
        snprintf(path, sizeof path, "%s/%d/%d.png", dir, i % CLASSES, i);
        const struct image img = {SIDE, SIDE, 3, pixels, NULL};
        st = train_png_write(path, &img, e);
    }
    return st;
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *f)
{
    (void)sb;
    (void)kind;
    (void)f;
    return remove(path);
}

/* Decodes all, so that no measured step does. */
static status open_images(int threads, struct train_set **out, struct errmsg *e)
{
    char dir[] = "/tmp/bench-cell-XXXXXX";
    struct digest all;
    if (!mkdtemp(dir))
        return errmsg_set(e, STATUS_IO, "cannot make a folder in /tmp");
    const struct train_data_options o = {.dir = dir, .threads = threads};
    status st = write_images(dir, e);
    if (!st)
        st = train_set_open(&o, out, e);
    if (!st)
        st = train_set_digest(*out, &all, e);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return st;
}

/* ---- steps ---- */

struct cell {
    const struct row *row;
    enum nn_precision precision;
    struct train_set *set;
    struct train_model *model;
    struct train_loader *loader;
    struct class_step step;
    struct nn_optim *optim;
    int64_t done;
    double start, cpu_start, plan_start, plan; /* of the step under way */
    double turn_ends;
    bool cold; /* the next step is the first after the other side's turn */
    double ms[RUNS_MAX], cpu[RUNS_MAX], plans[RUNS_MAX];
    int n; /* steps of this turn that count */
};

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct cell *c = arg;
    (void)e;
    memcpy(c->step.x, b->x, (size_t)b->n * SIDE * SIDE * 3 * sizeof *b->x);
    memcpy(c->step.label, b->label, (size_t)b->n * sizeof *b->label);
    c->plan_start = wall_ms();
    return STATUS_OK;
}

/* Asked for when the gradients are there. */
static float rate(const void *arg, int64_t step)
{
    struct cell *c = (struct cell *)arg;
    (void)step;
    c->plan = wall_ms() - c->plan_start;
    return 1e-4f; /* stays finite whatever the precision */
}

static void begin_step(struct cell *c)
{
    c->start = wall_ms();
    c->cpu_start = cpu_ms();
}

static void describe(const struct cell *c)
{
    char name[NAME_MAX_BYTES];
    printf("{\"name\": \"%s\", \"batch\": %d, \"precision\": \"%s\", \"parameters\": %lld, "
           "\"product_share\": 1}\n",
           row_name(c->row, c->precision, name), c->row->batch, nn_precision_names[c->precision],
           (long long)nn_params_elements(c->model->params, true));
    fflush(stdout);
}

/* Waits to be asked for a turn; CANCELLED: nobody will. */
static status next_turn(struct cell *c, double last_ms)
{
    char line[64];
    if (!fgets(line, sizeof line, stdin))
        return STATUS_CANCELLED;
    c->n = 0;
    c->cold = last_ms < long_ms;
    c->turn_ends = wall_ms() + strtod(line, NULL) * 1e3;
    begin_step(c);
    return STATUS_OK;
}

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct cell *c = arg;
    double ms = wall_ms() - c->start, cpu = cpu_ms() - c->cpu_start;
    (void)b;
    (void)loss;
    (void)e;
    if (++c->done < WARM) {
        begin_step(c);
        return STATUS_OK;
    }
    if (c->done == WARM) {
        describe(c);
        return next_turn(c, ms);
    }
    if (!c->cold) {
        c->ms[c->n] = ms;
        c->cpu[c->n] = cpu;
        c->plans[c->n++] = c->plan;
    }
    c->cold = false;
    if (c->n == 0 || (c->n < RUNS_MAX && wall_ms() < c->turn_ends)) {
        begin_step(c);
        return STATUS_OK;
    }
    printf("{\"ms\": %.3f, \"cpu_ms\": %.3f, \"plan_ms\": %.3f}\n", median(c->ms, c->n),
           median(c->cpu, c->n), median(c->plans, c->n));
    fflush(stdout);
    return next_turn(c, ms);
}

/* ---- a row ---- */

static status open_cell(struct cell *c, int threads, struct errmsg *e)
{
    struct train_options o = train_options_default();
    struct train_net_shape shape = {SIDE, SIDE, 3, CLASSES};
    const struct nn_plan_options po = {.threads = threads, .precision = c->precision};
    const struct nn_optim_options oo = {
        .kind = NN_SGD, .momentum = o.momentum, .weight_decay = o.weight_decay, .threads = threads};
    status st = open_images(threads, &c->set, e);
    if (!st)
        st = train_model_new(train_net_find(c->row->net), shape, c->set, &c->model);
    if (!st)
        st = nn_params_init(c->model->params, 1);
    if (st)
        return st;
    struct train_loader_options lo = train_forward_loader(c->model, c->row->batch, threads);
    lo.shuffle = lo.drop_last = true;
    lo.pad = o.pad;
    lo.flip = o.flip;
    st = train_class_step_new(c->model, c->row->batch, &po, &c->step, e);
    if (!st)
        st = train_loader_new(c->set, &lo, &c->loader, e);
    return st ? st : nn_optim_new(c->model->params, &oo, &c->optim);
}

static void close_cell(struct cell *c)
{
    nn_optim_free(c->optim);
    train_loader_free(c->loader);
    train_class_step_done(&c->step);
    train_model_free(c->model);
    train_set_free(c->set);
}

static status measure(const struct row *r, enum nn_precision precision, int threads,
                      struct errmsg *e)
{
    static struct cell c;
    c = (struct cell){.row = r, .precision = precision};
    status st = open_cell(&c, threads, e);
    struct train_loop loop = {.loader = c.loader,
                              .plan = c.step.plan,
                              .loss = c.step.loss,
                              .optim = c.optim,
                              .clip = train_options_default().clip,
                              .threads = threads,
                              .arg = &c,
                              .load = load,
                              .rate = rate,
                              .after = after};
    if (!st) {
        loop.params = c.model->params;
        begin_step(&c);
        st = train_loop_run(&loop, INT64_MAX, e);
    }
    close_cell(&c);
    return st == STATUS_CANCELLED ? STATUS_OK : st;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    char name[NAME_MAX_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (enum nn_precision p = 0; p < NN_PREC_COUNT; p++) {
            row_name(&rows[i], p, name);
            if (argc == 1 && nn_precision_supported(NULL, p))
                puts(name);
            if (argc == 1 || strcmp(name, argv[1]) != 0)
                continue;
            struct errmsg e = {""};
            status st = measure(&rows[i], p, threads > 0 ? threads : cpu_count(), &e);
            if (st)
                fprintf(stderr, "bench_cell: %s: %s\n", name, errmsg_text(&e, st));
            return status_exit(st);
        }
    }
    if (argc == 1)
        return 0;
    fprintf(stderr, "bench_cell: no row is called %s\n", argv[1]);
    return 2;
}
