/*
 * Training of the noise predictor.
 *
 *     x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
 *     loss = mean (eps - net(x_t, t))^2                     (Ho et al. 2020, eq. 14)
 *
 * Times and noise of a step are named by its number.
 */
#include "diffusion.h"
#include "stream.h"

#include <math.h>

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
        for (size_t j = 0; j < d->row; j++)
            out[j] = a * clean[j] + s * eps[j];
    }
    return STATUS_OK;
}

static void describe(const void *arg, struct kv_list *m)
{
    struct purify_meta unet;
    purify_unet_to_meta(&((const struct diffusion *)arg)->cfg, &unet);
    for (int i = 0; i < unet.n; i++)
        train_kv_add(m, unet.pair[i].key, "%s", unet.pair[i].value);
}

status train_diffusion_run(const struct train_diffusion_options *opt, struct train_fit_result *out,
                           struct errmsg *e)
{
    static const struct fit_ops ops = {.describe = describe, .load = load};
    status st = train_fit_check(&opt->fit, e);
    if (st)
        return st;
    struct diffusion d = {.cfg = opt->cfg, .fit = {.opt = &opt->fit, .ops = &ops}};
    d.fit.arg = &d;
    d.fit.last_mean = NAN;
    st = train_diffusion_setup(&d, e);
    if (!st)
        st = train_fit_run(&d.fit, out, e);
    train_diffusion_done(&d);
    return st;
}
