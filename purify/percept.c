/*
 * The perceptual distance: LPIPS (Zhang et al. 2018, eq. 1) over the features of a fixed network,
 *
 *     d(a,b) = sum_s mean_{h,w} sum_c l_sc (fa_shwc - fb_shwc)^2,
 *
 * f the features at depth s, scaled to unit length over their C_s channels, l_s the weights
 * lin.S.weight, or these divided by C_s where they are relative.
 */
#include "percept.h"

#include <assert.h>

#define UNIT_EPS 1e-10f /* as the released LPIPS code */

static const struct percept_net *const nets[] = {
    [PURIFY_PERCEPT_VGG] = &percept_vgg,
    [PURIFY_LPIPS_ALEXNET] = &lpips_alexnet,
    [PURIFY_LPIPS_VGG16] = &lpips_vgg16,
    [PURIFY_LPIPS_SQUEEZENET] = &lpips_squeezenet,
};
static_assert(ARRAY_LEN(nets) == PURIFY_PERCEPT_COUNT, "a row for each network");

const struct percept_net *percept_net(const struct purify_percept_cfg *cfg)
{
    CHECK((unsigned)cfg->net < PURIFY_PERCEPT_COUNT);
    return nets[cfg->net];
}

const char *purify_percept_name(const struct purify_percept_cfg *cfg)
{
    return percept_net(cfg)->name;
}

int purify_percept_features(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                            struct nn_val x, struct nn_val *out_feature)
{
    return percept_net(cfg)->features(g, cfg, x, out_feature);
}

void percept_lin(struct nn_graph *g, const struct nn_val *feature, int n, struct nn_val *out_lin)
{
    for (int s = 0; s < n; s++) {
        char name[32];
        snprintf(name, sizeof name, "lin.%d.weight", s);
        int channels = nn_val_shape(g, feature[s]).dim[3];
        out_lin[s] = nn_buffer(g, name, nn_shape1(channels), NN_INIT_ONE);
    }
}

struct nn_val purify_percept_distance(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                      struct nn_val a, struct nn_val b)
{
    struct nn_val fa[PURIFY_FEATURES_MAX], fb[PURIFY_FEATURES_MAX], lin[PURIFY_FEATURES_MAX];
    struct nn_val sum = NN_NONE;
    purify_percept_features(g, cfg, a, fa);
    int n = purify_percept_features(g, cfg, b, fb);
    percept_lin(g, fa, n, lin);
    for (int s = 0; s < n; s++) {
        struct nn_val d = nn_weighted_sq_diff(g, nn_unit_norm(g, fa[s], UNIT_EPS),
                                              nn_unit_norm(g, fb[s], UNIT_EPS), lin[s]);
        if (percept_net(cfg)->relative)
            d = nn_affine(g, d, 1.0f / (float)nn_val_shape(g, fa[s]).dim[3], 0);
        sum = s > 0 ? nn_add(g, sum, d) : d;
    }
    return sum;
}

status purify_percept_check(const struct purify_percept_cfg *cfg, int side, int channels,
                            struct errmsg *e)
{
    const struct percept_net *net = percept_net(cfg);
    bool fits = net->takes_grey ? channels == 1 || channels == 3 : channels == cfg->in_channels;
    if (!fits)
        return errmsg_set(e, STATUS_INVALID, "%s has %d channels, the model %d", net->name,
                          cfg->in_channels, channels);
    int least = net->min_side(cfg);
    if (side < least)
        return errmsg_set(e, STATUS_INVALID,
                          "%s wants images of at least %dx%d, and the model's tiles are %dx%d",
                          net->name, least, least, side, side);
    return STATUS_OK;
}

/* ---- metadata ---- */

void purify_percept_to_meta(const struct purify_percept_cfg *cfg, struct purify_meta *out)
{
    const struct percept_net *net = percept_net(cfg);
    out->n = 0;
    meta_add(out, "architecture", "%s", net->name);
    if (net->write)
        net->write(cfg, out);
}

status purify_percept_from_file(const struct nn_file *f, struct purify_percept_cfg *out,
                                struct errmsg *e)
{
    struct meta_reader r = {.file = f, .e = e};
    struct purify_percept_cfg c = {.in_channels = 3};
    const char *names[PURIFY_PERCEPT_COUNT];
    for (int i = 0; i < PURIFY_PERCEPT_COUNT; i++)
        names[i] = nets[i]->name;
    c.net = (enum purify_percept_net)meta_architecture(&r, names, PURIFY_PERCEPT_COUNT);
    if (!r.st && nets[c.net]->read)
        nets[c.net]->read(&r, &c);
    if (!r.st)
        *out = c;
    return r.st;
}
