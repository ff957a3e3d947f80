/*
 * Fields, checks and identity of a profile. Reading and finding files: profile_file.c.
 *
 * Canonical form, hashed with SHA-256 to the id: the line "relearnfs jcdp 1" (raised when the
 * sampler itself changes), then key=value for every field in the table's order, numbers as %.9g,
 * weights as the SHA-256 of their file. What has no effect is written as none or 0: a scale without
 * guidance, the guidance without a scale, the perceptual network nobody asks. The name is no part
 * of it, nor is a precision of f32: there was no other when the form was fixed.
 */
#include "profile.h"

#include "names.h"

#include <assert.h>
#include <string.h>

enum {
    ROUNDS_MAX = 64, /* fit the noise streams, see engine.c */
    AVERAGE_MAX = 64,
    VALUE_MAX = 180, /* inih reads lines of at most 198 characters */
};
#define SCALE_MAX 1e9

#define FIELD(member) offsetof(struct purify_profile, member)
const struct profile_field profile_fields[PROFILE_FIELDS] = {
    {"model", PROFILE_TEXT, FIELD(model), 0, 0, NULL},
    {"t_start", PROFILE_INT, FIELD(t_start), 1, PURIFY_TOTAL_MAX, NULL},
    {"rounds", PROFILE_INT, FIELD(rounds), 1, ROUNDS_MAX, NULL},
    {"steps", PROFILE_INT, FIELD(steps), 1, PURIFY_TOTAL_MAX, NULL},
    {"eta", PROFILE_FLOAT, FIELD(eta), 0, 1, NULL},
    {"average", PROFILE_INT, FIELD(average), 1, AVERAGE_MAX, NULL},
    {"variance", PROFILE_ENUM, FIELD(variance), 0, PURIFY_VARIANCE_COUNT, purify_variance_names},
    {"guidance", PROFILE_ENUM, FIELD(guidance), 0, PURIFY_GUIDE_COUNT, purify_guidance_names},
    {"pixel_scale", PROFILE_FLOAT, FIELD(pixel_scale), 0, SCALE_MAX, NULL},
    {"perceptual_scale", PROFILE_FLOAT, FIELD(perceptual_scale), 0, SCALE_MAX, NULL},
    {"percept", PROFILE_TEXT, FIELD(percept), 0, 0, NULL},
    {"overlap", PROFILE_INT, FIELD(overlap), 0, 1023, NULL},
    {"precision", PROFILE_ENUM, FIELD(precision), 0, NN_PREC_COUNT, nn_precision_names},
};
static_assert(sizeof(enum purify_guidance) == sizeof(int) &&
                  sizeof(enum nn_precision) == sizeof(int) &&
                  sizeof(enum purify_variance) == sizeof(int) &&
                  sizeof(((struct purify_profile *)0)->model) ==
                      sizeof(((struct purify_profile *)0)->percept),
              "the table reads enums as ints and both names at one length");

void purify_profile_init(struct purify_profile *p)
{
    *p = (struct purify_profile){
        .name = "unnamed",
        .model = "default",
        .percept = "percept",
        .t_start = 20,
        .rounds = 4,
        .steps = 5,
        .eta = 1,
        .average = 1,
        .variance = PURIFY_FIXED_LARGE,
        .guidance = PURIFY_GUIDE_NONE,
        .overlap = 8,
    };
}

const struct profile_field *profile_find(const char *key)
{
    for (int i = 0; i < PROFILE_FIELDS; i++)
        if (strcmp(profile_fields[i].key, key) == 0)
            return &profile_fields[i];
    return NULL;
}

status profile_unknown_key(const char *key, struct errmsg *e)
{
    AUTO(buf_done) struct buf keys = BUF_INIT(4096);
    status st = STATUS_OK;
    for (int i = 0; i < PROFILE_FIELDS && !st; i++)
        st = buf_addf(&keys, "%s%s", i ? ", " : "", profile_fields[i].key);
    return st ? st
              : errmsg_set(e, STATUS_INVALID, "unknown key \"%.40s\"; there are %s", key,
                           keys.data);
}

/* What an INI file can hold: no control characters, no ';' (a comment), no blanks at the ends. */
static status check_text(const char *key, const char *value, struct errmsg *e)
{
    size_t n = strlen(value);
    if (n > VALUE_MAX)
        return errmsg_set(e, STATUS_INVALID,
                          "%s is longer than %d characters (use a shorter path, or a link)", key,
                          VALUE_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f || value[i] == ';')
            return errmsg_set(e, STATUS_INVALID, "%s holds a ';' or a control character", key);
    if (n > 0 && (value[0] == ' ' || value[n - 1] == ' '))
        return errmsg_set(e, STATUS_INVALID, "%s begins or ends with a blank", key);
    return STATUS_OK;
}

static status set_enum(const struct profile_field *f, const char *value, int *out, struct errmsg *e)
{
    int i = purify_name_find(f->names, (int)f->hi, value);
    if (i >= 0) {
        *out = i;
        return STATUS_OK;
    }
    return errmsg_set(e, STATUS_INVALID, "%s is \"%.40s\", not one of %s, %s%s%s", f->key, value,
                      f->names[0], f->names[1], f->hi > 2 ? ", " : "",
                      f->hi > 2 ? f->names[2] : "");
}

status profile_set(struct purify_profile *p, const struct profile_field *f, const char *value,
                   struct errmsg *e)
{
    void *at = (char *)p + f->offset;
    if (f->kind == PROFILE_ENUM)
        return set_enum(f, value, at, e);
    if (f->kind == PROFILE_TEXT) {
        status st = check_text(f->key, value, e);
        if (!st)
            snprintf(at, sizeof p->model, "%s", value);
        return st;
    }
    if (f->kind == PROFILE_INT ? purify_parse_int(value, (long)f->lo, (long)f->hi, at)
                               : purify_parse_float(value, f->lo, f->hi, at))
        return STATUS_OK;
    return errmsg_set(e, STATUS_INVALID, "%s is \"%.40s\", not %s from %g to %g", f->key, value,
                      f->kind == PROFILE_INT ? "a whole number" : "a number", f->lo, f->hi);
}

status purify_profile_set(struct purify_profile *p, const char *key, const char *value,
                          struct errmsg *e)
{
    const struct profile_field *f = profile_find(key);
    if (!f)
        return profile_unknown_key(key, e);
    return profile_set(p, f, value, e);
}

status profile_get(const struct purify_profile *p, const struct profile_field *f, struct buf *out)
{
    const void *at = (const char *)p + f->offset;
    switch (f->kind) {
    case PROFILE_TEXT:
        return buf_addf(out, "%s", (const char *)at);
    case PROFILE_INT:
        return buf_addf(out, "%d", *(const int *)at);
    case PROFILE_FLOAT:
        return buf_addf(out, "%.9g", (double)*(const float *)at);
    case PROFILE_ENUM:
        return buf_addf(out, "%s", f->names[*(const int *)at]);
    }
    return STATUS_INTERNAL;
}

/* A profile that was built in code is held to the same ranges as one that was read. */
static status check_field(const struct purify_profile *p, const struct profile_field *f,
                          struct errmsg *e)
{
    const void *at = (const char *)p + f->offset;
    double v = 0, hi = f->hi;
    if (f->kind == PROFILE_TEXT)
        return check_text(f->key, at, e);
    if (f->kind == PROFILE_FLOAT)
        v = (double)*(const float *)at;
    else
        v = *(const int *)at;
    if (f->kind == PROFILE_ENUM)
        hi -= 1;
    if (v >= f->lo && v <= hi)
        return STATUS_OK;
    return errmsg_set(e, STATUS_INVALID, "%s is %g, not within %g to %g", f->key, v, f->lo, hi);
}

bool profile_guides_pixel(const struct purify_profile *p)
{
    return p->guidance != PURIFY_GUIDE_NONE && p->pixel_scale > 0;
}

bool profile_guides_percept(const struct purify_profile *p)
{
    return p->guidance != PURIFY_GUIDE_NONE && p->perceptual_scale > 0;
}

/* ---- identity ---- */

static status add_canonical(const struct purify_profile *p, const struct profile_field *f,
                            struct buf *b)
{
    bool pixel = profile_guides_pixel(p), percept = profile_guides_percept(p);
    char hex[DIGEST_HEX_LEN + 1];
    if (f->offset == FIELD(model) || (f->offset == FIELD(percept) && percept)) {
        digest_hex(f->offset == FIELD(model) ? &p->model_digest : &p->percept_digest, hex);
        return buf_addf(b, "%s", hex);
    }
    if (f->offset == FIELD(percept) || (f->offset == FIELD(guidance) && !pixel && !percept))
        return buf_addf(b, "none");
    if ((f->offset == FIELD(pixel_scale) && !pixel) ||
        (f->offset == FIELD(perceptual_scale) && !percept))
        return buf_addf(b, "0");
    return profile_get(p, f, b);
}

status profile_id(const struct purify_profile *p, struct digest *out)
{
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    status st = buf_addf(&b, "relearnfs jcdp 1\n");
    for (int i = 0; i < PROFILE_FIELDS && !st; i++) {
        if (profile_fields[i].offset == FIELD(precision) && p->precision == NN_PREC_F32)
            continue;
        st = buf_addf(&b, "%s=", profile_fields[i].key);
        if (!st)
            st = add_canonical(p, &profile_fields[i], &b);
        if (!st)
            st = buf_addf(&b, "\n");
    }
    return st ? st : digest_sha256(&(struct digest_part){b.data, b.len}, 1, out);
}

/* ---- finishing ---- */

static status check_all(const struct purify_profile *p, const char **out_key, struct errmsg *e)
{
    for (int i = 0; i < PROFILE_FIELDS; i++) {
        *out_key = profile_fields[i].key;
        status st = check_field(p, &profile_fields[i], e);
        if (st)
            return st;
    }
    *out_key = "steps";
    if (p->steps > p->t_start)
        return errmsg_set(e, STATUS_INVALID, "steps is %d, more than t_start, %d", p->steps,
                          p->t_start);
    *out_key = "model";
    if (!p->model[0])
        return errmsg_set(e, STATUS_INVALID, "model is missing");
    *out_key = "percept";
    if (profile_guides_percept(p) && !p->percept[0])
        return errmsg_set(e, STATUS_INVALID, "percept is missing, but perceptual_scale is %g",
                          (double)p->perceptual_scale);
    return STATUS_OK;
}

/* The network and its digest against what the profile asks of it. */
static status take_unet(struct purify_profile *p, struct purify_unet *cfg, const char **out_key,
                        struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    *out_key = "model";
    status st = profile_weights_path(p->model, &path);
    if (!st)
        st = nn_file_open(path, &f, e);
    if (!st)
        st = purify_unet_from_file(f, cfg, e);
    if (!st)
        st = nn_file_digest(f, &p->model_digest);
    if (st)
        return st;
    *out_key = "t_start";
    if (p->t_start > cfg->t_max)
        return errmsg_set(e, STATUS_INVALID, "t_start is %d, but the model was trained on t < %d",
                          p->t_start, cfg->t_max);
    *out_key = "overlap";
    if (p->overlap >= cfg->size)
        return errmsg_set(e, STATUS_INVALID, "overlap is %d, not less than the model's tiles of %d",
                          p->overlap, cfg->size);
    return STATUS_OK;
}

static status take_percept(struct purify_profile *p, const struct purify_unet *unet,
                           const char **out_key, struct errmsg *e)
{
    if (!profile_guides_percept(p)) {
        p->percept[0] = 0;
        p->percept_digest = (struct digest){0};
        return STATUS_OK;
    }
    AUTO(mem_free) char *path = NULL;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct purify_percept_cfg cfg;
    *out_key = "percept";
    status st = profile_weights_path(p->percept, &path);
    if (!st)
        st = nn_file_open(path, &f, e);
    if (!st)
        st = purify_percept_from_file(f, &cfg, e);
    if (!st)
        st = purify_percept_check(&cfg, unet->size, unet->in_channels, e);
    return st ? st : nn_file_digest(f, &p->percept_digest);
}

status profile_finish(struct purify_profile *p, const char **out_key, struct errmsg *e)
{
    struct purify_profile q = *p;
    struct purify_unet unet;
    status st = check_all(&q, out_key, e);
    if (!st)
        st = take_unet(&q, &unet, out_key, e);
    if (!st)
        st = take_percept(&q, &unet, out_key, e);
    if (st)
        return st;
    *out_key = NULL;
    st = profile_id(&q, &q.id);
    if (!st)
        *p = q;
    return st;
}

status purify_profile_finish(struct purify_profile *p, struct errmsg *e)
{
    const char *key = NULL;
    return profile_finish(p, &key, e);
}

status purify_profile_text(const struct purify_profile *p, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&p->id, hex);
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    status st = buf_addf(&b, "# profile %s\n# id %s\n[purify]\n", p->name, hex);
    for (int i = 0; i < PROFILE_FIELDS && !st; i++) {
        const struct profile_field *f = &profile_fields[i];
        if (f->kind == PROFILE_TEXT && !*((const char *)p + f->offset))
            continue;
        st = buf_addf(&b, "%s = ", f->key);
        if (!st)
            st = profile_get(p, f, &b);
        if (!st)
            st = buf_addf(&b, "\n");
    }
    return st ? st : buf_add(out, b.data, b.len);
}

int purify_profile_evaluations(const struct purify_profile *p)
{
    return p->rounds * p->steps * p->average;
}
