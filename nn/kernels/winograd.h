#ifndef NN_WINOGRAD_H
#define NN_WINOGRAD_H
/*
 * winograd: 3x3 convolutions of stride 1, computed in f32, by F(4x4, 3x3) of Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), section 4.3: an output tile of
 * 4x4 pixels takes 36 products a pair of channels instead of 144. F(8x8, 3x3) takes 100 instead of
 * 576. With d the pixels under a tile, two more a side, and g a filter,
 *
 *     Y = A'[ sum over c of (G g G') . (B' d B) ]A
 *
 * and, read backwards, the gradient of the filter is G'[ sum over tiles (A dY A') . (B' d B) ]G.
 *
 * Their points 0, 1, -1, 2, -2 cost a factor of 7 in accuracy against the direct sum. Those of 4x4
 * are 0, 3/4, -3/4, 3/2, -3/2 and infinity: a factor of 2 on random data. Those of 8x8 are 0, +-3/8,
 * +-7/8, +-5/4, +-5/2 and infinity, the best of some thousand sets of simple fractions: relative
 * errors of 2e-5 (gradients of filters 4e-5), too large for f32, but a fortieth of the error of
 * rounding to bf16. Every constant of A and B is exact in f32.
 *
 * Layouts (panels.h). Transformed pixels and products are `planes`: 36 or 100 matrices (tiles,
 * channels) of one block of tiles; transformed filters are as many times outputs/16 panels of
 * (inputs, 16).
 *
 * Every result is computed by one sequence of operations that depends on its own inputs only, never
 * on the tile's neighbours, the block or the thread.
 */
#include "kernels/kernels.h"
#include "kernels/panels.h"

enum { NN_WINO_TILE_MAX = 8 };
/* Products a tile of this many output pixels a side, 4 or 8. */
static inline int nn_wino_planes(int tile)
{
    return (tile + 2) * (tile + 2);
}

/* Images (n,h,w,c) seen through tiles: tile (i,j) starts at pixel (i tile - top, j tile - left). */
struct nn_wino_image {
    int n, h, w, c, tile;
    bool bf16;         /* how pixels are stored */
    int rows, columns; /* of tiles */
    int top, left;
};
static inline int64_t nn_wino_tiles(const struct nn_wino_image *m)
{
    return (int64_t)m->n * m->rows * m->columns;
}

/* Some tiles of an image, and where their planes are. */
struct nn_wino_block {
    int64_t first; /* tile of the image */
    int tiles;
    float *planes;
};
/* Floats from one plane of `tiles` tiles to the next: a cache line more than it holds, since the same
   place in all planes is written at once, and the distance would often be a multiple of a page. */
static inline int64_t nn_wino_plane(int64_t tiles, int c)
{
    return tiles * c + NN_PANEL;
}

/* planes = B' d B for the tiles first..last-1 of the block; pixels outside the image are 0. */
void nn_wino_pixels(const struct nn_wino_image *m, const void *x, const struct nn_wino_block *b,
                    int64_t first, int64_t last);
/* planes = A dY A'. */
void nn_wino_gradients(const struct nn_wino_image *m, const void *dy, const struct nn_wino_block *b,
                       int64_t first, int64_t last);
/* The epilogue of a forward convolution: y = post(A' planes A + bias + nc + res); NULL: absent. */
struct nn_wino_epilogue {
    const float *bias; /* (c) */
    const float *nc;   /* (n,c) */
    const void *res;   /* as y; may be y */
    bool res_bf16;
    int post;
};
void nn_wino_results(const struct nn_wino_image *m, void *y, const struct nn_wino_epilogue *end,
                     const struct nn_wino_block *b, int64_t first, int64_t last);

/* How filters w (O,I,3,3) are read: as they are, or transposed, for the gradient of the input: O and I
   are exchanged and the 3x3 filter is rotated by 180 degrees. */
struct nn_wino_filters {
    int outputs, inputs; /* of the product: (O,I), or (I,O) when transposed */
    int tile;
    bool transposed;
};
/* Floats from one plane of transformed filters to the next: as with tiles (nn_wino_plane), and such
   that the writes to all planes, which bypass the caches, go to different banks of the memory. */
static inline int64_t nn_wino_filter_plane(const struct nn_wino_filters *f)
{
    return (int64_t)f->outputs * f->inputs + 17 * NN_PANEL;
}
static inline size_t nn_wino_filter_floats(const struct nn_wino_filters *f)
{
    return (size_t)(nn_wino_planes(f->tile) * nn_wino_filter_plane(f));
}
/* u = G g G' for items first..last-1 of outputs/16 * inputs, each sixteen outputs and one input. */
void nn_wino_filters_in(const struct nn_wino_filters *f, const float *w, float *u, int64_t first,
                        int64_t last);
/* w = G' u G; f is not transposed. */
void nn_wino_filters_out(const struct nn_wino_filters *f, const float *u, float *w, int64_t first,
                         int64_t last);

#endif
