/*
 * Looks first, and acts only where there is something to act on. Before training, linear classifiers
 * try to read the class of images from faint noise, texture and single pixels alone (train_audit).
 * Where none can, training is the default recipe's, to the bit. Where one can, a network would learn
 * that instead of the picture, so it never sees it whole: every image is broken anew for each epoch,
 * in ways that leave the picture.
 *
 * Looking is a pure function of images and seed, so a run that is resumed looks again and keeps
 * nothing of it. It takes seconds: the square of the number of images decides.
 *
 * It is not the network's activations that are watched, because these tell too late: see train_acm.
 *
 * Accuracy after the last epoch, of resnet8 on 2,000 images of CIFAR-10 after 25 epochs, one seed: with
 * LSP .36 undefended and .45 so, with EMN-class .17 and .45, without a protection .47 in both. Where a
 * protection shows but hardly harms, breaking images costs a point or two. Of sets of which half the
 * images or fewer are protected by LSP, nothing is seen.
 */
#include "recipes/views.h"
#include "run.h"

#include <string.h>

struct options {
    int images;
    double from;
    char augment[PARAM_TEXT_MAX];
};
static const struct param rows[] = {
    {"images", PARAM_INT, offsetof(struct options, images), .lo = 16, .hi = TRAIN_AUDIT_LIMIT_MAX,
     .standard = "2000", .about = "training images that are looked at"},
    {"from", PARAM_DOUBLE, offsetof(struct options, from), .lo = 0, .hi = 1, .standard = "0.5",
     .about = "agreement, as of relearn audit, from which on images are broken"},
    {"augment", PARAM_TEXT, offsetof(struct options, augment),
     .standard = "grey:p=0.7,jpeg:least=10:most=40", .about = "what breaks them, as in --augment"},
};

struct state {
    struct train_audit_result found;
    bool signals;
    struct recipe_views views;
};

/* How many images: enough of each class, and not more than are trained on. */
static int how_many(const struct run *r)
{
    int n = ((const struct options *)r->params)->images;
    int least = TRAIN_AUDIT_EACH_MIN * train_set_info(r->set).classes;
    n = n < least ? least : n;
    n = n < TRAIN_AUDIT_LIMIT_MAX ? n : TRAIN_AUDIT_LIMIT_MAX;
    return r->opt->limit && r->opt->limit < n ? r->opt->limit : n;
}

/* Images as they are trained on: the same part of the set, of the same size and channels. */
static status look(struct run *r, struct errmsg *e)
{
    const struct options *o = r->params;
    const struct train_options *t = r->opt;
    struct state *s = r->state;
    const struct train_audit_options how = {.data = {.dir = t->data_dir,
                                                     .limit = how_many(r),
                                                     .size = t->size,
                                                     .channels = t->channels,
                                                     .skip_bad = t->skip_bad,
                                                     .threads = r->threads},
                                            .seed = t->seed,
                                            .quiet = t->quiet};
    status st = train_audit(&how, &s->found, e);
    s->signals = !st && s->found.sign[s->found.strongest].agreement >= o->from;
    return st ? errmsg_prefix(e, st, "recipe %s", r->recipe->is.name) : STATUS_OK;
}

static status open_detect(struct run *r, struct errmsg *e)
{
    struct state *s = r->state;
    status st = look(r, e);
    return st || !s->signals
               ? st
               : recipe_views_open(&s->views, r, ((const struct options *)r->params)->augment, e);
}

static void close_detect(struct run *r)
{
    recipe_views_done(&((struct state *)r->state)->views);
}

static status batch(struct run *r)
{
    const struct state *s = r->state;
    size_t row = recipe_views_row(r);
    status st = STATUS_OK;
    for (int i = 0; i < r->batch && s->signals && !st; i++) {
        float *image = r->in + (size_t)i * row;
        st = recipe_view(&s->views, r, 0, i, image, image);
    }
    return st;
}

static status check(const void *params, struct errmsg *e)
{
    return recipe_views_check(((const struct options *)params)->augment, e);
}

static void log_line(const struct run *r, json_t *line)
{
    const struct state *s = r->state;
    json_t *signs = json_object();
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++)
        json_object_set_new(signs, train_audit_signs[i], json_real(s->found.sign[i].agreement));
    json_object_set_new(line, "signs", signs);
    json_object_set_new(line, "agreement", json_real(s->found.sign[s->found.strongest].agreement));
    json_object_set_new(line, "broken", json_boolean(s->signals));
}

const struct recipe_ops recipe_detect = {
    .is = {.name = "detect",
           .summary = "standard, unless the class shows in faint structure: then on broken images",
           .params = PARAM_TABLE(rows, struct options)},
    .check = check,
    .state_size = sizeof(struct state),
    .open = open_detect,
    .close = close_detect,
    .batch = batch,
    .log = log_line,
};
