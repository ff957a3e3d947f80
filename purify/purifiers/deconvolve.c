/* deconvolve: the small filter that an image went through, as a network says, is undone
   (deconvolve.h). */
#include "deconvolve.h"
#include "weights.h"

#define ROW(member) offsetof(struct deconvolve_values, member)
static const struct param rows[] = {
    {"model", PARAM_TEXT, ROW(model), .standard = "deconvolve",
     .about = "the filter estimator: a safetensors file, or the name of a shipped model"},
    {"damping", PARAM_DOUBLE, ROW(damping), .lo = 1e-4, .hi = 1, .standard = "0.01",
     .about = "less sharpens more, noise too: power that counts as lost"},
    {"least", PARAM_DOUBLE, ROW(least), .lo = 0, .hi = 2, .standard = "0.3",
     .about = "an image whose kernel is nearer to none is left as it is"},
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    struct deconvolve_values *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct purify_estimator cfg;
    *out_key = "model";
    status st = weights_read(v->model, &f, &v->model_digest, e);
    return st ? st : purify_estimator_from_file(f, &cfg, e);
}

/* The file's digest stands for the model. */
static status canonical(const struct param_table *t, const void *values, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct deconvolve_values v = *(const struct deconvolve_values *)values;
    digest_hex(&v.model_digest, hex);
    snprintf(v.model, sizeof v.model, "%s", hex);
    return param_text(t, &v, out);
}

static int evaluations(const void *values)
{
    (void)values;
    return 1;
}

static bool weights(const void *values, int i, struct purify_weights *out)
{
    const struct deconvolve_values *v = values;
    if (i == 0)
        *out = (struct purify_weights){"model", v->model, &v->model_digest};
    return i == 0;
}

static void free_plan(void *plan)
{
    struct deconvolve *m = plan;
    if (m)
        nn_params_free(m->params);
    mem_free(m);
}
DEFINE_FREEP(struct deconvolve *, free_plan)

/* The parameters are those that the graph names, read from the file. */
static status load(struct deconvolve *m, const struct nn_file *f, struct errmsg *e)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    status st = purify_estimator_from_file(f, &m->cfg, e);
    if (!st)
        st = nn_params_new(&m->params);
    if (!st)
        st = nn_graph_new(m->params, &g);
    if (st)
        return st;
    int size = m->cfg.size;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, size, size, m->cfg.in_channels));
    nn_output(g, purify_estimator_build(g, &m->cfg, x), "y");
    st = nn_graph_status(g, e);
    return st ? st : nn_params_load(m->params, f, "", e);
}

static status plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct deconvolve_values *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(free_plan) struct deconvolve *m = mem_zalloc(1, sizeof *m);
    (void)id;
    if (!m)
        return STATUS_NOMEM;
    m->damping = (float)v->damping;
    m->least = (float)v->least;
    status st = weights_open(v->model, &v->model_digest, &f, e);
    if (!st)
        st = load(m, f, e);
    if (st)
        return errmsg_prefix(e, st, "model %s", v->model);
    *out = TAKE(m);
    return STATUS_OK;
}

const struct purifier_ops purifier_deconvolve = {
    .name = "deconvolve",
    .summary = "the small filter that an image went through, as a network says, is undone",
    .version = 1,
    .params = PARAM_TABLE(rows, struct deconvolve_values),
    .kind = &purifier_deconvolve_kind,
    .finish = finish,
    .canonical = canonical,
    .evaluations = evaluations,
    .weights = weights,
    .plan = plan,
    .free = free_plan,
};
