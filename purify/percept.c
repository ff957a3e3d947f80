/*
 * The perceptual distance: LPIPS (Zhang et al. 2018, eq. 1) over a small VGG-like body,
 *
 *     d(a,b) = sum_s mean_{h,w} sum_c w_sc / C_s (fa_shwc - fb_shwc)^2,
 *
 * f the activations of stage s, scaled to unit length over their C_s channels. w_s is lin.S.weight,
 * relative to the mean over channels: it is 1 unless somebody learned it.
 */
#include "meta.h"
#include "names.h"

#define ARCHITECTURE "percept-vgg"
#define UNIT_EPS 1e-10f /* as the released LPIPS code */

enum { WIDTH_MAX = 2048, CLASSES_MAX = 1 << 20 };

static struct nn_val layer_param(struct nn_graph *g, int stage, const char *leaf, struct nn_shape s,
                                 enum nn_init init)
{
    char name[NN_NAME_MAX];
    snprintf(name, sizeof name, "stage.%d.%s", stage, leaf);
    return nn_param(g, name, s, init);
}

static struct nn_val conv_relu(struct nn_graph *g, struct nn_val x, int stage, int index, int in,
                               int out)
{
    char weight[16], bias[16];
    snprintf(weight, sizeof weight, "conv%d.weight", index);
    snprintf(bias, sizeof bias, "conv%d.bias", index);
    struct nn_val w = layer_param(g, stage, weight, nn_shape4(out, in, 3, 3), NN_INIT_KAIMING);
    struct nn_val b = layer_param(g, stage, bias, nn_shape1(out), NN_INIT_ZERO);
    return nn_act(g, nn_conv2d(g, x, w, b, nn_conv_same(3, 1)), NN_RELU);
}

static struct nn_val lin_weight(struct nn_graph *g, const struct purify_percept_cfg *cfg, int stage)
{
    char name[NN_NAME_MAX];
    snprintf(name, sizeof name, "lin.%d.weight", stage);
    return nn_buffer(g, name, nn_shape1(cfg->width[stage]), NN_INIT_ONE);
}

void purify_percept_features(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                             struct nn_val x, struct nn_val *out_feature)
{
    CHECK(cfg->stages >= 1 && cfg->stages <= PURIFY_LEVELS_MAX);
    int in = cfg->in_channels;
    for (int s = 0; s < cfg->stages; s++) {
        if (s > 0)
            x = nn_max_pool(g, x, (struct nn_pool){.kernel = 2, .stride = 2});
        x = conv_relu(g, x, s, 1, in, cfg->width[s]);
        x = conv_relu(g, x, s, 2, cfg->width[s], cfg->width[s]);
        out_feature[s] = x;
        in = cfg->width[s];
    }
}

struct nn_val purify_percept_logits(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                    struct nn_val x)
{
    struct nn_val feature[PURIFY_LEVELS_MAX];
    purify_percept_features(g, cfg, x, feature);
    for (int s = 0; s < cfg->stages; s++)
        lin_weight(g, cfg, s); /* so that a saved classifier is a whole distance */
    int width = cfg->width[cfg->stages - 1];
    struct nn_val w =
        nn_param(g, "head.weight", nn_shape2(cfg->classes, width), NN_INIT_UNIFORM_FANIN);
    struct nn_val b = nn_param(g, "head.bias", nn_shape1(cfg->classes), NN_INIT_ZERO);
    return nn_linear(g, nn_global_avg_pool(g, feature[cfg->stages - 1]), w, b);
}

struct nn_val purify_percept_distance(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                      struct nn_val a, struct nn_val b)
{
    struct nn_val fa[PURIFY_LEVELS_MAX], fb[PURIFY_LEVELS_MAX], sum = NN_NONE;
    purify_percept_features(g, cfg, a, fa);
    purify_percept_features(g, cfg, b, fb);
    for (int s = 0; s < cfg->stages; s++) {
        struct nn_val d =
            nn_weighted_sq_diff(g, nn_unit_norm(g, fa[s], UNIT_EPS),
                                nn_unit_norm(g, fb[s], UNIT_EPS), lin_weight(g, cfg, s));
        d = nn_affine(g, d, 1.0f / (float)cfg->width[s], 0);
        sum = s > 0 ? nn_add(g, sum, d) : d;
    }
    return sum;
}

/* ---- metadata ---- */

void purify_percept_to_meta(const struct purify_percept_cfg *cfg, struct purify_meta *out)
{
    out->n = 0;
    meta_add(out, "architecture", ARCHITECTURE);
    meta_add(out, "in_channels", "%d", cfg->in_channels);
    meta_add_list(out, "width", cfg->width, cfg->stages);
    meta_add(out, "classes", "%d", cfg->classes);
}

status purify_percept_from_file(const struct nn_file *f, struct purify_percept_cfg *out,
                                struct errmsg *e)
{
    struct meta_reader r = {.file = f, .e = e};
    struct purify_percept_cfg c = {0};
    meta_expect(&r, ARCHITECTURE);
    meta_int(&r, "in_channels", 1, 3, &c.in_channels);
    meta_list(&r, "width", PURIFY_LEVELS_MAX, c.width, &c.stages);
    meta_int(&r, "classes", 1, CLASSES_MAX, &c.classes);
    if (r.st)
        return r.st;
    bool good = c.stages >= 1 && c.in_channels != 2;
    for (int s = 0; s < c.stages; s++)
        good = good && c.width[s] >= 1 && c.width[s] <= WIDTH_MAX;
    if (!good)
        return errmsg_set(e, STATUS_INVALID, "the weights file's stages make no network");
    *out = c;
    return STATUS_OK;
}
