/*
 * The values of purifiers by diffusion: checks and canonical form.
 *
 * In the canonical form numbers are %.9g and weights the SHA-256 of their file. What has no effect
 * is written as none or 0: a scale without guidance, the guidance without a scale, the perceptual
 * network when it is not used. Left out are values that all profiles had when the form was fixed: a
 * precision of f32, and deterministic_steps that change nothing.
 */
#include "diffusion.h"
#include "jcdp.h"
#include "weights.h"

static status add_value(const struct param *row, const struct purify_jcdp *v, struct buf *b)
{
    bool pixel = jcdp_guides_pixel(v), percept = jcdp_guides_percept(v);
    char hex[DIGEST_HEX_LEN + 1];
    size_t at = row->offset;
    if (at == DIFFUSION_ROW(model) || (at == DIFFUSION_ROW(percept) && percept)) {
        digest_hex(at == DIFFUSION_ROW(model) ? &v->model_digest : &v->percept_digest, hex);
        return buf_addf(b, "%s", hex);
    }
    if (at == DIFFUSION_ROW(percept) || (at == DIFFUSION_ROW(guidance) && !pixel && !percept))
        return buf_addf(b, "none");
    if ((at == DIFFUSION_ROW(pixel_scale) && !pixel) ||
        (at == DIFFUSION_ROW(perceptual_scale) && !percept))
        return buf_addf(b, "0");
    return param_get(row, v, b);
}

static bool is_left_out(const struct param *row, const struct purify_jcdp *v)
{
    if (row->offset == DIFFUSION_ROW(deterministic_steps))
        return v->deterministic_steps < 2 || v->eta == 0;
    return row->offset == DIFFUSION_ROW(precision) && v->precision == NN_PREC_F32;
}

status diffusion_canonical(const struct param_table *t, const void *values, struct buf *out)
{
    const struct purify_jcdp *v = values;
    status st = STATUS_OK;
    for (int i = 0; i < t->n && !st; i++) {
        if (is_left_out(&t->row[i], v))
            continue;
        st = buf_addf(out, "%s=", t->row[i].key);
        if (!st)
            st = add_value(&t->row[i], v, out);
        if (!st)
            st = buf_addf(out, "\n");
    }
    return st;
}

static status check(const struct purify_jcdp *v, const char **out_key, struct errmsg *e)
{
    *out_key = "steps";
    if (v->steps > v->t_start)
        return errmsg_set(e, STATUS_INVALID, "steps is %d, more than t_start, %d", v->steps,
                          v->t_start);
    *out_key = "deterministic_steps";
    if (v->deterministic_steps >= v->steps)
        return errmsg_set(e, STATUS_INVALID,
                          "deterministic_steps is %d, not less than steps, %d (for all: eta = 0)",
                          v->deterministic_steps, v->steps);
    *out_key = "model";
    if (!v->model[0])
        return errmsg_set(e, STATUS_INVALID, "model is missing");
    *out_key = "percept";
    if (jcdp_guides_percept(v) && !v->percept[0])
        return errmsg_set(e, STATUS_INVALID, "percept is missing, but perceptual_scale is %g",
                          (double)v->perceptual_scale);
    return STATUS_OK;
}

/* The network and its digest against what is asked of it. */
static status take_unet(struct purify_jcdp *v, struct purify_unet *cfg, const char **out_key,
                        struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    *out_key = "model";
    status st = weights_read(v->model, &f, &v->model_digest, e);
    if (!st)
        st = purify_unet_from_file(f, cfg, e);
    if (st)
        return st;
    *out_key = "t_start";
    if (v->t_start > cfg->t_max)
        return errmsg_set(e, STATUS_INVALID, "t_start is %d, but the model was trained on t < %d",
                          v->t_start, cfg->t_max);
    *out_key = "overlap";
    if (v->overlap >= cfg->size)
        return errmsg_set(e, STATUS_INVALID, "overlap is %d, not less than the model's tiles of %d",
                          v->overlap, cfg->size);
    return STATUS_OK;
}

static status take_percept(struct purify_jcdp *v, const struct purify_unet *unet,
                           const char **out_key, struct errmsg *e)
{
    if (!jcdp_guides_percept(v)) {
        v->percept[0] = 0;
        v->percept_digest = (struct digest){0};
        return STATUS_OK;
    }
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct purify_percept_cfg cfg;
    *out_key = "percept";
    status st = weights_read(v->percept, &f, &v->percept_digest, e);
    if (!st)
        st = purify_percept_from_file(f, &cfg, e);
    return st ? st : purify_percept_check(&cfg, unet->size, unet->in_channels, e);
}

status diffusion_finish(void *values, const char **out_key, struct errmsg *e)
{
    struct purify_jcdp *v = values;
    struct purify_unet unet;
    status st = check(v, out_key, e);
    if (!st)
        st = take_unet(v, &unet, out_key, e);
    return st ? st : take_percept(v, &unet, out_key, e);
}

int diffusion_evaluations(const void *values)
{
    const struct purify_jcdp *v = values;
    return v->rounds * v->steps * v->average;
}

bool diffusion_weights(const void *values, int i, struct purify_weights *out)
{
    const struct purify_jcdp *v = values;
    if (i < 0 || i > (v->percept[0] ? 1 : 0))
        return false;
    *out = i == 0 ? (struct purify_weights){"model", v->model, &v->model_digest}
                  : (struct purify_weights){"percept", v->percept, &v->percept_digest};
    return true;
}
