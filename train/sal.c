/*
 * Two walks from where a tensor of weights stands, down its loss and up, each in a ball around the
 * start. After each pass over the images what has left the ball is brought back to its surface,
 * straight towards the start, and the loss is measured.
 */
#include "sal.h"

#include <math.h>
#include <string.h>

static double distance(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static void project(const struct sal_problem *p, const float *start, double radius)
{
    double far = distance(p->w, start, p->n);
    if (!(far > radius))
        return;
    for (size_t i = 0; i < p->n; i++)
        p->w[i] = (float)(start[i] + ((double)p->w[i] - start[i]) * (radius / far));
}

/* One pass; way is 1 uphill and -1 downhill. */
static status pass(const struct sal_problem *p, float way)
{
    status st = STATUS_OK;
    for (int b = 0; b < p->batches && !st; b++) {
        const float *g;
        st = stop_requested() ? STATUS_CANCELLED : p->gradient(p->arg, b, &g);
        for (size_t i = 0; i < p->n && !st; i++)
            p->w[i] += way * TRAIN_SAL_STEP * g[i];
    }
    return st;
}

/* How far the loss moves that way at most; never below 0. */
static status walk(const struct sal_problem *p, const float *start, float way, double *out)
{
    double radius = TRAIN_SAL_RADIUS * distance(start, NULL, p->n), most = 0;
    status st = STATUS_OK;
    for (int i = 0; i < TRAIN_SAL_PASSES && !st; i++) {
        double loss;
        st = pass(p, way);
        if (st)
            break;
        project(p, start, radius);
        st = p->measure(p->arg, &loss);
        if (!st)
            most = fmax(most, (double)way * (loss - p->loss));
    }
    memcpy(p->w, start, p->n * sizeof *start);
    if (!st)
        *out = most;
    return st;
}

status train_sal_search(const struct sal_problem *p, double *out)
{
    AUTO(mem_free) float *start = mem_alloc(p->n * sizeof *start);
    double up, down;
    if (!start)
        return STATUS_NOMEM;
    memcpy(start, p->w, p->n * sizeof *start);
    status st = walk(p, start, -1, &down);
    if (!st)
        st = walk(p, start, 1, &up);
    if (!st)
        *out = fmax(up, down);
    return st;
}
