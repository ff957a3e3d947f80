#include "kernels/kernels.h"
#include "onednn/onednn.h"

static const struct nn_kernel *const kernels[] = {
    &nn_onednn_conv2d, &nn_onednn_conv2d_data, &nn_onednn_conv2d_weights, &nn_onednn_attention,
    &nn_onednn_linear, &nn_onednn_linear_data, &nn_onednn_linear_weights, NULL};

/* Whether the CPU multiplies tiles of bf16 (AMX): that is more than four times as fast as f32 vectors,
   which no algorithm makes up for. */
static bool has_tiles(void)
{
    unsigned has = dnnl_get_effective_cpu_isa(), tiles = dnnl_cpu_isa_avx512_core_amx;
    return (has & tiles) == tiles; /* the values are sets of bits, in versions 2 and 3 */
}

/* Ours first, but for what the library's bf16 kernels are better at. */
static const struct nn_kernel *const *lists(int i, enum nn_precision p)
{
    const struct nn_kernel_set *ours = nn_kernels_here();
    const struct nn_kernel *const *const f32[] = {ours->winograd, ours->im2col, ours->attention,
                                                  kernels, NULL};
    const struct nn_kernel *const *const bf16[] = {ours->winograd, ours->im2col_vnni, kernels,
                                                   ours->im2col,   ours->attention,   NULL};
    const struct nn_kernel *const *const tiles[] = {ours->amx,    kernels,         ours->winograd,
                                                    ours->im2col, ours->attention, NULL};
    return p == NN_PREC_F32 ? f32[i] : has_tiles() ? tiles[i] : bf16[i];
}

/* bf16 only where the CPU multiplies it natively: emulated, it is slower than f32. */
static bool precision(enum nn_precision p)
{
    if (p == NN_PREC_F32)
        return true;
    unsigned has = dnnl_get_effective_cpu_isa(), native = dnnl_cpu_isa_avx512_core_bf16;
    return (has & native) == native;
}

static void close_device(void *ctx)
{
    struct nn_dnnl *d = ctx;
    if (d->stream)
        dnnl_stream_destroy(d->stream);
    if (d->engine)
        dnnl_engine_destroy(d->engine);
    mem_free(d);
}

static status open_device(int threads, enum nn_precision p, void **out_ctx, struct errmsg *e)
{
    struct nn_dnnl *d = mem_zalloc(1, sizeof *d);
    (void)p;
    if (!d)
        return STATUS_NOMEM;
    d->threads = threads;
    status st = nn_dnnl_status(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "an engine", e);
    if (!st)
        st = nn_dnnl_status(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags),
                            "a stream", e);
    if (st) {
        close_device(d);
        return st;
    }
    *out_ctx = d;
    return STATUS_OK;
}

const struct nn_device nn_device_onednn = {
    .name = "onednn",
    .list = lists,
    .next = &nn_device_openblas,
    .precision = precision,
    .open = open_device,
    .close = close_device,
};
