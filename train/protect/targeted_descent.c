#include "protect/targeted.h"

#include "clamp.h"

#include "set.h"
#include "stream.h"

#include <string.h>

/* Images at .. at+n-1 and the labels wanted; rows past n are zero with label -1. */
static status load(const struct protect_job *j, struct targeted *t, int at, int n, struct errmsg *e)
{
    memset(t->x, 0, (size_t)t->batch * t->row * sizeof *t->x);
    for (int i = 0; i < t->batch; i++) {
        t->label[i] = -1;
        if (i >= n)
            continue;
        struct set_view v;
        status st = train_set_view(j->set, at + i, &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < t->row; p++)
            t->x[(size_t)i * t->row + p] = (float)v.pixels[p] / 255;
        train_set_view_done(&v);
        t->label[i] = (train_set_label(j->set, at + i) + t->recipe->ahead) % j->info.classes;
    }
    return STATUS_OK;
}

/* ---- descent ---- */

static struct nn_rng stream_of(const struct protect_job *j, enum stream purpose, int restart, int i)
{
    return stream(j->opt->seed, purpose, (uint64_t)restart << 32 | (uint64_t)(uint32_t)i);
}

/* Within eps, and the image within [0,1]. */
static void project(const float *x, float eps, float *delta, size_t n)
{
    for (size_t p = 0; p < n; p++)
        delta[p] = clamp(x[p] + clamp(delta[p], -eps, eps), 0, 1) - x[p];
}

static void start(const struct protect_job *j, const struct targeted *t, int restart, int i,
                  const float *x, float *delta)
{
    float eps = (float)(j->eps / 255);
    memset(delta, 0, t->row * sizeof *delta);
    if (!t->recipe->normal_start)
        return;
    nn_rng_normal(stream_of(j, STREAM_START, restart, i), 0, delta, t->row);
    for (size_t p = 0; p < t->row; p++)
        delta[p] *= eps;
    project(x, eps, delta, t->row);
}

/* One step of images at .. at+n-1, which are loaded. */
static status step_batch(const struct protect_job *j, struct targeted *t, int restart, int step,
                         int at, int n)
{
    const struct targeted_param *param = j->param;
    float eps = (float)(j->eps / 255), far = eps * (float)param->step;
    float *delta = t->made.v + (size_t)at * t->row;
    for (int i = 0; i < n; i++) {
        size_t to = (size_t)i * t->row;
        targeted_draw_view(t, param->strength, stream_of(j, STREAM_MOVE, restart, at + i),
                           (uint64_t)step, &t->view[i]);
        targeted_show_view(t, &t->view[i], t->x + to, delta + to, t->seen + to);
    }
    const float *grad;
    status st = train_attack_gradient(t->attack, t->seen, t->label, &grad);
    for (int i = 0; i < n && !st; i++) {
        size_t to = (size_t)i * t->row;
        const float *g = targeted_view_gradient(t, &t->view[i], t->x + to, delta + to, grad + to);
        for (size_t p = 0; p < t->row; p++)
            delta[to + p] -= far * (float)((g[p] > 0) - (g[p] < 0));
        project(t->x + to, eps, delta + to, t->row);
    }
    return st;
}

static status craft(struct protect_job *j, struct targeted *t, int restart, struct errmsg *e)
{
    const struct targeted_param *param = j->param;
    for (int at = 0; at < j->info.samples; at += t->batch) {
        int left = j->info.samples - at, n = left < t->batch ? left : t->batch;
        status st = load(j, t, at, n, e);
        memset(t->seen, 0, (size_t)t->batch * t->row * sizeof *t->seen);
        for (int i = 0; i < n && !st; i++) {
            size_t to = (size_t)i * t->row;
            start(j, t, restart, at + i, t->x + to, t->made.v + (size_t)at * t->row + to);
        }
        for (int step = 0; step < param->steps && !st; step++) {
            st = stop_requested() ? STATUS_CANCELLED : step_batch(j, t, restart, step, at, n);
            progress_update(&t->progress, ++t->steps_done, NULL);
        }
        if (st)
            return st;
    }
    return STATUS_OK;
}

static status measure(struct protect_job *j, struct targeted *t, struct targeted_found *out,
                      struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, j->info.classes);
    if (st)
        return st;
    for (int at = 0; at < j->info.samples && !st; at += t->batch) {
        int left = j->info.samples - at, n = left < t->batch ? left : t->batch;
        st = stop_requested() ? STATUS_CANCELLED : load(j, t, at, n, e);
        for (int i = 0; i < n && !st; i++) {
            size_t to = (size_t)i * t->row;
            targeted_show(t, t->x + to, t->made.v + (size_t)at * t->row + to, t->forward->in + to);
        }
        if (!st)
            st = nn_plan_run(t->forward->plan);
        if (!st)
            train_eval_add(&ev, t->forward->out, t->label, t->batch);
    }
    if (!st)
        *out = (struct targeted_found){ev.loss, 1 - train_eval_accuracy(&ev)};
    train_eval_done(&ev);
    return st;
}

status targeted_descend(struct protect_job *j, struct targeted *t, struct errmsg *e)
{
    const struct targeted_param *param = j->param;
    int restarts = param->restarts ? param->restarts : 1;
    int batches = (j->info.samples + t->batch - 1) / t->batch;
    AUTO(mem_free) char *folder = protect_folder(j);
    status st = folder ? STATUS_OK : STATUS_NOMEM;
    progress_init(&t->progress, "crafting", 0,
                  (uint64_t)restarts * (uint64_t)param->steps * (uint64_t)batches, j->opt->quiet);
    for (int r = 0; r < restarts && !st; r++) {
        struct targeted_found found;
        if (!t->made.v)
            st = floats_init(&t->made, (size_t)j->info.samples * t->row, FLOATS_MEMORY, folder, e);
        if (!st)
            st = craft(j, t, r, e);
        if (!st)
            st = measure(j, t, &found, e);
        if (st || (r > 0 && !(found.loss < t->best.loss)))
            continue;
        struct floats before = t->kept;
        t->kept = t->made;
        t->made = before;
        t->best = found;
    }
    if (!st)
        progress_done(&t->progress, t->steps_done, NULL);
    return st;
}
