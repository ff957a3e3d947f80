/* A kernel for every step. */
#include "plan/plan.h"

/* Every bf16 value of the node goes back to f32. False when there was none. */
static bool demote(struct nn_plan *p, const struct nn_node *node)
{
    bool any = false;
    for (int k = 0; k < node->n_in + node->n_out; k++) {
        int id = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
        if (p->store[id] == NN_STORE_BF16) {
            p->store[id] = NN_STORE_F32;
            any = true;
        }
    }
    return any;
}

status nn_settle_kernels(struct nn_plan *p, struct errmsg *e)
{
    const struct nn_graph *g = p->program;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->n_nodes; i++) {
            const struct nn_op_impl *row = nn_op_row(g->nodes[i].op);
            if (row->view) {
                if (p->store[g->nodes[i].in[0]] != p->store[g->nodes[i].out[0]])
                    changed |= demote(p, &g->nodes[i]);
                continue;
            }
            struct nn_step s = nn_step_of(p, &g->nodes[i]);
            int depth;
            if (nn_kernel_pick(p->device, &s, NULL, &depth))
                continue;
            if (!demote(p, &g->nodes[i]))
                return errmsg_set(e, STATUS_UNSUPPORTED, "%s: no kernel of device %s takes it",
                                  row->name, p->device->name);
            changed = true;
        }
    }
    return STATUS_OK;
}

/* Gives the step the first kernel that supports it and can be prepared. */
static status prepare_step(struct nn_plan *p, struct nn_step *s, struct errmsg *e)
{
    status st = STATUS_UNSUPPORTED;
    for (;;) {
        int depth;
        const struct nn_kernel *k = nn_kernel_pick(p->device, s, s->kernel, &depth);
        if (!k)
            return st;
        s->kernel = k;
        s->device_ctx = depth < p->n_open ? p->device_ctx[depth] : NULL;
        s->scratch_bytes = s->packed_bytes = 0;
        st = k->prepare ? k->prepare(s, e) : STATUS_OK;
        if (st != STATUS_UNSUPPORTED)
            return st;
        if (k->drop)
            k->drop(s);
    }
}

status nn_prepare_steps(struct nn_plan *p, struct errmsg *e)
{
    const struct nn_graph *g = p->program;
    p->steps = mem_zalloc((size_t)g->n_nodes + 1, sizeof *p->steps);
    if (!p->steps)
        return STATUS_NOMEM;
    p->n_steps = g->n_nodes; /* steps[i] belongs to nodes[i]; a view's step has no kernel */
    for (int i = 0; i < g->n_nodes; i++) {
        const struct nn_op_impl *row = nn_op_row(g->nodes[i].op);
        p->steps[i] = nn_step_of(p, &g->nodes[i]);
        if (row->view)
            continue;
        struct nn_step *s = &p->steps[i];
        status st = prepare_step(p, s, e);
        if (st)
            return st;
        p->info.ops++;
        p->info.flops += row->flops ? row->flops(s) : 0;
        p->info.packed_bytes += nn_align(s->packed_bytes);
    }
    return STATUS_OK;
}
