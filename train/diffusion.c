/*
 * Training of the noise predictor.
 *
 *     x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
 *     loss = mean w_t (eps - net(x_t, t))^2                 (Ho et al. 2020, eq. 14: w_t = 1)
 *
 * Times and noise of a step are named by its number.
 */
#include "diffusion.h"
#include "stream.h"

#include <math.h>

const char *const train_weighting_names[] = {"constant", "min-snr", NULL};

float train_diffusion_weight(const struct train_diffusion_options *o, double abar)
{
    if (o->weighting == TRAIN_WEIGHT_CONSTANT)
        return 1;
    double snr = abar / (1 - abar), gamma = (double)o->snr_gamma;
    return snr > gamma ? (float)(gamma / snr) : 1;
}

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct diffusion *d = arg;
    uint64_t seed = d->fit.opt->seed, number = (uint64_t)d->fit.step;
    struct nn_rng times = stream(seed, STREAM_TIME, number);
    (void)e;
    nn_rng_normal(stream(seed, STREAM_NOISE, number), 0, d->eps, (size_t)d->fit.batch * d->row);
    for (int i = 0; i < d->fit.batch; i++) {
        int t = stream_below(nn_rng_u32(times, (uint64_t)i), d->cfg.t_max);
        float a = d->signal[t], s = d->noise[t];
        const float *clean = b->x + (size_t)i * d->row, *eps = d->eps + (size_t)i * d->row;
        float *out = d->x + (size_t)i * d->row;
        d->t[i] = (float)t;
        d->weight[i] = d->weight_of[t];
        for (size_t j = 0; j < d->row; j++)
            out[j] = a * clean[j] + s * eps[j];
    }
    return STATUS_OK;
}

static void describe(const void *arg, struct kv_list *m)
{
    const struct diffusion *d = arg;
    struct purify_meta unet;
    purify_unet_to_meta(&d->cfg, &unet);
    for (int i = 0; i < unet.n; i++)
        train_kv_add(m, unet.pair[i].key, "%s", unet.pair[i].value);
    train_kv_add(m, "train.weighting", "%s", train_weighting_names[d->opt->weighting]);
    if (d->opt->weighting == TRAIN_WEIGHT_MIN_SNR)
        train_kv_add(m, "train.snr_gamma", "%.9g", (double)d->opt->snr_gamma);
}

static status check(const struct train_diffusion_options *o, struct errmsg *e)
{
    bool min_snr = o->weighting == TRAIN_WEIGHT_MIN_SNR;
    if (min_snr && !(o->snr_gamma > 0 && o->snr_gamma < INFINITY))
        return errmsg_set(e, STATUS_INVALID, "gamma of min-snr must be positive, not %g",
                          (double)o->snr_gamma);
    return train_fit_check(&o->fit, e);
}

status train_diffusion_run(const struct train_diffusion_options *opt, struct train_fit_result *out,
                           struct errmsg *e)
{
    static const struct fit_ops ops = {.describe = describe, .load = load};
    status st = check(opt, e);
    if (st)
        return st;
    struct diffusion d = {.opt = opt, .cfg = opt->cfg, .fit = {.opt = &opt->fit, .ops = &ops}};
    d.fit.arg = &d;
    d.fit.last_mean = NAN;
    st = train_diffusion_setup(&d, e);
    if (!st)
        st = train_fit_run(&d.fit, out, e);
    train_diffusion_done(&d);
    return st;
}
