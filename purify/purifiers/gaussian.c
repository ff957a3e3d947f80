/* gaussian: blurred by a Gaussian that is cut off at 3 sigma, mirrored at the edges (OpenCV's
   GaussianBlur with a kernel of that size). */
#include "window.h"

#include <math.h>

struct gaussian {
    float sigma;
};
struct plan {
    int radius;
    float weight[WINDOW_MARGIN_MAX + 1]; /* at distance 0.. */
};

static int radius(const void *values)
{
    return (int)ceilf(3 * ((const struct gaussian *)values)->sigma);
}

static status plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    double sigma = (double)((const struct gaussian *)values)->sigma, sum = 0;
    struct plan *p = mem_zalloc(1, sizeof *p);
    (void)id;
    (void)e;
    if (!p)
        return STATUS_NOMEM;
    p->radius = radius(values);
    for (int d = -p->radius; d <= p->radius; d++)
        sum += exp(-d * d / (2 * sigma * sigma));
    for (int d = 0; d <= p->radius; d++)
        p->weight[d] = (float)(exp(-d * d / (2 * sigma * sigma)) / sum);
    *out = p;
    return STATUS_OK;
}

/* Down the columns, margins too, then along the row. */
static void row(const struct window *w, float *out)
{
    const struct plan *p = w->plan;
    int n = w->width * w->channels, edge = p->radius * w->channels;
    float *columns = w->line + edge;
    for (int k = -edge; k < n + edge; k++) {
        float v = p->weight[0] * w->row[p->radius][k];
        for (int d = 1; d <= p->radius; d++)
            v += p->weight[d] * (w->row[p->radius - d][k] + w->row[p->radius + d][k]);
        columns[k] = v;
    }
    for (int k = 0; k < n; k++) {
        float v = p->weight[0] * columns[k];
        for (int d = 1; d <= p->radius; d++)
            v += p->weight[d] * (columns[k - d * w->channels] + columns[k + d * w->channels]);
        out[k] = v;
    }
}

static const struct param rows[] = {
    {"sigma", PARAM_FLOAT, offsetof(struct gaussian, sigma), .lo = 0.1, .hi = 10, .standard = "1",
     .unit = "pixels", .about = "standard deviation of the blur"},
};

const struct purifier_ops purifier_gaussian = {
    .name = "gaussian",
    .summary = "a Gaussian blur",
    .version = 1,
    .params = PARAM_TABLE(rows, struct gaussian),
    .kind = &purifier_window,
    .plan = plan,
    .free = mem_free,
    .pixel_ns = 45,
    .margin = radius,
    .row = row,
};
