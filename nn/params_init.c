/* Initial values of parameters; they depend on the seed and the entry's name only. */
#include "params.h"

#include <math.h>
#include <string.h>

/* Inputs and outputs that one weight connects: (O,I,Kh,Kw) or (O,I). */
static void fans(struct nn_shape s, double *out_in, double *out_out)
{
    double window = 1;
    for (int i = 2; i < s.rank; i++)
        window *= s.dim[i];
    *out_in = (s.rank > 1 ? s.dim[1] : s.dim[0]) * window;
    *out_out = s.dim[0] * window;
}

/* A bias has no fan of its own: it is initialised by that of the weight beside it. */
static struct nn_shape fan_shape(struct nn_params *p, const struct nn_param_entry *e)
{
    static const char bias[] = "bias", weight[] = "weight";
    char name[NN_NAME_MAX + sizeof weight];
    size_t len = strlen(e->name), tail = sizeof bias - 1;
    if (e->shape.rank != 1 || len < tail || strcmp(e->name + len - tail, bias) != 0)
        return e->shape;
    memcpy(name, e->name, len - tail);
    memcpy(name + len - tail, weight, sizeof weight);
    const struct nn_param_entry *w = nn_params_find(p, name);
    return w ? w->shape : e->shape;
}

static void fill(float *out, int64_t n, float v)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = v;
}

static void fill_uniform(float *out, int64_t n, struct nn_rng r, float bound)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (2.0f * nn_rng_uniform(r, (uint64_t)i) - 1.0f) * bound;
}

static void fill_normal(float *out, int64_t n, struct nn_rng r, float deviation)
{
    nn_rng_normal(r, 0, out, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        out[i] *= deviation;
}

static void init_entry(struct nn_params *p, const struct nn_param_entry *e, enum nn_init init,
                       uint64_t seed)
{
    int64_t n = nn_shape_count(e->shape);
    struct nn_rng r = nn_rng(seed, checksum64(e->name, strlen(e->name)));
    double fan_in, fan_out;
    fans(fan_shape(p, e), &fan_in, &fan_out);
    switch (init) {
    case NN_INIT_ZERO:
        fill(e->value, n, 0);
        return;
    case NN_INIT_ONE:
        fill(e->value, n, 1);
        return;
    case NN_INIT_KAIMING:
        fill_normal(e->value, n, r, (float)sqrt(2 / fan_out));
        return;
    case NN_INIT_UNIFORM_FANIN:
        fill_uniform(e->value, n, r, (float)(1 / sqrt(fan_in)));
        return;
    case NN_INIT_XAVIER:
        fill_uniform(e->value, n, r, (float)sqrt(6 / (fan_in + fan_out)));
        return;
    case NN_INIT_COUNT:
        break;
    }
    CHECK(!"an init rule without values");
}

status nn_params_init(struct nn_params *p, uint64_t seed)
{
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        init_entry(p, e, nn_params_rule(e), seed);
    }
    return STATUS_OK;
}
