#include "kernels/im2col.h"
#include "kernels/lanes.h"

enum { LANES = NN_PANEL };

const float nn_zero_pixel[NN_ROW_MAX];

bool nn_im2col_fits(const struct nn_step *s, struct nn_shape x, struct nn_shape y)
{
    return s->attr.conv.groups == 1 && x.dim[3] % LANES == 0 && y.dim[3] % LANES == 0 &&
           x.dim[3] <= NN_ROW_MAX && y.dim[3] <= NN_ROW_MAX;
}

status nn_im2col_new(struct nn_step *s, struct nn_shape x, struct nn_shape w, struct nn_shape y,
                     int64_t bytes)
{
    struct nn_im2col *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    g->x = x, g->w = w, g->y = y;
    int64_t row_bytes = nn_im2col_columns(g) * (int64_t)sizeof(float);
    int64_t most = bytes / row_bytes / NN_PANEL_ROWS * NN_PANEL_ROWS;
    g->block = (int)nn_min(most < NN_PANEL_ROWS ? NN_PANEL_ROWS : most, nn_im2col_pixels(g));
    g->second_at = (size_t)g->block * (size_t)nn_im2col_columns(g);
    g->thread_floats = g->second_at + (size_t)g->block * (size_t)y.dim[3];
    g->end = g->thread_floats * (size_t)s->threads;
    s->scratch_bytes = g->end * sizeof(float);
    return STATUS_OK;
}

void nn_im2col_drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

/* ---- filters ---- */

struct filters {
    const struct nn_im2col *g;
    float *w, *panels;
};

/* Item by item, an item being sixteen outputs and one input; `in`: to panels. */
static inline __attribute__((always_inline)) void move_filters(const struct filters *f,
                                                               int64_t first, int64_t last, bool in)
{
    int64_t inputs = f->g->x.dim[3], taps = f->g->w.dim[2] * f->g->w.dim[3];
    for (int64_t item = first; item < last; item++) {
        int64_t output = item / inputs * LANES, input = item % inputs;
        float *panel = f->panels + (output * taps * inputs + input * LANES);
        for (int64_t o = 0; o < LANES; o++) {
            float *w = f->w + ((output + o) * inputs + input) * taps;
            for (int64_t t = 0; t < taps; t++) {
                float *p = panel + t * inputs * LANES + o;
                if (in)
                    *p = w[t];
                else
                    w[t] = *p;
            }
        }
    }
}
static void read_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    move_filters(ctx, first, last, true);
}
static void write_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    move_filters(ctx, first, last, false);
}

static int64_t items(const struct nn_im2col *g)
{
    return (int64_t)g->y.dim[3] / LANES * g->x.dim[3];
}

void nn_im2col_read_filters(const struct nn_step *s, float *w, float *panels)
{
    const struct filters f = {s->state, w, panels};
    nn_for_range(s->threads, items(f.g), read_filters, &f);
}

void nn_im2col_write_filters(const struct nn_step *s, float *w, float *panels)
{
    const struct filters f = {s->state, w, panels};
    nn_for_range(s->threads, items(f.g), write_filters, &f);
}

/* ---- pixels ---- */

void nn_pixel_to_panels(const void *from, bool bf16, int channels, float *to, int64_t panel)
{
    for (int c = 0; c < channels; c += LANES, to += panel)
        for (int k = 0; k < LANES; k += NN_LANES)
            nn_lanes_store(to + k, nn_lanes_load_at(from, bf16, c + k));
}

void nn_im2col_copy(const struct nn_step *s, int64_t first, int count, float *to)
{
    const struct nn_im2col *g = s->state;
    int64_t panel = (int64_t)count * LANES;
    int c = g->x.dim[3], kh = g->w.dim[2], kw = g->w.dim[3];
    bool bf16 = s->in[0].store == NN_STORE_BF16;
    for (int p = 0; p < count; p++, to += LANES) {
        struct nn_pixel at = nn_pixel(g->y, first + p);
        for (int i = 0; i < kh; i++)
            for (int k = 0; k < kw; k++)
                nn_pixel_to_panels(nn_im2col_source(s, &at, i, k), bf16, c,
                                   to + (int64_t)(i * kw + k) * c / LANES * panel, panel);
    }
}
