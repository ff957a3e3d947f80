/* The sinusoidal embedding of diffusion time: sin, then cos, of t * 10000^(-i/(half-shift)). */
#include "ops/op.h"

#include <math.h>

struct nn_val nn_timestep_embedding(struct nn_graph *g, struct nn_val t, int dim, int shift)
{
    if (!nn_usable(g, "timestep_embedding", &t, 1))
        return NN_NONE;
    struct nn_shape ts = nn_val_shape(g, t);
    char tt[NN_SHAPE_TEXT];
    if (ts.rank != 1 || dim < 4 || dim % 2 || shift < 0 || shift > 1)
        return nn_fail(g, STATUS_INVALID, "timestep_embedding: t %s into %d (want (N), even, >= 4)",
                       nn_shape_text(ts, tt), dim);
    return nn_emit1(g, NN_OP_TIMESTEP, &t, 1, (struct nn_attr){.shift = (float)shift},
                    nn_shape2(ts.dim[0], dim));
}

static status timestep_run(const struct nn_step *s)
{
    const float *t = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    int half = s->out[0].shape.dim[1] / 2, shift = (int)s->attr.shift;
    for (int n = 0; n < s->out[0].shape.dim[0]; n++, y += 2 * half)
        for (int i = 0; i < half; i++) {
            double phase = t[n] * exp(-log(10000.0) * i / (half - shift));
            y[i] = (float)sin(phase);
            y[half + i] = (float)cos(phase);
        }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_timestep = {
    .op = NN_OP_TIMESTEP,
    .name = "timestep_embedding",
    .reference = {.op = NN_OP_TIMESTEP,
                  .name = "reference.timestep_embedding",
                  .run = timestep_run},
};
