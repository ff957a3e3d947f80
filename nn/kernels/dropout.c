/* Dropout: items are four elements, one block of random words (ops/dropout.c). */
#include "kernels/kernels.h"

static bool anything(const struct nn_step *s)
{
    (void)s;
    return true;
}

static void dropout_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct nn_rng rng = nn_rng(s->run->seed, s->run->counter << 20 | s->attr.stream);
    uint32_t limit = (uint32_t)((double)s->attr.shift * 4294967296.0);
    int64_t n = nn_shape_count(s->out[0].shape);
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t at = 4 * first; at < nn_min(4 * last, n); at += NN_ROW_MAX) {
        int len = (int)nn_min(NN_ROW_MAX, nn_min(4 * last, n) - at);
        const float *x = nn_row(&s->in[0], at, len, sx);
        float *y = nn_row_out(&s->out[0], at, sy);
        for (int i = 0; i < len; i += 4) {
            uint64_t quad = (uint64_t)(at + i) / 4;
            uint32_t counter[4] = {(uint32_t)quad, (uint32_t)(quad >> 32), rng.stream[0],
                                   rng.stream[1]};
            uint32_t word[4];
            nn_philox(rng.key, counter, word);
            for (int k = 0; k < 4 && i + k < len; k++)
                y[i + k] = (word[k] < limit ? 0 : s->attr.scale) * x[i + k];
        }
        nn_row_put(&s->out[0], at, len, y);
    }
}

static status dropout_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->out[0].shape);
    nn_for_range(nn_threads_for(s, n), (n + 3) / 4, dropout_rows, s);
    return STATUS_OK;
}
const struct nn_kernel nn_common_dropout = {
    .op = NN_OP_DROPOUT, .name = "common.dropout", .supports = anything, .run = dropout_run};
