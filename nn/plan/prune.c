/* Nodes whose results nobody needs are removed. */
#include "plan/rewrite.h"

void nn_compact(struct nn_graph *g)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op == NN_OP_GONE)
            continue;
        g->nodes[n] = g->nodes[i];
        for (int k = 0; k < g->nodes[n].n_out; k++)
            g->values[g->nodes[n].out[k]].node = n;
        n++;
    }
    g->n_nodes = n;
}

status nn_prune(struct nn_graph *g)
{
    AUTO(mem_free) bool *needed = mem_zalloc((size_t)g->n_values, sizeof *needed);
    if (!needed)
        return STATUS_NOMEM;
    for (int v = 1; v < g->n_values; v++)
        needed[v] = nn_value_kept(&g->values[v]);
    for (int i = g->n_nodes; i-- > 0;) {
        struct nn_node *node = &g->nodes[i];
        bool any = nn_node_writes(node) != 0;
        for (int k = 0; k < node->n_out; k++)
            any |= node->out[k] && needed[node->out[k]];
        if (!any) {
            node->op = NN_OP_GONE;
            continue;
        }
        for (int k = 0; k < node->n_out; k++)
            if (!needed[node->out[k]] && !(nn_op_row(node->op)->required >> k & 1))
                node->out[k] = 0;
        for (int k = 0; k < node->n_in; k++)
            needed[node->in[k]] = node->in[k] > 0;
    }
    nn_compact(g);
    return STATUS_OK;
}
