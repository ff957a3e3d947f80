#ifndef PURIFY_SUBTRACT_TILE_H
#define PURIFY_SUBTRACT_TILE_H
/* One tile of a pass: its pixels for the network, and what the network says off them. */
#include "cover.h"
#include "subtract_plans.h"

struct subtract_pass {
    const struct image *img; /* its shape */
    const uint8_t *from;     /* (H,W,C), what the pass reads */
    uint8_t *to;             /* (H,W,C), what it writes; not the same */
    float noise;             /* deviation of what is added, grey levels; 0: nothing is */
    struct nn_rng rng;       /* of it: a field of normals on the cover's axes, row by row */
    double squares;          /* of the changes so far, before the gain, squared grey levels */
};

/* Tile (i,j) (column, row) into place k of the plan's batch. */
void subtract_load(const struct subtract_pass *pass, const struct cover *c, int channels, int i,
                   int j, struct subtract_plan *p, int k);
/* Subtracts gain times what the plan's place k predicts from the tile's inner region, noise
   included. INTERNAL: it predicts no finite numbers. */
status subtract_store(struct subtract_pass *pass, const struct cover *c, int channels, float gain,
                      int i, int j, struct subtract_plan *p, int k, struct errmsg *e) MUST_USE;

#endif
