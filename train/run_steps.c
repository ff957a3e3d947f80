/* The steps of an epoch. */
#include "loop.h"
#include "run.h"

#include <math.h>
#include <string.h>

float train_run_rate(const struct run *r, int64_t step)
{
    const double pi = 3.14159265358979323846;
    double total = (double)r->opt->epochs * train_loader_batches(r->loader);
    double lr = r->lr * .5 * (1 + cos(pi * (double)step / total));
    if (step < r->opt->warmup)
        lr *= (double)(step + 1) / r->opt->warmup;
    return (float)lr;
}

static int count_correct(const struct run *r, int n)
{
    int classes = r->model->shape.classes, correct = 0;
    for (int i = 0; i < n; i++) {
        const float *row = r->logits + (size_t)i * (size_t)classes;
        int best = 0;
        for (int k = 1; k < classes; k++)
            best = row[k] > row[best] ? k : best;
        correct += best == r->label[i];
    }
    return correct;
}

void train_run_load_batch(struct run *r, const struct train_batch *b)
{
    struct train_net_shape s = r->model->shape;
    size_t row = (size_t)s.width * (size_t)s.height * (size_t)s.channels;
    memcpy(r->in, b->x, (size_t)r->batch * row * sizeof *r->in);
    memcpy(r->label, b->label, (size_t)r->batch * sizeof *r->label);
    recipe_loss_of(r->recipe)->load(r);
}

static float rate(const void *arg, int64_t step)
{
    return train_run_rate(arg, step);
}

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct run *r = arg;
    (void)e;
    train_run_load_batch(r, b);
    return r->recipe->batch ? r->recipe->batch(r) : STATUS_OK;
}

static void show(struct run *r)
{
    char extra[96];
    int batches = train_loader_batches(r->loader);
    snprintf(extra, sizeof extra, "epoch %d/%d  loss %.3f  accuracy %.3f", r->at.epoch + 1,
             r->opt->epochs, r->at.loss_sum / (double)r->at.seen,
             (double)r->at.correct / (double)r->at.seen);
    uint64_t done = ((uint64_t)r->at.epoch * (uint64_t)batches + (uint64_t)r->at.batch);
    progress_update(&r->progress, done * (uint64_t)r->batch, extra);
}

static status after_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct run *r = arg;
    (void)e;
    r->at.loss_sum += loss * b->n;
    r->at.correct += count_correct(r, b->n);
    r->at.seen += b->n;
    r->at.step++;
    r->at.batch++;
    r->train_images += b->n;
    show(r);
    return STATUS_OK;
}

status train_run_epoch(struct run *r, struct errmsg *e)
{
    struct train_loop l = {.loader = r->loader,
                           .params = r->model->params,
                           .plan = r->plan,
                           .loss = r->loss,
                           .optim = r->optim,
                           .clip = r->opt->clip,
                           .threads = r->threads,
                           .step = r->at.step,
                           .arg = r,
                           .load = load,
                           .rate = rate,
                           .after = after_step};
    uint64_t start = time_mono_ns();
    int64_t before = r->train_images;
    status st = train_loop_run(&l, (int64_t)(r->at.epoch + 1) * train_loader_batches(r->loader), e);
    r->epoch_seconds = (double)(time_mono_ns() - start) * 1e-9;
    r->epoch_rate = (double)(r->train_images - before) / r->epoch_seconds;
    r->train_seconds += r->epoch_seconds;
    return st;
}
