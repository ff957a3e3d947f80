#include "audit/marks.h"

#include <math.h>
#include <string.h>

struct group {
    struct squares squares;
    int n;
    const uint8_t *seen, *left;
    float *residue, *mean; /* of one image; of all */
    double square;         /* mean over images of |residue|^2 */
};

static void take(const struct group *g, int i)
{
    size_t n = squares_values(g->squares), at = (size_t)i * n;
    for (size_t p = 0; p < n; p++)
        g->residue[p] = (float)(g->seen[at + p] - g->left[at + p]);
}

/* One 3x3 filter for all channels, of what is left: the residue of a filtered image is one. */
static void fit_filter(const struct group *g, int image, struct field_fit *f)
{
    struct squares s = g->squares;
    const uint8_t *left = g->left + (size_t)image * squares_values(s);
    f->n = 9;
    for (int y = 1; y + 1 < s.side; y++)
        for (int x = 1; x + 1 < s.side; x++)
            for (int c = 0; c < s.channels; c++) {
                double around[9];
                for (int i = 0; i < 9; i++)
                    around[i] = left[((y + i / 3 - 1) * s.side + x + i % 3 - 1) * s.channels + c];
                field_fit_add(f, around, (double)g->residue[(y * s.side + x) * s.channels + c]);
            }
}

static status of_images(struct group *g, float *out, float *all)
{
    struct squares s = g->squares;
    struct field_fit before[3] = {{.n = 0}, {.n = 0}, {.n = 0}}, filter = {.n = 0};
    size_t n = squares_values(s);
    double own = 0;
    for (int i = 0; i < g->n; i++) {
        float one[FIELD_MARKS];
        struct field_fit alone = {.n = 0};
        take(g, i);
        status st = field_marks(s, g->residue, one);
        if (st)
            return st;
        for (int k = 0; k < FIELD_MARKS; k++)
            out[k] += one[k] / (float)g->n;
        for (size_t p = 0; p < n; p++) {
            g->mean[p] += g->residue[p] / (float)g->n;
            g->square += (double)(g->residue[p] * g->residue[p]) / g->n;
        }
        for (int c = 0; c < s.channels; c++)
            field_fit_before(s, g->residue, c, &before[c]);
        fit_filter(g, i, &filter);
        fit_filter(g, i, &alone);
        own += field_fit_share(&alone) / g->n;
    }
    all[0] = 0;
    for (int c = 0; c < s.channels; c++)
        all[0] += (float)field_fit_share(&before[c]) / (float)s.channels;
    all[1] = (float)field_fit_share(&filter);
    all[2] = (float)own;
    return STATUS_OK;
}

/* Over pairs of different images, as delta_shared.c has it. */
static void of_all(const struct group *g, float *all)
{
    size_t values = squares_values(g->squares);
    double of_mean = 0, n = g->n;
    for (size_t p = 0; p < values; p++)
        of_mean += (double)(g->mean[p] * g->mean[p]);
    all[0] = (float)log(g->square / (double)values + .02);
    all[1] = (float)((n * of_mean - g->square) / (n - 1) / (g->square + 1e-3));
    all[2] = (float)log(of_mean / (double)values + .02);
}

status marks_make(struct squares s, const uint8_t *seen, const uint8_t *left, int n,
                  float out[MARKS])
{
    size_t values = squares_values(s);
    AUTO(mem_free) float *room = mem_zalloc(2 * values, sizeof *room);
    if (!room)
        return STATUS_NOMEM;
    struct group g = {s, n, seen, left, room, room + values, 0};
    memset(out, 0, MARKS * sizeof *out);
    status st = of_images(&g, out, out + (size_t)2 * FIELD_MARKS);
    if (st)
        return st;
    of_all(&g, out + (size_t)2 * FIELD_MARKS + 3);
    return field_marks(s, g.mean, out + FIELD_MARKS);
}
