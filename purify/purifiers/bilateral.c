/*
 * bilateral: the mean over a disk around the pixel, with weights that fall with the distance in
 * space and in colour (Tomasi & Manduchi 1998; L1 over the channels, as in OpenCV's
 * bilateralFilter), once or several times over without rounding in between.
 *
 * The weights of colours are a table with linear interpolation, which is off by less than 1e-4 at a
 * sigma of 2, the smallest.
 */
#include "window.h"

#include <math.h>

enum { STEPS = 16, TABLE = 3 * 255 * STEPS, DISK_MAX = 31 * 31 };

struct bilateral {
    int side, times;
    float sigma_colour, sigma_space;
};
struct plan {
    int taps; /* of the disk */
    struct tap {
        int dx, dy;
        float weight;
    } tap[DISK_MAX];
    float colour[TABLE + 2]; /* at distances of 1/STEPS */
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    const struct bilateral *b = values;
    *out_key = "side";
    return b->side % 2 ? STATUS_OK
                       : errmsg_set(e, STATUS_INVALID, "side is %d, not an odd number", b->side);
}

static int margin(const void *values)
{
    return ((const struct bilateral *)values)->side / 2;
}

static int times(const void *values)
{
    return ((const struct bilateral *)values)->times;
}

static double bell(double distance, float sigma)
{
    double s = (double)sigma;
    return exp(-distance * distance / (2 * s * s));
}

static status plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct bilateral *b = values;
    int r = b->side / 2;
    struct plan *p = mem_zalloc(1, sizeof *p);
    (void)id;
    (void)e;
    if (!p)
        return STATUS_NOMEM;
    for (int dy = -r; dy <= r; dy++)
        for (int dx = -r; dx <= r; dx++)
            if (dx * dx + dy * dy <= r * r)
                p->tap[p->taps++] =
                    (struct tap){dx, dy, (float)bell(sqrt(dx * dx + dy * dy), b->sigma_space)};
    for (int i = 0; i < TABLE + 2; i++)
        p->colour[i] = (float)bell((double)i / STEPS, b->sigma_colour);
    *out = p;
    return STATUS_OK;
}

static float colour_weight(const struct plan *p, float distance)
{
    float at = distance * STEPS;
    int i = (int)at;
    return p->colour[i] + (at - (float)i) * (p->colour[i + 1] - p->colour[i]);
}

static void pixel_of_3(const struct window *w, int x, float *out)
{
    const struct plan *p = w->plan;
    const float *own = w->row[w->margin] + 3 * x;
    float sum[3] = {0}, weights = 0;
    for (int t = 0; t < p->taps; t++) {
        const float *v = w->row[w->margin + p->tap[t].dy] + 3 * (x + p->tap[t].dx);
        float d = fabsf(v[0] - own[0]) + fabsf(v[1] - own[1]) + fabsf(v[2] - own[2]);
        float weight = p->tap[t].weight * colour_weight(p, d);
        weights += weight;
        for (int c = 0; c < 3; c++)
            sum[c] += weight * v[c];
    }
    for (int c = 0; c < 3; c++)
        out[c] = fminf(sum[c] / weights, 255);
}

static void pixel_of_1(const struct window *w, int x, float *out)
{
    const struct plan *p = w->plan;
    float own = w->row[w->margin][x], sum = 0, weights = 0;
    for (int t = 0; t < p->taps; t++) {
        float v = w->row[w->margin + p->tap[t].dy][x + p->tap[t].dx];
        float weight = p->tap[t].weight * colour_weight(p, fabsf(v - own));
        weights += weight;
        sum += weight * v;
    }
    *out = fminf(sum / weights, 255);
}

static void row(const struct window *w, float *out)
{
    for (int x = 0; x < w->width; x++)
        if (w->channels == 3)
            pixel_of_3(w, x, out + 3 * x);
        else
            pixel_of_1(w, x, out + x);
}

#define ROW(member) offsetof(struct bilateral, member)
static const struct param rows[] = {
    {"side", PARAM_INT, ROW(side), .lo = 3, .hi = 31, .standard = "5", .unit = "pixels, odd",
     .about = "diameter of the disk"},
    {"sigma_colour", PARAM_FLOAT, ROW(sigma_colour), .lo = 2, .hi = 1000, .standard = "8",
     .unit = "grey levels, over the channels", .about = "how far colours are mixed"},
    {"sigma_space", PARAM_FLOAT, ROW(sigma_space), .lo = 0.1, .hi = 1000, .standard = "8",
     .unit = "pixels", .about = "how far pixels are mixed"},
    {"times", PARAM_INT, ROW(times), .lo = 1, .hi = 1000, .standard = "1",
     .about = "how often it is done"},
};

const struct purifier_ops purifier_bilateral = {
    .name = "bilateral",
    .summary = "a mean of what is near in space and in colour",
    .version = 1,
    .params = PARAM_TABLE(rows, struct bilateral),
    .kind = &purifier_window,
    .finish = finish,
    .plan = plan,
    .free = mem_free,
    .pixel_ns = 120,
    .passes = times,
    .margin = margin,
    .row = row,
};
