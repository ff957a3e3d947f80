/* Memory for values, scratch and packed weights, and every pointer into it. */
#include "plan/plan.h"

#include <string.h>

static status allocate(struct nn_plan *p, const int *scratch_alloc)
{
    p->arena = mem_alloc_aligned(p->info.arena_bytes + 64);
    p->data = mem_zalloc((size_t)p->program->n_values, sizeof *p->data);
    if (!p->arena || !p->data)
        return STATUS_NOMEM;
    for (int i = 0; i < p->n_steps; i++)
        if (scratch_alloc[i] >= 0)
            p->steps[i].scratch = p->arena + p->allocs[scratch_alloc[i]].offset;
    return STATUS_OK;
}

static status place_packed(struct nn_plan *p)
{
    p->packed = mem_alloc_aligned(p->info.packed_bytes + 64);
    if (!p->packed)
        return STATUS_NOMEM;
    char *packed = p->packed;
    for (int i = 0; i < p->n_steps; i++) {
        if (p->steps[i].packed_bytes)
            p->steps[i].packed = packed;
        packed += nn_align(p->steps[i].packed_bytes);
    }
    return STATUS_OK;
}

static status ref_packs(struct nn_plan *p)
{
    p->pack = mem_zalloc((size_t)p->n_steps + 1, sizeof *p->pack);
    if (!p->pack)
        return STATUS_NOMEM;
    for (int i = 0; i < p->n_steps; i++) {
        struct nn_step *s = &p->steps[i];
        if (!s->packed_bytes)
            continue;
        status st = nn_pack_ref(nn_params_packs(p->program->params), s, &p->pack[i]);
        if (st)
            return st;
        s->packed = nn_pack_data(p->pack[i]);
    }
    return STATUS_OK;
}

static status fill_packs(struct nn_plan *p)
{
    status st = STATUS_OK;
    for (int i = 0; i < p->n_steps && !st; i++)
        if (p->pack[i])
            st = nn_pack_fill(nn_params_packs(p->program->params), p->pack[i], &p->steps[i]);
    return st;
}

static status point_values(struct nn_plan *p)
{
    struct nn_graph *g = p->program;
    for (int v = 1; v < g->n_values; v++) {
        struct nn_value *value = &g->values[v];
        if (value->source == NN_FROM_PARAM) {
            p->data[v] = value->param->value;
        } else if (value->grad_of) {
            status st = nn_params_need_grad(value->grad_of);
            if (st)
                return st;
            p->data[v] = value->grad_of->grad;
        } else if (p->alloc_of[v] >= 0) {
            const struct nn_allocation *alloc = &p->allocs[p->alloc_of[v]];
            p->data[v] = p->arena + alloc->offset;
            if (value->source == NN_FROM_INPUT || value->is_output)
                memset(p->data[v], 0, alloc->bytes);
        }
    }
    return STATUS_OK;
}

static void point_steps(struct nn_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn_node *node = &p->program->nodes[i];
        if (nn_op_row(node->op)->view)
            p->data[node->out[0]] = p->data[node->in[0]];
        for (int k = 0; k < node->n_in; k++)
            p->steps[i].in[k].data = p->data[node->in[k]];
        for (int k = 0; k < node->n_out; k++)
            p->steps[i].out[k].data = p->data[node->out[k]];
    }
}

status nn_bind_steps(struct nn_plan *p, bool shared, struct errmsg *e)
{
    AUTO(mem_free) int *scratch_alloc = mem_alloc(((size_t)p->n_steps + 1) * sizeof *scratch_alloc);
    if (!scratch_alloc)
        return STATUS_NOMEM;
    status st = nn_place(p, scratch_alloc, &p->info.arena_bytes);
    if (!st)
        st = allocate(p, scratch_alloc);
    if (!st)
        st = point_values(p);
    if (st)
        return st;
    point_steps(p);
    st = shared ? ref_packs(p) : place_packed(p);
    for (int i = 0; i < p->n_steps && !st; i++) {
        const struct nn_kernel *k = p->steps[i].kernel;
        st = k && k->bind ? k->bind(&p->steps[i], e) : STATUS_OK;
    }
    if (st)
        return st;
    return shared ? fill_packs(p) : nn_plan_refresh(p);
}
