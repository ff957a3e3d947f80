/* Adversarial training (Madry et al. 2018): every step learns from images that were moved up the
   loss of the network as it is, in evaluation mode, and from no others. */
#include "attack.h"
#include "recipe.h"
#include "run.h"
#include "stream.h"

struct options {
    float eps, step;
    int steps;
    bool random_start;
};
static const struct param rows[] = {
    {"eps", PARAM_FLOAT, offsetof(struct options, eps), .lo = 0, .hi = 255, .standard = "8",
     .unit = "grey levels", .about = "how far a value may be moved"},
    {"step", PARAM_FLOAT, offsetof(struct options, step), .lo = 0, .hi = 255, .standard = "2",
     .unit = "grey levels", .about = "of one step"},
    {"steps", PARAM_INT, offsetof(struct options, steps), .lo = 1, .hi = 1000, .standard = "10",
     .about = "of an attack"},
    {"random_start", PARAM_BOOL, offsetof(struct options, random_start), .standard = "yes",
     .about = "begin anywhere within eps"},
};

struct state {
    struct attack *attack;
};

static status open_attack(struct run *r, struct errmsg *e)
{
    struct state *s = r->state;
    const struct nn_plan_options po = {.threads = r->threads, .precision = r->opt->precision};
    return train_attack_new(r->model, ATTACK_RUNNING, r->batch, &po, &s->attack, e);
}

static void close_attack(struct run *r)
{
    struct state *s = r->state;
    train_attack_free(s->attack);
}

static status batch(struct run *r)
{
    const struct options *o = r->params;
    struct attack *a = ((struct state *)r->state)->attack;
    struct attack_options how = {
        .eps = o->eps, .step = o->step, .steps = o->steps, .random_start = o->random_start};
    status st = train_attack_refresh(a);
    return st ? st
              : train_attack_pgd(a, &how, stream(r->opt->seed, STREAM_ATTACK, (uint64_t)r->at.step),
                                 r->label, r->in);
}

const struct recipe_ops recipe_adversarial = {
    .is = {.name = "adversarial",
           .summary = "on images that PGD moved up the loss: 10 steps of 2/255 within 8/255",
           .params = PARAM_TABLE(rows, struct options)},
    .state_size = sizeof(struct state),
    .open = open_attack,
    .close = close_attack,
    .batch = batch,
};
