/* Training of a filter estimator. */
#include "estimator.h"

#include <math.h>

struct train_estimator_options train_estimator_default(void)
{
    struct purify_estimator cfg = purify_estimator_default();
    cfg.in_channels = 0;
    return (struct train_estimator_options){
        .cfg = cfg,
        .families = "blocks:22,filtered:40,autoregressive:10,waves:8,pixels:6,white:6,colour:8",
        .blur = .6f,
        .plain = .4f,
        .perturbed = .75f,
        .large = .3f,
        .fit = {.steps = 20000,
                .batch = 64,
                .warmup = 200,
                .lr = 2e-3f,
                .ema = .998f,
                .flip = true,
                .downscale = 1},
    };
}

static bool is_share(float v)
{
    return v >= 0 && v <= 1;
}

static status check_options(const struct train_estimator_options *o, struct errmsg *e)
{
    enum { BATCH_MAX = 1 << 16 }; /* an image's number is part of its stream's */
    status st = train_fit_check(&o->fit, e);
    if (st)
        return st;
    if (o->fit.batch > BATCH_MAX)
        return errmsg_set(e, STATUS_INVALID, "a batch of %d, over %d", o->fit.batch, BATCH_MAX);
    if (!(o->blur > 0 && o->blur <= 1))
        return errmsg_set(e, STATUS_INVALID, "entries of up to %g, not over 0 to 1",
                          (double)o->blur);
    if (!is_share(o->plain) || !is_share(o->perturbed) || !is_share(o->large))
        return errmsg_set(e, STATUS_INVALID, "shares must be 0 to 1");
    return STATUS_OK;
}

/* The network that is fine-tuned says what it is. */
static status read_from(struct estimator *s, struct errmsg *e)
{
    status st = train_fit_from(&s->fit, e);
    if (!st && s->fit.from) {
        st = purify_estimator_from_file(s->fit.from, &s->cfg, e);
        if (st)
            st = errmsg_prefix(e, st, "cannot start from %s", s->fit.opt->from);
    }
    return st;
}

/* Families that need neither an image nor a training of their own. */
static status choose_families(struct estimator *s, struct errmsg *e)
{
    status st = family_mix_parse(s->opt->families, &s->mix, e);
    for (int i = 0; i < s->mix.n && !st; i++) {
        const struct family_ops *ops = s->mix.entry[i].ops;
        if (!ops->make || ops->of_image)
            st = errmsg_set(e, STATUS_INVALID,
                            "family %s depends on the image: an estimator is trained without it",
                            ops->is.name);
    }
    return st;
}

static status open_data(struct estimator *s, struct errmsg *e)
{
    /* The loader gives pixels in [0,1]. */
    const struct fit_images images = {
        .size = s->cfg.size, .channels = s->cfg.in_channels, .std = 1};
    status st = train_fit_data(&s->fit, &images, e);
    if (st)
        return st;
    int c = s->cfg.in_channels = train_set_info(s->fit.set).channels;
    s->frame = (struct family_frame){s->cfg.size, s->cfg.size, c};
    s->row = family_count(s->frame);
    const struct family_source source = {.set = s->fit.set, .seed = s->fit.opt->seed, .group = 1};
    return family_mix_begin(&s->mix, &source, s->frame, e);
}

static status build(struct estimator *s, struct errmsg *e)
{
    struct fit *f = &s->fit;
    int size = s->cfg.size;
    status st = train_fit_graph(f);
    if (st)
        return st;
    struct nn_val x =
        nn_input(f->graph, "x", NN_F32, nn_shape4(f->batch, size, size, s->cfg.in_channels));
    struct nn_val target =
        nn_input(f->graph, "target", NN_F32, nn_shape2(f->batch, s->cfg.side * s->cfg.side));
    struct nn_val rest = nn_sub(f->graph, purify_estimator_build(f->graph, &s->cfg, x), target);
    /* The mean over images of |k - target|^2. */
    struct nn_val loss = nn_affine(f->graph, nn_mean(f->graph, nn_mul(f->graph, rest, rest)),
                                   (float)(s->cfg.side * s->cfg.side), 0);
    st = train_fit_plan(f, loss, e);
    if (st)
        return st;
    s->x = nn_plan_data(f->plan, x);
    s->target = nn_plan_data(f->plan, target);
    return STATUS_OK;
}

static status alloc(struct estimator *s)
{
    s->clean = mem_alloc(s->row);
    s->shown = mem_alloc(s->row);
    s->delta = mem_alloc(s->row * sizeof *s->delta);
    s->filtered = mem_alloc(s->row * sizeof *s->filtered);
    return s->clean && s->shown && s->delta && s->filtered ? STATUS_OK : STATUS_NOMEM;
}

static status set_up(struct estimator *s, struct errmsg *e)
{
    status st = check_options(s->opt, e);
    if (!st)
        st = read_from(s, e);
    if (!st) { /* before the data are opened: any number of channels that they can have will do */
        struct purify_estimator cfg = s->cfg;
        cfg.in_channels = cfg.in_channels ? cfg.in_channels : TRAIN_CHANNELS_MAX;
        st = purify_estimator_check(&cfg, e);
    }
    if (!st)
        st = choose_families(s, e);
    if (!st)
        st = open_data(s, e);
    if (!st)
        st = build(s, e);
    return st ? st : alloc(s);
}

static void done(struct estimator *s)
{
    mem_free(s->clean);
    mem_free(s->shown);
    mem_free(s->delta);
    mem_free(s->filtered);
    family_mix_done(&s->mix);
    train_fit_done(&s->fit);
}

static void describe(const void *arg, struct kv_list *m)
{
    const struct estimator *s = arg;
    const struct train_estimator_options *o = s->opt;
    struct purify_meta network;
    AUTO(buf_done) struct buf families = BUF_INIT(4096);
    purify_estimator_to_meta(&s->cfg, &network);
    for (int i = 0; i < network.n; i++)
        train_kv_add(m, network.pair[i].key, "%s", network.pair[i].value);
    status st = family_mix_text(&s->mix, &families);
    if (st && !m->st)
        m->st = st;
    train_kv_add(m, "train.families", "%s", st ? "" : families.data);
    train_kv_add(m, "train.blur", "%.9g", (double)o->blur);
    train_kv_add(m, "train.plain", "%.9g", (double)o->plain);
    train_kv_add(m, "train.perturbed", "%.9g", (double)o->perturbed);
    train_kv_add(m, "train.large", "%.9g", (double)o->large);
}

status train_estimator_run(const struct train_estimator_options *opt, struct train_fit_result *out,
                           struct errmsg *e)
{
    static const struct fit_ops ops = {.describe = describe, .load = train_estimator_load};
    struct estimator s = {.opt = opt, .cfg = opt->cfg, .fit = {.opt = &opt->fit, .ops = &ops}};
    s.fit.arg = &s;
    s.fit.last_mean = NAN;
    status st = set_up(&s, e);
    if (!st)
        st = train_fit_run(&s.fit, out, e);
    done(&s);
    return st;
}
