/* Along channels: concat, slice, pad. Bytes are copied, so both sides need the same store. */
#include "kernels/kernels.h"

static bool same_store(const struct nn_step *s)
{
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].store != s->out[0].store)
            return false;
    return true;
}

static size_t last_bytes(const struct nn_tensor *t)
{
    return (size_t)t->shape.dim[t->shape.rank - 1] * nn_store_bytes(t->store);
}

static void concat_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t a = last_bytes(&s->in[0]), b = last_bytes(&s->in[1]);
    const char *pa = s->in[0].data, *pb = s->in[1].data;
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        memcpy(y + i * (a + b), pa + i * a, a);
        memcpy(y + i * (a + b) + a, pb + i * b, b);
    }
}

static void slice_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t c = last_bytes(&s->in[0]), k = last_bytes(&s->out[0]);
    const char *x =
        (const char *)s->in[0].data + (size_t)s->attr.first * nn_store_bytes(s->in[0].store);
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++)
        memcpy(y + i * k, x + i * c, k);
}

static void pad_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t k = last_bytes(&s->in[0]), c = last_bytes(&s->out[0]);
    size_t before = (size_t)s->attr.first * nn_store_bytes(s->in[0].store);
    const char *x = s->in[0].data;
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        memset(y + i * c, 0, before);
        memcpy(y + i * c + before, x + i * k, k);
        memset(y + i * c + before + k, 0, c - before - k);
    }
}

static status run_pixels(const struct nn_step *s, nn_range_fn *fn)
{
    struct nn_shape ys = s->out[0].shape;
    int64_t n = nn_shape_count(ys);
    nn_for_range(nn_threads_for(s, n), n / ys.dim[ys.rank - 1], fn, s);
    return STATUS_OK;
}
static status concat_run(const struct nn_step *s)
{
    return run_pixels(s, concat_pixels);
}
static status slice_run(const struct nn_step *s)
{
    return run_pixels(s, slice_pixels);
}
static status pad_run(const struct nn_step *s)
{
    return run_pixels(s, pad_pixels);
}

const struct nn_kernel nn_common_concat = {
    .op = NN_OP_CONCAT, .name = "common.concat", .supports = same_store, .run = concat_run};
const struct nn_kernel nn_common_slice_c = {
    .op = NN_OP_SLICE_C, .name = "common.slice_c", .supports = same_store, .run = slice_run};
const struct nn_kernel nn_common_pad_c = {
    .op = NN_OP_PAD_C, .name = "common.pad_c", .supports = same_store, .run = pad_run};
