#include "onednn/onednn.h"
#include "ops/acts.h"

#include <omp.h>

/* The libraries' threads synchronise in ways that ThreadSanitizer cannot see, as they are not built
   for it: its reports of what they write by memset and memcpy are suppressed. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED_BY_TSAN
#endif
#elif defined(__SANITIZE_THREAD__)
#define WATCHED_BY_TSAN
#endif
#ifdef WATCHED_BY_TSAN
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libdnnl\ncalled_from_lib:libgomp\n";
}
#endif

status nn_dnnl_status(dnnl_status_t rc, const char *what, struct errmsg *e)
{
    switch (rc) {
    case dnnl_success:
        return STATUS_OK;
    case dnnl_out_of_memory:
        return errmsg_set(e, STATUS_NOMEM, "oneDNN: %s: out of memory", what);
    case dnnl_unimplemented:
        return errmsg_set(e, STATUS_UNSUPPORTED, "oneDNN: %s: not implemented", what);
    default:
        return errmsg_set(e, STATUS_INTERNAL, "oneDNN: %s: error %d", what, (int)rc);
    }
}

/* ---- calls ---- */

status nn_dnnl_call_new(struct nn_dnnl_call *c, const struct nn_dnnl *d, dnnl_primitive_desc_t pd,
                        struct errmsg *e)
{
    nn_dnnl_md_ref scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    c->scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    status st = nn_dnnl_status(dnnl_primitive_create(&c->primitive, pd), "a primitive", e);
    if (!st && c->scratch_bytes)
        st = nn_dnnl_call_arg(c, d, DNNL_ARG_SCRATCHPAD, scratch, e);
    return st;
}

status nn_dnnl_call_arg(struct nn_dnnl_call *c, const struct nn_dnnl *d, int arg, nn_dnnl_md_ref md,
                        struct errmsg *e)
{
    CHECK(c->n < (int)ARRAY_LEN(c->arg));
    dnnl_exec_arg_t *a = &c->arg[c->n];
    a->arg = arg;
    status st = nn_dnnl_status(dnnl_memory_create(&a->memory, md, d->engine, DNNL_MEMORY_NONE),
                               "a memory object", e);
    c->n += !st;
    return st;
}

status nn_dnnl_call_point(struct nn_dnnl_call *c, int arg, const void *data)
{
    for (int i = 0; i < c->n; i++)
        if (c->arg[i].arg == arg)
            return nn_dnnl_status(dnnl_memory_set_data_handle(c->arg[i].memory, (void *)data),
                                  "an address", NULL);
    return STATUS_OK; /* an argument this primitive does not have */
}

status nn_dnnl_call_run(const struct nn_dnnl_call *c, const struct nn_dnnl *d)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(d->threads);
    dnnl_status_t rc = dnnl_primitive_execute(c->primitive, d->stream, c->n, c->arg);
    if (!rc)
        rc = dnnl_stream_wait(d->stream);
    omp_set_num_threads(before);
    return nn_dnnl_status(rc, "running", NULL);
}

static const void *image_at(const struct nn_tensor *t, int n)
{
    size_t image = (size_t)(nn_shape_count(t->shape) / t->shape.dim[0]) * nn_store_bytes(t->store);
    return (const char *)t->data + (size_t)n * image;
}

status nn_dnnl_call_run_image(struct nn_dnnl_call *c, const struct nn_dnnl *d, int from_arg,
                              const struct nn_tensor *from, int to_arg, const struct nn_tensor *to,
                              int n)
{
    status st = nn_dnnl_call_point(c, from_arg, image_at(from, n));
    if (!st)
        st = nn_dnnl_call_point(c, to_arg, image_at(to, n));
    return st ? st : nn_dnnl_call_run(c, d);
}

void nn_dnnl_call_done(struct nn_dnnl_call *c)
{
    for (int i = 0; i < c->n; i++)
        dnnl_memory_destroy(c->arg[i].memory);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    *c = (struct nn_dnnl_call){0};
}

status nn_dnnl_reorder(struct nn_dnnl_call *c, const struct nn_dnnl *d, nn_dnnl_md_ref from,
                       nn_dnnl_md_ref to, struct errmsg *e)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    status st = nn_dnnl_attr(false, NN_POST_NONE, &attr, e);
    if (st)
        return st;
    dnnl_status_t rc =
        dnnl_reorder_primitive_desc_create(&pd, from, d->engine, to, d->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    st = nn_dnnl_status(rc, "a reorder", e);
    if (st)
        return st;
    st = nn_dnnl_call_new(c, d, pd, e);
    dnnl_primitive_desc_destroy(pd);
    if (!st)
        st = nn_dnnl_call_arg(c, d, DNNL_ARG_FROM, from, e);
    if (!st)
        st = nn_dnnl_call_arg(c, d, DNNL_ARG_TO, to, e);
    return st;
}

/* ---- attributes ---- */

static dnnl_alg_kind_t algorithm_of(int post)
{
#define dnnl_eltwise_none dnnl_alg_kind_undef
    static const dnnl_alg_kind_t kinds[NN_ACT_COUNT] = {
#define X(NAME, name, saves, algorithm) [NN_##NAME] = dnnl_eltwise_##algorithm,
        NN_ACT_TABLE(X)
#undef X
    };
    return post == NN_POST_NONE ? dnnl_alg_kind_undef : kinds[NN_POST_KIND(post)];
}

bool nn_dnnl_has_post(int post)
{
    return algorithm_of(post) != dnnl_alg_kind_undef;
}

static dnnl_status_t append_post(dnnl_post_ops_t ops, int post)
{
    if (post == NN_POST_NONE)
        return dnnl_success;
    return nn_dnnl_has_post(post) ? nn_dnnl_post_eltwise(ops, algorithm_of(post), 1)
                                  : dnnl_unimplemented;
}

static dnnl_status_t set_post_ops(dnnl_primitive_attr_t attr, bool sum, int post)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t rc = dnnl_post_ops_create(&ops);
    if (!rc && sum)
        rc = nn_dnnl_post_sum(ops);
    if (!rc)
        rc = append_post(ops, post);
    if (!rc)
        rc = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    return rc;
}

status nn_dnnl_attr(bool sum, int post, dnnl_primitive_attr_t *out, struct errmsg *e)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t rc = dnnl_primitive_attr_create(&attr);
    if (!rc)
        rc = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!rc && (sum || post))
        rc = set_post_ops(attr, sum, post);
    if (rc && attr)
        dnnl_primitive_attr_destroy(attr);
    else
        *out = attr;
    return nn_dnnl_status(rc, "attributes", e);
}
