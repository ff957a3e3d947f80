#include "recipes/losses.h"

#include "run.h"

#include <string.h>

/* ---- labels ---- */

static struct nn_val label_build(struct run *r, struct nn_graph *g, struct nn_val logits)
{
    r->loss_input = nn_input(g, "label", NN_I32, nn_shape1(r->batch));
    return nn_softmax_xent(g, logits, r->loss_input);
}

static void label_load(struct run *r)
{
    memcpy(nn_plan_data(r->plan, r->loss_input), r->label, (size_t)r->batch * sizeof *r->label);
}

const struct recipe_loss recipe_label_loss = {.build = label_build, .load = label_load};

/* ---- class weights ---- */

static struct nn_val target_build(struct run *r, struct nn_graph *g, struct nn_val logits)
{
    struct nn_shape s = nn_shape2(r->batch, r->model->shape.classes);
    r->loss_input = nn_input(g, "target", NN_F32, s);
    return nn_soft_xent(g, logits, r->loss_input);
}

static void target_load(struct run *r)
{
    int classes = r->model->shape.classes;
    r->target = nn_plan_data(r->plan, r->loss_input);
    for (int i = 0; i < r->batch; i++)
        for (int k = 0; k < classes; k++)
            r->target[(size_t)i * (size_t)classes + (size_t)k] = r->label[i] == k;
}

const struct recipe_loss recipe_target_loss = {.build = target_build, .load = target_load};
