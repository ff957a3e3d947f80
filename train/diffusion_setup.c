#include "diffusion.h"

#include <math.h>

struct train_diffusion_options train_diffusion_default(void)
{
    return (struct train_diffusion_options){
        .cfg = {.size = 32,
                .ch = 64,
                .levels = 3,
                .ch_mult = {1, 2, 2},
                .res_blocks = 1,
                .mid_attn = true,
                .groups = 32,
                .total = 1000,
                .beta = PURIFY_BETA_LINEAR,
                .t_max = 1000},
        .steps = 20000,
        .batch = 64,
        .warmup = 200,
        .lr = 2e-4f, /* Ho et al. 2020, appendix B, as is the average's decay */
        .ema = .9999f,
        .flip = true,
        .downscale = 1,
    };
}

status train_diffusion_check(const struct train_diffusion_options *o, struct errmsg *e)
{
    if (!o->data_dir || !o->out_file)
        return errmsg_set(e, STATUS_INVALID, "data directory and output file must be given");
    if (o->steps < 1 || o->batch < 1 || o->warmup < 0 || o->save_every < 0)
        return errmsg_set(e, STATUS_INVALID, "steps and batch must be positive");
    if (!(o->lr > 0) || !(o->ema >= 0 && o->ema < 1))
        return errmsg_set(e, STATUS_INVALID, "the learning rate must be positive, 0 <= ema < 1");
    return train_precision_check(o->precision, e);
}

/* The network that is fine-tuned says what it is; t_max alone may be narrowed. */
static status read_from(struct diffusion *d, struct nn_file **out, struct errmsg *e)
{
    int t_max = d->opt->cfg.t_max;
    status st = nn_file_open(d->opt->from, out, e);
    if (!st)
        st = purify_unet_from_file(*out, &d->cfg, e);
    if (!st)
        st = nn_file_digest(*out, &d->from);
    if (st)
        return errmsg_prefix(e, st, "cannot start from %s", d->opt->from);
    if (t_max > 0 && t_max < d->cfg.t_max)
        d->cfg.t_max = t_max;
    return STATUS_OK;
}

static status open_data(struct diffusion *d, struct errmsg *e)
{
    const struct train_diffusion_options *o = d->opt;
    struct train_data_options data = {.dir = o->data_dir,
                                      .flat = true,
                                      .limit = o->limit,
                                      .downscale = o->downscale,
                                      .min_side = d->cfg.size,
                                      .channels = d->cfg.in_channels,
                                      .skip_bad = o->skip_bad,
                                      .threads = d->threads};
    status st = train_set_open(&data, &d->set, e);
    if (st)
        return st;
    struct train_set_info info = train_set_info(d->set);
    d->cfg.in_channels = info.channels;
    d->batch = o->batch < info.samples ? o->batch : info.samples;
    struct train_loader_options lo = {.batch = d->batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .crop = d->cfg.size,
                                      .flip = o->flip,
                                      .seed = o->seed,
                                      .mean = {.5f, .5f, .5f},
                                      .std = {.5f, .5f, .5f},
                                      .threads = d->threads};
    return train_loader_new(d->set, &lo, &d->loader, e);
}

static status build(struct diffusion *d, struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = d->threads, .precision = d->opt->precision};
    int s = d->cfg.size, c = d->cfg.in_channels;
    status st = nn_params_new(&d->params);
    if (!st)
        st = nn_graph_new(d->params, &d->graph);
    if (st)
        return st;
    struct nn_val x = nn_input(d->graph, "x", NN_F32, nn_shape4(d->batch, s, s, c));
    struct nn_val t = nn_input(d->graph, "t", NN_F32, nn_shape1(d->batch));
    struct nn_val eps = nn_input(d->graph, "eps", NN_F32, nn_shape4(d->batch, s, s, c));
    struct nn_val y = purify_unet_build(d->graph, &d->cfg, x, t, true);
    struct nn_val loss = nn_mean(d->graph, nn_mse(d->graph, y, eps));
    nn_param_gradients(d->graph, loss, NULL, 0, NULL);
    nn_output(d->graph, loss, "loss");
    st = nn_graph_status(d->graph, e);
    if (!st)
        st = nn_params_init(d->params, d->opt->seed);
    if (!st)
        st = nn_plan_new(d->graph, &po, &d->plan, e);
    if (st)
        return st;
    d->x = nn_plan_data(d->plan, x);
    d->t = nn_plan_data(d->plan, t);
    d->eps = nn_plan_data(d->plan, eps);
    d->loss = nn_plan_data(d->plan, loss);
    d->row = (size_t)s * (size_t)s * (size_t)c;
    return STATUS_OK;
}

static status make_tables(struct diffusion *d)
{
    int n = d->cfg.t_max;
    d->signal = mem_alloc((size_t)n * sizeof *d->signal);
    d->noise = mem_alloc((size_t)n * sizeof *d->noise);
    if (!d->signal || !d->noise)
        return STATUS_NOMEM;
    for (int t = 0; t < n; t++) {
        double a = purify_alpha_bar(d->cfg.beta, d->cfg.total, t);
        d->signal[t] = (float)sqrt(a);
        d->noise[t] = (float)sqrt(1 - a);
    }
    return STATUS_OK;
}

status train_diffusion_setup(struct diffusion *d, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *from = NULL;
    status st = d->opt->from ? read_from(d, &from, e) : STATUS_OK;
    if (!st)
        st = open_data(d, e);
    if (!st)
        st = purify_unet_check(&d->cfg, e);
    if (!st)
        st = build(d, e);
    if (!st && from)
        st = nn_params_load(d->params, from, "", e);
    if (!st)
        st = make_tables(d);
    if (!st)
        st = nn_optim_new(d->params,
                          &(struct nn_optim_options){.kind = NN_ADAM, .threads = d->threads},
                          &d->optim);
    return st ? st : nn_ema_new(d->params, d->opt->ema, d->threads, &d->ema);
}

void train_diffusion_done(struct diffusion *d)
{
    mem_free(d->signal);
    mem_free(d->noise);
    nn_ema_free(d->ema);
    nn_optim_free(d->optim);
    nn_plan_free(d->plan);
    nn_graph_free(d->graph);
    nn_params_free(d->params);
    train_loader_free(d->loader);
    train_set_free(d->set);
}
