/*
 * LPIPS from two published files: torchvision's network, whose tensors have the same names as ours
 * (lpips.c), and LPIPS's linear layers.
 */
#include "import.h"
#include "percept.h"

#include <string.h>

/* Large enough for every network; the parameters do not depend on it. */
enum { DECLARE_SIDE = 64 };

/* Declares the parameters of the features and, where out_n asks for their number, of the linear
   layers. */
static status declare(struct nn_params *p, const struct purify_percept_cfg *cfg, int *out_n,
                      struct errmsg *e)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    struct nn_val feature[PURIFY_FEATURES_MAX], lin[PURIFY_FEATURES_MAX];
    status st = nn_graph_new(p, &g);
    if (st)
        return st;
    struct nn_shape s = nn_shape4(1, DECLARE_SIDE, DECLARE_SIDE, cfg->in_channels);
    int n = purify_percept_features(g, cfg, nn_input(g, "x", NN_F32, s), feature);
    if (out_n)
        percept_lin(g, feature, n, lin);
    st = nn_graph_status(g, e);
    if (!st && out_n)
        *out_n = n;
    return st;
}

/* How many of the network's parameters the file has a tensor for, of the same shape. */
static int matches(const struct import_source *s, struct nn_params *p)
{
    int n = 0;
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *q = nn_params_at(p, i);
        const struct nn_file_tensor *t = import_find(s, "%s", q->name);
        n += t && nn_shape_equal(t->shape, q->shape);
    }
    return n;
}

/* The network that most of the tensors are of, with its parameters; so that the error message for a
   faulty file names its fault. */
static status recognise(const struct import_source *s, struct purify_percept_cfg *out,
                        struct nn_params **out_params, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *best = NULL;
    int most = 0;
    for (int i = 0; i < PURIFY_PERCEPT_COUNT; i++) {
        AUTO(nn_params_free) struct nn_params *p = NULL;
        struct purify_percept_cfg cfg = {.net = (enum purify_percept_net)i, .in_channels = 3};
        if (!percept_net(&cfg)->published)
            continue;
        status st = nn_params_new(&p);
        if (!st)
            st = declare(p, &cfg, NULL, e);
        if (st)
            return st;
        int n = matches(s, p);
        if (n > most) {
            nn_params_free(best);
            best = TAKE(p);
            most = n;
            *out = cfg;
        }
    }
    if (!best)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "no tensor has the name and shape of one in torchvision's alexnet, vgg16 "
                          "or squeezenet1_1");
    *out_params = TAKE(best);
    return STATUS_OK;
}

/* ---- the linear layers ---- */

static void lin_name(int layer, char out[32])
{
    snprintf(out, 32, "lin%d.model.1.weight", layer);
}

/* Every tensor of the file is one of the n layers. */
static status check_lin_used(const struct nn_file *f, int n, struct errmsg *e)
{
    for (int i = 0; i < nn_file_count(f); i++) {
        const char *name = nn_file_at(f, i)->name;
        bool used = false;
        for (int s = 0; s < n && !used; s++) {
            char expected[32];
            lin_name(s, expected);
            used = strcmp(name, expected) == 0;
        }
        if (!used)
            return import_no_place(e, name, "is none of this network's linear layers");
    }
    return STATUS_OK;
}

static status load_one_lin(const struct nn_file *f, int layer, struct nn_param_entry *q,
                           struct errmsg *e)
{
    char name[32];
    lin_name(layer, name);
    const struct nn_file_tensor *t = nn_file_find(f, name);
    int channels = q->shape.dim[0];
    if (!t)
        return import_no_place(e, name, "is missing");
    if (!nn_shape_equal(t->shape, nn_shape4(1, channels, 1, 1)))
        return import_no_place(e, name, "has another shape than this network's");
    status st = nn_file_read_f32(t, q->value, (size_t)channels);
    if (st)
        return import_no_place(e, name,
                               st == STATUS_LIMIT ? "holds a value beyond the range of f32"
                                                  : "holds no floats");
    for (int i = 0; i < channels; i++)
        if (!(q->value[i] >= 0))
            return import_no_place(e, name, "has weights below 0: that makes no distance");
    return STATUS_OK;
}

static status load_lin(const struct nn_file *f, struct nn_params *p, int n, struct errmsg *e)
{
    status st = check_lin_used(f, n, e);
    for (int s = 0; s < n && !st; s++) {
        char name[32];
        snprintf(name, sizeof name, "lin.%d.weight", s);
        st = load_one_lin(f, s, nn_params_find(p, name), e);
    }
    return st;
}

/* ---- both ---- */

static status save(const struct import_source *s, const struct nn_file *linear,
                   const struct nn_params *p, const struct purify_percept_cfg *cfg,
                   const char *path, struct errmsg *e)
{
    struct purify_meta meta;
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    status st = nn_file_digest(linear, &digest);
    if (st)
        return st;
    digest_hex(&digest, hex);
    purify_percept_to_meta(cfg, &meta);
    meta.pair[meta.n++] = (struct nn_meta){"linear_sha256", hex};
    return import_save(s, p, &meta, path, e);
}

status purify_lpips_import(const struct purify_lpips_import *how, const char *out_path,
                           struct purify_percept_cfg *out, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    struct import_source s;
    struct purify_percept_cfg cfg;
    int n = 0;
    status st = import_open(how->backbone, how->prefix, "features.0.weight",
                            "torchvision AlexNet, VGG-16 or SqueezeNet 1.1", &s, e);
    if (!st)
        st = recognise(&s, &cfg, &p, e);
    if (!st && (st = import_load(&s, "classifier.", p, e)))
        return errmsg_prefix(e, st, "%s", percept_net(&cfg)->published);
    if (!st)
        st = declare(p, &cfg, &n, e);
    if (!st && (st = load_lin(how->linear, p, n, e)))
        return errmsg_prefix(e, st, "linear layers for %s", percept_net(&cfg)->published);
    if (!st)
        st = save(&s, how->linear, p, &cfg, out_path, e);
    if (!st)
        *out = cfg;
    return st;
}
