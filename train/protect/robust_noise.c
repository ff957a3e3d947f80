#include "protect/robust.h"

#include "clamp.h"

#include "stream.h"

#include <string.h>

enum { BORDER_PART = 8 };

/* A shift is kept for each row. */
void robust_move(const struct protect_job *j, struct robust *m, uint64_t number, uint64_t draw,
                 float *out)
{
    const struct surrogate *s = m->of.surrogate;
    int side = m->of.frame.width < m->of.frame.height ? m->of.frame.width : m->of.frame.height;
    const struct nn_rng r = stream(j->opt->seed, STREAM_MOVE, number);
    for (int i = 0; i < s->batch; i++) {
        size_t to = (size_t)i * s->row;
        for (size_t p = 0; p < s->row; p++)
            m->spare[p] = clamp(m->x[to + p] + m->delta[to + p], 0, 1);
        m->shift[i] =
            shift_draw_whole(r, 3 * (draw * (uint64_t)s->batch + (uint64_t)i), side / BORDER_PART);
        shift_image(m->shift[i], m->of.frame, m->spare, out + to);
    }
}

/* Adds the gradient of one draw to m->sum: that at the disturbed images, as if the disturbance did not
   depend on them. */
static status add_draw(const struct protect_job *j, struct robust *m, uint64_t number,
                       uint64_t draw)
{
    const struct surrogate *s = m->of.surrogate;
    const float *grad;
    robust_move(j, m, number, draw, s->x);
    status st = m->disturb(j, m, number, draw);
    if (!st)
        st = train_attack_gradient(s->attack, s->x, s->label, &grad);
    for (int i = 0; i < s->batch && !st; i++) {
        size_t to = (size_t)i * s->row;
        shift_gradient(m->shift[i], m->of.frame, grad + to, m->spare);
        for (size_t p = 0; p < s->row; p++) {
            float v = m->x[to + p] + m->delta[to + p];
            m->sum[to + p] += v < 0 || v > 1 ? 0 : m->spare[p]; /* it was clipped */
        }
    }
    return st;
}

status robust_make_noise(const struct protect_job *j, struct robust *m, uint64_t number)
{
    const struct robust_param *param = j->param;
    size_t n = (size_t)m->of.surrogate->batch * m->of.surrogate->row;
    float eps = (float)(j->eps / 255), far = eps / 5;
    const struct nn_rng r = stream(j->opt->seed, STREAM_START, number);
    for (size_t p = 0; p < n; p++)
        m->delta[p] = stream_uniform(r, p, -eps, eps);
    for (int step = 0; step < param->steps; step++) {
        status st = stop_requested() ? STATUS_CANCELLED : STATUS_OK;
        memset(m->sum, 0, n * sizeof *m->sum);
        for (int d = 0; d < param->draws && !st; d++)
            st = add_draw(j, m, number, (uint64_t)(step * param->draws + d));
        if (st)
            return st;
        for (size_t p = 0; p < n; p++) {
            float sign = (float)((m->sum[p] > 0) - (m->sum[p] < 0));
            m->delta[p] = clamp(m->delta[p] - far * sign, -eps, eps);
        }
    }
    return STATUS_OK;
}
