#include "protect/targeted.h"

#include <string.h>

static status make_surrogate(struct protect_job *j, struct targeted *t, struct errmsg *e)
{
    const struct targeted_param *p = j->param;
    const struct nn_plan_options po = {.threads = j->threads, .precision = p->precision};
    const struct clean_recipe recipe = {.net = train_net_find(p->surrogate),
                                        .epochs = p->epochs,
                                        .batch = p->batch,
                                        .decay = t->recipe->decay,
                                        .sight = t->recipe->taught,
                                        .strength = p->strength,
                                        .rate = t->recipe->rate,
                                        .precision = p->precision};
    if (!recipe.net)
        return train_net_unknown(p->surrogate, e);
    status st = clean_surrogate_train(j, &recipe, &t->model, e);
    if (!st)
        st = train_attack_new(t->model, ATTACK_RUNNING, t->batch, &po, &t->attack, e);
    return st ? st : train_forward_new(t->model, t->batch, &po, false, &t->forward, e);
}

status targeted_prepare(struct protect_job *j, const struct targeted_recipe *recipe,
                        struct errmsg *e)
{
    const struct targeted_param *p = j->param;
    struct targeted *t = j->state = mem_zalloc(1, sizeof *t);
    if (!t)
        return STATUS_NOMEM;
    t->recipe = recipe;
    t->batch = clean_surrogate_batch(j, p->batch);
    t->frame = (struct shift_frame){j->info.width, j->info.height, j->info.channels};
    t->row = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    t->x = mem_alloc((size_t)t->batch * t->row * sizeof *t->x);
    t->seen = mem_alloc((size_t)t->batch * t->row * sizeof *t->seen);
    t->spare = mem_alloc((2 + STRONG_WORK) * t->row * sizeof *t->spare);
    t->label = mem_alloc((size_t)t->batch * sizeof *t->label);
    t->view = mem_zalloc((size_t)t->batch, sizeof *t->view);
    if (!t->x || !t->seen || !t->spare || !t->label || !t->view)
        return STATUS_NOMEM;
    status st = make_surrogate(j, t, e);
    return st ? st : targeted_descend(j, t, e);
}

status targeted_row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct targeted *t = j->state;
    (void)e;
    memcpy(out, t->kept.v + (size_t)i * t->row, t->row * sizeof *out);
    return STATUS_OK;
}

void targeted_describe(const struct protect_job *j, json_t *out)
{
    const struct targeted *t = j->state;
    clean_surrogate_describe(j, t->batch, out);
    json_object_set_new(out, "target_loss", json_real(t->best.loss));
    json_object_set_new(out, "target_error", json_real(t->best.error));
}

void targeted_done(struct protect_job *j)
{
    struct targeted *t = j->state;
    if (!t)
        return;
    train_forward_free(t->forward);
    train_attack_free(t->attack);
    train_model_free(t->model);
    floats_done(&t->made);
    floats_done(&t->kept);
    mem_free(t->x);
    mem_free(t->seen);
    mem_free(t->spare);
    mem_free(t->label);
    mem_free(t->view);
    mem_free(t);
}
