#ifndef PURIFY_COVER_H
#define PURIFY_COVER_H
/*
 * An image in parts that a fully convolutional network evaluates one by one, with the result that
 * it would have for the whole.
 *
 * An axis is extended to a multiple of the network's unit, and has tiles of one length. A tile is
 * evaluated as a whole; of the result its inner region is used. These regions follow each other
 * without gaps, and each keeps at least the network's reach from the tile's ends, but where the
 * tile ends as the axis does: there the network sees the same zeros beyond the edge as it would see
 * beyond the image's. All ends lie on multiples of the unit.
 *
 * Tiles are as large as area_max allows, and so shaped that the margins, which are evaluated more
 * than once, cost least. All of it depends on the image's shape and the network only.
 */
#include "base/base.h"

struct cover_axis {
    int length; /* of the image, px, extended to a multiple of the unit */
    int tile;   /* length of a tile, px */
    int count;
    int unit, reach;
};
struct cover {
    struct cover_axis x, y;
};

/* reach is a multiple of unit; area_max in px, at least (2 reach + 2 unit)^2. */
struct cover cover_of(int width, int height, int unit, int reach, int64_t area_max);
static inline int64_t cover_tiles(const struct cover *c)
{
    return (int64_t)c->x.count * c->y.count;
}
/* First pixel of tile i. */
int cover_origin(const struct cover_axis *a, int i);
/* First pixel of tile i's inner region, and the first one behind it. */
int cover_first(const struct cover_axis *a, int i);
int cover_end(const struct cover_axis *a, int i);

#endif
