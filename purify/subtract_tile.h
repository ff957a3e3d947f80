#ifndef PURIFY_SUBTRACT_TILE_H
#define PURIFY_SUBTRACT_TILE_H
/* One tile of a pass: its pixels for the network, and what the network says off the pixels. */
#include "cover.h"
#include "subtract_plans.h"

struct subtract_pass {
    const struct image *img; /* its shape */
    const uint8_t *from;     /* (H,W,C), what the pass reads */
    uint8_t *to;             /* (H,W,C), what it writes; not the same */
    double squares;          /* of the predictions so far, squared grey levels */
};

/* Tile (i,j) (column, row) into place k of the plan's batch. */
void subtract_load(const struct subtract_pass *pass, const struct cover *c, int channels, int i,
                   int j, struct subtract_plan *p, int k);
/* Subtracts gain times what the plan's place k predicts from the tile's inner region. INTERNAL:
   it predicts no finite numbers. */
status subtract_store(struct subtract_pass *pass, const struct cover *c, int channels, float gain,
                      int i, int j, struct subtract_plan *p, int k, struct errmsg *e) MUST_USE;

#endif
