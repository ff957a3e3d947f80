/*
 * A perturbation from a file (delta_file.h) instead of one that is crafted here. A class-wise one has
 * a row for each class in the order of the folders. A sample-wise one has a row for each image: in
 * the order of the tree, or, where names are numbers of which no two are alike (as relearn unpack
 * gives them), the row of that number, so that what was published for an archive fits its tree.
 *
 * Images must be of the file's size, unless it shall be resized: linearly between the centres of its
 * values, whatever the sizes. A file of ours is used as it was written: for images that differ in
 * size, from the top left corner on.
 */
#include "protect/delta_file.h"

#include <string.h>

struct apply_param {
    int units, layout, sign, index, order;
    bool resize;
    char tensor[PARAM_TEXT_MAX];
};
enum { ORDER_AUTO, ORDER_TREE, ORDER_NUMBER };
static const char *const units[] = {"auto", "unit", "byte", NULL};
static const char *const layouts[] = {"auto", "hwc", "chw", NULL};
static const char *const signs[] = {"auto", "signed", "unsigned", NULL};
static const char *const indices[] = {"auto", "class", "sample", NULL};
static const char *const orders[] = {"auto", "tree", "number", NULL};
static const struct param params[] = {
    {"units", PARAM_ENUM, offsetof(struct apply_param, units), .names = units, .standard = "auto",
     .about = "of the file's numbers: for images of 0 to 1, or of 0 to 255"},
    {"layout", PARAM_ENUM, offsetof(struct apply_param, layout), .names = layouts,
     .standard = "auto", .about = "of the file's dimensions after the first"},
    {"sign", PARAM_ENUM, offsetof(struct apply_param, sign), .names = signs, .standard = "auto",
     .about = "0 changes nothing, or 128 (0.5) does not"},
    {"index", PARAM_ENUM, offsetof(struct apply_param, index), .names = indices, .standard = "auto",
     .about = "what the file has a row for"},
    {"order", PARAM_ENUM, offsetof(struct apply_param, order), .names = orders, .standard = "auto",
     .about = "an image's row: its place in the tree, or the number it is named"},
    {"resize", PARAM_BOOL, offsetof(struct apply_param, resize), .standard = "no",
     .about = "yes: to each image's size"},
    {"tensor", PARAM_TEXT, offsetof(struct apply_param, tensor), .standard = "",
     .about = "name of the tensor, where there are several"},
};

struct apply {
    struct delta_file file;
    int *number; /* (N) row of each image; NULL: the order of the tree */
    bool class_wise, resize;
    char digest[65];
};

/* ---- which row ---- */

/* The number that a name "class/00012.png" is; -1: none. */
static long number_of(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    size_t n = strspn(name, "0123456789");
    return n > 0 && n < 10 && name[n] == '.' ? strtol(name, NULL, 10) : -1;
}

/* Whether every image's name is a number, each another one; a->number then holds them. */
static status read_numbers(const struct protect_job *j, struct apply *a, bool *out)
{
    int rows = a->file.n, n = j->info.samples;
    AUTO(mem_free) bool *used = mem_zalloc((size_t)rows, sizeof *used);
    AUTO(mem_free) int *number = mem_alloc((size_t)n * sizeof *number);
    if (!used || !number)
        return STATUS_NOMEM;
    *out = false;
    for (int i = 0; i < n; i++) {
        long v = number_of(train_set_path(j->set, i));
        if (v < 0 || v >= rows || used[v])
            return STATUS_OK;
        used[v] = true;
        number[i] = (int)v;
    }
    *out = true;
    a->number = TAKE(number);
    return STATUS_OK;
}

static status choose_rows(const struct protect_job *j, struct apply *a, struct errmsg *e)
{
    const struct apply_param *p = j->param;
    int rows = a->file.n, classes = j->info.classes, samples = j->info.samples;
    int index = p->index ? p->index : (int)a->file.index, order = p->order;
    if (order == ORDER_AUTO && a->file.ours)
        order = ORDER_TREE;
    if (!index && rows == classes && rows == samples)
        return errmsg_set(e, STATUS_INVALID,
                          "%s has %d rows, as many as there are classes and images (say --index "
                          "class or --index sample)",
                          j->opt->delta_file, rows);
    if (!index)
        index = rows == classes ? DELTA_CLASS : DELTA_SAMPLE;
    a->class_wise = index == DELTA_CLASS;
    if (a->class_wise && rows == classes)
        return STATUS_OK;
    bool numbered = false;
    status st = STATUS_OK;
    if (!a->class_wise && order != ORDER_TREE)
        st = read_numbers(j, a, &numbered);
    if (st || numbered || (!a->class_wise && order != ORDER_NUMBER && rows == samples))
        return st;
    return errmsg_set(e, STATUS_INVALID,
                      "%s has %d rows, which fits neither %d classes nor %d images%s",
                      j->opt->delta_file, rows, classes, samples,
                      order == ORDER_NUMBER ? " named by their numbers in it" : "");
}

/* ---- size ---- */

static int blocks(int side, int patch)
{
    return (side + patch - 1) / patch;
}

static status check_size(const struct protect_job *j, struct apply *a, struct errmsg *e)
{
    const struct delta_file *d = &a->file;
    const struct apply_param *p = j->param;
    bool one_size = j->least_width == j->info.width && j->least_height == j->info.height;
    bool fits = blocks(j->info.width, d->patch) == d->width &&
                blocks(j->info.height, d->patch) == d->height && (one_size || d->ours);
    a->resize = p->resize && !fits;
    if (fits || (p->resize && d->patch == 1))
        return STATUS_OK;
    return errmsg_set(
        e, STATUS_INVALID, "%s is for images of %dx%d pixels, %s has %s of %dx%d (%s)",
        j->opt->delta_file, d->width * d->patch, d->height * d->patch, j->opt->src_dir,
        one_size ? "images" : "images of many sizes, the largest", j->info.width, j->info.height,
        d->patch == 1 ? "resize the perturbation with --resize yes, or the images "
                        "with --size"
                      : "resize the images with --size");
}

/* Where output i of `to` lies among `from` values: the first of two, and the part of the second. */
static int place(int i, int from, int to, float *out_part)
{
    float at = ((float)i + .5f) * (float)from / (float)to - .5f;
    at = at < 0 ? 0 : at > (float)(from - 1) ? (float)(from - 1) : at;
    *out_part = at - (float)(int)at;
    return (int)at;
}

/* (height,width,C) of the file -> w x h at the top left of out, whose rows are `wide`. */
static void resize(const struct delta_file *d, const float *in, int w, int h, int wide, float *out)
{
    int c = d->channels, line = d->width * c;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float fy, fx;
            int y0 = place(y, d->height, h, &fy), x0 = place(x, d->width, w, &fx);
            const float *at = in + (ptrdiff_t)y0 * line + (ptrdiff_t)x0 * c;
            int down = fy > 0 ? line : 0, right = fx > 0 ? c : 0;
            for (int k = 0; k < c; k++)
                out[((ptrdiff_t)y * wide + x) * c + k] =
                    (1 - fy) * ((1 - fx) * at[k] + fx * at[right + k]) +
                    fy * ((1 - fx) * at[down + k] + fx * at[down + right + k]);
        }
}

/* ---- the method ---- */

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct apply_param *p = j->param;
    struct apply *a = j->state = mem_zalloc(1, sizeof *a);
    if (!a)
        return STATUS_NOMEM;
    struct delta_file *d = &a->file;
    d->units = (enum delta_units)p->units;
    d->layout = (enum delta_layout)p->layout;
    d->sign = (enum delta_sign)p->sign;
    if (!j->opt->delta_file)
        return errmsg_set(e, STATUS_INVALID, "no file is given (--apply FILE)");
    status st = delta_file_open(j->opt->delta_file, p->tensor, j->info.channels, d, e);
    struct digest digest;
    if (!st)
        st = nn_file_digest(d->file, &digest);
    if (st)
        return st;
    digest_hex(&digest, a->digest);
    st = choose_rows(j, a, e);
    if (!st)
        st = check_size(j, a, e);
    if (!st && !j->opt->quiet)
        log_info("%s: %d rows of %dx%dx%d, %s, %s, %s, from %g to %g%s", j->opt->delta_file, d->n,
                 d->height, d->width, d->channels, a->class_wise ? "class-wise" : "sample-wise",
                 d->units == DELTA_BYTE ? "8-bit units" : "[0,1] units",
                 d->sign == DELTA_SIGNED ? "signed" : "unsigned around the middle", d->least,
                 d->most, a->number ? ", by the numbers that images are named" : "");
    return st;
}

/* Resized to images of different sizes, a class's perturbation is one for each image. */
static bool one_for_a_class(const struct protect_job *j)
{
    const struct apply *a = j->state;
    bool one_size = j->least_width == j->info.width && j->least_height == j->info.height;
    return a->class_wise && (one_size || !a->resize);
}

static struct protect_shape shape(const struct protect_job *j)
{
    const struct apply *a = j->state;
    const struct delta_file *d = &a->file;
    bool class_wise = one_for_a_class(j);
    return (struct protect_shape){.shape =
                                      nn_shape4(class_wise ? j->info.classes : j->info.samples,
                                                a->resize ? j->info.height : d->height,
                                                a->resize ? j->info.width : d->width, d->channels),
                                  .class_wise = class_wise,
                                  .patch = d->patch};
}

static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct apply *a = j->state;
    const struct delta_file *d = &a->file;
    bool by_class = one_for_a_class(j);
    int at = by_class        ? i
             : a->class_wise ? train_set_label(j->set, i)
             : a->number     ? a->number[i]
                             : i;
    if (!a->resize)
        return delta_file_row(d, at, out, e);
    size_t n = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
    AUTO(mem_free) float *v = mem_alloc(n * sizeof *v);
    if (!v)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    status st = delta_file_row(d, at, v, e);
    if (st)
        return st;
    int wide = j->info.width;
    memset(out, 0, (size_t)j->info.height * (size_t)wide * (size_t)d->channels * sizeof *out);
    resize(d, v, by_class ? wide : j->width[i], by_class ? j->info.height : j->height[i], wide,
           out);
    return STATUS_OK;
}

/* What was recognised, in place of "auto". */
static void describe(const struct protect_job *j, json_t *out)
{
    const struct apply *a = j->state;
    const struct delta_file *d = &a->file;
    json_object_set_new(out, "file", json_string(j->opt->delta_file));
    json_object_set_new(out, "file_sha256", json_string(a->digest));
    json_object_set_new(out, "tensor", json_string(d->tensor->name));
    json_object_set_new(out, "units", json_string(units[d->units]));
    json_object_set_new(out, "layout", json_string(layouts[d->layout]));
    json_object_set_new(out, "sign", json_string(signs[d->sign]));
    json_object_set_new(out, "index", json_string(indices[a->class_wise ? 1 : 2]));
    json_object_set_new(out, "order", json_string(orders[a->number ? 2 : 1]));
    json_object_set_new(out, "resize", json_boolean(a->resize));
}

static void done(struct protect_job *j)
{
    struct apply *a = j->state;
    if (!a)
        return;
    delta_file_close(&a->file);
    mem_free(a->number);
    mem_free(a);
}

const struct protect_method protect_apply = {
    .name = "apply",
    .summary = "a perturbation from a file, published or ours: --apply FILE instead of --method",
    .quantise = TRAIN_ROUND,
    .any_size = true,
    .params = PARAM_TABLE(params, struct apply_param),
    .prepare = prepare,
    .shape = shape,
    .row = row,
    .describe = describe,
    .done = done,
};
