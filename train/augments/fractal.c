#include "augments/fractal.h"

#include <string.h>

struct grid {
    struct nn_rng r;
    uint64_t at; /* next random word */
    int w, h;
    float *v, *spare; /* (h,w); both as large as the last grid */
};

static float draw(struct grid *g)
{
    return nn_rng_uniform(g->r, g->at++);
}

/* ---- the smallest grid ---- */

/* Three rows of n, `row` and `column` floats apart. */
struct strip {
    float *v;
    size_t row, column;
    int n;
};

static float *cell(const struct strip *s, int i, int j)
{
    return s->v + (size_t)i * s->row + (size_t)j * s->column;
}

static void fill_strip(const struct strip *s)
{
    int last = s->n - 1;
    for (int j = 1; j < s->n; j += 2)
        *cell(s, 1, j) =
            (*cell(s, 0, j - 1) + *cell(s, 0, j + 1) + *cell(s, 2, j - 1) + *cell(s, 2, j + 1)) / 4;
    *cell(s, 1, 0) = *cell(s, 0, 0) + *cell(s, 1, 1) + *cell(s, 2, 0);
    *cell(s, 1, last) = *cell(s, 2, last) + *cell(s, 1, last - 1) + *cell(s, 2, 0);
    for (int i = 0; i < 3; i += 2)
        for (int j = 1; j < s->n; j += 2)
            *cell(s, i, j) = *cell(s, i, j - 1) + *cell(s, i, j + 1) + *cell(s, 1, j);
}

static void begin(struct grid *g)
{
    for (int i = 0; i < g->w * g->h; i++)
        g->v[i] = draw(g);
    bool flat = g->h == 3;
    fill_strip(&(struct strip){g->v, flat ? (size_t)g->w : 1, flat ? 1 : (size_t)g->w,
                               flat ? g->w : g->h});
    for (int i = 0; i < g->w * g->h; i++)
        g->v[i] /= 3;
}

/* ---- a level ---- */

static float at(const struct grid *g, int y, int x)
{
    return g->v[y * g->w + x];
}

/* The centres of squares, from their corners. */
static void diamond(struct grid *g, float noise)
{
    for (int y = 1; y < g->h; y += 2)
        for (int x = 1; x < g->w; x += 2) {
            float mean = (at(g, y - 1, x - 1) + at(g, y - 1, x + 1) + at(g, y + 1, x - 1) +
                          at(g, y + 1, x + 1)) /
                         4;
            g->v[y * g->w + x] = (1 - noise) * mean + noise * draw(g);
        }
}

/* Reflection at the border, which is not repeated. */
static int reflect(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* The middles of sides, from the four around them. */
static void square(struct grid *g, float noise)
{
    for (int y = 0; y < g->h; y++)
        for (int x = (y + 1) % 2; x < g->w; x += 2) {
            float mean = (at(g, y, reflect(x - 1, g->w)) + at(g, y, reflect(x + 1, g->w)) +
                          at(g, reflect(y - 1, g->h), x) + at(g, reflect(y + 1, g->h), x)) /
                         4;
            bool border = x == 0 || y == 0 || x == g->w - 1 || y == g->h - 1;
            g->v[y * g->w + x] = (1 - noise) * (border ? mean / .75f : mean) + noise * draw(g);
        }
}

static void refine(struct grid *g, float noise)
{
    int w = 2 * g->w - 1, h = 2 * g->h - 1;
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++)
            g->spare[2 * y * w + 2 * x] = at(g, y, x);
    float *coarse = g->v;
    g->v = g->spare, g->spare = coarse;
    g->w = w, g->h = h;
    diamond(g, noise);
    square(g, noise);
}

/* ---- all of it ---- */

/* Halvings from the first 2^k + 1 that is not below n to 3. */
static int levels_of(int n)
{
    int k = 0;
    while ((2 << k) + 1 < n)
        k++;
    return k;
}

status augment_fractal(struct nn_rng r, uint64_t *word, float roughness, int width, int height,
                       float *out, size_t stride)
{
    int across = levels_of(width), down = levels_of(height);
    int levels = across < down ? across : down;
    struct grid g = {
        .r = r, .at = *word, .w = (2 << (across - levels)) + 1, .h = (2 << (down - levels)) + 1};
    size_t most = ((size_t)(2 << across) + 1) * ((size_t)(2 << down) + 1);
    AUTO(mem_free) float *both = mem_alloc(2 * most * sizeof *both);
    if (!both)
        return STATUS_NOMEM;
    g.v = both, g.spare = both + most;
    begin(&g);
    float noise = 1;
    for (int i = 0; i < levels; i++)
        refine(&g, noise *= roughness);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            out[((size_t)y * (size_t)width + (size_t)x) * stride] = at(&g, y, x);
    *word = g.at;
    return STATUS_OK;
}
