/* The running average of the weights, kept as a second set of values. */
#include "device/device.h"
#include "optim/optim.h"

#include <string.h>

status nn_ema_new(struct nn_params *p, float decay, int threads, struct nn_ema **out)
{
    if (!(decay >= 0 && decay < 1))
        return STATUS_INVALID;
    AUTO(nn_ema_free) struct nn_ema *e = mem_zalloc(1, sizeof *e);
    if (!e)
        return STATUS_NOMEM;
    e->params = p;
    e->decay = decay;
    e->threads = threads;
    e->count = nn_params_count(p);
    e->value = mem_zalloc((size_t)e->count, sizeof *e->value);
    if (!e->value)
        return STATUS_NOMEM;
    for (int i = 0; i < e->count; i++) {
        const struct nn_param_entry *from = nn_params_at(p, i);
        size_t bytes = (size_t)nn_shape_count(from->shape) * sizeof(float);
        e->value[i] = mem_alloc_aligned(bytes);
        if (!e->value[i])
            return STATUS_NOMEM;
        memcpy(e->value[i], from->value, bytes);
    }
    *out = TAKE(e);
    return STATUS_OK;
}

void nn_ema_free(struct nn_ema *e)
{
    if (!e)
        return;
    for (int i = 0; e->value && i < e->count; i++)
        mem_free(e->value[i]);
    mem_free(e->value);
    mem_free(e);
}

struct averaging {
    float decay, weight;
    float *mean;
    const float *x;
};

static void average(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const struct averaging a = *(const struct averaging *)ctx;
    float *restrict mean = a.mean;
    const float *restrict x = a.x;
    for (int64_t i = first; i < last; i++)
        mean[i] = a.decay * mean[i] + a.weight * x[i];
}

void nn_ema_update(struct nn_ema *e)
{
    double warm = (1 + (double)e->step) / (10 + (double)e->step);
    float decay = warm < e->decay ? (float)warm : e->decay;
    e->step++;
    for (int i = 0; i < e->count; i++) {
        const struct nn_param_entry *p = nn_params_at(e->params, i);
        int64_t n = nn_shape_count(p->shape);
        if (p->trainable)
            nn_for_blocks(nn_optim_threads(e->threads, n), n, NN_LINE_FLOATS, average,
                          &(struct averaging){decay, 1 - decay, e->value[i], p->value});
        else
            memcpy(e->value[i], p->value, (size_t)n * sizeof(float));
    }
}

/* The numbers move, not the pointers: plans hold the entries' addresses. */
void nn_ema_swap(struct nn_ema *e)
{
    for (int i = 0; i < e->count; i++) {
        float *a = e->value[i], *b = nn_params_at(e->params, i)->value;
        for (int64_t j = 0, n = nn_shape_count(nn_params_at(e->params, i)->shape); j < n; j++) {
            float t = a[j];
            a[j] = b[j];
            b[j] = t;
        }
    }
}
