#ifndef NN_IM2COL_H
#define NN_IM2COL_H
/*
 * im2col: convolutions of any kernel and stride as one product of panels (panels.h).
 *
 * The pixels of x that the taps of a kernel read are copied, a block of output pixels at a time,
 * into a matrix (pixels, taps * channels). Forward, the filters multiply it (conv_im2col.c); for
 * the gradient of the filters dy is correlated with it (conv_im2col_weights.c). Channels of both
 * sides are multiples of 16.
 */
#include "kernels/kernels.h"
#include "kernels/panels.h"

/* The state of a step. */
struct nn_im2col {
    struct nn_shape x, y, w;
    int block; /* pixels of y */
    /* In scratch, in floats: what each thread has; where in it the second matrix begins (products
       or dy); where all threads' buffers end. */
    size_t thread_floats, second_at, end;
};
static inline int64_t nn_im2col_pixels(const struct nn_im2col *g)
{
    return (int64_t)g->y.dim[0] * g->y.dim[1] * g->y.dim[2];
}
/* Columns of the matrix. */
static inline int64_t nn_im2col_columns(const struct nn_im2col *g)
{
    return (int64_t)g->w.dim[2] * g->w.dim[3] * g->x.dim[3];
}
static inline float *nn_im2col_matrix(const struct nn_step *s, int thread)
{
    const struct nn_im2col *g = s->state;
    return (float *)s->scratch + g->thread_floats * (size_t)thread;
}

bool nn_im2col_fits(const struct nn_step *s, struct nn_shape x, struct nn_shape y);
/* With one tap x is the matrix already, and oneDNN's product is faster. */
static inline bool nn_im2col_pays(struct nn_shape w)
{
    return w.dim[2] * w.dim[3] > 1;
}
/* Sets s->state and s->scratch_bytes; bytes: how large a block of the matrix may be. */
status nn_im2col_new(struct nn_step *s, struct nn_shape x, struct nn_shape w, struct nn_shape y,
                     int64_t bytes) MUST_USE;
void nn_im2col_drop(struct nn_step *s);

/* w (O,I,Kh,Kw) to O/16 panels of (taps * I, 16), and back. */
void nn_im2col_read_filters(const struct nn_step *s, float *w, float *panels);
void nn_im2col_write_filters(const struct nn_step *s, float *w, float *panels);

struct nn_pixel {
    int n, row, column;
};
static inline struct nn_pixel nn_pixel(struct nn_shape s, int64_t i)
{
    int64_t row = i / s.dim[2];
    return (struct nn_pixel){(int)(row / s.dim[1]), (int)(row % s.dim[1]), (int)(i % s.dim[2])};
}
static inline const void *nn_pixel_at(const struct nn_tensor *t, int64_t pixel)
{
    return (const char *)t->data + (size_t)(pixel * t->shape.dim[3]) * nn_store_bytes(t->store);
}
/* Zeros for a pixel of any number of channels, f32 or bf16. */
extern const float nn_zero_pixel[NN_ROW_MAX];
/* The pixel of x, input 0 of the step, that tap (i,k) reads for pixel p of y. */
static inline const void *nn_im2col_source(const struct nn_step *s, const struct nn_pixel *p, int i,
                                           int k)
{
    const struct nn_conv *v = &s->attr.conv;
    const int *d = s->in[0].shape.dim;
    int64_t h = (int64_t)p->row * v->stride - v->pad_top + i;
    int64_t w = (int64_t)p->column * v->stride - v->pad_left + k;
    if (h < 0 || h >= d[1] || w < 0 || w >= d[2])
        return nn_zero_pixel;
    return nn_pixel_at(&s->in[0], (p->n * (int64_t)d[1] + h) * d[2] + w);
}

/* The matrix of pixels first .. first+count-1 of y, f32, in panels. */
void nn_im2col_copy(const struct nn_step *s, int64_t first, int count, float *to);
/* The channels of one pixel, f32 or bf16, to panels that are `panel` floats apart. */
void nn_pixel_to_panels(const void *from, bool bf16, int channels, float *to, int64_t panel);

#endif
