#include "diffusion.h"

#include <math.h>

struct train_diffusion_options train_diffusion_default(void)
{
    return (struct train_diffusion_options){
        .snr_gamma = 5, /* as Hang et al. 2023 use */
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
        .fit = {.steps = 20000,
                .batch = 64,
                .warmup = 200,
                .lr = 2e-4f, /* Ho et al. 2020, appendix B, as is the average's decay */
                .ema = .9999f,
                .flip = true,
                .downscale = 1},
    };
}

/* The network that is fine-tuned says what it is; t_max alone may be narrowed. */
static status read_from(struct diffusion *d, struct errmsg *e)
{
    int t_max = d->cfg.t_max;
    status st = train_fit_from(&d->fit, e);
    if (st || !d->fit.from)
        return st;
    st = purify_unet_from_file(d->fit.from, &d->cfg, e);
    if (st)
        return errmsg_prefix(e, st, "cannot start from %s", d->fit.opt->from);
    if (t_max > 0 && t_max < d->cfg.t_max)
        d->cfg.t_max = t_max;
    return STATUS_OK;
}

static status open_data(struct diffusion *d, struct errmsg *e)
{
    const struct fit_images images = {
        .size = d->cfg.size, .channels = d->cfg.in_channels, .mean = .5f, .std = .5f};
    status st = train_fit_data(&d->fit, &images, e);
    if (!st)
        d->cfg.in_channels = train_set_info(d->fit.set).channels;
    return st;
}

static status build(struct diffusion *d, struct errmsg *e)
{
    struct fit *f = &d->fit;
    int s = d->cfg.size, c = d->cfg.in_channels;
    status st = train_fit_graph(f);
    if (st)
        return st;
    struct nn_val x = nn_input(f->graph, "x", NN_F32, nn_shape4(f->batch, s, s, c));
    struct nn_val t = nn_input(f->graph, "t", NN_F32, nn_shape1(f->batch));
    struct nn_val eps = nn_input(f->graph, "eps", NN_F32, nn_shape4(f->batch, s, s, c));
    struct nn_val weight = nn_input(f->graph, "weight", NN_F32, nn_shape1(f->batch));
    struct nn_val y = purify_unet_build(f->graph, &d->cfg, x, t, true);
    struct nn_val error = nn_mul(f->graph, nn_mse(f->graph, y, eps), weight);
    st = train_fit_plan(f, nn_mean(f->graph, error), e);
    if (st)
        return st;
    d->x = nn_plan_data(f->plan, x);
    d->t = nn_plan_data(f->plan, t);
    d->eps = nn_plan_data(f->plan, eps);
    d->weight = nn_plan_data(f->plan, weight);
    d->row = (size_t)s * (size_t)s * (size_t)c;
    return STATUS_OK;
}

static status make_tables(struct diffusion *d)
{
    int n = d->cfg.t_max;
    d->signal = mem_alloc((size_t)n * sizeof *d->signal);
    d->noise = mem_alloc((size_t)n * sizeof *d->noise);
    d->weight_of = mem_alloc((size_t)n * sizeof *d->weight_of);
    if (!d->signal || !d->noise || !d->weight_of)
        return STATUS_NOMEM;
    for (int t = 0; t < n; t++) {
        double a = purify_alpha_bar(d->cfg.beta, d->cfg.total, t);
        d->signal[t] = (float)sqrt(a);
        d->noise[t] = (float)sqrt(1 - a);
        d->weight_of[t] = train_diffusion_weight(d->opt, a);
    }
    return STATUS_OK;
}

status train_diffusion_setup(struct diffusion *d, struct errmsg *e)
{
    status st = read_from(d, e);
    if (!st)
        st = open_data(d, e);
    if (!st)
        st = purify_unet_check(&d->cfg, e);
    if (!st)
        st = build(d, e);
    return st ? st : make_tables(d);
}

void train_diffusion_done(struct diffusion *d)
{
    mem_free(d->signal);
    mem_free(d->noise);
    mem_free(d->weight_of);
    train_fit_done(&d->fit);
}
