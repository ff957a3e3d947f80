#include "protect/delta_file.h"

#include <math.h>
#include <string.h>

/* A file without a negative value and with so large a mean ([0,1] units) holds numbers around their
   middle: a quarter of the range added everywhere is no perturbation. */
static const double unsigned_mean = .25;

/* ---- numbers ---- */

/* Values at .. at+n-1 of the tensor, in the file's order. */
static status read_values(const struct nn_file_tensor *t, size_t at, size_t n, float *out)
{
    size_t size = t->bytes / (size_t)nn_shape_count(t->shape);
    const unsigned char *from = (const unsigned char *)t->data + at * size;
    if (strcmp(t->dtype, "U8") == 0) {
        for (size_t i = 0; i < n; i++)
            out[i] = from[i];
    } else if (strcmp(t->dtype, "I8") == 0) {
        for (size_t i = 0; i < n; i++)
            out[i] = (signed char)from[i];
    } else if (strcmp(t->dtype, "I16") == 0) {
        for (size_t i = 0; i < n; i++)
            out[i] = (int16_t)(from[2 * i] | from[2 * i + 1] << 8);
    } else if (strcmp(t->dtype, "I32") == 0 || strcmp(t->dtype, "I64") == 0) {
        for (size_t i = 0; i < n; i++) {
            int64_t v = 0;
            int32_t v32;
            memcpy(&v, from + i * size, size);
            memcpy(&v32, from + i * size, sizeof v32);
            out[i] = (float)(size == sizeof v32 ? v32 : v);
        }
    } else {
        const struct nn_file_tensor part = {.name = t->name,
                                            .dtype = t->dtype,
                                            .shape = nn_shape1((int)n),
                                            .data = from,
                                            .bytes = n * size};
        return nn_file_read_f32(&part, out, n);
    }
    return STATUS_OK;
}

static bool is_whole(const struct nn_file_tensor *t)
{
    return t->dtype[0] == 'U' || t->dtype[0] == 'I';
}

/* Least, most and mean of all. */
static status measure(struct delta_file *d, const char *path, struct errmsg *e)
{
    size_t row = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
    AUTO(mem_free) float *v = mem_alloc(row * sizeof *v);
    if (!v)
        return STATUS_NOMEM;
    double sum = 0;
    d->least = INFINITY;
    d->most = -INFINITY;
    for (int i = 0; i < d->n; i++) {
        status st =
            stop_requested() ? STATUS_CANCELLED : read_values(d->tensor, (size_t)i * row, row, v);
        if (st)
            return errmsg_set(e, st, "%s: numbers of type %s cannot be used", path,
                              d->tensor->dtype);
        for (size_t p = 0; p < row; p++) {
            if (!isfinite(v[p]))
                return errmsg_set(e, STATUS_CORRUPT, "%s: row %d holds what is no number", path, i);
            d->least = v[p] < d->least ? (double)v[p] : d->least;
            d->most = v[p] > d->most ? (double)v[p] : d->most;
            sum += (double)v[p];
        }
    }
    d->mean = sum / ((double)d->n * (double)row);
    return STATUS_OK;
}

/* ---- what the file is ---- */

static status choose_tensor(const char *path, const char *name, struct delta_file *d,
                            struct errmsg *e)
{
    d->tensor = nn_file_find(d->file, *name ? name : "delta");
    int fit = 0;
    for (int i = 0; i < nn_file_count(d->file) && !*name && !d->tensor; i++)
        fit += nn_file_at(d->file, i)->shape.rank >= 3;
    for (int i = 0; i < nn_file_count(d->file) && fit == 1 && !d->tensor; i++)
        if (nn_file_at(d->file, i)->shape.rank >= 3)
            d->tensor = nn_file_at(d->file, i);
    if (!d->tensor && *name)
        return errmsg_set(e, STATUS_NOT_FOUND, "%s has no tensor \"%s\"", path, name);
    if (!d->tensor)
        return errmsg_set(e, STATUS_INVALID,
                          "%s has %d tensors that could be a perturbation (name one with --tensor)",
                          path, fit);
    if (d->tensor->shape.rank < 3 || nn_shape_count(d->tensor->shape) == 0)
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s: \"%s\" is no list of images", path,
                          d->tensor->name);
    return STATUS_OK;
}

static status read_layout(const char *path, int channels, struct delta_file *d, struct errmsg *e)
{
    const struct nn_shape *s = &d->tensor->shape;
    int last = s->rank == 4 ? s->dim[3] : 1, first = s->rank == 4 ? s->dim[1] : -1;
    d->n = s->dim[0];
    d->channels = channels;
    if (d->layout == DELTA_LAYOUT_AUTO && last == channels && first == channels)
        return errmsg_set(e, STATUS_INVALID,
                          "%s: both dimension 2 and dimension 4 could be colour (say --layout hwc "
                          "or --layout chw)",
                          path);
    if (d->layout == DELTA_LAYOUT_AUTO)
        d->layout = first == channels ? DELTA_CHW : DELTA_HWC;
    bool chw = d->layout == DELTA_CHW;
    if ((chw ? first : last) != channels)
        return errmsg_set(e, STATUS_INVALID,
                          "%s: %d x %d x %d x %d is of no images with %d channels (see --channels)",
                          path, d->n, s->dim[1], s->dim[2], s->rank == 4 ? s->dim[3] : 1, channels);
    d->height = s->dim[chw ? 2 : 1];
    d->width = s->dim[chw ? 3 : 2];
    return STATUS_OK;
}

/* What a file of ours says of itself. */
static status read_metadata(const char *path, struct delta_file *d, struct errmsg *e)
{
    const char *patch = nn_file_meta(d->file, "patch"), *index = nn_file_meta(d->file, "index");
    d->patch = 1;
    d->ours = patch && index;
    if (!d->ours)
        return STATUS_OK;
    char *end;
    long v = strtol(patch, &end, 10);
    bool by_class = strcmp(index, "class") == 0;
    if (*end || v < 1 || v > 1 << 16 || (!by_class && strcmp(index, "sample") != 0))
        return errmsg_set(e, STATUS_CORRUPT, "%s: its metadata is damaged", path);
    d->patch = (int)v;
    d->index = by_class ? DELTA_CLASS : DELTA_SAMPLE;
    d->layout = DELTA_HWC;
    d->units = DELTA_UNIT;
    d->sign = DELTA_SIGNED;
    return STATUS_OK;
}

static void recognise(struct delta_file *d)
{
    if (d->units == DELTA_UNITS_AUTO) {
        bool small = d->least >= -1 && d->most <= 1;
        d->units = is_whole(d->tensor) || !small ? DELTA_BYTE : DELTA_UNIT;
    }
    if (d->sign == DELTA_SIGN_AUTO) {
        double range = d->units == DELTA_BYTE ? 255 : 1;
        bool middle = d->least >= 0 && d->mean > unsigned_mean * range;
        d->sign = middle ? DELTA_UNSIGNED : DELTA_SIGNED;
    }
}

status delta_file_open(const char *path, const char *name, int channels, struct delta_file *d,
                       struct errmsg *e)
{
    status st = nn_file_open_any(path, &d->file, e);
    if (!st)
        st = choose_tensor(path, name, d, e);
    if (!st)
        st = read_metadata(path, d, e);
    if (!st)
        st = read_layout(path, channels, d, e);
    if (!st)
        st = measure(d, path, e);
    if (!st)
        recognise(d);
    return st;
}

void delta_file_close(struct delta_file *d)
{
    nn_file_close(d->file);
    d->file = NULL;
}

status delta_file_row(const struct delta_file *d, int i, float *out, struct errmsg *e)
{
    size_t c = (size_t)d->channels, area = (size_t)d->height * (size_t)d->width, n = area * c;
    AUTO(mem_free) float *v = mem_alloc(n * sizeof *v);
    status st = v ? read_values(d->tensor, (size_t)i * n, n, v) : STATUS_NOMEM;
    if (st)
        return errmsg_set(e, st, "row %d of the perturbation: %s", i, status_text(st));
    float scale = d->units == DELTA_BYTE ? 1.f / 255 : 1;
    float zero = d->sign == DELTA_SIGNED ? 0 : d->units == DELTA_BYTE ? 128 : .5f;
    for (size_t p = 0; p < area; p++)
        for (size_t k = 0; k < c; k++)
            out[p * c + k] = (v[d->layout == DELTA_CHW ? k * area + p : p * c + k] - zero) * scale;
    return STATUS_OK;
}
