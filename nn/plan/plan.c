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
        st = nn_settle_kernels(p, e);
    if (!st)
        st = nn_prepare_steps(p, e);
    if (!st)
        st = nn_bind_steps(p, opt->shared, e);
    return st;
}

/* Whether gradients of parameters are computed, which are sums over the batch. */
static bool trains(const struct nn_graph *g)
{
    for (int i = 1; i < g->n_values; i++)
        if (g->values[i].grad_of)
            return true;
    return false;
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
    p->apart = p->threads == 1 && !trains(g);
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
