#include "graph/graph.h"

#include "ops/op.h"

#include <stdio.h>
#include <string.h>

status nn_graph_new(struct nn_params *params, struct nn_graph **out)
{
    AUTO(nn_graph_free) struct nn_graph *g = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    g->params = params;
    g->cap_values = 64;
    g->values = mem_zalloc((size_t)g->cap_values, sizeof *g->values);
    if (!g->values)
        return STATUS_NOMEM;
    g->n_values = 1; /* the blank that id 0 names */
    *out = TAKE(g);
    return STATUS_OK;
}

void nn_graph_free(struct nn_graph *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_values; i++)
        mem_free(g->values[i].name);
    mem_free(g->values);
    mem_free(g->nodes);
    mem_free(g);
}

status nn_graph_status(const struct nn_graph *g, struct errmsg *e)
{
    if (g->st)
        return errmsg_set(e, g->st, "%s", errmsg_text(&g->error, g->st));
    return STATUS_OK;
}

struct nn_val nn_fail(struct nn_graph *g, status st, const char *fmt, ...)
{
    if (!g->st) {
        g->st = st;
        va_list args;
        va_start(args, fmt);
        vsnprintf(g->error.text, sizeof g->error.text, fmt, args);
        va_end(args);
    }
    return NN_NONE;
}

const char *nn_shape_text(struct nn_shape s, char out[NN_SHAPE_TEXT])
{
    int used = snprintf(out, NN_SHAPE_TEXT, "%s", s.rank > 0 ? "" : "none");
    for (int i = 0; i < s.rank; i++)
        used +=
            snprintf(out + used, (size_t)(NN_SHAPE_TEXT - used), "%s%d", i ? "x" : "", s.dim[i]);
    return out;
}

static bool usable(struct nn_graph *g, const char *op, const struct nn_val *v, int n,
                   enum nn_dtype type)
{
    if (g->st)
        return false;
    for (int i = 0; i < n; i++) {
        if (v[i].id <= 0 || v[i].id >= g->n_values)
            nn_fail(g, STATUS_INVALID, "%s: operand %d is not a value of this graph", op, i + 1);
        else if (g->values[v[i].id].dtype != type)
            nn_fail(g, STATUS_INVALID, "%s: operand %d is not %s", op, i + 1,
                    type == NN_F32 ? "f32" : "i32");
        if (g->st)
            return false;
    }
    return true;
}

bool nn_usable(struct nn_graph *g, const char *op, const struct nn_val *v, int n)
{
    return usable(g, op, v, n, NN_F32);
}

bool nn_usable_i32(struct nn_graph *g, const char *op, struct nn_val v)
{
    return usable(g, op, &v, 1, NN_I32);
}

const struct nn_value *nn_value(const struct nn_graph *g, struct nn_val v)
{
    return &g->values[v.id];
}

struct nn_shape nn_val_shape(const struct nn_graph *g, struct nn_val v)
{
    return v.id > 0 && v.id < g->n_values ? g->values[v.id].shape : (struct nn_shape){0};
}

/* Makes space for one more element; arrays grow by doubling. */
static status grow(void **array, int used, int *cap, size_t size)
{
    if (used < *cap)
        return STATUS_OK;
    int more = *cap ? *cap * 2 : 64;
    void *p = mem_realloc(*array, (size_t)more * size);
    if (!p)
        return STATUS_NOMEM;
    *array = p;
    *cap = more;
    return STATUS_OK;
}

static bool shape_ok(struct nn_shape s)
{
    if (s.rank < 1 || s.rank > NN_RANK_MAX)
        return false;
    int64_t n = 1;
    for (int i = 0; i < s.rank; i++) {
        if (s.dim[i] < 1 || n > NN_COUNT_MAX / s.dim[i])
            return false;
        n *= s.dim[i];
    }
    return true;
}

static struct nn_val add_value(struct nn_graph *g, const struct nn_value *v, const char *what)
{
    char text[NN_SHAPE_TEXT];
    if (!shape_ok(v->shape))
        return nn_fail(g, STATUS_INVALID, "%s: no value can have the shape %s", what,
                       nn_shape_text(v->shape, text));
    if (grow((void **)&g->values, g->n_values, &g->cap_values, sizeof *g->values))
        return nn_fail(g, STATUS_NOMEM, "%s: out of memory", what);
    g->values[g->n_values] = *v;
    return (struct nn_val){g->n_values++};
}

static bool name_value(struct nn_graph *g, struct nn_val v, const char *name)
{
    char *copy = mem_strdup(name);
    if (!copy) {
        nn_fail(g, STATUS_NOMEM, "%s: out of memory", name);
        return false;
    }
    mem_free(g->values[v.id].name);
    g->values[v.id].name = copy;
    return true;
}

struct nn_val nn_input(struct nn_graph *g, const char *name, enum nn_dtype type, struct nn_shape s)
{
    if (g->st)
        return NN_NONE;
    struct nn_val v =
        add_value(g, &(struct nn_value){.shape = s, .dtype = type, .source = NN_FROM_INPUT}, name);
    return v.id && name_value(g, v, name) ? v : NN_NONE;
}

static struct nn_val param_value(struct nn_graph *g, const char *name, struct nn_shape s,
                                 enum nn_init init, bool trainable)
{
    if (g->st)
        return NN_NONE;
    struct nn_param_entry *entry;
    struct errmsg e = {0};
    status st = nn_params_get(g->params, name, s, init, trainable, &entry, &e);
    if (st)
        return nn_fail(g, st, "parameter %s: %s", name, errmsg_text(&e, st));
    for (int i = 1; i < g->n_values; i++)
        if (g->values[i].param == entry)
            return (struct nn_val){i};
    return add_value(g, &(struct nn_value){.shape = s, .source = NN_FROM_PARAM, .param = entry},
                     name);
}

struct nn_val nn_param(struct nn_graph *g, const char *name, struct nn_shape s, enum nn_init init)
{
    return param_value(g, name, s, init, true);
}

struct nn_val nn_buffer(struct nn_graph *g, const char *name, struct nn_shape s, enum nn_init init)
{
    return param_value(g, name, s, init, false);
}

void nn_output(struct nn_graph *g, struct nn_val v, const char *name)
{
    if (!nn_usable(g, "output", &v, 1))
        return;
    if (g->values[v.id].source != NN_FROM_NODE) {
        nn_fail(g, STATUS_INVALID, "output %s: is an input or a parameter, nothing computes it",
                name);
        return;
    }
    if (name_value(g, v, name))
        g->values[v.id].is_output = true;
}

/* Whether operands have the types that the op's row names; kernels do not check. */
static bool types_fit(struct nn_graph *g, const struct nn_node *node)
{
    const struct nn_op_impl *row = nn_op_row(node->op);
    for (int i = 0; i < node->n_in; i++) {
        enum nn_dtype want = row->i32 >> i & 1 ? NN_I32 : NN_F32;
        if (node->in[i] && g->values[node->in[i]].dtype != want) {
            nn_fail(g, STATUS_INVALID, "%s: operand %d is not %s", row->name, i + 1,
                    want == NN_F32 ? "f32" : "i32");
            return false;
        }
    }
    return true;
}

struct nn_val nn_emit(struct nn_graph *g, struct nn_node *node, const struct nn_shape *out,
                      int n_out)
{
    if (g->st || !types_fit(g, node))
        return NN_NONE;
    const char *name = nn_op_row(node->op)->name;
    if (grow((void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes))
        return nn_fail(g, STATUS_NOMEM, "%s: out of memory", name);
    node->n_out = n_out;
    for (int i = 0; i < n_out; i++) {
        node->out[i] = 0;
        if (out[i].rank == 0)
            continue;
        struct nn_value v = {.shape = out[i], .source = NN_FROM_NODE, .node = g->n_nodes};
        node->out[i] = add_value(g, &v, name).id;
        if (!node->out[i])
            return NN_NONE;
    }
    g->nodes[g->n_nodes++] = *node;
    return (struct nn_val){node->out[0]};
}

struct nn_val nn_emit1(struct nn_graph *g, enum nn_op op, const struct nn_val *in, int n_in,
                       struct nn_attr attr, struct nn_shape out)
{
    struct nn_node node = {.op = op, .n_in = n_in, .attr = attr};
    for (int i = 0; i < n_in; i++)
        node.in[i] = in[i].id;
    return nn_emit(g, &node, &out, 1);
}
