/* What the rows of these purifiers have in common: their model, and what it is called by. */
#include "subtract.h"

#include "weights.h"

status subtract_finish(void *values, const char **out_key, struct errmsg *e)
{
    struct subtract_values *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct purify_restorer cfg;
    *out_key = "model";
    status st = weights_read(v->model, &f, &v->model_digest, e);
    return st ? st : purify_restorer_from_file(f, &cfg, e);
}

/* The file's digest stands for the model. */
status subtract_canonical(const struct param_table *t, const void *values, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct subtract_values v = *(const struct subtract_values *)values;
    digest_hex(&v.model_digest, hex);
    snprintf(v.model, sizeof v.model, "%s", hex);
    return param_text(t, &v, out);
}

int subtract_evaluations(const void *values)
{
    return ((const struct subtract_values *)values)->how.passes;
}

bool subtract_weights(const void *values, int i, struct purify_weights *out)
{
    const struct subtract_values *v = values;
    if (i == 0)
        *out = (struct purify_weights){"model", v->model, &v->model_digest};
    return i == 0;
}

status subtract_plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct subtract_values *v = values;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct subtract *made;
    status st = nn_precision_check(v->how.precision, "set precision = f32 in the profile", e);
    if (st)
        return st;
    st = weights_open(v->model, &v->model_digest, &f, e);
    if (!st)
        st = subtract_new(&v->how, id, f, &made, e);
    if (st)
        return errmsg_prefix(e, st, "model %s", v->model);
    *out = made;
    return STATUS_OK;
}
