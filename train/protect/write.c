/*
 * The images of a protected tree, and the records beside them. Order on disk: class folders, images
 * with the float perturbation in a file aside, that file under its name, protection.json last, so
 * that its presence says the tree is whole. What fails or is stopped is taken away again.
 *
 * A row of a sample-wise perturbation is made once, used for its image and written to its place in
 * the file: memory holds one for each thread, however many images there are.
 */
#include "protect/protect.h"

#include "out_tree.h"
#include "set.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* What one image adds to the result; kept apart so that sums do not depend on threads. */
struct measured {
    double square_error, l2, max_abs;
};

struct writer {
    struct protect_job *job;
    struct out_tree tree;
    struct measured *measured;   /* (n) */
    struct protect_shape shape;  /* of what is added */
    size_t row;                  /* floats of a row */
    struct nn_file_stream *file; /* NULL: nothing is kept */
    char *beside;
    pthread_mutex_t drawing;
    struct progress progress; /* guarded by drawing */
    atomic_int done;
    _Atomic uint64_t pixels;
};

/* ---- pixels ---- */

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

/* ---- images ---- */

static status protect_one(struct writer *w, int i, const struct set_view *v, struct errmsg *e)
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
    AUTO(mem_free) float *delta = mem_alloc(image_pixel_bytes(&img) * sizeof *delta);
    AUTO(mem_free) char *path = protect_target(j, i);
    if (!delta || !path)
        return STATUS_NOMEM;
    st = j->method->pixels ? make_pixels(w, i, v->pixels, &img, delta, e)
                           : add_row(w, i, v->pixels, &img, delta, e);
    if (st)
        return st;
    measure(v->pixels, img.pixels, delta, image_pixel_bytes(&img), &w->measured[i]);
    return out_tree_png(&w->tree, i, path, &img, e);
}

static status write_one(void *arg, int i, struct errmsg *e)
{
    struct writer *w = arg;
    struct set_view v;
    status st = train_set_view(w->job->set, i, &v, e);
    if (st)
        return st;
    uint64_t size = (uint64_t)v.width * (uint64_t)v.height;
    st = protect_one(w, i, &v, e);
    train_set_view_done(&v);
    int done = atomic_fetch_add(&w->done, 1) + 1;
    uint64_t pixels = atomic_fetch_add(&w->pixels, size) + size;
    /* Whoever finds it busy goes on: the count will be in the next drawing. */
    if (!st && pthread_mutex_trylock(&w->drawing) == 0) {
        progress_update_work(&w->progress, (uint64_t)done, pixels, w->job->pixels, NULL);
        pthread_mutex_unlock(&w->drawing);
    }
    return st;
}

static void summarise(struct protect_job *j, const struct measured *m)
{
    double error = 0, l2 = 0, most = 0;
    for (int i = 0; i < j->info.samples; i++) {
        error += m[i].square_error;
        l2 += m[i].l2;
        most = m[i].max_abs > most ? m[i].max_abs : most;
    }
    error /= j->info.samples;
    j->result.images = j->info.samples;
    j->result.mean_l2 = l2 / j->info.samples;
    j->result.max_abs = most;
    j->result.psnr_db = 10 * log10(255.0 * 255.0 / error);
}

static status write_images(struct writer *w, struct errmsg *e)
{
    struct protect_job *j = w->job;
    progress_init(&w->progress, "writing", 0, (uint64_t)j->info.samples, j->opt->quiet);
    pthread_mutex_init(&w->drawing, NULL);
    status st = train_set_for_each(j->set, write_one, w, e);
    pthread_mutex_destroy(&w->drawing);
    if (st)
        return st;
    progress_done(&w->progress, (uint64_t)j->info.samples, NULL);
    summarise(j, w->measured);
    return STATUS_OK;
}

static status make_dirs(struct writer *w, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    AUTO(mem_free) char *last = NULL;
    for (int i = 0; i < j->info.samples; i++) {
        const char *path = train_set_path(j->set, i), *slash = strrchr(path, '/');
        AUTO(mem_free)
        char *dir = mem_printf("%s/%.*s", j->opt->dst_dir, slash ? (int)(slash - path) : 0, path);
        if (!dir)
            return STATUS_NOMEM;
        if (last && strcmp(last, dir) == 0)
            continue;
        status st = out_tree_dir(&w->tree, dir, e);
        if (st)
            return st;
        mem_free(last);
        last = TAKE(dir);
    }
    return STATUS_OK;
}

/* ---- what is added ---- */

static status keep_class_rows(struct writer *w, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    AUTO(mem_free) float *row = mem_alloc(w->row * sizeof *row);
    status st = row ? STATUS_OK : STATUS_NOMEM;
    for (int k = 0; k < w->shape.shape.dim[0] && !st; k++) {
        st = j->method->row(j, k, row, e);
        if (!st)
            st = nn_file_stream_put(w->file, (uint64_t)k * w->row, row, w->row, e);
    }
    return st;
}

/* Opens the file of what is added, and writes what does not depend on the image. */
static status begin_delta(struct writer *w, struct errmsg *e)
{
    const struct protect_job *j = w->job;
    if (!j->method->row)
        return STATUS_OK;
    w->shape = j->method->shape(j);
    const int *dim = w->shape.shape.dim;
    w->row = (size_t)dim[1] * (size_t)dim[2] * (size_t)dim[3];
    if (j->opt->discard)
        return STATUS_OK;
    char patch[16];
    snprintf(patch, sizeof patch, "%d", w->shape.patch);
    struct nn_meta meta[] = {{"method", j->method->name},
                             {"patch", patch},
                             {"index", w->shape.class_wise ? "class" : "sample"}};
    status st = nn_file_stream_new(w->beside, "delta", w->shape.shape, meta, (int)ARRAY_LEN(meta),
                                   &w->file, e);
    return st || !w->shape.class_wise ? st : keep_class_rows(w, e);
}

/* ---- all of it ---- */

static char *path_of(const void *arg, int i)
{
    return protect_target(arg, i);
}

/* What was kept gets its name. What an earlier call kept there is of other images. */
static status finish_delta(struct writer *w, struct errmsg *e)
{
    if (w->file)
        return nn_file_stream_finish(w->file, e);
    (void)unlink(w->beside);
    return STATUS_OK;
}

static status write_all(struct writer *w, struct errmsg *e)
{
    status st = make_dirs(w, e);
    if (!st)
        st = begin_delta(w, e);
    if (!st)
        st = write_images(w, e);
    if (!st)
        st = finish_delta(w, e);
    if (!st && (st = protect_write_record(w->job, e)))
        (void)unlink(w->beside); /* it would tell of images that are not there */
    return st;
}

status protect_write(struct protect_job *j, struct errmsg *e)
{
    struct writer w = {.job = j};
    status st = out_tree_init(&w.tree, j->info.samples);
    if (st)
        return st;
    w.beside = protect_beside(j);
    w.measured = mem_zalloc((size_t)j->info.samples, sizeof *w.measured);
    st = w.beside && w.measured ? write_all(&w, e) : STATUS_NOMEM;
    nn_file_stream_free(w.file);
    if (st)
        out_tree_undo(&w.tree, path_of, j);
    out_tree_done(&w.tree);
    mem_free(w.measured);
    mem_free(w.beside);
    return st;
}
