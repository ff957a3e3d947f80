/* The networks of a generation: a function of the seed, the generation and the row, whenever and in
   whatever order they are asked for. */
#include "families/gradients.h"

#include "loop.h"
#include "stream.h"

enum {
    BATCH = 32,
    LEAST_STEPS = 100,
    MOST_STEPS =
        160,    /* times six, for 2,000 steps of the restorer's, each of which costs far more */
    TOLD = 128, /* of the pool, to one of random labels: or it would learn none in this time */
    /* words of a network's stream */
    WORD_SEED = 0, /* two */
    WORD_LABELS = 2,
    WORD_STEPS,
    WORD_OF_STEP = 16,
    WORD_OF_SAMPLE = WORD_OF_STEP + MOST_STEPS * BATCH
};
static const float momentum = .9f, decay = 5e-4f, clip = 1;

void gradients_network_done(struct gradients_network *n)
{
    train_attack_free(n->attack);
    train_class_step_done(&n->learning);
    train_model_free(n->model);
    *n = (struct gradients_network){.generation = -1};
}

static status build(const struct gradients *s, int row, struct gradients_network *n,
                    struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = s->source.threads,
                                       .precision = s->source.precision};
    struct train_net_shape shape = {s->frame.width, s->frame.height, s->frame.channels,
                                    GRADIENTS_CLASSES};
    gradients_network_done(n); /* what a failure left */
    status st = model_alloc(&gradients_nets[row], shape, &n->model);
    if (!st)
        st = model_create_params(n->model, e);
    if (!st)
        st = train_class_step_new(n->model, BATCH, &po, &n->learning, e);
    return st ? st : train_attack_new(n->model, ATTACK_RUNNING, s->rows, &po, &n->attack, e);
}

int gradients_label(const struct gradients *s, const struct gradients_network *n, int sample)
{
    return n->random_labels ? stream_below(nn_rng_u32(n->r, WORD_OF_SAMPLE + (uint64_t)sample),
                                           GRADIENTS_CLASSES)
                            : gradients_true_class(&s->pool, sample);
}

/* ---- one training ---- */

struct training {
    const struct gradients *s;
    const struct gradients_network *n;
    int steps, done;
};

static status load(void *arg, const struct train_batch *none, struct errmsg *e)
{
    const struct training *t = arg;
    const struct gradients_pool *pool = &t->s->pool;
    const struct train_net *net = t->n->model->net;
    size_t row = family_count(t->s->frame);
    int told = t->n->random_labels && pool->n > TOLD ? TOLD : pool->n;
    (void)none;
    (void)e;
    for (int i = 0; i < BATCH; i++) {
        uint64_t word = WORD_OF_STEP + (uint64_t)(t->done * BATCH + i);
        int at = stream_below(nn_rng_u32(t->n->r, word), told);
        const uint8_t *from = pool->pixels + (size_t)at * row;
        float *x = t->n->learning.x + (size_t)i * row;
        for (size_t p = 0; p < row; p++)
            x[p] = ((float)from[p] / 255 - net->mean) / net->std;
        t->n->learning.label[i] = gradients_label(t->s, t->n, pool->sample[at]);
    }
    return STATUS_OK;
}

static float rate(const void *arg, int64_t step)
{
    const struct training *t = arg;
    return t->n->model->net->lr * (1 - (float)step / (float)t->steps);
}

static status after(void *arg, const struct train_batch *none, double loss, struct errmsg *e)
{
    struct training *t = arg;
    (void)none;
    (void)loss;
    (void)e;
    t->done++;
    return STATUS_OK;
}

static status learn(struct training *t, struct nn_optim *optim, struct errmsg *e)
{
    struct train_loop l = {.params = t->n->model->params,
                           .plan = t->n->learning.plan,
                           .loss = t->n->learning.loss,
                           .optim = optim,
                           .clip = clip,
                           .threads = t->s->source.threads,
                           .arg = t,
                           .load = load,
                           .rate = rate,
                           .after = after};
    status st = nn_plan_refresh(t->n->learning.plan);
    return st ? st : train_loop_run(&l, t->steps, e);
}

static status train(const struct gradients *s, struct gradients_network *n, uint64_t number,
                    struct errmsg *e)
{
    const struct nn_optim_options sgd = {
        .kind = NN_SGD, .momentum = momentum, .weight_decay = decay, .threads = s->source.threads};
    AUTO(nn_optim_free) struct nn_optim *optim = NULL;
    n->r = stream(s->source.seed, STREAM_NETWORK, number);
    n->random_labels = s->pool.folders < 2 || (nn_rng_u32(n->r, WORD_LABELS) & 1);
    uint64_t seed = (uint64_t)nn_rng_u32(n->r, WORD_SEED) << 32 | nn_rng_u32(n->r, WORD_SEED + 1);
    int more = stream_below(nn_rng_u32(n->r, WORD_STEPS), MOST_STEPS - LEAST_STEPS + 1);
    struct training t = {.s = s, .n = n, .steps = LEAST_STEPS + more};
    status st = nn_params_init(n->model->params, seed);
    if (!st)
        st = nn_optim_new(n->model->params, &sgd, &optim);
    if (!st)
        st = learn(&t, optim, e);
    return st ? st : train_attack_refresh(n->attack);
}

status gradients_network_at(struct gradients *s, uint64_t step, struct gradients_network **out,
                            struct errmsg *e)
{
    int64_t generation = (int64_t)(step / GRADIENTS_GENERATION);
    int row =
        stream_below(nn_rng_u32(stream(s->source.seed, STREAM_CRAFT, step), 0), GRADIENTS_NETS);
    struct gradients_network *n = &s->net[row];
    status st = gradients_pool_fill(s, generation, e);
    if (!st && !n->attack)
        st = build(s, row, n, e);
    if (!st && n->generation != generation) {
        n->generation = -1;
        st = train(s, n, (uint64_t)generation * GRADIENTS_NETS + (uint64_t)row, e);
        if (st)
            return errmsg_prefix(e, st, "a network (%s) of generation %lld", n->model->net->name,
                                 (long long)generation);
        n->generation = generation;
    }
    if (!st)
        *out = n;
    return st;
}
