#include "plan/plan.h"

#include <string.h>

static status clone_graph(const struct nn_graph *g, struct nn_graph **out)
{
    AUTO(nn_graph_free) struct nn_graph *c = mem_zalloc(1, sizeof *c);
    if (!c)
        return STATUS_NOMEM;
    c->params = g->params;
    c->values = mem_zalloc((size_t)g->n_values, sizeof *c->values);
    c->nodes = mem_zalloc((size_t)g->n_nodes + 1, sizeof *c->nodes);
    if (!c->values || !c->nodes)
        return STATUS_NOMEM;
    c->cap_values = g->n_values;
    c->cap_nodes = g->n_nodes + 1;
    memcpy(c->nodes, g->nodes, (size_t)g->n_nodes * sizeof *c->nodes);
    c->n_nodes = g->n_nodes;
    for (; c->n_values < g->n_values; c->n_values++) {
        struct nn_value v = g->values[c->n_values];
        if (v.name && !(v.name = mem_strdup(v.name)))
            return STATUS_NOMEM;
        c->values[c->n_values] = v;
    }
    *out = TAKE(c);
    return STATUS_OK;
}

static status open_devices(struct nn_plan *p, struct errmsg *e)
{
    for (const struct nn_device *d = p->device; d; d = d->next, p->n_open++) {
        CHECK(p->n_open < NN_DEVICE_CHAIN_MAX);
        status st =
            d->open ? d->open(p->threads, p->precision, &p->device_ctx[p->n_open], e) : STATUS_OK;
        if (st)
            return st;
    }
    return STATUS_OK;
}

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

/* Makes sure each node has a kernel; values may lose bf16 on the way, until nothing changes. */
static status settle_kernels(struct nn_plan *p, struct errmsg *e)
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

/* Gives the step the first kernel that takes it and can be prepared. */
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

static status prepare_steps(struct nn_plan *p, struct errmsg *e)
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

static status bind_steps(struct nn_plan *p, bool shared, struct errmsg *e)
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

static status build(struct nn_plan *p, const struct nn_graph *g, const struct nn_plan_options *opt,
                    struct errmsg *e)
{
    status st = clone_graph(g, &p->program);
    if (!st)
        st = nn_prune(p->program);
    if (!st)
        st = nn_choose_stores(p);
    if (!st)
        st = open_devices(p, e);
    if (!st && !opt->no_fusion)
        st = nn_fuse(p);
    if (!st)
        st = settle_kernels(p, e);
    if (!st)
        st = prepare_steps(p, e);
    if (!st)
        st = bind_steps(p, opt->shared, e);
    return st;
}

status nn_plan_new(struct nn_graph *g, const struct nn_plan_options *opt, struct nn_plan **out,
                   struct errmsg *e)
{
    status st = nn_graph_status(g, e);
    if (st)
        return st == STATUS_NOMEM ? st : STATUS_INVALID;
    const struct nn_device *device = nn_device_find(opt->device);
    if (!device)
        return errmsg_set(e, STATUS_UNSUPPORTED, "no device is called %s", opt->device);
    if (!nn_precision_supported(device->name, opt->precision))
        return errmsg_set(e, STATUS_UNSUPPORTED, "device %s cannot compute in %s on this CPU",
                          device->name, opt->precision == NN_PREC_BF16 ? "bf16" : "that precision");
    AUTO(nn_plan_free) struct nn_plan *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return errmsg_set(e, STATUS_NOMEM, "out of memory");
    p->device = device;
    p->precision = opt->precision;
    p->threads = opt->threads > 0 ? opt->threads : cpu_count();
    int before = nn_bind_threads(p->threads);
    st = build(p, g, opt, e);
    nn_bind_threads(before);
    if (st == STATUS_NOMEM)
        return errmsg_set(e, st, "out of memory (the plan's intermediates take %zu MiB)",
                          p->info.arena_bytes >> 20);
    if (st)
        return st;
    *out = TAKE(p);
    return STATUS_OK;
}

void nn_plan_free(struct nn_plan *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].kernel && p->steps[i].kernel->drop)
            p->steps[i].kernel->drop(&p->steps[i]);
    const struct nn_device *d = p->device;
    for (int i = 0; i < p->n_open; i++, d = d->next)
        if (d->close)
            d->close(p->device_ctx[i]);
    for (int i = 0; p->pack && i < p->n_steps; i++)
        nn_pack_unref(nn_params_packs(p->program->params), p->pack[i]);
    mem_free(p->pack);
    nn_graph_free(p->program);
    mem_free(p->store);
    mem_free(p->data);
    mem_free(p->alloc_of);
    mem_free(p->allocs);
    mem_free(p->steps);
    mem_free(p->arena);
    mem_free(p->packed);
    mem_free(p);
}

void *nn_plan_data(struct nn_plan *p, struct nn_val v)
{
    if (v.id <= 0 || v.id >= p->program->n_values)
        return NULL;
    const struct nn_value *value = &p->program->values[v.id];
    return value->is_output || value->source == NN_FROM_INPUT ? p->data[v.id] : NULL;
}

void *nn_plan_data_named(struct nn_plan *p, const char *name)
{
    for (int i = 1; i < p->program->n_values; i++)
        if (p->program->values[i].name && !strcmp(p->program->values[i].name, name))
            return p->data[i];
    return NULL;
}

/* Tests: what dies with step i becomes NaN, so that a reader that comes too late is seen. */
static void poison(struct nn_plan *p, int i)
{
    for (int k = 0; k < p->n_allocs; k++)
        if (p->allocs[k].last == i)
            memset(p->arena + p->allocs[k].offset, 0xff, p->allocs[k].bytes);
}

status nn_plan_run(struct nn_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn_step *s = &p->steps[i];
        status st = s->kernel ? s->kernel->run(s) : STATUS_OK;
        if (st)
            return st;
        if (p->poison)
            poison(p, i);
    }
    p->run.counter++;
    return STATUS_OK;
}

status nn_plan_refresh(struct nn_plan *p)
{
    for (int i = 0; i < p->n_steps && !p->pack; i++) {
        const struct nn_kernel *k = p->steps[i].kernel;
        status st = k && k->pack ? k->pack(&p->steps[i]) : STATUS_OK;
        if (st)
            return st;
    }
    return STATUS_OK;
}

void nn_plan_seed(struct nn_plan *p, uint64_t seed, uint64_t run)
{
    p->run = (struct nn_run){.seed = seed, .counter = run};
}

struct nn_plan_info nn_plan_info(const struct nn_plan *p)
{
    return p->info;
}

status nn_plan_profile(struct nn_plan *p, struct buf *out)
{
    char shape[NN_SHAPE_TEXT];
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn_step *s = &p->steps[i];
        if (!s->kernel)
            continue;
        uint64_t start = time_mono_ns();
        status st = s->kernel->run(s);
        uint64_t end = time_mono_ns();
        const struct nn_tensor *main_out = nn_has(&s->out[0]) ? &s->out[0] : &s->in[1];
        if (!st)
            st = buf_addf(out, "%-22s %-28s %-18s %8llu\n", nn_op_row(s->op)->name, s->kernel->name,
                          nn_shape_text(main_out->shape, shape),
                          (unsigned long long)(end - start) / 1000);
        if (st)
            return st;
    }
    p->run.counter++;
    return STATUS_OK;
}
