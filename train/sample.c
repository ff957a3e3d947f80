/*
 * The ancestral chain (Ho et al. 2020, algorithm 2) on whole images, to look at what a model
 * learned. One row of the grid is one batch.
 */
#include "model.h"
#include "png.h"
#include "set.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { GAP = 2, GRID_MAX = 64 };

struct sampler {
    const struct train_sample_options *opt;
    struct purify_unet cfg;
    struct purify_schedule *schedule;
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *x, *t;          /* inputs */
    const float *eps;      /* output */
    float *noise;          /* (columns,size,size,C) */
    size_t n;              /* floats in x */
    struct train_set *set; /* NULL: from pure noise */
    struct train_loader *loader;
    struct image grid;
};

static status check(const struct train_sample_options *o, const struct purify_unet *u,
                    struct errmsg *e)
{
    if (o->rows < 1 || o->columns < 1 || o->rows > GRID_MAX || o->columns > GRID_MAX)
        return errmsg_set(e, STATUS_INVALID, "rows and columns must be 1..%d", GRID_MAX);
    if (o->steps < 0 || o->steps > u->t_max)
        return errmsg_set(e, STATUS_INVALID, "steps must be 1..%d", u->t_max);
    if (u->t_max < u->total && !o->data_dir)
        return errmsg_set(
            e, STATUS_INVALID,
            "this model was trained on t < %d of %d and cannot start from noise (give "
            "--data: images that are diffused to t = %d first)",
            u->t_max, u->total, u->t_max - 1);
    return STATUS_OK;
}

static status build(struct sampler *s, const struct nn_file *f, int threads, struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = threads, .precision = s->opt->precision};
    int size = s->cfg.size, batch = s->opt->columns;
    struct nn_shape shape = nn_shape4(batch, size, size, s->cfg.in_channels);
    status st = nn_params_new(&s->params);
    if (!st)
        st = nn_graph_new(s->params, &s->graph);
    if (st)
        return st;
    struct nn_val x = nn_input(s->graph, "x", NN_F32, shape);
    struct nn_val t = nn_input(s->graph, "t", NN_F32, nn_shape1(batch));
    struct nn_val eps = purify_unet_build(s->graph, &s->cfg, x, t, false);
    nn_output(s->graph, eps, "eps");
    st = nn_graph_status(s->graph, e);
    if (!st)
        st = nn_params_load(s->params, f, "", e);
    if (!st)
        st = nn_plan_new(s->graph, &po, &s->plan, e);
    if (st)
        return st;
    s->x = nn_plan_data(s->plan, x);
    s->t = nn_plan_data(s->plan, t);
    s->eps = nn_plan_data(s->plan, eps);
    s->n = (size_t)nn_shape_count(shape);
    s->noise = mem_alloc(s->n * sizeof *s->noise);
    return s->noise ? STATUS_OK : STATUS_NOMEM;
}

static status open_data(struct sampler *s, int threads, struct errmsg *e)
{
    if (!s->opt->data_dir)
        return STATUS_OK;
    struct train_data_options d = {.dir = s->opt->data_dir,
                                   .flat = true,
                                   .min_side = s->cfg.size,
                                   .channels = s->cfg.in_channels,
                                   .threads = threads};
    status st = train_set_open(&d, &s->set, e);
    if (st)
        return st;
    if (train_set_info(s->set).samples < s->opt->rows * s->opt->columns)
        return errmsg_set(e, STATUS_INVALID, "%s has %d images, the grid needs %d",
                          s->opt->data_dir, train_set_info(s->set).samples,
                          s->opt->rows * s->opt->columns);
    struct train_loader_options lo = {.batch = s->opt->columns,
                                      .crop = s->cfg.size,
                                      .mean = {.5f, .5f, .5f},
                                      .std = {.5f, .5f, .5f},
                                      .threads = threads};
    st = train_loader_new(s->set, &lo, &s->loader, e);
    return st ? st : train_loader_start(s->loader, 0, 0);
}

static void place_row(struct sampler *s, int row)
{
    int size = s->cfg.size, c = s->cfg.in_channels, cell = size + GAP;
    AUTO(mem_free) uint8_t *pixels = mem_alloc(s->n);
    if (!pixels)
        return; /* the grid keeps its background; only a picture to look at */
    image_from_f32(s->x, s->n, pixels);
    for (int i = 0; i < s->opt->columns; i++)
        for (int y = 0; y < size; y++)
            memcpy(s->grid.pixels + ((size_t)(row * cell + GAP + y) * (size_t)s->grid.width +
                                     (size_t)(i * cell + GAP)) *
                                        (size_t)c,
                   pixels + ((size_t)i * (size_t)size + (size_t)y) * (size_t)size * (size_t)c,
                   (size_t)size * (size_t)c);
}

/* The chain's start in s->x: noise, or data diffused to the last step. */
static status start_row(struct sampler *s, int row, struct errmsg *e)
{
    const struct purify_schedule *sc = s->schedule;
    nn_rng_normal(stream(s->opt->seed, STREAM_CHAIN, (uint64_t)row << 32), 0, s->noise, s->n);
    if (!s->loader) {
        memcpy(s->x, s->noise, s->n * sizeof *s->x);
        return STATUS_OK;
    }
    const struct train_batch *b;
    status st = train_loader_next(s->loader, &b, e);
    if (st || !b)
        return st ? st : STATUS_INTERNAL;
    memcpy(s->x, b->x, s->n * sizeof *s->x);
    place_row(s, 2 * row);
    float a = (float)sqrt(sc->alpha_bar[sc->steps - 1]);
    float sd = (float)sqrt(1 - sc->alpha_bar[sc->steps - 1]);
    for (size_t i = 0; i < s->n; i++)
        s->x[i] = a * s->x[i] + sd * s->noise[i];
    return STATUS_OK;
}

static status reverse_step(struct sampler *s, int row, int i)
{
    const struct purify_schedule *sc = s->schedule;
    double now = sc->alpha_bar[i], before = i > 0 ? sc->alpha_bar[i - 1] : 1, beta = sc->beta[i];
    float to_x0 = (float)(1 / sqrt(now)), to_eps = (float)sqrt(1 / now - 1);
    float keep_x0 = (float)(sqrt(before) * beta / (1 - now));
    float keep_x = (float)(sqrt(1 - beta) * (1 - before) / (1 - now));
    float sd = i > 0 ? (float)sqrt(sc->variance[i]) : 0;
    for (int k = 0; k < s->opt->columns; k++)
        s->t[k] = (float)sc->t[i];
    status st = nn_plan_run(s->plan);
    if (st)
        return st;
    nn_rng_normal(stream(s->opt->seed, STREAM_CHAIN, (uint64_t)row << 32 | (uint64_t)(i + 1)), 0,
                  s->noise, s->n);
    for (size_t j = 0; j < s->n; j++) {
        float x0 = to_x0 * s->x[j] - to_eps * s->eps[j];
        x0 = x0 < -1 ? -1 : x0 > 1 ? 1 : x0;
        s->x[j] = keep_x0 * x0 + keep_x * s->x[j] + sd * s->noise[j];
    }
    return STATUS_OK;
}

static status run_rows(struct sampler *s, struct errmsg *e)
{
    struct progress p;
    int steps = s->schedule->steps, per_row = s->loader ? 2 : 1;
    progress_init(&p, "sampling", 0, (uint64_t)(s->opt->rows * steps), s->opt->quiet);
    status st = STATUS_OK;
    for (int row = 0; row < s->opt->rows && !st; row++) {
        st = start_row(s, row, e);
        for (int i = steps - 1; i >= 0 && !st; i--) {
            st = stop_requested() ? STATUS_CANCELLED : reverse_step(s, row, i);
            progress_update(&p, (uint64_t)(row * steps + steps - i), NULL);
        }
        if (!st)
            place_row(s, per_row * row + per_row - 1);
    }
    if (!st)
        progress_done(&p, (uint64_t)(s->opt->rows * steps), NULL);
    return st;
}

static status make_grid(struct sampler *s)
{
    int cell = s->cfg.size + GAP, rows = s->opt->rows * (s->loader ? 2 : 1);
    status st = image_alloc(s->opt->columns * cell + GAP, rows * cell + GAP, s->cfg.in_channels,
                            false, &s->grid);
    if (!st)
        memset(s->grid.pixels, 255, image_pixel_bytes(&s->grid));
    return st;
}

static void sampler_done(struct sampler *s)
{
    image_done(&s->grid);
    train_loader_free(s->loader);
    train_set_free(s->set);
    mem_free(s->noise);
    nn_plan_free(s->plan);
    nn_graph_free(s->graph);
    nn_params_free(s->params);
    purify_schedule_free(s->schedule);
}

status train_diffusion_sample(const struct train_sample_options *opt, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct sampler s = {.opt = opt};
    int threads = opt->threads ? opt->threads : cpu_count();
    status st = train_precision_check(opt->precision, e);
    if (st)
        return st;
    st = nn_file_open(opt->weights, &f, e);
    if (!st)
        st = purify_unet_from_file(f, &s.cfg, e);
    if (st)
        return errmsg_prefix(e, st, "cannot use %s", opt->weights);
    st = check(opt, &s.cfg, e);
    if (!st)
        st = purify_schedule_new(s.cfg.beta, s.cfg.total, s.cfg.t_max,
                                 opt->steps ? opt->steps : s.cfg.t_max, PURIFY_FIXED_LARGE,
                                 &s.schedule);
    if (!st)
        st = build(&s, f, threads, e);
    if (!st)
        st = open_data(&s, threads, e);
    if (!st)
        st = make_grid(&s);
    if (!st)
        st = run_rows(&s, e);
    if (!st)
        st = train_png_write(opt->out_file, &s.grid, e);
    sampler_done(&s);
    return st;
}
