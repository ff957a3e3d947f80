/*
 * The gradient of a convolution's filters by AMX (amx.h): in x, dy; out dw, db?.
 *
 * dw[o,c,tap] is a sum over images and pixels: the inner side of the products is 32 images. A tile of A
 * is 16 channels of dy, transposed; one of B, 16 channels of x, images in pairs. The pixels
 * are taken in blocks, whose tiles of 32 channels of either side fit the second-level cache together.
 */
#include "kernels/amx.h"

#if defined(__AVX512BF16__)
enum {
    SLICE_BYTES = 1 << 20, /* a block's tiles of 32 channels of x and 32 of dy, at most */
    SHARES = 4,            /* of the work, for each thread */
};

/* Which part of dy is in work: groups of images, rows of pixels; and the rows of x that it reads. */
struct block {
    int group, groups, row, rows, x_row, x_rows;
};

struct weights {
    struct nn_shape x, y, w;
    int groups, rows; /* of a block, at most */
    int x_rows;       /* at most */
    int taps_at_once; /* in an item of work: all, where there are enough channels to share out */
    bool in_passing;  /* one block, all taps at once: each thread keeps the sums of one item only */
    size_t dy_at, sums_at; /* in scratch, bytes: behind the tiles of x */
};

struct job {
    const struct nn_step *s;
    const struct weights *g;
    struct nn_amx_images x, dy;
    struct block block;
};

static int64_t taps(const struct weights *g)
{
    return (int64_t)g->w.dim[2] * g->w.dim[3];
}

/* Pairs of 32 inputs and 32 outputs. */
static int64_t slices_of(const struct weights *g)
{
    return (int64_t)nn_amx_blocks(g->x.dim[3]) * nn_amx_blocks(g->y.dim[3]);
}

/* ---- blocks ---- */

static int x_rows_for(const struct nn_step *s, const struct weights *g, int rows)
{
    int n = (rows - 1) * s->attr.conv.stride + g->w.dim[2];
    return n < g->x.dim[1] ? n : g->x.dim[1];
}

static int64_t slice_bytes(const struct nn_step *s, const struct weights *g, int groups, int rows)
{
    int64_t pixels = (int64_t)rows * g->y.dim[2] + (int64_t)x_rows_for(s, g, rows) * g->x.dim[2];
    return groups * pixels * NN_AMX_PAIR * (int64_t)sizeof(uint16_t);
}

/* As many images as fit; where a group's are too large, as many rows. */
static void choose_block(const struct nn_step *s, struct weights *g)
{
    int groups = nn_amx_blocks(g->x.dim[0]), rows = g->y.dim[1];
    while (groups > 1 && slice_bytes(s, g, groups, rows) > SLICE_BYTES)
        groups--;
    while (rows > 1 && slice_bytes(s, g, groups, rows) > SLICE_BYTES)
        rows = (rows + 1) / 2;
    g->groups = groups;
    g->rows = rows;
    g->x_rows = x_rows_for(s, g, rows);
}

static struct block block_at(const struct nn_step *s, const struct weights *g, int group, int row)
{
    const struct nn_conv *v = &s->attr.conv;
    int groups = nn_amx_blocks(g->x.dim[0]) - group, rows = g->y.dim[1] - row;
    struct block b = {.group = group, .row = row};
    b.groups = groups < g->groups ? groups : g->groups;
    b.rows = rows < g->rows ? rows : g->rows;
    int first = row * v->stride - v->pad_top;
    int last = first + (b.rows - 1) * v->stride + g->w.dim[2];
    first = first > 0 ? first : 0;
    last = last < g->x.dim[1] ? last : g->x.dim[1];
    b.x_row = first;
    b.x_rows = last > first ? last - first : 0;
    return b;
}

/* ---- packing ---- */

/* Tiles of a slice of 32 channels lie together: [C/32][group][row][column][2 tiles]. */
static uint16_t *tiles_at(const struct nn_step *s, size_t at, int64_t pixels, int slice,
                          int64_t pixel)
{
    return (uint16_t *)((char *)s->scratch + at) + (slice * pixels + pixel) * NN_AMX_PAIR;
}
static uint16_t *x_tiles(const struct job *j, int slice, int64_t pixel)
{
    const struct weights *g = j->g;
    return tiles_at(j->s, 0, (int64_t)g->groups * g->x_rows * g->x.dim[2], slice, pixel);
}
static uint16_t *dy_tiles(const struct job *j, int slice, int64_t pixel)
{
    const struct weights *g = j->g;
    return tiles_at(j->s, g->dy_at, (int64_t)g->groups * g->rows * g->y.dim[2], slice, pixel);
}

/* A pixel's 32 channels of 32 images, by pairs of images: 16 rows for each half of the channels. */
static void pair_images(const struct nn_amx_images *t, int n, int64_t pixel, int c,
                        __m512i rows[2][NN_AMX_SIDE])
{
    for (int i = 0; i < NN_AMX_SIDE; i++) {
        __m512i a = nn_amx_pixel(t, n + 2 * i, pixel, c),
                b = nn_amx_pixel(t, n + 2 * i + 1, pixel, c);
        rows[0][i] = nn_amx_in_turns(a, b, false);
        rows[1][i] = nn_amx_in_turns(a, b, true);
    }
}

static void pack_x_row(const struct job *j, int group, int row)
{
    const struct nn_amx_images *t = &j->x;
    int64_t to = ((int64_t)(group - j->block.group) * j->g->x_rows + row - j->block.x_row) * t->w;
    int64_t pixel = (int64_t)row * t->w;
    for (int w = 0; w < t->w; w++)
        for (int c = 0; c < t->c; c += NN_AMX_BLOCK) {
            __m512i rows[2][NN_AMX_SIDE];
            uint16_t *tile = x_tiles(j, c / NN_AMX_BLOCK, to + w);
            pair_images(t, group * NN_AMX_BLOCK, pixel + w, c, rows);
            for (int i = 0; i < 2 * NN_AMX_SIDE; i++)
                _mm512_storeu_si512(tile + i * NN_AMX_BLOCK,
                                    rows[i / NN_AMX_SIDE][i % NN_AMX_SIDE]);
        }
}

static void pack_dy_row(const struct job *j, int group, int row)
{
    const struct nn_amx_images *t = &j->dy;
    int64_t to = ((int64_t)(group - j->block.group) * j->g->rows + row - j->block.row) * t->w;
    int64_t pixel = (int64_t)row * t->w;
    for (int w = 0; w < t->w; w++)
        for (int c = 0; c < t->c; c += NN_AMX_BLOCK) {
            __m512i rows[2][NN_AMX_SIDE];
            uint16_t *tile = dy_tiles(j, c / NN_AMX_BLOCK, to + w);
            pair_images(t, group * NN_AMX_BLOCK, pixel + w, c, rows);
            for (int k = 0; k < 2; k++) {
                nn_amx_transpose(rows[k]);
                for (int i = 0; i < NN_AMX_SIDE; i++)
                    _mm512_storeu_si512(tile + k * NN_AMX_TILE + i * NN_AMX_BLOCK, rows[k][i]);
            }
        }
}

/* Items are rows of a group, first those of x. */
static void pack_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct block *b = &j->block;
    int64_t of_x = (int64_t)b->groups * b->x_rows;
    (void)thread;
    for (int64_t i = first; i < last; i++)
        if (i < of_x)
            pack_x_row(j, b->group + (int)(i / b->x_rows), b->x_row + (int)(i % b->x_rows));
        else
            pack_dy_row(j, b->group + (int)((i - of_x) / b->rows),
                        b->row + (int)((i - of_x) % b->rows));
}

/* ---- products ---- */

/* The places first .. last-1 of y's side at which a tap reads x, not the padding. */
struct span {
    int first, last;
};
static struct span span_of(int first, int last, int stride, int offset, int size)
{
    /* place * stride + offset in 0 .. size-1 */
    int low = offset < 0 ? (-offset + stride - 1) / stride : 0;
    int high = size - offset > 0 ? (size - offset + stride - 1) / stride : 0;
    return (struct span){low > first ? low : first, high < last ? high : last};
}

/* Adds the block's part to the sums of 32 outputs and 32 inputs at one tap. */
static NN_AMX void correlate(const struct job *j, int o, int c, int tap)
{
    const struct weights *g = j->g;
    const struct nn_conv *v = &j->s->attr.conv;
    const struct block *b = &j->block;
    int down = tap / g->w.dim[3] - v->pad_top, right = tap % g->w.dim[3] - v->pad_left;
    struct span rows = span_of(b->row, b->row + b->rows, v->stride, down, g->x.dim[1]);
    struct span columns = span_of(0, g->y.dim[2], v->stride, right, g->x.dim[2]);
    for (int n = 0; n < b->groups; n++)
        for (int p = rows.first; p < rows.last; p++) {
            int64_t y_row = (int64_t)n * g->rows + p - b->row;
            int64_t x_row = (int64_t)n * g->x_rows + p * v->stride + down - b->x_row;
            int q = columns.first;
            const uint16_t *dy = dy_tiles(j, o, y_row * g->y.dim[2] + q);
            const uint16_t *x = x_tiles(j, c, x_row * g->x.dim[2] + q * v->stride + right);
            for (; q < columns.last; q++, dy += NN_AMX_PAIR, x += v->stride * NN_AMX_PAIR)
                nn_amx_add(dy, x);
        }
}

/* Of 32 outputs of 32 inputs, tap after tap. */
static float *sums_of(const struct job *j, int64_t slices, int thread)
{
    float *sums = (float *)((char *)j->s->scratch + j->g->sums_at);
    return sums + (j->g->in_passing ? thread : slices) * taps(j->g) * NN_AMX_SUMS;
}

/* The sums of one output and up to 16 inputs, tap after tap, to (I,Kh,Kw). */
static void write_inputs(const float *from, int inputs, int n, float *to)
{
    for (int t = 0; t < n; t += NN_AMX_SIDE) {
        __m512i rows[NN_AMX_SIDE] = {0};
        __mmask16 some = nn_amx_first(n - t);
        for (int i = 0; i < NN_AMX_SIDE && t + i < n; i++)
            rows[i] = _mm512_loadu_si512(from + (int64_t)(t + i) * NN_AMX_SUMS);
        nn_amx_transpose(rows);
        for (int i = 0; i < NN_AMX_SIDE && i < inputs; i++)
            _mm512_mask_storeu_epi32(to + i * n + t, some, rows[i]);
    }
}

/* Of 32 outputs of 32 inputs, as far as there are that many, to (O,I,Kh,Kw). */
static void write_filters(const struct job *j, const float *from, int64_t slices)
{
    int inputs = j->g->x.dim[3], outputs = j->g->y.dim[3], n = (int)taps(j->g);
    int c = (int)(slices / nn_amx_blocks(outputs)) * NN_AMX_BLOCK;
    int o = (int)(slices % nn_amx_blocks(outputs)) * NN_AMX_BLOCK;
    for (int i = 0; i < NN_AMX_BLOCK && o + i < outputs; i++)
        for (int k = 0; k < NN_AMX_BLOCK && c + k < inputs; k += NN_AMX_SIDE)
            write_inputs(from + i * NN_AMX_BLOCK + k, inputs - c - k, n,
                         nn_f32(&j->s->out[0]) + ((int64_t)(o + i) * inputs + c + k) * n);
}

/* Items are some taps, or all, of 32 outputs of 32 inputs: a slice of x, which is the larger where
   there is a stride, stays in the cache for all outputs. */
static NN_AMX void correlate_items(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct weights *g = j->g;
    int outputs = nn_amx_blocks(g->y.dim[3]), n = g->taps_at_once;
    bool add = j->block.group || j->block.row;
    nn_amx_begin();
    for (int64_t item = first; item < last; item++) {
        int64_t slices = item * n / taps(g), tap = item * n % taps(g);
        float *sums = sums_of(j, slices, thread);
        for (int64_t t = tap; t < tap + n; t++) {
            if (add)
                nn_amx_load(sums + t * NN_AMX_SUMS);
            else
                nn_amx_zero();
            correlate(j, (int)(slices % outputs), (int)(slices / outputs), (int)t);
            nn_amx_store(sums + t * NN_AMX_SUMS);
        }
        if (g->in_passing)
            write_filters(j, sums, slices);
    }
    nn_amx_end();
}

static void write_items(const void *ctx, int64_t first, int64_t last, int thread)
{
    for (int64_t slices = first; slices < last; slices++)
        write_filters(ctx, sums_of(ctx, slices, thread), slices);
}

/* ---- the kernel ---- */

static bool supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && nn_amx_fits(s, &s->in[0], &s->in[1]);
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    struct weights *g = s->state = mem_zalloc(1, sizeof *g);
    (void)e;
    if (!g)
        return STATUS_NOMEM;
    g->x = s->in[0].shape, g->w = s->out[0].shape, g->y = s->in[1].shape;
    choose_block(s, g);
    g->taps_at_once = slices_of(g) < (int64_t)SHARES * s->threads ? 1 : (int)taps(g);
    g->in_passing = g->taps_at_once == taps(g) && g->rows == g->y.dim[1] &&
                    g->groups == nn_amx_blocks(g->x.dim[0]);
    size_t pair = NN_AMX_PAIR * sizeof(uint16_t), groups = (size_t)g->groups;
    size_t inputs = (size_t)nn_amx_blocks(g->x.dim[3]);
    size_t outputs = (size_t)nn_amx_blocks(g->y.dim[3]);
    g->dy_at = inputs * groups * (size_t)(g->x_rows * g->x.dim[2]) * pair;
    g->sums_at = g->dy_at + outputs * groups * (size_t)(g->rows * g->y.dim[2]) * pair;
    int64_t sums = g->in_passing ? s->threads : slices_of(g);
    s->scratch_bytes = g->sums_at + (size_t)(sums * taps(g) * NN_AMX_SUMS) * sizeof(float);
    return STATUS_OK;
}

static void drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

static status run(const struct nn_step *s)
{
    const struct weights *g = s->state;
    struct job j = {.s = s, .g = g, .x = nn_amx_images(&s->in[0]), .dy = nn_amx_images(&s->in[1])};
    int64_t items = slices_of(g) * taps(g) / g->taps_at_once;
    for (int group = 0; group < nn_amx_blocks(g->x.dim[0]); group += g->groups)
        for (int row = 0; row < g->y.dim[1]; row += g->rows) {
            j.block = block_at(s, g, group, row);
            nn_for_range(s->threads, (int64_t)j.block.groups * (j.block.x_rows + j.block.rows),
                         pack_rows, &j);
            nn_for_range(s->threads, items, correlate_items, &j);
        }
    if (!g->in_passing)
        nn_for_range(s->threads, slices_of(g), write_items, &j);
    if (nn_has(&s->out[1]))
        nn_bias_gradient(s, &s->in[1], &s->out[1]);
    return STATUS_OK;
}

const struct nn_kernel nn_amx_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "amx.conv2d_weights",
    .supports = supports,
    .prepare = prepare,
    .run = run,
    .drop = drop,
};
#endif
