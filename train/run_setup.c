/* What a run is made of: options that are checked, sets, the network and its plans. */
#include "run.h"

#include <string.h>

enum { EVAL_BATCH = 256, PROBE_DEFAULT = 1000 };

struct train_options train_options_default(void)
{
    return (struct train_options){.arch = "resnet18",
                                  .recipe = "standard",
                                  .epochs = 60, /* the common recipe of the papers' tables */
                                  .batch = 128,
                                  .momentum = .9f,
                                  .weight_decay = 5e-4f,
                                  .clip = 5,
                                  .pad = 4,
                                  .flip = true,
                                  .test_every = 1};
}

status train_run_check(const struct train_options *o, struct errmsg *e)
{
    if (!o->data_dir || !o->out_dir || !o->arch || !o->recipe)
        return errmsg_set(e, STATUS_INVALID, "data, out, arch and recipe must be given");
    if (!train_net_find(o->arch))
        return train_net_unknown(o->arch, e);
    if (!recipe_find(o->recipe))
        return recipe_unknown(o->recipe, e);
    if (o->epochs < 1 || o->batch < 1 || o->pad < 0 || o->warmup < 0 || o->test_every < 0)
        return errmsg_set(e, STATUS_INVALID, "epochs and batch must be positive");
    if (!(o->lr >= 0) || !(o->momentum >= 0) || !(o->weight_decay >= 0) || !(o->clip >= 0))
        return errmsg_set(e, STATUS_INVALID,
                          "learning rate, momentum, weight decay and clip may not be negative");
    if (o->probe < 0 || o->probe == 1)
        return errmsg_set(e, STATUS_INVALID, "the ACM of less than 2 images says nothing");
    if (o->probe && !o->acm && !recipe_find(o->recipe)->measures)
        return errmsg_set(e, STATUS_INVALID,
                          "recipe %s measures no ACM that images could be chosen for (use --acm)",
                          o->recipe);
    if (o->sal_images < 0)
        return errmsg_set(e, STATUS_INVALID, "the SAL of less than 1 image says nothing");
    if (o->sal_images && !o->sal)
        return errmsg_set(e, STATUS_INVALID,
                          "no SAL is measured that images could be chosen for (use --sal)");
    return train_precision_check(o->precision, e);
}

static status open_sets(struct run *r, struct errmsg *e)
{
    const struct train_options *o = r->opt;
    struct train_data_options d = {.dir = o->data_dir,
                                   .limit = o->limit,
                                   .size = o->size,
                                   .channels = o->channels,
                                   .skip_bad = o->skip_bad,
                                   .threads = r->threads};
    status st = train_set_open(&d, &r->set, e);
    if (st || !o->test_dir)
        return st;
    struct train_set_info info = train_set_info(r->set);
    d.dir = o->test_dir;
    d.limit = o->test_limit;
    d.channels = info.channels;
    st = train_set_open(&d, &r->test, e);
    if (st)
        return st;
    struct train_set_info test = train_set_info(r->test);
    if (test.classes != info.classes)
        return errmsg_set(e, STATUS_INVALID, "%s has %d classes, %s has %d", o->test_dir,
                          test.classes, o->data_dir, info.classes);
    for (int k = 0; k < info.classes; k++)
        if (strcmp(train_set_class(r->set, k), train_set_class(r->test, k)) != 0)
            return errmsg_set(e, STATUS_INVALID, "class %d is \"%s\" in %s, \"%s\" in %s", k,
                              train_set_class(r->set, k), o->data_dir, train_set_class(r->test, k),
                              o->test_dir);
    if (test.width != info.width || test.height != info.height)
        return errmsg_set(e, STATUS_INVALID, "images of %s are %dx%d, of %s %dx%d (use --size)",
                          o->test_dir, test.width, test.height, o->data_dir, info.width,
                          info.height);
    return STATUS_OK;
}

static status make_model(struct run *r, struct errmsg *e)
{
    struct train_set_info info = train_set_info(r->set);
    struct train_net_shape shape = {info.width, info.height, info.channels, info.classes};
    const struct train_net *net = train_net_find(r->opt->arch);
    r->lr = r->opt->lr > 0 ? r->opt->lr : net->lr;
    r->batch = r->opt->batch < info.samples ? r->opt->batch : info.samples;
    status st = train_model_new(net, shape, r->set, &r->model);
    if (!st)
        st = train_run_open_init(r, e);
    return st ? st : train_run_init_params(r);
}

static struct nn_plan_options plan_options(const struct run *r)
{
    return (struct nn_plan_options){.threads = r->threads, .precision = r->opt->precision};
}

static status make_plan(struct run *r, struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(r);
    struct train_net_shape s = r->model->shape;
    status st = nn_graph_new(r->model->params, &r->graph);
    if (st)
        return st;
    struct nn_graph *g = r->graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(r->batch, s.height, s.width, s.channels));
    struct nn_val logits = r->model->net->build(g, s, x, true, NULL);
    struct nn_val loss = nn_mean(g, recipe_loss_of(r->recipe)->build(r, g, logits));
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    nn_output(g, logits, "logits");
    st = nn_plan_new(g, &po, &r->plan, e);
    if (st)
        return st;
    nn_plan_seed(r->plan, r->opt->seed, 0);
    r->in = nn_plan_data(r->plan, x);
    r->label = mem_zalloc((size_t)r->batch, sizeof *r->label);
    if (!r->label)
        return STATUS_NOMEM;
    r->loss = nn_plan_data(r->plan, loss);
    r->logits = nn_plan_data(r->plan, logits);
    struct nn_optim_options oo = {.kind = NN_SGD,
                                  .momentum = r->opt->momentum,
                                  .weight_decay = r->opt->weight_decay,
                                  .threads = r->threads};
    return nn_optim_new(r->model->params, &oo, &r->optim);
}

static void change_image(const void *run, int sample, float *x)
{
    const struct run *r = run;
    r->recipe->image(r, sample, x);
}

static status make_loaders(struct run *r, struct errmsg *e)
{
    const struct train_options *o = r->opt;
    AUTO(buf_done) struct buf augment = BUF_INIT(1 << 16);
    status st = buf_addf(&augment, "%s", o->augment ? o->augment : "");
    if (!st && r->recipe->augment)
        st = r->recipe->augment(r->params, &augment);
    if (st)
        return st;
    struct train_loader_options lo = train_forward_loader(r->model, r->batch, r->threads);
    lo.shuffle = lo.drop_last = true;
    lo.pad = o->pad;
    lo.flip = o->flip;
    lo.augment = augment.data;
    lo.image = r->recipe->image ? change_image : NULL;
    lo.image_arg = r;
    lo.seed = o->seed;
    st = train_loader_new(r->set, &lo, &r->loader, e);
    if (st || !r->test)
        return st;
    int n = train_set_info(r->test).samples;
    lo = train_forward_loader(r->model, n < EVAL_BATCH ? n : EVAL_BATCH, r->threads);
    return train_loader_new(r->test, &lo, &r->test_loader, e);
}

static status make_measures(struct run *r, struct errmsg *e)
{
    bool acm = r->recipe->measures || r->opt->acm;
    if (!acm && !r->test)
        return STATUS_OK;
    const struct nn_plan_options po = plan_options(r);
    int n = r->test ? train_set_info(r->test).samples : EVAL_BATCH;
    status st =
        train_forward_new(r->model, n < EVAL_BATCH ? n : EVAL_BATCH, &po, acm, &r->forward, e);
    if (st || !acm)
        return st;
    r->probe_images = r->opt->probe ? r->opt->probe : PROBE_DEFAULT;
    return train_probe_new(r->set, r->model, r->probe_images, r->opt->seed, &r->probe, e);
}

static status make_sal(struct run *r, struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(r);
    if (!r->opt->sal)
        return STATUS_OK;
    r->sal_images = r->opt->sal_images ? r->opt->sal_images : TRAIN_SAL_IMAGES;
    status st = train_probe_new(r->set, r->model, r->sal_images, r->opt->seed, &r->sal_probe, e);
    if (st)
        return st;
    const struct sal_images images = train_probe_images(r->sal_probe);
    return train_sal_new(r->model, &images, &po, &r->sal, e);
}

status train_run_setup(struct run *r, struct errmsg *e)
{
    const struct recipe_ops *recipe = r->recipe;
    status st = recipe_params_new(recipe, r->opt->recipe_arg, r->opt->n_recipe_args, &r->params, e);
    if (!st && recipe->state_size && !(r->state = mem_zalloc(1, recipe->state_size)))
        st = STATUS_NOMEM;
    if (!st)
        st = open_sets(r, e);
    if (!st)
        st = make_model(r, e);
    if (!st)
        st = make_plan(r, e);
    if (!st)
        st = make_loaders(r, e);
    if (!st)
        st = make_measures(r, e);
    if (!st)
        st = make_sal(r, e);
    return !st && recipe->open ? recipe->open(r, e) : st;
}

void train_run_done(struct run *r)
{
    if (r->recipe->close && r->state)
        r->recipe->close(r);
    mem_free(r->state);
    mem_free(r->params);
    mem_free(r->label);
    out_tree_done(&r->dirs);
    train_sal_free(r->sal);
    train_probe_free(r->sal_probe);
    train_probe_free(r->probe);
    train_forward_free(r->forward);
    nn_optim_free(r->optim);
    nn_plan_free(r->plan);
    nn_graph_free(r->graph);
    train_loader_free(r->test_loader);
    train_loader_free(r->loader);
    train_model_free(r->from);
    train_model_free(r->model);
    train_set_free(r->test);
    train_set_free(r->set);
}
