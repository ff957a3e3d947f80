/*
 * One pass over value, gradient and state per entry. Every element is its own sum, so the result
 * does not depend on how many threads share the loop.
 */
#include "optim/optim.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

enum {
    PARALLEL_MIN = 1 << 15
}; /* elements below which a second thread costs more than it brings */

/* One entry's arrays and the numbers of this step. */
struct update {
    float *p, *slot[NN_OPTIM_SLOTS];
    const float *g;
    float lr, decay;
    float keep; /* AdamW: 1 - lr decay, which weights are multiplied by; decay is 0 then */
    float momentum;
    bool nesterov;
    float beta1, one_less_beta1, beta2, one_less_beta2, eps;
    float root_bias2; /* 1 / sqrt(1 - beta2^t) */
};

status nn_optim_new(struct nn_params *p, const struct nn_optim_options *opt, struct nn_optim **out)
{
    if ((unsigned)opt->kind >= NN_OPTIM_COUNT)
        return STATUS_INVALID;
    AUTO(nn_optim_free) struct nn_optim *o = mem_zalloc(1, sizeof *o);
    if (!o)
        return STATUS_NOMEM;
    o->params = p;
    o->opt = *opt;
    o->opt.beta1 = opt->beta1 > 0 ? opt->beta1 : 0.9f;
    o->opt.beta2 = opt->beta2 > 0 ? opt->beta2 : 0.999f;
    o->opt.eps = opt->eps > 0 ? opt->eps : 1e-8f;
    o->count = nn_params_count(p);
    o->state = mem_zalloc((size_t)o->count, sizeof *o->state);
    if (!o->state)
        return STATUS_NOMEM;
    for (int i = 0; i < o->count; i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        size_t n = (size_t)nn_shape_count(e->shape);
        if (!e->trainable)
            continue;
        for (int k = 0; k < nn_optim_slots(o); k++)
            if (!(o->state[i].slot[k] = mem_zalloc(n, sizeof(float))))
                return STATUS_NOMEM;
    }
    *out = TAKE(o);
    return STATUS_OK;
}

void nn_optim_free(struct nn_optim *o)
{
    if (!o)
        return;
    for (int i = 0; o->state && i < o->count; i++)
        for (int k = 0; k < NN_OPTIM_SLOTS; k++)
            mem_free(o->state[i].slot[k]);
    mem_free(o->state);
    mem_free(o);
}

int nn_optim_threads(int threads, int64_t n)
{
    return n < PARALLEL_MIN ? 1 : threads > 0 ? threads : cpu_count();
}

static bool is_adam(const struct nn_optim *o)
{
    return o->opt.kind == NN_ADAM || o->opt.kind == NN_ADAMW;
}

int nn_optim_slots(const struct nn_optim *o)
{
    if (is_adam(o))
        return 2;
    return o->opt.momentum != 0 ? 1 : 0;
}

/* torch.optim.SGD without dampening. */
static void sgd_plain(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const struct update u = *(const struct update *)ctx;
    float *restrict p = u.p;
    const float *restrict g = u.g;
    for (int64_t i = first; i < last; i++)
        p[i] -= u.lr * (g[i] + u.decay * p[i]);
}

static void sgd_momentum(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const struct update u = *(const struct update *)ctx;
    float *restrict p = u.p, *restrict v = u.slot[0];
    const float *restrict g = u.g;
    /* nesterov moves by d + m v', plain momentum by v' */
    float keep_d = u.nesterov ? 1.0f : 0.0f, keep_v = u.nesterov ? u.momentum : 1.0f;
    for (int64_t i = first; i < last; i++) {
        float d = g[i] + u.decay * p[i];
        float next = u.momentum * v[i] + d;
        v[i] = next;
        p[i] -= u.lr * (keep_d * d + keep_v * next);
    }
}

/* torch.optim.Adam: Kingma & Ba 2015, algorithm 1, eps outside the corrected root. AdamW: the same
   without decay in the gradient. */
static void adam(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const struct update u = *(const struct update *)ctx;
    float *restrict p = u.p, *restrict m = u.slot[0], *restrict v = u.slot[1];
    const float *restrict g = u.g;
    for (int64_t i = first; i < last; i++) {
        float d = g[i] + u.decay * p[i];
        float m1 = u.beta1 * m[i] + u.one_less_beta1 * d;
        float v1 = u.beta2 * v[i] + u.one_less_beta2 * (d * d);
        m[i] = m1;
        v[i] = v1;
        p[i] = u.keep * p[i] - u.lr * m1 / (sqrtf(v1) * u.root_bias2 + u.eps);
    }
}

/* What all entries share in this step; lr includes Adam's first correction. */
static struct update update_at(const struct nn_optim *o, float lr)
{
    double beta1 = o->opt.beta1, beta2 = o->opt.beta2, t = (double)o->step;
    bool corrected = is_adam(o);
    return (struct update){
        .lr = corrected ? (float)(lr / (1 - pow(beta1, t))) : lr,
        .momentum = o->opt.momentum,
        .nesterov = o->opt.nesterov,
        .beta1 = (float)beta1,
        .one_less_beta1 = (float)(1 - beta1),
        .beta2 = (float)beta2,
        .one_less_beta2 = (float)(1 - beta2),
        .eps = o->opt.eps,
        .root_bias2 = (float)(1 / sqrt(1 - pow(beta2, t))),
    };
}

void nn_optim_step(struct nn_optim *o, float lr)
{
    o->step++;
    nn_range_fn *fn = is_adam(o) ? adam : nn_optim_slots(o) ? sgd_momentum : sgd_plain;
    struct update shared = update_at(o, lr);
    for (int i = 0; i < o->count; i++) {
        const struct nn_param_entry *e = nn_params_at(o->params, i);
        if (!e->trainable || !e->grad)
            continue;
        struct update u = shared;
        u.p = e->value;
        u.g = e->grad;
        u.lr *= e->lr_scale;
        u.decay = e->decay ? o->opt.weight_decay : 0;
        u.keep = 1;
        if (o->opt.kind == NN_ADAMW) {
            u.keep -= lr * e->lr_scale * u.decay;
            u.decay = 0;
        }
        memcpy(u.slot, o->state[i].slot, sizeof u.slot);
        int64_t n = nn_shape_count(e->shape);
        nn_for_blocks(nn_optim_threads(o->opt.threads, n), n, NN_LINE_FLOATS, fn, &u);
    }
}
