/* The weights that a run begins with: random ones, or those of a file (fine-tuning). */
#include "run.h"

#include <string.h>

/* Of a file that names no network, that of the run is taken: its tensors then say what fits. */
static status load(const struct run *r, const char *path, struct train_model **out,
                   struct digest *out_digest, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct train_model_hint hint = {.size = r->model->shape.width};
    status st = nn_file_open_any(path, &f, e);
    if (!st)
        st = nn_file_digest(f, out_digest);
    if (st)
        return st;
    if (!nn_file_meta(f, "architecture"))
        hint.arch = r->model->net->name;
    return train_model_load(path, &hint, out, e);
}

static status check_kind(const struct run *r, const struct train_model *from, struct errmsg *e)
{
    const char *path = r->opt->init_file;
    if (from->net != r->model->net)
        return errmsg_set(e, STATUS_INVALID,
                          "%s holds a %s, and a %s is to be trained: weights of one network mean "
                          "nothing to another (--arch %s, or another file)",
                          path, from->net->name, r->model->net->name, from->net->name);
    if (from->shape.channels != r->model->shape.channels)
        return errmsg_set(e, STATUS_INVALID,
                          "%s is for images with %d channel(s), and these have %d (--channels %d)",
                          path, from->shape.channels, r->model->shape.channels,
                          from->shape.channels);
    return STATUS_OK;
}

static bool same_shape(struct nn_shape a, struct nn_shape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, (size_t)a.rank * sizeof *a.dim) == 0;
}

/* The entry of the file's network that this one begins with; NULL: it begins anew. */
static const struct nn_param_entry *first_value(const struct run *r, const struct nn_param_entry *p)
{
    const struct nn_param_entry *from = nn_params_find(r->from->params, p->name);
    return from && same_shape(from->shape, p->shape) ? from : NULL;
}

/* Whether an entry is of the last layer, which has a row for each class. */
static bool is_of_classes(const struct run *r, const struct nn_param_entry *p)
{
    const struct nn_param_entry *from = nn_params_find(r->from->params, p->name);
    struct nn_shape shape = p->shape;
    if (!from || shape.rank != from->shape.rank || shape.dim[0] != r->model->shape.classes ||
        from->shape.dim[0] != r->from->shape.classes)
        return false;
    shape.dim[0] = from->shape.dim[0];
    return same_shape(shape, from->shape);
}

/* Only the last layer may begin anew, for other classes; *out_anew names what does. */
static status check_shapes(const struct run *r, struct buf *out_anew, struct errmsg *e)
{
    struct train_net_shape has = r->from->shape, wants = r->model->shape;
    status st = STATUS_OK;
    for (int i = 0; i < nn_params_count(r->model->params) && !st; i++) {
        const struct nn_param_entry *p = nn_params_at(r->model->params, i);
        if (first_value(r, p))
            continue;
        if (!is_of_classes(r, p))
            return errmsg_set(e, STATUS_INVALID,
                              "%s is for images of %dx%d: its %s does not fit images of %dx%d "
                              "(--size N makes them so)",
                              r->opt->init_file, has.width, has.height, p->name, wants.width,
                              wants.height);
        st = buf_addf(out_anew, "%s%s", out_anew->len ? ", " : "", p->name);
    }
    return st;
}

status train_run_open_init(struct run *r, struct errmsg *e)
{
    const char *path = r->opt->init_file;
    AUTO(buf_done) struct buf anew = BUF_INIT(1 << 16);
    struct digest digest;
    if (!path)
        return STATUS_OK;
    status st = load(r, path, &r->from, &digest, e);
    if (!st)
        st = check_kind(r, r->from, e);
    if (!st)
        st = check_shapes(r, &anew, e);
    if (st)
        return st;
    digest_hex(&digest, r->init_digest);
    memcpy(r->model->mean, r->from->mean, sizeof r->model->mean);
    memcpy(r->model->std, r->from->std, sizeof r->model->std);
    if (anew.len)
        log_info("%s is for %d classes, and these are %d: %s begin anew", path,
                 r->from->shape.classes, r->model->shape.classes, anew.data);
    return STATUS_OK;
}

status train_run_init_params(struct run *r)
{
    status st = nn_params_init(r->model->params, r->opt->seed);
    for (int i = 0; i < nn_params_count(r->model->params) && r->from && !st; i++) {
        struct nn_param_entry *p = nn_params_at(r->model->params, i);
        const struct nn_param_entry *from = first_value(r, p);
        size_t n = 1;
        for (int d = 0; d < p->shape.rank; d++)
            n *= (size_t)p->shape.dim[d];
        if (from)
            memcpy(p->value, from->value, n * sizeof *p->value);
    }
    return st;
}
