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

#include <math.h>
#include <string.h>

enum { BLOCK = 64, RADIUS_MAX = 16, SIDE_MAX = BLOCK + 4 * RADIUS_MAX };
/* Sums of a window: the guide, its products, the input, its products with the guide. */
enum { SUMS_MAX = 3 + 6 + 3 + 9 };

enum guide { GUIDE_ORIGINAL, GUIDE_INPUT };
static const char *const guides[] = {"original", "input", NULL};

struct guided {
    int radius, times;
    float eps;
    enum guide guide;
};

/* One block: side_x x side_y pixels, of which the inner ones are the output. */
struct block {
    int channels, radius;
    double eps;
    int x, y, width, height; /* the output, in the image */
    int side_x, side_y;      /* with 2 radius around it */
    double *plane;           /* (SUMS_MAX,side_y,side_x) */
    double *guide;           /* (channels,side_y,side_x) */
    double *line;            /* (side_x) */
};

static int mirror_edge(int i, int n)
{
    i %= 2 * n;
    i = i < 0 ? i + 2 * n : i;
    return i < n ? i : 2 * n - 1 - i;
}

static size_t area(const struct block *b)
{
    return (size_t)b->side_x * (size_t)b->side_y;
}

/* ---- one block ---- */

/* The sums' terms at pixel k of the block. */
static void terms(struct block *b, size_t k, const double *guide, const double *in)
{
    int n = b->channels, at = 0;
    size_t step = area(b);
    for (int c = 0; c < n; c++)
        b->plane[(size_t)at++ * step + k] = guide[c];
    for (int c = 0; c < n; c++)
        for (int d = c; d < n; d++)
            b->plane[(size_t)at++ * step + k] = guide[c] * guide[d];
    for (int c = 0; c < n; c++)
        b->plane[(size_t)at++ * step + k] = in[c];
    for (int c = 0; c < n; c++)
        for (int d = 0; d < n; d++)
            b->plane[(size_t)at++ * step + k] = in[c] * guide[d];
    for (int c = 0; c < n; c++)
        b->guide[(size_t)c * step + k] = guide[c];
}

/* Means over windows of a plane, in place: of side_x x side_y values, those that are `inset` and
   more from its sides become means of what is up to a radius around them. */
static void box(const struct block *b, double *plane, int inset)
{
    int r = b->radius, w = b->side_x;
    double scale = 1.0 / ((2 * r + 1) * (2 * r + 1));
    for (int y = 0; y < b->side_y; y++) {
        double *p = plane + (size_t)y * (size_t)w;
        for (int x = inset; x < w - inset; x++) {
            double sum = 0;
            for (int d = -r; d <= r; d++)
                sum += p[x + d];
            b->line[x] = sum;
        }
        memcpy(p + inset, b->line + inset, (size_t)(w - 2 * inset) * sizeof *p);
    }
    /* A row is stored where it is read for the last time, r rows above. */
    for (int y = inset; y < b->side_y - inset; y++) {
        double *to = plane + (size_t)(y - r) * (size_t)w;
        for (int x = inset; x < w - inset; x++) {
            double sum = 0;
            for (int d = 0; d <= 2 * r; d++)
                sum += to[(size_t)d * (size_t)w + (size_t)x];
            to[x] = sum * scale;
        }
    }
    for (int y = b->side_y - inset - 1; y >= inset; y--)
        memcpy(plane + (size_t)y * (size_t)w + inset, plane + (size_t)(y - r) * (size_t)w + inset,
               (size_t)(w - 2 * inset) * sizeof *plane);
}

/* m x = v for a symmetric positive definite m of n <= 3 rows, by Cholesky. */
static void solve(int n, double m[3][3], double v[3])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double s = m[i][j];
            for (int k = 0; k < j; k++)
                s -= m[i][k] * m[j][k];
            m[i][j] = i == j ? sqrt(s) : s / m[j][j];
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            v[i] -= m[i][k] * v[k];
        v[i] /= m[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            v[i] -= m[k][i] * v[k];
        v[i] /= m[i][i];
    }
}

/* Means at pixel k to the fits there, in the first planes: for each channel n slopes, an offset. */
static void fit(struct block *b, size_t k)
{
    int n = b->channels, at = 0;
    size_t step = area(b);
    double mean[SUMS_MAX], cov[3][3];
    for (int i = 0; i < n + n * (n + 1) / 2 + n + n * n; i++)
        mean[i] = b->plane[(size_t)i * step + k];
    const double *guide = mean, *in = mean + n + n * (n + 1) / 2, *product = in + n;
    for (int c = 0; c < n; c++)
        for (int d = c; d < n; d++, at++)
            cov[d][c] = mean[n + at] - guide[c] * guide[d] + (c == d ? b->eps : 0);
    for (int c = 0; c < n; c++) {
        double m[3][3], slope[3], offset = in[c];
        memcpy(m, cov, sizeof m);
        for (int d = 0; d < n; d++)
            slope[d] = product[c * n + d] - in[c] * guide[d];
        solve(n, m, slope);
        for (int d = 0; d < n; d++) {
            offset -= slope[d] * guide[d];
            b->plane[(size_t)(c * (n + 1) + d) * step + k] = slope[d];
        }
        b->plane[(size_t)(c * (n + 1) + n) * step + k] = offset;
    }
}

static void make_fits(struct block *b)
{
    int n = b->channels, sums = n + n * (n + 1) / 2 + n + n * n, r = b->radius;
    size_t step = area(b);
    for (int i = 0; i < sums; i++)
        box(b, b->plane + (size_t)i * step, r);
    for (int y = r; y < b->side_y - r; y++)
        for (int x = r; x < b->side_x - r; x++)
            fit(b, (size_t)y * (size_t)b->side_x + (size_t)x);
    for (int i = 0; i < n * (n + 1); i++)
        box(b, b->plane + (size_t)i * step, 2 * r);
}

/* ---- an image ---- */

struct pass {
    const struct image *img, *guide;
    const float *from; /* (H,W,C); NULL: the image */
    float *to;         /* the same; NULL: the result */
    uint8_t *out;      /* (H,W,C), of the last pass */
};

static void load(const struct pass *p, struct block *b)
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
            terms(b, (size_t)y * (size_t)b->side_x + (size_t)x, guide, in);
        }
}

static double value_at(const struct block *b, size_t k, int c)
{
    int n = b->channels;
    size_t step = area(b);
    double v = b->plane[(size_t)(c * (n + 1) + n) * step + k];
    for (int d = 0; d < n; d++)
        v += b->plane[(size_t)(c * (n + 1) + d) * step + k] * b->guide[(size_t)d * step + k];
    return v;
}

static void store(const struct pass *p, const struct block *b)
{
    const struct image *img = p->img;
    for (int y = 0; y < b->height; y++)
        for (int x = 0; x < b->width; x++) {
            size_t k =
                (size_t)(y + 2 * b->radius) * (size_t)b->side_x + (size_t)(x + 2 * b->radius);
            size_t at = ((size_t)(b->y + y) * (size_t)img->width + (size_t)(b->x + x)) *
                        (size_t)b->channels;
            for (int c = 0; c < b->channels; c++) {
                double v = value_at(b, k, c);
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
    struct block b = {.channels = img->channels,
                      .radius = g->radius,
                      .eps = (double)g->eps,
                      .x = (int)(all->index % columns) * BLOCK,
                      .y = (int)(all->index / columns) * BLOCK,
                      .line = line};
    b.width = least(BLOCK, img->width - b.x);
    b.height = least(BLOCK, img->height - b.y);
    b.side_x = b.width + 4 * b.radius;
    b.side_y = b.height + 4 * b.radius;
    AUTO(mem_free) double *planes = mem_alloc((SUMS_MAX + 3) * area(&b) * sizeof *planes);
    (void)e;
    if (!planes)
        return STATUS_NOMEM;
    b.plane = planes;
    b.guide = planes + SUMS_MAX * area(&b);
    const struct pass p = pass_of(all);
    load(&p, &b);
    make_fits(&b);
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
