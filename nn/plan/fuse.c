/*
 * Fusion: rewrites the program's node array.
 *
 * A fused node stands where the last of its parts stood, so every operand exists by then. The value
 * between the parts disappears, so nothing else may read it. A rewrite is made only when the
 * kernel that supports the fused node stands no deeper in the device chain than that of the node
 * before: fusion never moves work from a fast kernel to a slow one.
 *
 * The first part is thereby computed later than it stood. Invariant: that changes nothing for the
 * nodes in between. That is, none reads another result of the part (the statistics of a norm, the gradients of gamma and
 * beta), none writes what the part reads, and none reads or writes what the part writes: running
 * statistics, which several norms may share. Every rewrite calls accepted(), which calls may_wait().
 *
 *     conv2d -> add_nc                 conv2d with nc
 *     conv2d | conv2d_data | batch_norm | norm_back -> add       the same with res
 *     conv2d | norm | add -> act       the same with post
 *     add -> act_back                  act_back with addend
 *     act_back -> norm_back            norm_back with post, when the forward pair was fused: the
 *                                      value before the activation is computed again, not kept
 */
#include "plan/rewrite.h"

#include <string.h>

struct fuser {
    struct nn_plan *plan;
    struct nn_graph *g;
    int *uses; /* [n_values] how many operands name the value */
};

static void count_uses(const struct nn_graph *g, int *uses)
{
    memset(uses, 0, (size_t)g->n_values * sizeof *uses);
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; g->nodes[i].op != NN_OP_GONE && k < g->nodes[i].n_in; k++)
            uses[g->nodes[i].in[k]]++;
}

struct nn_step nn_step_of(const struct nn_plan *p, const struct nn_node *node)
{
    struct nn_step s = {.op = node->op,
                        .attr = node->attr,
                        .n_in = node->n_in,
                        .n_out = node->n_out,
                        .threads = p->threads,
                        .apart = p->apart,
                        .precision = p->precision,
                        .run = &p->run};
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k]) {
            const struct nn_value *v = &p->program->values[node->in[k]];
            s.in[k] = (struct nn_tensor){.shape = v->shape,
                                         .store = p->store[node->in[k]],
                                         .constant = v->source == NN_FROM_PARAM};
        }
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k])
            s.out[k] = (struct nn_tensor){.shape = p->program->values[node->out[k]].shape,
                                          .store = p->store[node->out[k]]};
    return s;
}

/* Whether a run of `writer` writes an operand of `other`. */
static bool writes_operand(const struct nn_node *writer, const struct nn_node *other)
{
    for (int i = 0; i < writer->n_in; i++)
        for (int k = 0; nn_node_writes(writer) >> i & 1 && k < other->n_in; k++)
            if (other->in[k] && other->in[k] == writer->in[i])
                return true;
    return false;
}

static bool reads_side_result(const struct nn_node *reader, const struct nn_node *maker)
{
    for (int i = 1; i < maker->n_out; i++)
        for (int k = 0; maker->out[i] && k < reader->n_in; k++)
            if (reader->in[k] == maker->out[i])
                return true;
    return false;
}

/* The invariant above: whether `part` may be computed where `last` stands. Only `last` reads its
   result 0. */
static bool may_wait(const struct nn_node *part, const struct nn_node *last)
{
    for (const struct nn_node *node = part + 1; node < last; node++)
        if (node->op != NN_OP_GONE && (reads_side_result(node, part) ||
                                       writes_operand(node, part) || writes_operand(part, node)))
            return false;
    return true;
}

/* Whether `fused` may replace part and last: part may wait, and a kernel supports `fused` that stands
   no deeper than the kernel of `before`. */
static bool accepted(const struct fuser *f, const struct nn_node *fused,
                     const struct nn_node *before, const struct nn_node *part,
                     const struct nn_node *last)
{
    if (!may_wait(part, last))
        return false;
    struct nn_step a = nn_step_of(f->plan, before), b = nn_step_of(f->plan, fused);
    int depth_before, depth_fused;
    if (!nn_kernel_pick(f->plan->device, &b, NULL, &depth_fused))
        return false;
    return !nn_kernel_pick(f->plan->device, &a, NULL, &depth_before) || depth_fused <= depth_before;
}

/* The node that computes v, if the graph reads v `uses` times and the caller does not; else NULL. */
static struct nn_node *private_maker(const struct fuser *f, int v, int uses)
{
    const struct nn_value *value = &f->g->values[v];
    if (v == 0 || value->source != NN_FROM_NODE || nn_value_kept(value) || f->uses[v] != uses)
        return NULL;
    struct nn_node *node = &f->g->nodes[value->node];
    return node->op != NN_OP_GONE && node->out[0] == v ? node : NULL;
}

/* Puts `fused` in the place of `last` and drops the maker. */
static void replace(struct fuser *f, struct nn_node *maker, struct nn_node *last,
                    const struct nn_node *fused)
{
    *last = *fused;
    maker->op = NN_OP_GONE;
    for (int k = 0; k < last->n_out; k++)
        f->g->values[last->out[k]].node = (int)(last - f->g->nodes);
    count_uses(f->g, f->uses);
    f->plan->info.fused++;
}

static const struct nn_op_impl *row_of(const struct nn_node *node)
{
    return nn_op_row(node->op);
}

/* Whether the node has an operand in this place; 0 is no place (op.h). */
static bool has_operand(const struct nn_node *node, int place)
{
    return place && place < node->n_in && node->in[place];
}

/* maker, then `last` which reads its result at operand k, whose other operand goes to `slot`. */
static bool fuse_operand(struct fuser *f, struct nn_node *maker, struct nn_node *last, int k,
                         int slot)
{
    struct nn_node fused = *maker;
    /* What is added goes before a forward op's activation; a gradient's `post` is on its other
     * side. */
    bool late = maker->attr.post && row_of(maker)->post == NN_POST_LAST;
    if (late || has_operand(maker, slot))
        return false;
    for (int i = fused.n_in; i <= slot; i++)
        fused.in[i] = 0;
    if (fused.n_in <= slot)
        fused.n_in = slot + 1;
    fused.in[slot] = last->in[1 - k];
    fused.out[0] = last->out[0];
    if (!accepted(f, &fused, maker, maker, last))
        return false;
    replace(f, maker, last, &fused);
    return true;
}

static bool fuse_add_nc(struct fuser *f, struct nn_node *add)
{
    struct nn_node *conv = private_maker(f, add->in[0], 1);
    if (!conv || !row_of(conv)->nc || has_operand(conv, row_of(conv)->res))
        return false;
    return fuse_operand(f, conv, add, 0, row_of(conv)->nc);
}

static bool fuse_add(struct fuser *f, struct nn_node *add)
{
    struct nn_node *maker[2];
    for (int k = 0; k < 2; k++) {
        maker[k] = private_maker(f, add->in[k], 1);
        if (maker[k] && !row_of(maker[k])->res)
            maker[k] = NULL;
    }
    /* The later one first: its result is still in the caches. */
    int first = maker[1] > maker[0];
    for (int i = 0; i < 2; i++) {
        int k = i ? !first : first;
        if (maker[k] && !add->attr.post && fuse_operand(f, maker[k], add, k, row_of(maker[k])->res))
            return true;
    }
    return false;
}

/* The backward twins of norm and act, when act's gradient flows into norm's and nowhere else. */
static bool find_back_pair(const struct fuser *f, const struct nn_node *norm,
                           const struct nn_node *act, struct nn_node **out_act_back,
                           struct nn_node **out_norm_back)
{
    const struct nn_op_impl *row = row_of(norm)->back;
    int saved = nn_act_saved(act);
    for (int i = 0; i < f->g->n_nodes; i++) {
        struct nn_node *node = &f->g->nodes[i];
        if (node->op != row->op || node->attr.post || node->in[1] != norm->in[0] ||
            node->in[2] != norm->in[1] || node->in[row->stats] != norm->out[1])
            continue;
        struct nn_node *back = private_maker(f, node->in[0], 1);
        if (!back || back->op != NN_OP_ACT_BACK || has_operand(back, row_of(back)->addend) ||
            back->in[1] != saved || back->attr.act != act->attr.act)
            continue;
        *out_act_back = back;
        *out_norm_back = node;
        return true;
    }
    return false;
}

static bool fuse_back_pair(struct fuser *f, struct nn_node *act_back, struct nn_node *back)
{
    struct nn_node fused = *back;
    fused.in[0] = act_back->in[0];
    fused.attr.post = NN_POST(act_back->attr.act);
    if (!accepted(f, &fused, back, act_back, back))
        return false;
    replace(f, act_back, back, &fused);
    return true;
}

static bool fuse_act(struct fuser *f, struct nn_node *act)
{
    int v = act->in[0];
    const struct nn_value *value = &f->g->values[v];
    struct nn_node *maker = value->source == NN_FROM_NODE ? private_maker(f, v, f->uses[v]) : NULL;
    if (!maker || maker->attr.post || row_of(maker)->post != NN_POST_LAST)
        return false;
    struct nn_node fused = *maker, *act_back, *back;
    fused.out[0] = act->out[0];
    fused.attr.post = NN_POST(act->attr.act);
    if (!accepted(f, &fused, maker, maker, act))
        return false;
    if (row_of(maker)->back && !has_operand(maker, row_of(maker)->res) &&
        find_back_pair(f, maker, act, &act_back, &back))
        fuse_back_pair(f, act_back, back);
    /* Without that, the activation's own backward may still read the value between. */
    if (f->uses[v] != 1)
        return false;
    replace(f, maker, act, &fused);
    return true;
}

static bool fuse_act_back(struct fuser *f, struct nn_node *back)
{
    struct nn_node *add = private_maker(f, back->in[0], 1);
    if (!add || add->op != NN_OP_ADD || add->attr.post || has_operand(back, row_of(back)->addend))
        return false;
    struct nn_node fused = *back;
    fused.n_in = row_of(back)->addend + 1;
    fused.in[0] = add->in[0];
    fused.in[row_of(back)->addend] = add->in[1];
    if (!accepted(f, &fused, back, add, back))
        return false;
    replace(f, add, back, &fused);
    return true;
}

static bool fuse_at(struct fuser *f, struct nn_node *node)
{
    switch (node->op) {
    case NN_OP_ADD_NC:
        return fuse_add_nc(f, node);
    case NN_OP_ADD:
        return fuse_add(f, node);
    case NN_OP_ACT:
        return fuse_act(f, node);
    case NN_OP_ACT_BACK:
        return fuse_act_back(f, node);
    default:
        return false;
    }
}

/* Every operand is made before it is read. */
static bool in_order(const struct nn_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const struct nn_value *v = &g->values[g->nodes[i].in[k]];
            if (g->nodes[i].in[k] && v->source == NN_FROM_NODE && v->node >= i)
                return false;
        }
    return true;
}

status nn_fuse(struct nn_plan *p)
{
    struct nn_graph *g = p->program;
    AUTO(mem_free) int *uses = mem_alloc((size_t)g->n_values * sizeof *uses);
    if (!uses)
        return STATUS_NOMEM;
    struct fuser f = {.plan = p, .g = g, .uses = uses};
    count_uses(g, uses);
    for (int i = 0; i < g->n_nodes; i++)
        fuse_at(&f, &g->nodes[i]);
    nn_compact(g);
    CHECK(in_order(g));
    return STATUS_OK;
}
