/* The joint norm of all gradients, and scaling by it. */
#include "device/device.h"
#include "optim/optim.h"

#include <math.h>

/* In doubles and in sixteen partial sums: exact enough, vector code, and always the same bits. */
static double sum_of_squares(const float *x, int64_t n)
{
    double part[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            part[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++)
        sum += (double)x[i] * x[i];
    for (int j = 0; j < 16; j++)
        sum += part[j];
    return sum;
}

static bool has_gradient(const struct nn_param_entry *e)
{
    return e->trainable && e->grad;
}

/* Entries first.., their sums beside each other: added in order, so that threads do not matter. */
enum { ENTRIES = 64 };
struct entry_sums {
    struct nn_params *p;
    int first;
    double sum[ENTRIES];
};

static void sum_entries(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct entry_sums *s = *(struct entry_sums *const *)ctx;
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const struct nn_param_entry *e = nn_params_at(s->p, s->first + (int)i);
        s->sum[i] = has_gradient(e) ? sum_of_squares(e->grad, nn_shape_count(e->shape)) : 0;
    }
}

struct scaling {
    float *x, by;
};

static void scale_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct scaling s = *(const struct scaling *)ctx;
    (void)thread;
    for (int64_t i = first; i < last; i++)
        s.x[i] *= s.by;
}

double nn_clip_grad_norm(struct nn_params *p, float max_norm, int threads)
{
    double sum = 0;
    int count = nn_params_count(p), all = nn_optim_threads(threads, nn_params_elements(p, true));
    for (int first = 0; first < count; first += ENTRIES) {
        struct entry_sums s = {.p = p, .first = first}, *at = &s;
        int n = count - first < ENTRIES ? count - first : ENTRIES;
        nn_for_range(all, n, sum_entries, &at);
        for (int i = 0; i < n; i++)
            sum += s.sum[i];
    }
    double norm = sqrt(sum);
    if (!(norm > max_norm) || !isfinite(norm))
        return norm;
    for (int i = 0; i < count; i++) {
        const struct nn_param_entry *e = nn_params_at(p, i);
        int64_t n = nn_shape_count(e->shape);
        const struct scaling s = {e->grad, (float)(max_norm / norm)};
        if (has_gradient(e))
            nn_for_blocks(nn_optim_threads(threads, n), n, NN_LINE_FLOATS, scale_range, &s);
    }
    return norm;
}
