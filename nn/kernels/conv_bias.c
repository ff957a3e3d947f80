/* The gradient of a convolution's bias: dy summed over all pixels. */
#include "kernels/kernels.h"
#include "kernels/panels.h"

struct bias_job {
    const struct nn_tensor *dy, *db;
};

/* Sixteen channels at a time: rows of pixels in f32, their sums in f64. */
static void bias_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct bias_job *j = ctx;
    const int *d = j->dy->shape.dim;
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        double sum[NN_PANEL] = {0};
        const float *dy = nn_f32(j->dy) + panel * NN_PANEL;
        for (int64_t row = 0; row < (int64_t)d[0] * d[1]; row++) {
            float part[NN_PANEL] = {0};
            for (int w = 0; w < d[2]; w++, dy += d[3])
                for (int k = 0; k < NN_PANEL; k++)
                    part[k] += dy[k];
            for (int k = 0; k < NN_PANEL; k++)
                sum[k] += (double)part[k];
        }
        for (int k = 0; k < NN_PANEL; k++)
            nn_f32(j->db)[panel * NN_PANEL + k] = (float)sum[k];
    }
}

void nn_bias_gradient(const struct nn_step *s, const struct nn_tensor *dy,
                      const struct nn_tensor *db)
{
    nn_for_range(nn_threads_for(s, nn_shape_count(dy->shape)), dy->shape.dim[3] / NN_PANEL,
                 bias_sums, &(struct bias_job){dy, db});
}
