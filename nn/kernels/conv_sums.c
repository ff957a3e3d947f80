/* Sums that the gradients of convolutions share. */
#include "kernels/kernels.h"
#include "kernels/panels.h"

struct bias_job {
    const struct nn_tensor *dy, *db;
};

/* Up to sixteen channels from c on: rows of pixels in f32, their sums in f64. bf16 and channels are
   constants where this is used, but for what is left over. */
static inline __attribute__((always_inline)) void bias_panel(const struct bias_job *j, bool bf16,
                                                             int c, int channels)
{
    const int *d = j->dy->shape.dim;
    double sum[NN_PANEL] = {0};
    int64_t at = c;
    for (int64_t row = 0; row < (int64_t)d[0] * d[1]; row++) {
        float part[NN_PANEL] = {0};
        for (int w = 0; w < d[2]; w++, at += d[3])
            for (int k = 0; k < channels; k++)
                part[k] += nn_load_at(j->dy->data, bf16, at + k);
        for (int k = 0; k < channels; k++)
            sum[k] += (double)part[k];
    }
    for (int k = 0; k < channels; k++)
        nn_f32(j->db)[c + k] = (float)sum[k];
}

static inline __attribute__((always_inline)) void bias_panels(const struct bias_job *j, bool bf16,
                                                              int64_t first, int64_t last)
{
    for (int64_t panel = first; panel < last; panel++) {
        int c = (int)panel * NN_PANEL, rest = j->dy->shape.dim[3] - c;
        if (rest >= NN_PANEL)
            bias_panel(j, bf16, c, NN_PANEL);
        else
            bias_panel(j, bf16, c, rest);
    }
}

static void bias_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct bias_job *j = ctx;
    (void)thread;
    if (j->dy->store == NN_STORE_BF16)
        bias_panels(j, true, first, last);
    else
        bias_panels(j, false, first, last);
}

void nn_bias_gradient(const struct nn_step *s, const struct nn_tensor *dy,
                      const struct nn_tensor *db)
{
    nn_for_range(nn_threads_for(s, nn_shape_count(dy->shape)),
                 (dy->shape.dim[3] + NN_PANEL - 1) / NN_PANEL, bias_sums,
                 &(struct bias_job){dy, db});
}

struct parts {
    float *sum;
    size_t floats;
    int parts;
};

static void add_parts(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct parts *p = ctx;
    (void)thread;
    for (int k = 1; k < p->parts; k++) {
        const float *part = p->sum + (size_t)k * p->floats;
        for (int64_t i = first; i < last; i++)
            p->sum[i] += part[i];
    }
}

void nn_add_parts(const struct nn_step *s, float *sum, size_t floats, int64_t parts)
{
    nn_for_blocks(nn_threads_for(s, (int64_t)floats), (int64_t)floats, NN_LINE_FLOATS, add_parts,
                  &(struct parts){sum, floats, (int)parts});
}
