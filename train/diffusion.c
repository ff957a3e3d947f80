/*
 * Training of the noise predictor. The step number names everything random in a step (times, noise,
 * and through the epoch the batch), so a checkpoint needs no generator state.
 *
 *     x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
 *     loss = mean (eps - net(x_t, t))^2                     (Ho et al. 2020, eq. 14)
 */
#include "diffusion.h"
#include "stream.h"

#include <math.h>

enum { LOG_EVERY = 100, SAVE_EVERY = 1000 };

static void fill_inputs(struct diffusion *d, const struct train_batch *b)
{
    uint64_t seed = d->opt->seed, number = (uint64_t)d->step;
    struct nn_rng times = stream(seed, STREAM_TIME, number);
    nn_rng_normal(stream(seed, STREAM_NOISE, number), 0, d->eps, (size_t)d->batch * d->row);
    for (int i = 0; i < d->batch; i++) {
        int t = stream_below(nn_rng_u32(times, (uint64_t)i), d->cfg.t_max);
        float a = d->signal[t], s = d->noise[t];
        const float *clean = b->x + (size_t)i * d->row, *eps = d->eps + (size_t)i * d->row;
        float *out = d->x + (size_t)i * d->row;
        d->t[i] = (float)t;
        for (size_t j = 0; j < d->row; j++)
            out[j] = a * clean[j] + s * eps[j];
    }
}

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    (void)e;
    fill_inputs(arg, b);
    return STATUS_OK;
}

/* Up over the warm-up, then down to 0 by half a cosine: a short run ends converged. */
static float rate(const void *arg, int64_t at)
{
    const struct train_diffusion_options *o = ((const struct diffusion *)arg)->opt;
    int step = (int)at;
    if (step < o->warmup)
        return o->lr * (float)(step + 1) / (float)o->warmup;
    double done =
        (double)(step - o->warmup) / (double)(o->steps > o->warmup ? o->steps - o->warmup : 1);
    return o->lr * (float)(.5 * (1 + cos(3.14159265358979323846 * done)));
}

static status close_window(struct diffusion *d, struct errmsg *e)
{
    int n = d->step % LOG_EVERY ? d->step % LOG_EVERY : LOG_EVERY;
    d->last_mean = d->window / n;
    d->window = 0;
    status st = train_diffusion_log(d, e);
    d->window_start_ns = time_mono_ns();
    d->window_first = d->step;
    return st;
}

static status after_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct diffusion *d = arg;
    int every = d->opt->save_every ? d->opt->save_every : SAVE_EVERY;
    status st = STATUS_OK;
    (void)b;
    nn_ema_update(d->ema);
    d->window += loss;
    d->step++;
    d->images += d->batch;
    if (d->step % LOG_EVERY == 0 || d->step == d->opt->steps)
        st = close_window(d, e);
    if (!st && d->step % every == 0 && d->step < d->opt->steps)
        st = train_diffusion_save(d, e);
    int n = d->step % LOG_EVERY;
    char extra[64];
    snprintf(extra, sizeof extra, "loss %.4f", n ? d->window / n : d->last_mean);
    progress_update(&d->progress, (uint64_t)d->step * (uint64_t)d->batch, extra);
    return st;
}

static status run_steps(struct diffusion *d, struct errmsg *e)
{
    struct train_loop l = {.loader = d->loader,
                           .params = d->params,
                           .plan = d->plan,
                           .loss = d->loss,
                           .optim = d->optim,
                           .clip = 1,
                           .threads = d->threads,
                           .step = d->step,
                           .arg = d,
                           .load = load,
                           .rate = rate,
                           .after = after_step};
    return train_loop_run(&l, d->opt->steps, e);
}

status train_diffusion_run(const struct train_diffusion_options *opt,
                           struct train_diffusion_result *out, struct errmsg *e)
{
    status st = train_diffusion_check(opt, e);
    if (st)
        return st;
    struct diffusion d = {.opt = opt, .cfg = opt->cfg, .last_mean = NAN};
    d.threads = opt->threads ? opt->threads : cpu_count();
    st = train_diffusion_setup(&d, e);
    if (!st && opt->resume)
        st = train_diffusion_resume(&d, e);
    if (!st)
        st = nn_plan_refresh(d.plan);
    if (!st) {
        nn_plan_seed(d.plan, opt->seed, (uint64_t)d.step);
        d.window_start_ns = time_mono_ns();
        d.window_first = d.step;
        uint64_t per = (uint64_t)d.batch, start = time_mono_ns();
        progress_init(&d.progress, "training", (uint64_t)d.step * per, (uint64_t)opt->steps * per,
                      opt->quiet);
        st = run_steps(&d, e);
        d.seconds = (double)(time_mono_ns() - start) * 1e-9;
        if (!st) {
            progress_done(&d.progress, (uint64_t)d.step * per, NULL);
            st = train_diffusion_finish(&d, e);
        }
        if (st == STATUS_CANCELLED) {
            st = train_diffusion_save(&d, e);
            if (!st)
                st = errmsg_set(e, STATUS_CANCELLED,
                                "stopped at step %d of %d (go on with --resume)", d.step,
                                opt->steps);
        }
    }
    if (!st)
        *out = (struct train_diffusion_result){.steps = d.step,
                                               .loss = d.last_mean,
                                               .images_per_s =
                                                   d.seconds > 0 ? (double)d.images / d.seconds : 0,
                                               .parameters = nn_params_elements(d.params, true)};
    train_diffusion_done(&d);
    return st;
}
