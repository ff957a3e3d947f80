/*
 * The driver of all protections. Order on disk: class folders, images, the float perturbation
 * beside DST, protection.json last, so that its presence says the tree is whole. Nothing is written
 * before everything is known; what fails or is stopped after that is taken away again.
 */
#include "protect/protect.h"

#include "out_tree.h"
#include "set.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const struct protect_method *const methods[] = {&protect_lsp, &protect_emn_class};

static const char *const quantise_names[TRAIN_QUANTISE_COUNT] = {
    [TRAIN_ROUND] = "round",
    [TRAIN_TRUNCATE] = "truncate",
    [TRAIN_POSITIVE_HALF] = "positive-half",
};

const char *train_protect_method(int i, const char **out_summary)
{
    if (i < 0 || (size_t)i >= ARRAY_LEN(methods))
        return NULL;
    if (out_summary)
        *out_summary = methods[i]->summary;
    return methods[i]->name;
}

const char *train_quantise_name(enum train_quantise q)
{
    return (unsigned)q < TRAIN_QUANTISE_COUNT ? quantise_names[q] : "?";
}

status train_quantise_parse(const char *name, enum train_quantise *out)
{
    for (int q = 0; q < TRAIN_QUANTISE_COUNT; q++)
        if (strcmp(name, quantise_names[q]) == 0) {
            *out = (enum train_quantise)q;
            return STATUS_OK;
        }
    return STATUS_NOT_FOUND;
}

uint8_t protect_quantise(uint8_t pixel, float delta, enum train_quantise rule)
{
    float d = 255 * delta;
    if (rule == TRAIN_POSITIVE_HALF && d < 0)
        d = 0;
    float v = (float)pixel + d;
    v = v < 0 ? 0 : v > 255 ? 255 : v;
    return (uint8_t)(rule == TRAIN_ROUND ? v + .5f : v);
}

/* ---- paths ---- */

static const char *extension(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = strrchr(name ? name : path, '.');
    return dot ? dot : path + strlen(path);
}

/* "class/x.jpg" -> "DST/class/x.png" */
static char *target(const char *dst, const char *path)
{
    return mem_printf("%s/%.*s.png", dst, (int)(extension(path) - path), path);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* x.jpg and x.png of one folder would become one file. */
static status check_collisions(const struct protect_job *j, struct errmsg *e)
{
    int n = j->info.samples;
    char **all = mem_zalloc((size_t)n, sizeof *all);
    status st = all ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < n && !st; i++)
        st = (all[i] = target(j->opt->dst_dir, train_set_path(j->set, i))) ? STATUS_OK
                                                                           : STATUS_NOMEM;
    if (!st)
        qsort(all, (size_t)n, sizeof *all, compare_text);
    for (int i = 1; i < n && !st; i++)
        if (strcmp(all[i - 1], all[i]) == 0)
            st = errmsg_set(e, STATUS_INVALID, "two images of %s would both become %s",
                            j->opt->src_dir, all[i]);
    for (int i = 0; i < n && all; i++)
        mem_free(all[i]);
    mem_free(all);
    return st;
}

static bool is_empty_dir(const char *path, bool *out_exists)
{
    DIR *d = opendir(path);
    *out_exists = d || errno != ENOENT;
    if (!d)
        return false;
    int entries = 0;
    while (entries < 3 && readdir(d))
        entries++;
    closedir(d);
    return entries < 3; /* . and .. */
}

/* The real path of path, or of its nearest ancestor that exists. */
static bool real_ancestor(const char *path, char out[PATH_MAX])
{
    char at[PATH_MAX];
    if (snprintf(at, sizeof at, "%s", path) >= (int)sizeof at)
        return false;
    while (!realpath(at, out)) {
        char *slash = strrchr(at, '/');
        if (errno != ENOENT)
            return false;
        if (!slash)
            return realpath(".", out) != NULL;
        *(slash == at ? slash + 1 : slash) = 0;
    }
    return true;
}

/* The destination may not be the source nor lie in it; asked before anything is created. */
static status check_outside(const struct protect_job *j, struct errmsg *e)
{
    char src[PATH_MAX], dst[PATH_MAX];
    if (!realpath(j->opt->src_dir, src) || !real_ancestor(j->opt->dst_dir, dst))
        return errmsg_set(e, STATUS_NOT_FOUND, "cannot resolve %s or %s", j->opt->src_dir,
                          j->opt->dst_dir);
    size_t n = strlen(src);
    if (strncmp(src, dst, n) == 0 && (dst[n] == 0 || dst[n] == '/'))
        return errmsg_set(e, STATUS_INVALID, "%s lies in %s, which is never written",
                          j->opt->dst_dir, j->opt->src_dir);
    return STATUS_OK;
}

static status make_dirs(const struct protect_job *j, struct out_tree *t, struct errmsg *e)
{
    AUTO(mem_free) char *last = NULL;
    for (int i = 0; i < j->info.samples; i++) {
        const char *path = train_set_path(j->set, i), *slash = strrchr(path, '/');
        AUTO(mem_free)
        char *dir = mem_printf("%s/%.*s", j->opt->dst_dir, slash ? (int)(slash - path) : 0, path);
        if (!dir)
            return STATUS_NOMEM;
        if (last && strcmp(last, dir) == 0)
            continue;
        status st = out_tree_dir(t, dir, e);
        if (st)
            return st;
        mem_free(last);
        last = TAKE(dir);
    }
    return STATUS_OK;
}

/* DST without trailing slashes, for the sibling's name. */
static char *sibling(const char *dst)
{
    size_t n = strlen(dst);
    while (n > 1 && dst[n - 1] == '/')
        n--;
    return mem_printf("%.*s.perturbation.safetensors", (int)n, dst);
}

static status check_target(const struct protect_job *j, struct errmsg *e)
{
    bool exists, empty = is_empty_dir(j->opt->dst_dir, &exists);
    AUTO(mem_free) char *beside = sibling(j->opt->dst_dir);
    status st = beside ? check_outside(j, e) : STATUS_NOMEM;
    if (!st && exists && !empty && !j->opt->force)
        st = errmsg_set(e, STATUS_EXISTS,
                        "%s exists and is not an empty directory (write into it with --force)",
                        j->opt->dst_dir);
    if (!st && access(beside, F_OK) == 0 && !j->opt->force)
        st = errmsg_set(e, STATUS_EXISTS, "%s exists (replace it with --force)", beside);
    return st;
}

/* ---- sizes ---- */

static status size_of_one(void *arg, int i, struct errmsg *e)
{
    struct protect_job *j = arg;
    return train_set_size(j->set, i, &j->width[i], &j->height[i], e);
}

static status measure_sizes(struct protect_job *j, struct errmsg *e)
{
    size_t n = (size_t)j->info.samples;
    j->width = mem_zalloc(n, sizeof *j->width);
    j->height = mem_zalloc(n, sizeof *j->height);
    if (!j->width || !j->height)
        return STATUS_NOMEM;
    status st = train_set_for_each(j->set, size_of_one, j, e);
    if (st)
        return st;
    int w = j->width[0], h = j->height[0];
    j->least_width = j->info.width = w;
    j->least_height = j->info.height = h;
    for (size_t i = 0; i < n; i++) {
        if (!j->method->any_size && (j->width[i] != w || j->height[i] != h))
            return errmsg_set(e, STATUS_INVALID,
                              "%s/%s is %dx%d pixels, the first image is %dx%d: %s needs one size "
                              "for all (use --size to resize)",
                              j->opt->src_dir, train_set_path(j->set, (int)i), j->width[i],
                              j->height[i], w, h, j->method->name);
        j->info.width = j->width[i] > j->info.width ? j->width[i] : j->info.width;
        j->info.height = j->height[i] > j->info.height ? j->height[i] : j->info.height;
        j->least_width = j->width[i] < j->least_width ? j->width[i] : j->least_width;
        j->least_height = j->height[i] < j->least_height ? j->height[i] : j->least_height;
        j->pixels += (uint64_t)j->width[i] * (uint64_t)j->height[i];
    }
    return STATUS_OK;
}

/* ---- images ---- */

/* What one image adds to the result; kept apart so that sums do not depend on threads. */
struct measured {
    double square_error, l2, max_abs;
};

struct writer {
    const struct protect_job *job;
    struct out_tree *tree;
    struct measured *measured; /* (n) */
    pthread_mutex_t drawing;
    struct progress progress; /* guarded by drawing */
    atomic_int done;
    _Atomic uint64_t pixels;
};

static void apply(const struct protect_job *j, const uint8_t *in, const float *delta,
                  struct image *img, struct measured *m)
{
    size_t n = image_pixel_bytes(img);
    uint8_t *out = img->pixels;
    double error = 0, square = 0, most = 0;
    for (size_t p = 0; p < n; p++) {
        out[p] = protect_quantise(in[p], delta[p], j->quantise);
        double d = (double)out[p] - in[p];
        error += d * d;
        square += (double)delta[p] * delta[p];
        most = fabs(delta[p]) > most ? fabs(delta[p]) : most;
    }
    *m = (struct measured){error / (double)n, sqrt(square), most};
}

static status protect_one(const struct writer *w, int i, const struct set_view *v, struct errmsg *e)
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
    AUTO(mem_free) char *path = target(j->opt->dst_dir, train_set_path(j->set, i));
    if (!delta || !path)
        return STATUS_NOMEM;
    j->method->delta(j, i, delta);
    apply(j, v->pixels, delta, &img, &w->measured[i]);
    return out_tree_png(w->tree, i, path, &img, e);
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

static status write_images(struct protect_job *j, struct out_tree *t, struct errmsg *e)
{
    AUTO(mem_free) struct measured *m = mem_zalloc((size_t)j->info.samples, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    struct writer w = {.job = j, .tree = t, .measured = m};
    progress_init(&w.progress, "writing", 0, (uint64_t)j->info.samples, j->opt->quiet);
    pthread_mutex_init(&w.drawing, NULL);
    status st = train_set_for_each(j->set, write_one, &w, e);
    pthread_mutex_destroy(&w.drawing);
    if (st)
        return st;
    progress_done(&w.progress, (uint64_t)j->info.samples, NULL);
    summarise(j, m);
    return STATUS_OK;
}

/* ---- records ---- */

static status write_delta(const struct protect_job *j, struct errmsg *e)
{
    struct protect_stored s = j->method->stored(j);
    char patch[16];
    snprintf(patch, sizeof patch, "%d", s.patch);
    struct nn_save_tensor t = {"delta", s.shape, s.data, false};
    struct nn_meta meta[] = {{"method", j->method->name},
                             {"patch", patch},
                             {"index", s.class_wise ? "class" : "sample"}};
    AUTO(mem_free) char *path = sibling(j->opt->dst_dir);
    return path ? nn_file_save(path, &t, 1, meta, (int)ARRAY_LEN(meta), e) : STATUS_NOMEM;
}

static json_t *record(const struct protect_job *j)
{
    json_t *r = json_pack(
        "{s:s, s:f, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:i}", "method", j->method->name,
        "eps", j->eps, "quantise", train_quantise_name(j->quantise), "seed",
        (json_int_t)j->opt->seed, "images", j->info.samples, "classes", j->info.classes, "width",
        j->info.width, "height", j->info.height, "channels", j->info.channels, "mean_l2",
        j->result.mean_l2, "max_abs", j->result.max_abs, "left_out", j->info.bad);
    if (r && (j->least_width < j->info.width || j->least_height < j->info.height)) {
        json_object_set_new(r, "least_width", json_integer(j->least_width));
        json_object_set_new(r, "least_height", json_integer(j->least_height));
    }
    if (r && isfinite(j->result.psnr_db))
        json_object_set_new(r, "psnr_db", json_real(j->result.psnr_db));
    if (r && j->method->describe)
        j->method->describe(j, r);
    return r;
}

static status write_record(const struct protect_job *j, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/protection.json", j->opt->dst_dir);
    json_t *r = record(j);
    char *text = r ? json_dumps(r, JSON_INDENT(2)) : NULL;
    json_decref(r);
    status st = path && text ? io_write_file(path, text, strlen(text), e) : STATUS_NOMEM;
    free(text);
    return st;
}

/* ---- run ---- */

static status unknown_method(const char *name, struct errmsg *e)
{
    char list[256];
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(methods) && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "",
                                methods[i]->name);
    return errmsg_set(e, STATUS_INVALID, "no protection is called \"%s\"; there are %s", name,
                      list);
}

static status choose_method(struct protect_job *j, struct errmsg *e)
{
    const struct train_protect_options *o = j->opt;
    if (!o->method || !o->src_dir || !o->dst_dir)
        return errmsg_set(e, STATUS_INVALID, "method, source and destination must be given");
    for (size_t i = 0; i < ARRAY_LEN(methods) && !j->method; i++)
        if (strcmp(methods[i]->name, o->method) == 0)
            j->method = methods[i];
    if (!j->method)
        return unknown_method(o->method, e);
    if (!(o->eps >= 0) || o->eps > 255 || o->quantise >= TRAIN_QUANTISE_COUNT || o->rounds < 0 ||
        !(o->stop_error >= 0 && o->stop_error < 1))
        return errmsg_set(e, STATUS_INVALID, "eps must be 0..255, the stop error 0..1");
    j->eps = o->eps > 0 ? o->eps : j->method->eps;
    j->quantise = o->quantise >= 0 ? (enum train_quantise)o->quantise : j->method->quantise;
    j->threads = o->threads ? o->threads : cpu_count();
    return STATUS_OK;
}

static char *path_of(const void *arg, int i)
{
    const struct protect_job *j = arg;
    return target(j->opt->dst_dir, train_set_path(j->set, i));
}

static status write_all(struct protect_job *j, struct errmsg *e)
{
    struct out_tree tree;
    AUTO(mem_free) char *beside = sibling(j->opt->dst_dir);
    status st = out_tree_init(&tree, j->info.samples);
    if (!st && !beside)
        st = STATUS_NOMEM;
    if (!st)
        st = make_dirs(j, &tree, e);
    if (!st)
        st = write_images(j, &tree, e);
    if (!st)
        st = write_delta(j, e);
    if (!st && (st = write_record(j, e)))
        (void)unlink(beside); /* it would tell of images that are not there */
    if (st)
        out_tree_undo(&tree, path_of, j);
    out_tree_done(&tree);
    return st;
}

static status run(struct protect_job *j, struct errmsg *e)
{
    struct train_data_options data = {.dir = j->opt->src_dir,
                                      .limit = j->opt->limit,
                                      .size = j->opt->size,
                                      .channels = j->opt->channels,
                                      .any_size = true,
                                      .skip_bad = j->opt->skip_bad,
                                      .threads = j->threads};
    status st = check_target(j, e);
    if (!st)
        st = train_set_open(&data, &j->set, e);
    if (st)
        return st;
    j->info = train_set_info(j->set);
    if (j->info.bad)
        log_warn("%d files were left out because they do not decode; the first: %s", j->info.bad,
                 j->info.first_bad);
    st = check_collisions(j, e);
    if (!st)
        st = measure_sizes(j, e);
    if (!st)
        st = j->method->prepare(j, e);
    return st ? st : write_all(j, e);
}

status train_protect(const struct train_protect_options *opt, struct train_protect_result *out,
                     struct errmsg *e)
{
    struct protect_job j = {.opt = opt};
    status st = choose_method(&j, e);
    if (!st)
        st = run(&j, e);
    if (st == STATUS_CANCELLED)
        st = errmsg_set(e, st, "stopped; %s is as it was", opt->dst_dir);
    if (j.method)
        j.method->done(&j);
    mem_free(j.width);
    mem_free(j.height);
    train_set_free(j.set);
    if (!st)
        *out = j.result;
    return st;
}
