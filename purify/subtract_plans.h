#ifndef PURIFY_SUBTRACT_PLANS_H
#define PURIFY_SUBTRACT_PLANS_H
/*
 * A worker's plans of a restorer, one for each batch and shape of tiles that it met lately. Few are
 * kept, since each has its own packed weights (of the standard network 25 MiB in f32, shared with
 * the same plan of other workers) beside its intermediates (88 MiB for a tile of 768x768); the
 * least recently used one goes. Making one takes 20 ms and more.
 */
#include "subtract.h"

enum { SUBTRACT_PLANS_MAX = 4 };
/* px of a tile, margins included: half a second on one core in f32, which is a turn. */
#define SUBTRACT_AREA_MAX ((int64_t)768 * 768)

struct subtract_plan {
    int batch, height, width; /* px; batch 0: a free place */
    struct nn_plan *plan;
    float *in;        /* (batch,height/2,width/2,4C) */
    const float *out; /* the same */
    float *noise;     /* the same, what was added to `in`, in the unit of `out`; NULL: nothing is */
    float *rows;      /* (2,width,C) for two rows of pixels */
    uint64_t used;    /* when */
};
struct subtract_plans {
    struct subtract_plan at[SUBTRACT_PLANS_MAX];
    uint64_t now;
};

/* The plan for batch tiles of this shape: it is p's, until the next call. */
status subtract_plans_get(struct subtract_plans *p, const struct subtract *m, int batch, int height,
                          int width, struct subtract_plan **out, struct errmsg *e) MUST_USE;
void subtract_plans_done(struct subtract_plans *p);

#endif
