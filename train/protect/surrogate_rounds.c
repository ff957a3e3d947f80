#include "protect/surrogate.h"

#include "loop.h"
#include "set.h"

#include <string.h>

enum { SGD_STEPS = 10 };
static const float sgd_lr = .1f, sgd_clip = 5;

/* in [0,1] -> what the network sees */
void surrogate_scale(const struct surrogate *s, float *x, size_t n)
{
    float mean = s->model->net->mean, std = s->model->net->std;
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - mean) / std;
}

static status load_perturbed(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct surrogate *s = arg;
    (void)e;
    for (int i = 0; i < s->batch; i++) {
        const float *d = s->delta(s->arg, b->index[i], b->label[i]), *x = b->x + (size_t)i * s->row;
        for (size_t p = 0; p < s->row; p++)
            s->learning.x[(size_t)i * s->row + p] = x[p] + d[p];
        s->learning.label[i] = b->label[i];
    }
    surrogate_scale(s, s->learning.x, (size_t)s->batch * s->row);
    return STATUS_OK;
}

static float constant_rate(const void *arg, int64_t step)
{
    (void)arg;
    (void)step;
    return sgd_lr;
}

static status count_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct surrogate *s = arg;
    (void)b;
    (void)loss;
    (void)e;
    s->step++;
    return STATUS_OK;
}

static status learn(struct surrogate *s, struct errmsg *e)
{
    struct train_loop l = {.loader = s->loader,
                           .params = s->model->params,
                           .plan = s->learning.plan,
                           .loss = s->learning.loss,
                           .optim = s->optim,
                           .clip = sgd_clip,
                           .threads = s->job->threads,
                           .step = s->step,
                           .arg = s,
                           .load = load_perturbed,
                           .rate = constant_rate,
                           .after = count_step};
    return train_loop_run(&l, s->step + SGD_STEPS, e);
}

status surrogate_load(struct surrogate *s, const int *sample, int n, float *input, struct errmsg *e)
{
    for (int i = 0; i < s->batch; i++) {
        float *x = input + (size_t)i * s->row;
        if (i >= n) {
            memset(x, 0, s->row * sizeof *x);
            s->label[i] = -1;
            continue;
        }
        struct set_view v;
        int label = train_set_label(s->job->set, sample[i]);
        const float *d = s->delta(s->arg, sample[i], label);
        status st = train_set_view(s->job->set, sample[i], &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < s->row; p++)
            x[p] = (float)v.pixels[p] / 255 + d[p];
        s->label[i] = label;
        train_set_view_done(&v);
    }
    surrogate_scale(s, input, (size_t)s->batch * s->row);
    return STATUS_OK;
}

status surrogate_images(struct surrogate *s, int at, int n, float *x, struct errmsg *e)
{
    for (int i = 0; i < s->batch; i++) {
        s->label[i] = -1;
        if (i >= n)
            continue;
        struct set_view v;
        status st = train_set_view(s->job->set, at + i, &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < s->row; p++)
            x[(size_t)i * s->row + p] = (float)v.pixels[p] / 255;
        s->label[i] = train_set_label(s->job->set, at + i);
        train_set_view_done(&v);
    }
    return STATUS_OK;
}

status surrogate_measure(struct surrogate *s, const int *sample, int n, double *out,
                         struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, s->job->info.classes);
    if (st)
        return st;
    st = nn_plan_refresh(s->forward->plan);
    for (int at = 0; at < n && !st; at += s->batch) {
        st = stop_requested() ? STATUS_CANCELLED
                              : surrogate_load(s, sample + at, n - at, s->forward->in, e);
        if (!st)
            st = nn_plan_run(s->forward->plan);
        if (!st)
            train_eval_add(&ev, s->forward->out, s->label, s->batch);
    }
    if (!st)
        *out = 1 - train_eval_accuracy(&ev);
    train_eval_done(&ev);
    return st;
}

status surrogate_rounds(struct surrogate *s, struct protect_job *j, surrogate_noise_fn *make_noise,
                        const int *sample, int n, struct errmsg *e)
{
    const struct surrogate_param *param = s->param;
    double error = 1;
    struct progress p;
    progress_init(&p, "crafting", 0, (uint64_t)param->rounds, j->opt->quiet);
    int done = 0;
    status st = STATUS_OK;
    while (!st && done < param->rounds && error > param->stop_error) {
        st = learn(s, e);
        if (!st)
            st = train_attack_refresh(s->attack);
        if (!st)
            st = make_noise(j, e);
        if (!st)
            st = surrogate_measure(s, sample, n, &error, e);
        char extra[48];
        snprintf(extra, sizeof extra, "surrogate error %.3f", error);
        progress_update(&p, (uint64_t)++done, extra);
    }
    if (st)
        return st;
    progress_done(&p, (uint64_t)done, NULL);
    j->result.rounds = done;
    j->result.surrogate_error = error;
    j->result.precision = param->precision;
    if (error > param->stop_error)
        log_warn(
            "the surrogate's error is still %.3f after %d rounds (wanted: %.3f); the protection "
            "may be weak",
            error, done, param->stop_error);
    return STATUS_OK;
}

/* ---- hooks ---- */

static const struct surrogate *surrogate_of(const struct protect_job *j)
{
    return *(struct surrogate *const *)j->state;
}

status surrogate_delta_row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct surrogate *s = surrogate_of(j);
    bool class_wise = j->method->shape(j).class_wise;
    (void)e;
    memcpy(out, s->delta(s->arg, class_wise ? 0 : i, class_wise ? i : 0), s->row * sizeof *out);
    return STATUS_OK;
}

void surrogate_describe(const struct protect_job *j, json_t *out)
{
    const struct surrogate *s = surrogate_of(j);
    const struct train_protect_result *r = &s->job->result;
    json_object_set_new(out, "surrogate", json_string(s->model->net->name));
    json_object_set_new(out, "batch", json_integer(s->batch));
    json_object_set_new(out, "precision", json_string(nn_precision_names[r->precision]));
    json_object_set_new(out, "rounds_run", json_integer(r->rounds));
    json_object_set_new(out, "surrogate_error", json_real(r->surrogate_error));
}
