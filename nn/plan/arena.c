/*
 * Placing values in the arena.
 *
 * 1. last[v]: the last step that reads v, or reads a view of it; INT_MAX for inputs and outputs.
 * 2. In step order each value gets an allocation: its source's when it is a view, or when its op may
 *    work in place and the source dies at this very step; a new one otherwise. Scratch is an
 *    allocation that lives for one step.
 * 3. Allocations, largest first, go to the lowest offset where they overlap no other that is live
 *    at the same time.
 *
 * Parameters and their gradients live in nn_params, not here.
 */
#include "plan/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct placer {
    struct nn_plan *plan;
    int *last; /* [n_values] */
    int cap_allocs;
};

static bool in_arena(const struct nn_value *v)
{
    return v->source != NN_FROM_PARAM && !v->grad_of;
}

static size_t value_bytes(const struct nn_plan *p, int id)
{
    return (size_t)nn_shape_count(p->program->values[id].shape) * nn_store_bytes(p->store[id]);
}

static void find_last_reads(struct placer *a)
{
    const struct nn_graph *g = a->plan->program;
    for (int v = 1; v < g->n_values; v++)
        a->last[v] = g->values[v].is_output || g->values[v].source == NN_FROM_INPUT ? INT_MAX : -1;
    for (int i = g->n_nodes; i-- > 0;) {
        const struct nn_node *node = &g->nodes[i];
        for (int k = 0; k < node->n_out; k++)
            if (a->last[node->out[k]] < i)
                a->last[node->out[k]] = i;
        for (int k = 0; k < node->n_in; k++) {
            int until = nn_op_row(node->op)->view ? a->last[node->out[0]] : i;
            if (a->last[node->in[k]] < until)
                a->last[node->in[k]] = until;
        }
    }
}

static int add_alloc(struct placer *a, size_t bytes, int first, int last)
{
    struct nn_plan *p = a->plan;
    CHECK(p->n_allocs < a->cap_allocs);
    p->allocs[p->n_allocs] = (struct nn_allocation){.bytes = bytes, .first = first, .last = last};
    return p->n_allocs++;
}

/* Whether output 0 of node i may be written over input k. */
static bool may_overwrite(const struct placer *a, const struct nn_node *node, int i, int k)
{
    const struct nn_plan *p = a->plan;
    unsigned allowed = nn_op_row(node->op)->in_place;
    int from = node->in[k], to = node->out[0];
    if (!(allowed >> k & 1) || !from || !to || p->alloc_of[from] < 0)
        return false;
    const struct nn_allocation *alloc = &p->allocs[p->alloc_of[from]];
    if (alloc->last != i || value_bytes(p, from) != value_bytes(p, to) ||
        p->store[from] != p->store[to] || !in_arena(&p->program->values[to]))
        return false;
    for (int j = 0; j < node->n_in; j++)
        if (j != k && !(allowed >> j & 1) && node->in[j] &&
            p->alloc_of[node->in[j]] == p->alloc_of[from])
            return false;
    return true;
}

static void place_outputs(struct placer *a, int i)
{
    struct nn_plan *p = a->plan;
    const struct nn_node *node = &p->program->nodes[i];
    bool view = nn_op_row(node->op)->view;
    for (int k = 0; k < node->n_out; k++) {
        int id = node->out[k];
        if (!id || !in_arena(&p->program->values[id]))
            continue;
        if (view) {
            p->alloc_of[id] = p->alloc_of[node->in[0]];
            continue;
        }
        for (int j = 0; k == 0 && j < node->n_in && p->alloc_of[id] < 0; j++)
            if (may_overwrite(a, node, i, j)) {
                p->alloc_of[id] = p->alloc_of[node->in[j]];
                p->allocs[p->alloc_of[id]].last = a->last[id];
            }
        if (p->alloc_of[id] < 0)
            p->alloc_of[id] = add_alloc(a, value_bytes(p, id), i, a->last[id]);
    }
}

static int larger_first(const void *x, const void *y, void *allocs)
{
    const struct nn_allocation *base = allocs;
    int i = *(const int *)x, j = *(const int *)y;
    if (base[i].bytes != base[j].bytes)
        return base[i].bytes > base[j].bytes ? -1 : 1;
    return i - j;
}

static bool live_together(const struct nn_allocation *a, const struct nn_allocation *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset at which alloc overlaps none of placed[0..n-1] that is live with it; placed is kept
   sorted by offset. */
static size_t lowest_gap(const struct nn_plan *p, const int *placed, int n,
                         const struct nn_allocation *alloc)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct nn_allocation *other = &p->allocs[placed[i]];
        if (!live_together(alloc, other))
            continue;
        if (at + alloc->bytes <= other->offset)
            break;
        size_t end = other->offset + nn_align(other->bytes);
        at = end > at ? end : at;
    }
    return at;
}

static status assign_offsets(struct nn_plan *p, size_t *out_bytes)
{
    size_t n = (size_t)p->n_allocs;
    AUTO(mem_free) int *order = mem_alloc(n * sizeof *order);
    AUTO(mem_free) int *placed = mem_alloc(n * sizeof *placed);
    if (!order || !placed)
        return STATUS_NOMEM;
    for (int i = 0; i < p->n_allocs; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, larger_first, p->allocs);
    size_t total = 0;
    for (int i = 0; i < p->n_allocs; i++) {
        struct nn_allocation *alloc = &p->allocs[order[i]];
        alloc->offset = lowest_gap(p, placed, i, alloc);
        int at = i;
        for (; at > 0 && p->allocs[placed[at - 1]].offset > alloc->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i];
        if (total < alloc->offset + nn_align(alloc->bytes))
            total = alloc->offset + nn_align(alloc->bytes);
    }
    *out_bytes = total;
    return STATUS_OK;
}

status nn_place(struct nn_plan *p, int *scratch_alloc, size_t *out_bytes)
{
    const struct nn_graph *g = p->program;
    AUTO(mem_free) int *last = mem_alloc((size_t)g->n_values * sizeof *last);
    p->alloc_of = mem_alloc((size_t)g->n_values * sizeof *p->alloc_of);
    struct placer a = {.plan = p, .last = last, .cap_allocs = g->n_values + p->n_steps};
    p->allocs = mem_alloc((size_t)a.cap_allocs * sizeof *p->allocs);
    if (!last || !p->alloc_of || !p->allocs)
        return STATUS_NOMEM;
    memset(p->alloc_of, -1, (size_t)g->n_values * sizeof *p->alloc_of);
    last[0] = -1;
    find_last_reads(&a);
    for (int v = 1; v < g->n_values; v++)
        if (g->values[v].source == NN_FROM_INPUT)
            p->alloc_of[v] = add_alloc(&a, value_bytes(p, v), -1, INT_MAX);
    for (int i = 0; i < g->n_nodes; i++) {
        place_outputs(&a, i);
        scratch_alloc[i] = -1;
        if (p->steps[i].scratch_bytes)
            scratch_alloc[i] = add_alloc(&a, p->steps[i].scratch_bytes, i, i);
    }
    return assign_offsets(p, out_bytes);
}
