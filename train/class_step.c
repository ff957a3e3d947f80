#include "class_step.h"

status train_class_step_new(const struct train_model *m, int batch,
                            const struct nn_plan_options *po, struct class_step *out,
                            struct errmsg *e)
{
    struct train_net_shape in = m->shape;
    struct class_step s = {.graph = NULL};
    status st = nn_graph_new(m->params, &s.graph);
    if (st)
        return st;
    struct nn_graph *g = s.graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, in.height, in.width, in.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(batch));
    struct nn_val logits = m->net->build(g, in, x, true, NULL);
    struct nn_val loss = nn_mean(g, nn_softmax_xent(g, logits, label));
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    st = nn_plan_new(g, po, &s.plan, e);
    if (st) {
        train_class_step_done(&s);
        return st;
    }
    s.x = nn_plan_data(s.plan, x);
    s.label = nn_plan_data(s.plan, label);
    s.loss = nn_plan_data(s.plan, loss);
    *out = s;
    return STATUS_OK;
}

void train_class_step_done(struct class_step *s)
{
    nn_plan_free(s->plan);
    nn_graph_free(s->graph);
    *s = (struct class_step){.graph = NULL};
}
