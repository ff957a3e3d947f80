/* From a family's tensors to our parameters. */
#include "unet_import.h"

#include <string.h>

/* ---- our parameters' names ---- */

/* "layer.leaf" or "leaf" */
static void split_layer(const char *text, struct unet_place *at)
{
    const char *dot = strrchr(text, '.');
    size_t n = dot ? (size_t)(dot - text) : 0;
    CHECK(n < sizeof at->layer);
    memcpy(at->layer, text, n);
    at->layer[n] = 0;
    at->leaf = dot ? dot + 1 : text;
}

static const char *after(const char *text, const char *start)
{
    size_t n = strlen(start);
    return strncmp(text, start, n) == 0 ? text + n : NULL;
}

/* "L.block.B.layer.leaf", "L.attn.B.…", "L.downsample.…", "L.upsample.…" */
static void parse_level(const char *rest, struct unet_place *at)
{
    char *end;
    const char *r;
    at->level = (int)strtol(rest, &end, 10);
    end++;
    if ((r = after(end, "downsample.")) || (r = after(end, "upsample."))) {
        at->unit = *end == 'd' ? UNIT_DOWNSAMPLE : UNIT_UPSAMPLE;
        split_layer(r, at);
        return;
    }
    at->unit = *end == 'b' ? UNIT_BLOCK : UNIT_ATTN;
    at->index = (int)strtol(strchr(end, '.') + 1, &end, 10);
    split_layer(end + 1, at);
}

static struct unet_place parse_place(const char *name)
{
    static const struct {
        const char *start;
        struct unet_place place;
    } whole[] = {
        {"temb.dense.0.", {.part = PART_TEMB, .index = 0}},
        {"temb.dense.1.", {.part = PART_TEMB, .index = 1}},
        {"conv_in.", {.part = PART_IN}},
        {"norm_out.", {.part = PART_NORM}},
        {"conv_out.", {.part = PART_OUT}},
        {"mid.block_1.", {.part = PART_MID, .unit = UNIT_BLOCK, .index = 0}},
        {"mid.block_2.", {.part = PART_MID, .unit = UNIT_BLOCK, .index = 1}},
        {"mid.attn_1.", {.part = PART_MID, .unit = UNIT_ATTN}},
    };
    const char *r;
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if ((r = after(name, whole[i].start))) {
            struct unet_place at = whole[i].place;
            at.name = name;
            split_layer(r, &at);
            return at;
        }
    struct unet_place at = {.part = *name == 'd' ? PART_DOWN : PART_UP, .name = name};
    parse_level(strchr(name, '.') + 1, &at);
    return at;
}

/* ---- values ---- */

static int64_t row_elements(struct nn_shape s)
{
    return s.rank > 1 ? nn_shape_count(s) / s.dim[0] : 1;
}

/* Rows as the piece says, and the rest alike but for dimensions of 1 at the end: a 1x1 convolution
   may have been a linear layer. */
static bool shape_fits(const struct unet_piece *piece, struct nn_shape want, struct nn_shape have)
{
    int rows = piece->group ? want.dim[0] / piece->group * piece->stride : want.dim[0];
    if (piece->group && (want.dim[0] % piece->group || piece->stride % piece->group))
        return false;
    for (int d = 1; d < NN_RANK_MAX; d++)
        if ((d < want.rank ? want.dim[d] : 1) != (d < have.rank ? have.dim[d] : 1))
            return false;
    return have.dim[0] == rows;
}

static void copy_rows(const struct unet_piece *piece, const float *from, int64_t width,
                      const struct nn_param_entry *to)
{
    int64_t half = piece->swap_halves ? width / 2 : 0;
    for (int r = 0; r < to->shape.dim[0]; r++) {
        int src =
            piece->group ? r / piece->group * piece->stride + piece->offset + r % piece->group : r;
        for (int64_t i = 0; i < width; i++)
            to->value[r * width + i] = from[src * width + (i + half) % width] + piece->add;
    }
}

/* *out_from is the tensor that it came from. */
static status load_param(const struct unet_source *s, const struct unet_piece *piece,
                         const struct nn_param_entry *p, const struct nn_file_tensor **out_from,
                         struct errmsg *e)
{
    char full[2 * IMPORT_PREFIX_MAX];
    snprintf(full, sizeof full, "%s%s", s->src.prefix, piece->tensor);
    const struct nn_file_tensor *t = nn_file_find(s->src.file, full);
    if (!t)
        return import_no_place(e, full, "is missing");
    if (!shape_fits(piece, p->shape, t->shape))
        return import_no_place(e, full,
                               "has another shape than the architecture that the others make");
    size_t count = (size_t)nn_shape_count(t->shape);
    AUTO(mem_free) float *value = mem_zalloc(count, sizeof *value);
    if (!value)
        return STATUS_NOMEM;
    status st = nn_file_read_f32(t, value, count);
    if (st)
        return import_no_place(e, full,
                               st == STATUS_LIMIT ? "holds a value beyond the range of f32"
                                                  : "does not hold floating-point numbers");
    copy_rows(piece, value, row_elements(p->shape), p);
    *out_from = t;
    return STATUS_OK;
}

/* The tensors that were used, sorted by address. */
struct used {
    const struct nn_file_tensor **at;
    int n;
};

static int by_address(const void *a, const void *b)
{
    const struct nn_file_tensor *x = *(const struct nn_file_tensor *const *)a,
                                *y = *(const struct nn_file_tensor *const *)b;
    return (x > y) - (x < y);
}

static status load_all(const struct unet_source *s, const struct unet_family *f,
                       const struct purify_unet *u, struct nn_params *p, struct used *used,
                       struct errmsg *e)
{
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *entry = nn_params_at(p, i);
        struct unet_place at = parse_place(entry->name);
        struct unet_piece piece = {.group = 0};
        f->piece(s, u, &at, &piece);
        status st = load_param(s, &piece, entry, &used->at[used->n], e);
        if (st)
            return st;
        used->n++;
    }
    qsort(used->at, (size_t)used->n, sizeof(*used->at), by_address);
    return STATUS_OK;
}

/* Every tensor under the prefix has its place. */
static status check_all_used(const struct unet_source *s, const struct used *used, struct errmsg *e)
{
    size_t n = strlen(s->src.prefix);
    for (int i = 0; i < nn_file_count(s->src.file); i++) {
        const struct nn_file_tensor *t = nn_file_at(s->src.file, i);
        if (strncmp(t->name, s->src.prefix, n) == 0 &&
            !bsearch(&t, used->at, (size_t)used->n, sizeof(*used->at), by_address))
            return import_no_place(e, t->name,
                                   "has no place in the architecture that the others make");
    }
    return STATUS_OK;
}

status unet_import_values(const struct unet_source *s, const struct unet_family *f,
                          const struct purify_unet *u, struct nn_params *p, struct errmsg *e)
{
    struct used used = {NULL, 0};
    used.at = mem_zalloc((size_t)nn_params_count(p), sizeof(*used.at));
    status st = used.at ? load_all(s, f, u, p, &used, e) : STATUS_NOMEM;
    if (!st)
        st = check_all_used(s, &used, e);
    mem_free(used.at);
    return st;
}

/* ---- rows that several families have alike ---- */

void unet_time_rows(const struct unet_source *s, const struct unet_place *at,
                    struct unet_piece *out)
{
    bool scale = strcmp(at->layer, "temb_scale") == 0;
    if (!scale && strcmp(at->layer, "temb_shift") != 0)
        return;
    out->stride = import_dim(&s->src, 0, "%s", out->tensor);
    out->group = out->stride / 2;
    out->offset = scale ? 0 : out->group;
    out->add = scale && strcmp(at->leaf, "bias") == 0 ? 1 : 0;
}

void unet_noise_rows(const struct unet_source *s, const struct purify_unet *u,
                     struct unet_piece *out)
{
    out->stride = import_dim(&s->src, 0, "%s", out->tensor);
    out->group = out->stride == 2 * u->in_channels ? u->in_channels : 0;
}
