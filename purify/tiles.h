#ifndef PURIFY_TILES_H
#define PURIFY_TILES_H
/*
 * An image of any size as square tiles of the network's size.
 *
 * Per axis: an axis not longer than a tile has one tile, the image centred in it and reflected
 * outward (without repeating the edge; an axis of length 1 is constant). A longer axis has the
 * fewest evenly spaced tiles, the first and last flush with the ends, that overlap by at least
 * `overlap`.
 *
 * Invariants: every pixel lies in a tile; the weights of a pixel over the tiles that hold it sum to
 * 1 (raised cosine across a tile, divided by the sum); weights are 0 in the reflected margin.
 *
 * The canvas is the image, or the tile where that is larger: noise is drawn per canvas position, so
 * that overlapping tiles see the same noise in the same place and agree where they meet.
 */
#include "purify/purify.h"

struct tile_axis {
    int length; /* of the image, px */
    int tile;   /* side of a tile, px */
    int count;
};
struct tiling {
    struct tile_axis x, y;
    int channels;   /* of the tiles */
    double *window; /* (tile) the raised cosine */
    float *wx, *wy; /* (tile) weights of the tile at hand */
};

/* Tiles along an axis of this length. */
int tile_count(int length, int tile, int overlap);
/* First pixel of tile i; negative in the reflected margin. */
int tile_origin(const struct tile_axis *a, int i);
/* Weights of tile i, (tile). */
void tile_weights(const struct tile_axis *a, const double *window, int i, float *out);

/* Tiles of an image, without making a tiling. */
int64_t tiling_count(int width, int height, int tile, int overlap);
/* 0 <= overlap < tile; channels is that of the network. */
status tiling_init(struct tiling *t, int width, int height, int channels, int tile,
                   int overlap) MUST_USE;
void tiling_done(struct tiling *t); /* also after a failed init, or zeroed */
__attribute__((unused)) static inline void tiling_donep(struct tiling *t)
{
    tiling_done(t);
}
/* Floats of one tile. */
static inline size_t tiling_elements(const struct tiling *t)
{
    return (size_t)t->x.tile * (size_t)t->y.tile * (size_t)t->channels;
}
/* Tile (i,j) (column, row) of img as floats in [-1,1]; grey is replicated to the tile's channels.
 */
void tiling_load(const struct tiling *t, int i, int j, const struct image *img, float *out);
/* Standard normals of tile (i,j) from the field of noise that rng defines on the canvas. scratch
   holds one row of a tile and two more floats. */
void tiling_noise(const struct tiling *t, int i, int j, struct nn_rng rng, float *scratch,
                  float *out);
/* band += gain * weight * tile, where band (rows,width,channels) begins at image row `top` and
   holds all rows of tile row j that lie in the image. Grey images get the mean over the tile's
   channels. */
void tiling_add(struct tiling *t, int i, int j, const float *tile, float gain, int channels,
                int top, float *band);

#endif
