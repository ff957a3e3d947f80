#include "bench/coherent.h"

#include <math.h>
#include <string.h>

static void close_class(struct coherent *c)
{
    double of_sum = 0;
    for (size_t p = 0; p < c->values; p++)
        of_sum += c->sum[p] * c->sum[p];
    c->dots += of_sum - c->square;
    c->pairs += (double)c->n * (c->n - 1);
    c->square = 0;
    c->n = 0;
    memset(c->sum, 0, c->values * sizeof *c->sum);
}

status coherent_add(struct coherent *c, int label, const uint8_t *image, const uint8_t *clean,
                    size_t values)
{
    if (!c->sum) {
        c->values = values;
        c->sum = mem_zalloc(values, sizeof *c->sum);
    }
    if (!c->sum)
        return STATUS_NOMEM;
    c->sizes |= values != c->values;
    if (c->sizes)
        return STATUS_OK;
    if (label != c->label)
        close_class(c);
    c->label = label;
    c->n++;
    for (size_t p = 0; p < values; p++) {
        int d = image[p] - clean[p];
        c->sum[p] += d;
        c->square += (double)d * d;
    }
    return STATUS_OK;
}

double coherent_end(struct coherent *c)
{
    if (!c->sum || c->sizes)
        return NAN;
    close_class(c);
    if (!(c->pairs > 0))
        return NAN;
    return sqrt(fmax(0, c->dots / c->pairs / (double)c->values));
}

void coherent_done(struct coherent *c)
{
    mem_free(c->sum);
    *c = (struct coherent){.sum = NULL};
}
