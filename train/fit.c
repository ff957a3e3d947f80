#include "fit.h"

#include <math.h>

enum { LOG_EVERY = 100, SAVE_EVERY = 1000 };

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct fit *f = arg;
    return f->ops->load(f->arg, b, e);
}

/* Up over the warm-up, then down to 0 by half a cosine: a short run ends converged. */
static float rate(const void *arg, int64_t at)
{
    const struct train_fit_options *o = ((const struct fit *)arg)->opt;
    int step = (int)at;
    if (step < o->warmup)
        return o->lr * (float)(step + 1) / (float)o->warmup;
    double done =
        (double)(step - o->warmup) / (double)(o->steps > o->warmup ? o->steps - o->warmup : 1);
    return o->lr * (float)(.5 * (1 + cos(3.14159265358979323846 * done)));
}

static void begin_window(struct fit *f)
{
    f->window = 0;
    f->window_start_ns = time_mono_ns();
    f->window_first = f->step;
}

static status close_window(struct fit *f, struct errmsg *e)
{
    int n = f->step % LOG_EVERY ? f->step % LOG_EVERY : LOG_EVERY;
    f->last_mean = f->window / n;
    if (f->ops->close)
        f->ops->close(f->arg);
    status st = train_fit_log(f, e);
    begin_window(f);
    return st;
}

static status after_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct fit *f = arg;
    int every = f->opt->save_every ? f->opt->save_every : SAVE_EVERY;
    status st = STATUS_OK;
    (void)b;
    nn_ema_update(f->ema);
    f->window += loss;
    if (f->ops->observe)
        f->ops->observe(f->arg);
    f->step++;
    f->images += f->batch;
    if (f->step % LOG_EVERY == 0 || f->step == f->opt->steps)
        st = close_window(f, e);
    if (!st && f->step % every == 0 && f->step < f->opt->steps)
        st = train_fit_save(f, e);
    int n = f->step % LOG_EVERY;
    char extra[64];
    snprintf(extra, sizeof extra, "loss %.4f", n ? f->window / n : f->last_mean);
    progress_update(&f->progress, (uint64_t)f->step * (uint64_t)f->batch, extra);
    return st;
}

static status run_steps(struct fit *f, struct errmsg *e)
{
    struct train_loop l = {.loader = f->loader,
                           .params = f->params,
                           .plan = f->plan,
                           .loss = f->loss,
                           .optim = f->optim,
                           .clip = 1,
                           .threads = f->threads,
                           .step = f->step,
                           .arg = f,
                           .load = load,
                           .rate = rate,
                           .after = after_step};
    return train_loop_run(&l, f->opt->steps, e);
}

/* From here on what was done is kept, whatever ends the run. */
static status run_and_keep(struct fit *f, struct errmsg *e)
{
    uint64_t per = (uint64_t)f->batch, start = time_mono_ns();
    progress_init(&f->progress, "training", (uint64_t)f->step * per, (uint64_t)f->opt->steps * per,
                  f->opt->quiet);
    status st = run_steps(f, e);
    f->seconds = (double)(time_mono_ns() - start) * 1e-9;
    if (!st) {
        progress_done(&f->progress, (uint64_t)f->step * per, NULL);
        st = train_fit_finish(f, e);
    }
    if (st == STATUS_CANCELLED) {
        st = train_fit_save(f, e);
        if (!st)
            st = errmsg_set(e, STATUS_CANCELLED, "stopped at step %d of %d (go on with --resume)",
                            f->step, f->opt->steps);
    }
    return st;
}

status train_fit_run(struct fit *f, struct train_fit_result *out, struct errmsg *e)
{
    status st = f->opt->resume ? train_fit_resume(f, e) : STATUS_OK;
    if (!st)
        st = nn_plan_refresh(f->plan);
    if (st)
        return st;
    nn_plan_seed(f->plan, f->opt->seed, (uint64_t)f->step);
    f->window_start_ns = time_mono_ns();
    f->window_first = f->step;
    st = run_and_keep(f, e);
    if (!st)
        *out = (struct train_fit_result){.steps = f->step,
                                         .loss = f->last_mean,
                                         .images_per_s =
                                             f->seconds > 0 ? (double)f->images / f->seconds : 0,
                                         .parameters = nn_params_elements(f->params, true)};
    return st;
}
