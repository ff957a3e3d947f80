/*
 * LSP, linearly separable perturbations (Yu et al., "Availability Attacks Create Shortcuts", KDD
 * 2022). A synthetic classification problem, by the construction of Guyon 2003 that its authors
 * take from a library: for class k a corner c_k of the hypercube {-sep, +sep}^F and a mixing matrix
 * A_k with U(-1,1) entries; a point of class k is z A_k + c_k, z ~ N(0, I). The F coordinates are
 * the values of the patch x patch blocks of an image; the whole is scaled to the L2 norm (eps/255)
 * sqrt(HWC). One point per image. Corners are distinct. What its code adds without effect here
 * (shuffling of samples and features, label noise 0) is left out.
 *
 * Images of different sizes (ours): F counts the blocks of the largest width by the largest height.
 * An image has the part of its point that lies over it, from the top left corner on, scaled to the
 * norm of its own size; corners differ already in the part that all images have. So a class has one
 * pattern, whatever the size, and the images that share a size are separable as above.
 */
#include "protect/protect.h"

#include "stream.h"

#include <math.h>
#include <string.h>

struct lsp_param {
    int patch;
};
static const struct param params[] = {
    {"patch", PARAM_INT, offsetof(struct lsp_param, patch), .lo = 1, .hi = 1 << 16, .standard = "8",
     .unit = "pixels", .about = "side of a block"},
};

static const float class_sep = 10;                /* the authors' */
static const size_t mixing_max = (size_t)1 << 28; /* floats: 1 GiB */

struct lsp {
    int patch, rows, columns;      /* of blocks */
    int least_rows, least_columns; /* that every image has */
    size_t features;               /* rows * columns * C */
    float *corner;                 /* (K,F) */
    float *mixing;                 /* (K,F,F) */
};

static int blocks(int side, int patch)
{
    return (side + patch - 1) / patch;
}

/* In what all images have of it. */
static bool same_corner(const struct lsp *l, int channels, const float *a, const float *b)
{
    size_t row = (size_t)l->columns * (size_t)channels;
    size_t n = (size_t)l->least_columns * (size_t)channels;
    for (int y = 0; y < l->least_rows; y++)
        if (memcmp(a + (size_t)y * row, b + (size_t)y * row, n * sizeof *a) != 0)
            return false;
    return true;
}

/* Draws corners until each is new; 2^F of them must be many more than classes, or this would take
 * long. */
static status draw_corners(const struct protect_job *j, struct lsp *l, struct errmsg *e)
{
    int classes = j->info.classes, channels = j->info.channels;
    size_t least = (size_t)l->least_rows * (size_t)l->least_columns * (size_t)channels;
    if (least < 31 && (1 << least) < 2 * classes)
        return errmsg_set(
            e, STATUS_INVALID,
            "%zu blocks an image cannot tell %d classes apart (use a smaller --patch)", least,
            classes);
    for (int k = 0; k < classes; k++) {
        struct nn_rng r = stream(j->opt->seed, STREAM_VERTEX, (uint64_t)k);
        float *corner = l->corner + (size_t)k * l->features;
        uint64_t word = 0;
        bool taken;
        do {
            for (size_t f = 0; f < l->features; f++)
                corner[f] = nn_rng_u32(r, word++) >> 31 ? class_sep : -class_sep;
            taken = false;
            for (int o = 0; o < k && !taken; o++)
                taken = same_corner(l, channels, corner, l->corner + (size_t)o * l->features);
        } while (taken);
    }
    return STATUS_OK;
}

static status draw_mixing(const struct protect_job *j, struct lsp *l)
{
    size_t n = l->features * l->features;
    for (int k = 0; k < j->info.classes; k++) {
        struct nn_rng r = stream(j->opt->seed, STREAM_MIXING, (uint64_t)k);
        for (size_t i = 0; i < n; i++)
            l->mixing[(size_t)k * n + i] = 2 * nn_rng_uniform(r, i) - 1;
        if (stop_requested())
            return STATUS_CANCELLED;
    }
    return STATUS_OK;
}

/* How many pixels of an axis block b covers. */
static int covered(int side, int patch, int b)
{
    int left = side - b * patch;
    return left < patch ? left : patch;
}

static double image_norm(const struct protect_job *j, const struct lsp *l, int i,
                         const float *block)
{
    double sum = 0;
    size_t c = (size_t)j->info.channels;
    for (int y = 0; y < blocks(j->height[i], l->patch); y++)
        for (int x = 0; x < blocks(j->width[i], l->patch); x++) {
            int area = covered(j->height[i], l->patch, y) * covered(j->width[i], l->patch, x);
            const float *v = block + ((size_t)y * (size_t)l->columns + (size_t)x) * c;
            for (size_t k = 0; k < c; k++)
                sum += area * (double)v[k] * v[k];
        }
    return sqrt(sum);
}

/* Blocks beyond the image are skipped. */
static void clear_beyond(const struct protect_job *j, const struct lsp *l, int i, float *block)
{
    size_t c = (size_t)j->info.channels;
    int rows = blocks(j->height[i], l->patch), columns = blocks(j->width[i], l->patch);
    for (int y = 0; y < l->rows; y++)
        for (int x = y < rows ? columns : 0; x < l->columns; x++)
            memset(block + ((size_t)y * (size_t)l->columns + (size_t)x) * c, 0, c * sizeof *block);
}

/* The point of image i, scaled: the values of its blocks. */
static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct lsp *l = j->state;
    size_t n = l->features, k = (size_t)train_set_label(j->set, i);
    const float *a = l->mixing + k * n * n;
    AUTO(mem_free) float *z = mem_alloc(n * sizeof *z);
    if (!z)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    memcpy(out, l->corner + k * n, n * sizeof *out);
    nn_rng_normal(stream(j->opt->seed, STREAM_POINT, (uint64_t)i), 0, z, n);
    for (size_t r = 0; r < n; r++)
        for (size_t f = 0; f < n; f++)
            out[f] += z[r] * a[r * n + f];
    clear_beyond(j, l, i, out);
    double budget = j->eps / 255 * sqrt((double)j->width[i] * j->height[i] * j->info.channels);
    float scale = (float)(budget / image_norm(j, l, i, out));
    for (size_t f = 0; f < n; f++)
        out[f] *= scale;
    return STATUS_OK;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct lsp *l = j->state = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    l->patch = ((const struct lsp_param *)j->param)->patch;
    l->rows = blocks(j->info.height, l->patch);
    l->columns = blocks(j->info.width, l->patch);
    l->least_rows = blocks(j->least_height, l->patch);
    l->least_columns = blocks(j->least_width, l->patch);
    l->features = (size_t)l->rows * (size_t)l->columns * (size_t)j->info.channels;
    size_t n = l->features, classes = (size_t)j->info.classes;
    if (n > 1 << 16 || n * n > mixing_max / classes)
        return errmsg_set(e, STATUS_LIMIT,
                          "%zu blocks an image and %zu classes need too much memory (use a larger "
                          "--patch)",
                          n, classes);
    l->corner = mem_alloc(classes * n * sizeof *l->corner);
    l->mixing = mem_alloc(classes * n * n * sizeof *l->mixing);
    if (!l->corner || !l->mixing)
        return STATUS_NOMEM;
    status st = draw_corners(j, l, e);
    return st ? st : draw_mixing(j, l);
}

static struct protect_shape shape(const struct protect_job *j)
{
    const struct lsp *l = j->state;
    return (struct protect_shape){
        .shape = nn_shape4(j->info.samples, l->rows, l->columns, j->info.channels),
        .patch = l->patch};
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct lsp_param *p = j->param;
    json_object_set_new(out, "patch", json_integer(p->patch));
    json_object_set_new(out, "class_sep", json_real(class_sep));
}

static void done(struct protect_job *j)
{
    struct lsp *l = j->state;
    if (!l)
        return;
    mem_free(l->corner);
    mem_free(l->mixing);
    mem_free(l);
}

const struct protect_method protect_lsp = {
    .name = "lsp",
    .summary = "linearly separable blocks, one pattern an image; L2 norm 6/255 a value by default",
    .eps = 6,
    .quantise = TRAIN_TRUNCATE,
    .any_size = true,
    .params = PARAM_TABLE(params, struct lsp_param),
    .prepare = prepare,
    .shape = shape,
    .row = row,
    .describe = describe,
    .done = done,
};
