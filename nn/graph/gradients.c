/*
 * Reverse-mode differentiation: appends the backward ops to the graph they differentiate.
 *
 * 1. wanted[v]: v is one of the values of wrt, or is computed from one (one walk forward).
 * 2. The gradient of the loss with respect to itself is ones.
 * 3. Nodes are visited last to first. When one's output has a gradient by then, it is complete (all
 *    readers stand later in the array), and the op's rule adds to the gradients of the inputs.
 */
#include "ops/op.h"

#include <string.h>

struct nn_grad {
    struct nn_graph *graph;
    bool *wanted; /* [n], by value id, values that existed when differentiation began */
    int *grad;    /* [n], id of the gradient so far, 0 = none */
    int n;
};

bool nn_grad_wanted(const struct nn_grad *gr, int id)
{
    return id > 0 && id < gr->n && gr->wanted[id];
}

struct nn_val nn_grad_of(const struct nn_grad *gr, int id)
{
    return (struct nn_val){id > 0 && id < gr->n ? gr->grad[id] : 0};
}

struct nn_graph *nn_grad_graph(struct nn_grad *gr)
{
    return gr->graph;
}

void nn_grad_affine(struct nn_grad *gr, const struct nn_node *node, enum nn_op data,
                    enum nn_op weights)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val x = {node->in[0]}, w = {node->in[1]}, b = {node->in[2]};
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    if (nn_grad_wanted(gr, x.id))
        nn_grad_add(gr, x.id,
                    nn_emit1(g, data, (struct nn_val[]){dy, w}, 2, node->attr, nn_val_shape(g, x)));
    bool want_b = nn_grad_wanted(gr, b.id);
    if (!nn_grad_wanted(gr, w.id) && !want_b)
        return;
    struct nn_node back = {.op = weights, .n_in = 2, .attr = node->attr};
    back.in[0] = x.id, back.in[1] = dy.id;
    struct nn_shape out[] = {nn_val_shape(g, w),
                             want_b ? nn_val_shape(g, b) : (struct nn_shape){0}};
    nn_emit(g, &back, out, 2);
    nn_grad_add(gr, w.id, (struct nn_val){back.out[0]});
    nn_grad_add(gr, b.id, (struct nn_val){back.out[1]});
}

void nn_grad_norm(struct nn_grad *gr, const struct nn_node *node, int n_in, enum nn_op back_op)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_node back = {.op = back_op, .n_in = n_in + 2, .attr = node->attr};
    struct nn_shape out[3] = {0};
    back.in[0] = nn_grad_of(gr, node->out[0]).id;
    for (int i = 0; i < n_in; i++)
        back.in[1 + i] = node->in[i];
    back.in[1 + n_in] = node->out[1];
    for (int i = 0; i < 3; i++)
        if (nn_grad_wanted(gr, node->in[i]))
            out[i] = g->values[node->in[i]].shape;
    nn_emit(g, &back, out, 3);
    for (int i = 0; i < 3; i++)
        nn_grad_add(gr, node->in[i], (struct nn_val){back.out[i]});
}

void nn_grad_add(struct nn_grad *gr, int id, struct nn_val contribution)
{
    if (gr->graph->st || !nn_grad_wanted(gr, id))
        return;
    gr->grad[id] = gr->grad[id] ? nn_add(gr->graph, (struct nn_val){gr->grad[id]}, contribution).id
                                : contribution.id;
}

static void spread_wanted(struct nn_grad *gr)
{
    const struct nn_graph *g = gr->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct nn_node *node = &g->nodes[i];
        bool any = false;
        for (int k = 0; k < node->n_in; k++)
            any |= nn_grad_wanted(gr, node->in[k]);
        if (any && node->out[0])
            gr->wanted[node->out[0]] = true;
    }
}

static void walk_back(struct nn_grad *gr, int n_nodes)
{
    struct nn_graph *g = gr->graph;
    for (int i = n_nodes; i-- > 0 && !g->st;) {
        const struct nn_node node = g->nodes[i]; /* a copy: the array moves when it grows */
        if (!nn_grad_of(gr, node.out[0]).id || !nn_grad_wanted(gr, node.out[0]))
            continue;
        const struct nn_op_impl *row = nn_op_row(node.op);
        if (row->gradient)
            row->gradient(gr, &node);
        else
            nn_fail(g, STATUS_INVALID, "%s: has no gradient", row->name);
    }
}

/* The value that will live in entry->grad: the direct result of a node, and nothing else's. */
static void bind_param_gradient(struct nn_grad *gr, int id)
{
    struct nn_graph *g = gr->graph;
    struct nn_val v = nn_grad_of(gr, id);
    if (!v.id)
        return;
    struct nn_param_entry *entry = g->values[id].param;
    for (int i = 1; i < g->n_values; i++)
        if (g->values[i].grad_of == entry) {
            nn_fail(g, STATUS_INVALID, "parameter %s: its gradient is taken twice in one graph",
                    entry->name);
            return;
        }
    const struct nn_value *value = nn_value(g, v);
    bool direct = value->source == NN_FROM_NODE && !value->grad_of && !value->is_output &&
                  value->node >= 0 && !nn_op_row(g->nodes[value->node].op)->view;
    if (!direct)
        v = nn_emit1(g, NN_OP_COPY, &v, 1, (struct nn_attr){0}, value->shape);
    if (v.id)
        g->values[v.id].grad_of = entry;
}

static bool trainable(const struct nn_value *v)
{
    return v->source == NN_FROM_PARAM && v->param->trainable;
}

static void differentiate(struct nn_grad *gr, struct nn_val loss, const struct nn_val *wrt, int n,
                          struct nn_val *out_grad, bool params)
{
    struct nn_graph *g = gr->graph;
    int n_nodes = g->n_nodes;
    for (int i = 0; i < n; i++)
        gr->wanted[wrt[i].id] = true;
    for (int i = 1; params && i < gr->n; i++)
        gr->wanted[i] |= trainable(&g->values[i]);
    spread_wanted(gr);
    gr->grad[loss.id] =
        nn_emit1(g, NN_OP_FILL, NULL, 0, (struct nn_attr){.scale = 1}, g->values[loss.id].shape).id;
    walk_back(gr, n_nodes);
    for (int i = 0; i < n && !g->st; i++) {
        out_grad[i] = nn_grad_of(gr, wrt[i].id);
        if (!out_grad[i].id || !gr->wanted[loss.id])
            nn_fail(g, STATUS_INVALID, "gradient %d: the loss does not depend on the value", i + 1);
    }
    for (int i = 1; params && i < gr->n && !g->st; i++)
        if (trainable(&g->values[i]))
            bind_param_gradient(gr, i);
}

static void gradients(struct nn_graph *g, struct nn_val loss, const struct nn_val *wrt, int n,
                      struct nn_val *out_grad, bool params)
{
    for (int i = 0; i < n; i++)
        out_grad[i] = NN_NONE;
    if (!nn_usable(g, "gradients", &loss, 1) || !nn_usable(g, "gradients", wrt, n))
        return;
    AUTO(mem_free) bool *wanted = mem_zalloc((size_t)g->n_values, sizeof *wanted);
    AUTO(mem_free) int *grad = mem_zalloc((size_t)g->n_values, sizeof *grad);
    if (!wanted || !grad) {
        nn_fail(g, STATUS_NOMEM, "gradients: out of memory");
        return;
    }
    struct nn_grad gr = {.graph = g, .wanted = wanted, .grad = grad, .n = g->n_values};
    differentiate(&gr, loss, wrt, n, out_grad, params);
    for (int i = 0; i < n && g->st; i++)
        out_grad[i] = NN_NONE;
}

void nn_gradients(struct nn_graph *g, struct nn_val loss, const struct nn_val *wrt, int n,
                  struct nn_val *out_grad)
{
    gradients(g, loss, wrt, n, out_grad, false);
}

void nn_param_gradients(struct nn_graph *g, struct nn_val loss, const struct nn_val *wrt, int n,
                        struct nn_val *out_grad)
{
    gradients(g, loss, wrt, n, out_grad, true);
}
