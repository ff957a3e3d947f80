/*
 * Which values of a plan are bf16.
 *
 * f32 plans: none. bf16 plans: every intermediate (N,H,W,C) that is neither read by the caller nor
 * a parameter's gradient. (N), (N,C) and weights stay f32. "Weights" are also values of four
 * dimensions that a convolution reads as weights, the gradients of weights, and what is computed
 * from those element by element (their sum, where convolutions share weights). An f32 activation
 * that enters a convolution or attention (mostly the network's input) is cast once, by a COPY in
 * front of its first such reader.
 */
#include "plan/plan.h"

#include <string.h>

static bool intermediate(const struct nn_value *v)
{
    return v->source == NN_FROM_NODE && v->shape.rank == 4 && !v->is_output && !v->grad_of;
}

static void keep_weights(struct nn_plan *p, bool *gradient)
{
    const struct nn_graph *g = p->program;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct nn_node *node = &g->nodes[i];
        const struct nn_op_impl *row = nn_op_row(node->op);
        bool of_weights = row->weights_result;
        for (int k = 0; k < node->n_in; k++) {
            of_weights |= row->in_place >> k & 1 && gradient[node->in[k]];
            if (row->weights >> k & 1)
                p->store[node->in[k]] = NN_STORE_F32;
        }
        if (!of_weights || !node->out[0])
            continue;
        gradient[node->out[0]] = true;
        p->store[node->out[0]] = NN_STORE_F32;
    }
}

/* A view has its source's store: both f32 when one of them must be. */
static void settle_views(struct nn_plan *p)
{
    const struct nn_graph *g = p->program;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->n_nodes; i++) {
            const struct nn_node *node = &g->nodes[i];
            enum nn_store *a = &p->store[node->in[0]], *b = &p->store[node->out[0]];
            if (!nn_op_row(node->op)->view || *a == *b)
                continue;
            *(*a == NN_STORE_BF16 ? a : b) = NN_STORE_F32;
            changed = true;
        }
    }
}

static bool wants_cast(const struct nn_plan *p, const struct nn_node *node, int k)
{
    return node->in[k] && nn_op_row(node->op)->products >> k & 1 &&
           p->store[node->in[k]] == NN_STORE_F32 && p->program->values[node->in[k]].shape.rank == 4;
}

/* Rebuilds the node array with a COPY before the first reader of each value that needs one. */
static status add_casts(struct nn_plan *p)
{
    struct nn_graph *g = p->program;
    int n_nodes = g->n_nodes, n_values = g->n_values;
    AUTO(mem_free) struct nn_node *old = mem_alloc((size_t)n_nodes * sizeof *old);
    AUTO(mem_free) int *cast = mem_zalloc((size_t)n_values, sizeof *cast);
    if (!old || !cast)
        return STATUS_NOMEM;
    memcpy(old, g->nodes, (size_t)n_nodes * sizeof *old);
    g->n_nodes = 0;
    for (int i = 0; i < n_nodes; i++) {
        struct nn_node node = old[i];
        for (int k = 0; k < node.n_in; k++) {
            if (!wants_cast(p, &node, k))
                continue;
            int id = node.in[k];
            if (!cast[id])
                cast[id] = nn_emit1(g, NN_OP_COPY, &(struct nn_val){id}, 1, (struct nn_attr){0},
                                    g->values[id].shape)
                               .id;
            node.in[k] = cast[id];
        }
        struct nn_shape none[NN_OUT_MAX] = {0};
        int out[NN_OUT_MAX];
        memcpy(out, node.out, sizeof out);
        nn_emit(g, &node, none, node.n_out);
        if (g->st)
            return g->st;
        struct nn_node *placed = &g->nodes[g->n_nodes - 1];
        memcpy(placed->out, out, sizeof out);
        for (int k = 0; k < node.n_out; k++)
            g->values[out[k]].node = g->n_nodes - 1;
    }
    enum nn_store *store = mem_realloc(p->store, (size_t)g->n_values * sizeof *store);
    if (!store)
        return STATUS_NOMEM;
    p->store = store;
    for (int i = n_values; i < g->n_values; i++)
        store[i] = NN_STORE_BF16;
    return STATUS_OK;
}

status nn_choose_stores(struct nn_plan *p)
{
    const struct nn_graph *g = p->program;
    p->store = mem_zalloc((size_t)g->n_values, sizeof *p->store);
    if (!p->store)
        return STATUS_NOMEM;
    for (int i = 1; i < g->n_values; i++)
        p->store[i] = g->values[i].dtype == NN_I32                                  ? NN_STORE_I32
                      : p->precision == NN_PREC_BF16 && intermediate(&g->values[i]) ? NN_STORE_BF16
                                                                                    : NN_STORE_F32;
    if (p->precision != NN_PREC_BF16)
        return STATUS_OK;
    AUTO(mem_free) bool *gradient = mem_zalloc((size_t)g->n_values, sizeof *gradient);
    if (!gradient)
        return STATUS_NOMEM;
    keep_weights(p, gradient);
    settle_views(p);
    return add_casts(p);
}
