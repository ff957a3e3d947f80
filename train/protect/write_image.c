#include "protect/write.h"

#include <math.h>
#include <string.h>

static uint8_t to_pixel(float level, enum train_quantise rule)
{
    level = level < 0 ? 0 : level > 255 ? 255 : level;
    return (uint8_t)(rule == TRAIN_ROUND ? level + .5f : level);
}

uint8_t protect_quantise(uint8_t pixel, float delta, enum train_quantise rule)
{
    float d = 255 * delta;
    if (rule == TRAIN_POSITIVE_HALF && d < 0)
        d = 0;
    return to_pixel((float)pixel + d, rule);
}

static void measure(const uint8_t *in, const uint8_t *out, const float *delta, size_t n,
                    struct measured *m)
{
    double error = 0, square = 0, most = 0;
    for (size_t p = 0; p < n; p++) {
        double d = (double)out[p] - in[p];
        error += d * d;
        square += (double)delta[p] * delta[p];
        most = fabs(delta[p]) > most ? fabs(delta[p]) : most;
    }
    *m = (struct measured){error / (double)n, sqrt(square), most};
}

/* A row, whose values cover patch x patch pixels each, over an image, from its top left corner. */
static void spread(const struct protect_shape *s, const float *row, const struct image *img,
                   float *out)
{
    size_t c = (size_t)img->channels, columns = (size_t)s->shape.dim[2];
    for (int y = 0; y < img->height; y++) {
        const float *line = row + (size_t)(y / s->patch) * columns * c;
        for (int x = 0; x < img->width; x++, out += c)
            memcpy(out, line + (size_t)(x / s->patch) * c, c * sizeof *out);
    }
}

static status add_row(const struct writer *w, int i, const uint8_t *in, struct image *img,
                      float *delta, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    AUTO(mem_free) float *row = mem_alloc(w->row * sizeof *row);
    if (!row)
        return STATUS_NOMEM;
    bool class_wise = w->shape.class_wise;
    status st = j->method->row(j, class_wise ? train_set_label(j->set, i) : i, row, e);
    if (!st && w->file && !class_wise)
        st = nn_file_stream_put(w->file, (uint64_t)i * w->row, row, w->row, e);
    if (st)
        return st;
    spread(&w->shape, row, img, delta);
    size_t n = image_pixel_bytes(img);
    for (size_t p = 0; p < n; p++)
        img->pixels[p] = protect_quantise(in[p], delta[p], j->quantise);
    return STATUS_OK;
}

static status make_pixels(const struct writer *w, int i, const uint8_t *in, struct image *img,
                          float *delta, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    status st = j->method->pixels(j, i, in, delta, e);
    size_t n = image_pixel_bytes(img);
    for (size_t p = 0; p < n && !st; p++) {
        img->pixels[p] = to_pixel(delta[p], j->quantise);
        delta[p] = (delta[p] - (float)in[p]) / 255;
    }
    return st;
}

status protect_write_image(struct writer *w, int i, const struct set_view *v, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    if (v->width != j->width[i] || v->height != j->height[i])
        return errmsg_set(e, STATUS_CORRUPT, "%s/%s is %dx%d pixels, its header says %dx%d",
                          j->opt->src_dir, train_set_path(j->set, i), v->width, v->height,
                          j->width[i], j->height[i]);
    AUTO(image_done) struct image img = IMAGE_INIT;
    status st = image_alloc(v->width, v->height, j->info.channels, false, &img);
    if (st)
        return st;
    size_t bytes = image_pixel_bytes(&img);
    AUTO(mem_free) float *delta = mem_zalloc(bytes, sizeof *delta);
    AUTO(mem_free) char *path = protect_target(j, i);
    if (!delta || !path)
        return STATUS_NOMEM;
    if (!protect_is_chosen(j, i))
        memcpy(img.pixels, v->pixels, bytes);
    else
        st = j->method->pixels ? make_pixels(w, i, v->pixels, &img, delta, e)
                               : add_row(w, i, v->pixels, &img, delta, e);
    if (st)
        return st;
    measure(v->pixels, img.pixels, delta, bytes, &w->measured[i]);
    return out_tree_png(&w->tree, i, path, &img, e);
}
