/* Training the two autoencoders, and what they leave of images. */
#include "recipes/dvae.h"

#include "loop.h"
#include "set.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { LATE_EPOCH = 10, APPLY_BATCH = 100 };
static const float first_rate = 1;

/* One of the two. */
struct round {
    const struct dvae_options *opt;
    const struct dvae_how *how;
    int number; /* 0 or 1 */
    struct train_set *set;
    struct dvae_shape shape;
    size_t row, latent; /* floats of an image; of its mu */
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct dvae_net net;
    float *x, *label, *noise;
    /* training */
    struct train_loader *loader;
    struct nn_optim *optim;
    float *late;
    const float *loss;
    struct train_loop loop;
    struct progress progress;
    double mean_loss; /* of late */
};

/* Of a step, or behind them of an image. */
static struct nn_rng latent_stream(const struct round *r, bool applied, uint64_t number)
{
    uint64_t part = (uint64_t)(2 * r->number + applied) << 48;
    return stream(r->how->seed, STREAM_LATENT, part | number);
}

static struct nn_plan_options plan_options(const struct round *r)
{
    return (struct nn_plan_options){.threads = r->how->threads, .precision = r->how->precision};
}

static status begin_graph(struct round *r, int batch, bool training, struct errmsg *e)
{
    r->shape.batch = batch;
    status st = r->params ? STATUS_OK : nn_params_new(&r->params);
    if (!st)
        st = nn_graph_new(r->params, &r->graph);
    if (st)
        return st;
    r->net = dvae_build(r->graph, &r->shape, training);
    r->latent = (size_t)nn_shape_count(nn_val_shape(r->graph, r->net.mu)) / (size_t)batch;
    return nn_graph_status(r->graph, e);
}

static status make_plan(struct round *r, struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(r);
    status st = nn_plan_new(r->graph, &po, &r->plan, e);
    if (st)
        return st;
    r->x = nn_plan_data(r->plan, r->net.x);
    r->label = nn_plan_data(r->plan, r->net.label);
    r->noise = nn_plan_data(r->plan, r->net.noise);
    return STATUS_OK;
}

static void drop_plan(struct round *r)
{
    nn_plan_free(TAKE(r->plan));
    nn_graph_free(TAKE(r->graph));
}

static void fill_label(const struct round *r, int at, int label)
{
    float *row = r->label + (size_t)at * (size_t)r->shape.classes;
    memset(row, 0, (size_t)r->shape.classes * sizeof *row);
    row[label] = 1;
}

/* ---- training ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct round *r = arg;
    int64_t epoch = r->loop.step / train_loader_batches(r->loader);
    (void)e;
    memcpy(r->x, b->x, (size_t)b->n * r->row * sizeof *r->x);
    for (int i = 0; i < b->n; i++)
        fill_label(r, i, b->label[i]);
    nn_rng_normal(latent_stream(r, false, (uint64_t)r->loop.step), 0, r->noise,
                  (size_t)b->n * r->latent);
    *r->late = epoch > LATE_EPOCH;
    return STATUS_OK;
}

/* Half a cosine, epoch by epoch. */
static float rate(const void *arg, int64_t step)
{
    const struct round *r = arg;
    int64_t epoch = step / train_loader_batches(r->loader);
    double done = (double)epoch / r->opt->epochs;
    return r->opt->lr * (float)(.5 * (1 + cos(3.14159265358979323846 * done)));
}

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct round *r = arg;
    char extra[32];
    (void)b;
    (void)e;
    r->mean_loss = r->loop.step > 1 ? .98 * r->mean_loss + .02 * loss : loss;
    snprintf(extra, sizeof extra, "loss %.4f", r->mean_loss);
    progress_update(&r->progress, (uint64_t)r->loop.step, extra);
    return STATUS_OK;
}

static status make_training(struct round *r, int batch, struct errmsg *e)
{
    const struct nn_optim_options adam = {.kind = NN_ADAM, .threads = r->how->threads};
    struct train_loader_options lo = {.batch = batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .seed = r->how->seed + (uint64_t)r->number,
                                      .threads = r->how->threads};
    status st = begin_graph(r, batch, true, e);
    if (st)
        return st;
    struct nn_val late;
    struct nn_val loss = dvae_loss(r->graph, &r->net, r->number ? r->opt->rate : first_rate, &late);
    nn_param_gradients(r->graph, loss, NULL, 0, NULL);
    nn_output(r->graph, loss, "loss");
    st = nn_params_init(r->params, r->how->seed + (uint64_t)r->number);
    if (!st)
        st = make_plan(r, e);
    if (st)
        return st;
    r->late = nn_plan_data(r->plan, late);
    r->loss = nn_plan_data(r->plan, loss);
    struct nn_param_entry *classes = nn_params_find(r->params, DVAE_CLASSES);
    nn_rng_normal(stream(r->how->seed, STREAM_CLASSES, (uint64_t)r->number), 0, classes->value,
                  (size_t)nn_shape_count(classes->shape));
    st = nn_plan_refresh(r->plan);
    if (!st)
        st = train_loader_new(r->set, &lo, &r->loader, e);
    return st ? st : nn_optim_new(r->params, &adam, &r->optim);
}

static status learn(struct round *r, struct errmsg *e)
{
    static const char *const labels[] = {"disentangling, 1 of 2", "disentangling, 2 of 2"};
    int samples = train_set_info(r->set).samples;
    status st = make_training(r, r->opt->batch < samples ? r->opt->batch : samples, e);
    if (st)
        return st;
    int64_t steps = (int64_t)r->opt->epochs * train_loader_batches(r->loader);
    r->loop = (struct train_loop){.loader = r->loader,
                                  .params = r->params,
                                  .plan = r->plan,
                                  .loss = r->loss,
                                  .optim = r->optim,
                                  .clip = 5,
                                  .threads = r->how->threads,
                                  .arg = r,
                                  .load = load,
                                  .rate = rate,
                                  .after = after};
    progress_init(&r->progress, labels[r->number], 0, (uint64_t)steps, r->how->quiet);
    st = train_loop_run(&r->loop, steps, e);
    if (!st)
        progress_done(&r->progress, (uint64_t)steps, NULL);
    drop_plan(r);
    return st;
}

/* ---- what it leaves ---- */

static uint8_t level(float v)
{
    return (uint8_t)(255 * fminf(fmaxf(v, 0), 1)); /* cut off, as published */
}

/* Images first .. first+n-1, whose pixels are in r->x, into out. */
static status leave(struct round *r, int first, int n, uint8_t *out)
{
    const float *p = nn_plan_data(r->plan, r->net.p), *rec = nn_plan_data(r->plan, r->net.rec);
    size_t values = (size_t)n * r->row;
    for (int i = 0; i < n; i++) {
        fill_label(r, i, train_set_label(r->set, first + i));
        nn_rng_normal(latent_stream(r, true, (uint64_t)(first + i)), 0,
                      r->noise + (size_t)i * r->latent, r->latent);
    }
    status st = nn_plan_run(r->plan);
    for (size_t i = 0; i < values && !st; i++)
        r->x[i] = fminf(fmaxf(r->x[i] - p[i], 0), 1);
    if (!st && r->number)
        st = nn_plan_run(r->plan);
    for (size_t i = 0; i < values && !st; i++)
        out[i] = level(r->number ? rec[i] : r->x[i]);
    return st;
}

static status apply(struct round *r, uint8_t *out, struct errmsg *e)
{
    int samples = train_set_info(r->set).samples;
    int batch = samples < APPLY_BATCH ? samples : APPLY_BATCH;
    AUTO(mem_free) uint8_t *pixels = mem_alloc(r->row);
    status st = pixels ? begin_graph(r, batch, false, e) : STATUS_NOMEM;
    if (st)
        return st;
    nn_output(r->graph, r->net.p, "p");
    nn_output(r->graph, r->net.rec, "rec");
    st = make_plan(r, e);
    if (!st)
        st = nn_plan_refresh(r->plan);
    for (int at = 0; at < samples && !st; at += batch) {
        int n = samples - at < batch ? samples - at : batch;
        for (int i = 0; i < n && !st; i++) {
            st = train_set_pixels(r->set, at + i, pixels, e);
            for (size_t k = 0; k < r->row && !st; k++)
                r->x[(size_t)i * r->row + k] = (float)pixels[k] / 255;
        }
        if (!st)
            st = stop_requested() ? STATUS_CANCELLED : leave(r, at, n, out + (size_t)at * r->row);
    }
    return st;
}

static void end(struct round *r)
{
    drop_plan(r);
    nn_params_free(r->params);
    train_loader_free(r->loader);
    nn_optim_free(r->optim);
}

static status do_round(struct train_set *set, int number, const struct dvae_options *opt,
                       const struct dvae_how *how, uint8_t *out, struct errmsg *e)
{
    struct train_set_info info = train_set_info(set);
    struct round r = {.opt = opt,
                      .how = how,
                      .number = number,
                      .set = set,
                      .row = (size_t)info.width * (size_t)info.height * (size_t)info.channels,
                      .shape = {.width = info.width,
                                .height = info.height,
                                .channels = info.channels,
                                .classes = info.classes,
                                .filters = opt->width}};
    status st = learn(&r, e);
    if (!st)
        st = apply(&r, out, e);
    end(&r);
    return st;
}

/* The images as the first left them, with the labels that they have. */
static status made_set(struct train_set *set, const uint8_t *pixels, struct train_set **out)
{
    struct train_set_info info = train_set_info(set);
    AUTO(mem_free) int *label = mem_alloc((size_t)info.samples * sizeof *label);
    if (!label)
        return STATUS_NOMEM;
    for (int i = 0; i < info.samples; i++)
        label[i] = train_set_label(set, i);
    const struct set_made made = {.n = info.samples,
                                  .classes = info.classes,
                                  .width = info.width,
                                  .height = info.height,
                                  .channels = info.channels,
                                  .pixels = pixels,
                                  .label = label};
    return train_set_make(&made, out);
}

status dvae_disentangle(struct train_set *set, const struct dvae_options *opt,
                        const struct dvae_how *how, uint8_t *out, struct errmsg *e)
{
    struct train_set_info info = train_set_info(set);
    AUTO(train_set_free) struct train_set *first = NULL;
    if (info.width % 2 || info.height % 2)
        return errmsg_set(e, STATUS_INVALID,
                          "images of %dx%d cannot be disentangled: both sides must be even (use "
                          "--size)",
                          info.width, info.height);
    status st = do_round(set, 0, opt, how, out, e);
    if (!st)
        st = made_set(set, out, &first);
    return st ? st : do_round(first, 1, opt, how, out, e);
}
