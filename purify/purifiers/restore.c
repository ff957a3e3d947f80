/* restore: a network predicts the perturbation, which is subtracted (subtract.h). */
#include "subtract.h"
#include "weights.h"

struct restore {
    char model[PARAM_TEXT_MAX];
    struct subtract_how how;
    struct digest model_digest; /* set by finish */
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    struct restore *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct purify_restorer cfg;
    *out_key = "model";
    status st = weights_read(v->model, &f, &v->model_digest, e);
    return st ? st : purify_restorer_from_file(f, &cfg, e);
}

/* The file's digest stands for the model. */
static status canonical(const struct param_table *t, const void *values, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct restore v = *(const struct restore *)values;
    digest_hex(&v.model_digest, hex);
    snprintf(v.model, sizeof v.model, "%s", hex);
    return param_text(t, &v, out);
}

static int evaluations(const void *values)
{
    return ((const struct restore *)values)->how.passes;
}

static bool weights(const void *values, int i, struct purify_weights *out)
{
    const struct restore *v = values;
    if (i == 0)
        *out = (struct purify_weights){"model", v->model, &v->model_digest};
    return i == 0;
}

static status plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct restore *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct subtract *made;
    (void)id; /* nothing is drawn */
    status st = nn_precision_check(v->how.precision, "set precision = f32 in the profile", e);
    if (st)
        return st;
    st = weights_open(v->model, &v->model_digest, &f, e);
    if (!st)
        st = subtract_new(&v->how, f, &made, e);
    if (st)
        return errmsg_prefix(e, st, "model %s", v->model);
    *out = made;
    return STATUS_OK;
}

#define ROW(member) offsetof(struct restore, member)
static const struct param rows[] = {
    {"model", PARAM_TEXT, ROW(model), .standard = "restore",
     .about = "the restorer: a safetensors file, or the name of a shipped model"},
    {"gain", PARAM_FLOAT, ROW(how.gain), .lo = 0, .hi = 16, .standard = "1",
     .about = "how many times the prediction is subtracted"},
    {"passes", PARAM_INT, ROW(how.passes), .lo = 1, .hi = 16, .standard = "1",
     .about = "how often it is done, each time to what came out"},
    {"strength", PARAM_FLOAT, ROW(how.strength), .lo = 0, .hi = 255, .standard = "0",
     .unit = "grey levels",
     .about = "images of which less is predicted (root of the mean square) are left as they are"},
    {"precision", PARAM_ENUM, ROW(how.precision), .names = nn_precision_names, .standard = "f32",
     .about = "the network's numbers (bf16: on a CPU that has it)"},
};

const struct purifier_ops purifier_restore = {
    .name = "restore",
    .summary = "the perturbation, predicted by a network that knows families of protections but no "
               "keys, is subtracted",
    .version = 1,
    .params = PARAM_TABLE(rows, struct restore),
    .kind = &purifier_subtract,
    .finish = finish,
    .canonical = canonical,
    .evaluations = evaluations,
    .weights = weights,
    .plan = plan,
    .free = subtract_free,
};
