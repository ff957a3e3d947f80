/*
 * The images of a protected tree, and the records beside them. Order on disk: class folders, images
 * with the float perturbation in a file aside, that file under its name, protection.json last, so
 * that its presence says the tree is whole. What fails or is stopped is taken away again.
 *
 * A row of a sample-wise perturbation is made once, used for its image and written to its place in
 * the file: memory holds one for each thread, however many images there are.
 */
#include "protect/write.h"

#include <math.h>
#include <string.h>

static status write_one(void *arg, int i, struct errmsg *e)
{
    struct writer *w = arg;
    struct set_view v;
    status st = train_set_view(w->job->set, i, &v, e);
    if (st)
        return st;
    uint64_t size = (uint64_t)v.width * (uint64_t)v.height;
    st = protect_write_image(w, i, &v, e);
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
    error /= j->n_chosen;
    j->result.images = j->info.samples;
    j->result.protected_images = j->n_chosen;
    j->result.mean_l2 = l2 / j->n_chosen;
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
