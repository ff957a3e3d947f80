/*
 * guided: each value becomes a linear function of the guide's colour around it, fitted over square
 * windows with a ridge of eps; the fits of all windows that hold the pixel are averaged (He et al.
 * 2010, the colour guide of section 3.4; OpenCV's ximgproc.guidedFilter). When it is done several
 * times, the guide stays the same. Beyond its edge an image is mirrored with the edge repeated.
 *
 * The image is worked on in square blocks, each with the 2 radius pixels around it that it depends
 * on: neither the memory for sums nor how long a turn takes depends on the image's size. Between
 * two passes the values are kept as floats.
 */
#include "blocks.h"
#include "local_fit.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 64, RADIUS_MAX = 16, SIDE_MAX = BLOCK + 4 * RADIUS_MAX };

enum guide { GUIDE_ORIGINAL, GUIDE_INPUT };
static const char *const guides[] = {"original", "input", NULL};

struct guided {
    int radius, times;
    float eps;
    enum guide guide;
};

static int mirror_edge(int i, int n)
{
    i %= 2 * n;
    i = i < 0 ? i + 2 * n : i;
    return i < n ? i : 2 * n - 1 - i;
}

struct pass {
    const struct image *img, *guide;
    const float *from; /* (H,W,C); NULL: the image */
    float *to;         /* the same; NULL: the result */
    uint8_t *out;      /* (H,W,C), of the last pass */
};

static void load(const struct pass *p, struct local_fit *b)
{
    const struct image *img = p->img;
    for (int y = 0; y < b->side_y; y++)
        for (int x = 0; x < b->side_x; x++) {
            size_t row = (size_t)mirror_edge(b->y + y - 2 * b->radius, img->height);
            size_t column = (size_t)mirror_edge(b->x + x - 2 * b->radius, img->width);
            size_t at = (row * (size_t)img->width + column) * (size_t)b->channels;
            double guide[3], in[3];
            for (int c = 0; c < b->channels; c++) {
                guide[c] = p->guide->pixels[at + (size_t)c];
                in[c] = p->from ? (double)p->from[at + (size_t)c] : img->pixels[at + (size_t)c];
            }
            local_fit_add(b, (size_t)y * (size_t)b->side_x + (size_t)x, guide, in);
        }
}

static void store(const struct pass *p, const struct local_fit *b)
{
    const struct image *img = p->img;
    for (int y = 0; y < b->height; y++)
        for (int x = 0; x < b->width; x++) {
            size_t k =
                (size_t)(y + 2 * b->radius) * (size_t)b->side_x + (size_t)(x + 2 * b->radius);
            size_t at = ((size_t)(b->y + y) * (size_t)img->width + (size_t)(b->x + x)) *
                        (size_t)b->channels;
            for (int c = 0; c < b->channels; c++) {
                double v = local_fit_value(b, k, c);
                if (p->to)
                    p->to[at + (size_t)c] = (float)v;
                else
                    p->out[at + (size_t)c] = (uint8_t)rint(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int64_t blocks(int width, int height)
{
    int64_t columns = (width + BLOCK - 1) / BLOCK, rows = (height + BLOCK - 1) / BLOCK;
    return columns * rows;
}

/* Copies that alternate: a pass reads one and writes the other; the first and the last need one
   less. */
static int copies_of(const struct guided *g)
{
    return g->times > 2 ? 2 : g->times - 1;
}

static size_t bytes(const void *values, const struct image *img)
{
    return (size_t)copies_of(values) * image_pixel_bytes(img) * sizeof(float);
}

static struct pass pass_of(const struct blocks *all)
{
    const struct guided *g = all->values;
    const struct image *img = all->job.in;
    float *copy[2] = {all->memory, all->memory};
    if (copies_of(g) > 1)
        copy[1] += image_pixel_bytes(img);
    return (struct pass){.img = img,
                         .guide = g->guide == GUIDE_INPUT ? img : all->job.original,
                         .from = all->pass > 0 ? copy[(all->pass - 1) % 2] : NULL,
                         .to = all->pass < g->times - 1 ? copy[all->pass % 2] : NULL,
                         .out = all->job.out};
}

static status make_block(const struct blocks *all, struct errmsg *e)
{
    const struct guided *g = all->values;
    const struct image *img = all->job.in;
    int columns = (img->width + BLOCK - 1) / BLOCK;
    double line[SIDE_MAX];
    struct local_fit b = {.channels = img->channels,
                          .radius = g->radius,
                          .eps = (double)g->eps,
                          .x = (int)(all->index % columns) * BLOCK,
                          .y = (int)(all->index / columns) * BLOCK,
                          .line = line};
    b.width = least(BLOCK, img->width - b.x);
    b.height = least(BLOCK, img->height - b.y);
    b.side_x = b.width + 4 * b.radius;
    b.side_y = b.height + 4 * b.radius;
    AUTO(mem_free)
    double *planes = mem_alloc((LOCAL_FIT_SUMS_MAX + 3) * local_fit_area(&b) * sizeof *planes);
    (void)e;
    if (!planes)
        return STATUS_NOMEM;
    b.plane = planes;
    b.guide = planes + LOCAL_FIT_SUMS_MAX * local_fit_area(&b);
    const struct pass p = pass_of(all);
    load(&p, &b);
    local_fit_run(&b);
    store(&p, &b);
    return STATUS_OK;
}

static int times(const void *values)
{
    return ((const struct guided *)values)->times;
}

#define ROW(member) offsetof(struct guided, member)
static const struct param rows[] = {
    {"radius", PARAM_INT, ROW(radius), .lo = 1, .hi = RADIUS_MAX, .standard = "4", .unit = "pixels",
     .about = "of the square windows"},
    {"eps", PARAM_FLOAT, ROW(eps), .lo = 0.01, .hi = 65025, .standard = "16",
     .unit = "squared grey levels", .about = "what varies less is smoothed"},
    {"guide", PARAM_ENUM, ROW(guide), .names = guides, .standard = "original",
     .about = "whose edges are kept: those of the image before the chain, or of the input"},
    {"times", PARAM_INT, ROW(times), .lo = 1, .hi = 100, .standard = "1",
     .about = "how often it is done"},
};

const struct purifier_ops purifier_guided = {
    .name = "guided",
    .summary = "smoothed where a guide has no edges",
    .version = 1,
    .params = PARAM_TABLE(rows, struct guided),
    .kind = &purifier_blocks,
    .pixel_ns = 1200,
    .passes = times,
    .blocks = blocks,
    .block = make_block,
    .bytes = bytes,
};
