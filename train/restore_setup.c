#include "restore.h"

struct train_restore_options train_restore_default(void)
{
    struct purify_restorer cfg = purify_restorer_default();
    cfg.in_channels = 0;
    return (struct train_restore_options){
        .cfg = cfg,
        .size = 32,
        .group = 4,
        .coherence = 1,
        .noise_share = .5f,
        .pair_share = .8f,
        .pair_transfer = .5f,
        .fit = {.steps = 20000,
                .batch = 32,
                .warmup = 200,
                .lr = 1.5e-3f,
                .ema = .999f,
                .flip = true,
                .downscale = 1},
    };
}

static status check_options(const struct train_restore_options *o, struct errmsg *e)
{
    enum {
        GROUPS_MAX = 1 << 16, /* of a step: their number is part of a stream's */
        SIZE_MAX_PX = 4096
    };
    status st = train_fit_check(&o->fit, e);
    if (st)
        return st;
    if (o->group < 1 || o->fit.batch / o->group > GROUPS_MAX)
        return errmsg_set(e, STATUS_INVALID, "a group of %d images, and %d groups at most",
                          o->group, GROUPS_MAX);
    if (o->size < 2 || o->size > SIZE_MAX_PX)
        return errmsg_set(e, STATUS_INVALID, "squares of %d pixels, not 2 to %d", o->size,
                          SIZE_MAX_PX);
    if (!(o->coherence >= 0 && o->coherence <= 1e6f))
        return errmsg_set(e, STATUS_INVALID, "the weight of coherence must not be negative");
    if (!(o->noise >= 0 && o->noise <= 255) || !(o->noise_share >= 0 && o->noise_share <= 1))
        return errmsg_set(e, STATUS_INVALID,
                          "noise of 0 to 255 grey levels, in a share of 0 to 1 of the groups");
    if (!(o->pair_share >= 0 && o->pair_share <= 1) ||
        !(o->pair_transfer >= 0 && o->pair_transfer <= 1))
        return errmsg_set(e, STATUS_INVALID, "shares of pairs must be 0 to 1");
    if (!o->pairs_clean != !o->pairs_protected)
        return errmsg_set(e, STATUS_INVALID, "pairs are of two trees, clean and protected");
    if (o->pair_limit < 0 || (o->pair_limit && !o->pairs_clean))
        return errmsg_set(e, STATUS_INVALID, "a limit of pairs needs pairs, and is not negative");
    return STATUS_OK;
}

/* Before the data are opened: any number of channels that they can have will do. */
static status check_network(const struct restore *r, struct errmsg *e)
{
    struct purify_restorer cfg = r->cfg;
    cfg.in_channels = cfg.in_channels ? cfg.in_channels : TRAIN_CHANNELS_MAX;
    status st = purify_restorer_check(&cfg, e);
    int unit = st ? 1 : purify_restorer_unit(&cfg), size = r->opt->size;
    if (!st && (size < unit || size % unit))
        st = errmsg_set(e, STATUS_INVALID,
                        "squares of %d pixels: this network wants a multiple of %d", size, unit);
    return st;
}

/* The network that is fine-tuned says what it is. */
static status read_from(struct restore *r, struct errmsg *e)
{
    status st = train_fit_from(&r->fit, e);
    if (!st && r->fit.from) {
        st = purify_restorer_from_file(r->fit.from, &r->cfg, e);
        if (st)
            st = errmsg_prefix(e, st, "cannot start from %s", r->fit.opt->from);
    }
    return st;
}

static status open_data(struct restore *r, struct errmsg *e)
{
    const struct train_restore_options *o = r->opt;
    /* The loader gives pixels in [0,1]. */
    const struct fit_images images = {
        .size = o->size, .channels = r->cfg.in_channels, .multiple = o->group, .std = 1};
    status st = train_fit_data(&r->fit, &images, e);
    if (st)
        return st;
    int c = r->cfg.in_channels = train_set_info(r->fit.set).channels;
    r->frame = (struct family_frame){o->size, o->size, c};
    r->row = family_count(r->frame);
    const struct family_source source = {.set = r->fit.set,
                                         .seed = o->fit.seed,
                                         .group = o->group,
                                         .flip = o->fit.flip,
                                         .threads = r->fit.threads,
                                         .precision = o->fit.precision};
    st = family_mix_begin(&r->mix, &source, r->frame, e);
    if (st || !o->pairs_clean)
        return st;
    const struct pairs_options pairs = {.clean_dir = o->pairs_clean,
                                        .protected_dir = o->pairs_protected,
                                        .limit = o->pair_limit,
                                        .size = o->size,
                                        .channels = c,
                                        .threads = r->fit.threads};
    return pairs_open(&pairs, &r->pairs, e);
}

/* The loss that train.h derives. */
static struct nn_val loss_of(const struct restore *r, struct nn_val predicted, struct nn_val target,
                             struct nn_val weight)
{
    struct nn_graph *g = r->fit.graph;
    int k = r->opt->group;
    struct nn_val rest = nn_mul_nc(g, nn_sub(g, predicted, target), weight);
    struct nn_val loss = nn_mean(g, nn_mul(g, rest, rest));
    if (k == 1 || r->opt->coherence == 0)
        return loss;
    /* (groups,K,1,values): the mean over K is a mean over space. */
    rest = nn_reshape(g, rest, nn_shape4(restore_groups(r), k, 1, (int)r->row));
    struct nn_val alike = nn_global_avg_pool(g, rest);
    struct nn_val square = nn_mean(g, nn_mul(g, alike, alike));
    return nn_add(g, loss, nn_affine(g, square, r->opt->coherence * (float)k, 0));
}

static status build(struct restore *r, struct errmsg *e)
{
    struct fit *f = &r->fit;
    int half = r->opt->size / 2;
    struct nn_shape shape = nn_shape4(f->batch, half, half, 4 * r->cfg.in_channels);
    status st = train_fit_graph(f);
    if (st)
        return st;
    struct nn_val x = nn_input(f->graph, "x", NN_F32, shape);
    struct nn_val target = nn_input(f->graph, "target", NN_F32, shape);
    struct nn_val weight =
        nn_input(f->graph, "weight", NN_F32, nn_shape2(f->batch, 4 * r->cfg.in_channels));
    struct nn_val predicted = purify_restorer_build(f->graph, &r->cfg, x);
    nn_output(f->graph, predicted, "predicted");
    st = train_fit_plan(f, loss_of(r, predicted, target, weight), e);
    if (st)
        return st;
    r->x = nn_plan_data(f->plan, x);
    r->target = nn_plan_data(f->plan, target);
    r->weight = nn_plan_data(f->plan, weight);
    r->predicted = nn_plan_data(f->plan, predicted);
    return STATUS_OK;
}

static status alloc(struct restore *r)
{
    size_t groups = (size_t)restore_groups(r);
    r->group = mem_zalloc(groups, sizeof *r->group);
    r->crafted_of = mem_zalloc(groups, sizeof *r->crafted_of);
    r->crafted = mem_alloc(groups * r->row * sizeof *r->crafted);
    r->clean = mem_alloc(r->row);
    r->carrying = mem_alloc(r->row);
    r->delta = mem_alloc(r->row * sizeof *r->delta);
    r->noise = mem_alloc(r->row * sizeof *r->noise);
    r->unfolded = mem_alloc(r->row * sizeof *r->unfolded);
    r->kinds = restore_noise_kind(r) + 1;
    bool all = r->group && r->crafted_of && r->crafted && r->clean && r->carrying && r->delta &&
               r->noise && r->unfolded;
    return all ? STATUS_OK : STATUS_NOMEM;
}

status train_restore_setup(struct restore *r, struct errmsg *e)
{
    status st = check_options(r->opt, e);
    if (!st)
        st = read_from(r, e);
    if (!st)
        st = check_network(r, e);
    if (!st)
        st = family_mix_parse(r->opt->families, &r->mix, e);
    if (!st)
        st = open_data(r, e);
    if (!st)
        st = build(r, e);
    return st ? st : alloc(r);
}

void train_restore_done(struct restore *r)
{
    mem_free(r->group);
    mem_free(r->crafted_of);
    mem_free(r->crafted);
    mem_free(r->clean);
    mem_free(r->carrying);
    mem_free(r->delta);
    mem_free(r->noise);
    mem_free(r->unfolded);
    pairs_done(&r->pairs);
    family_mix_done(&r->mix);
    train_fit_done(&r->fit);
}
