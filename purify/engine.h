#ifndef PURIFY_ENGINE_H
#define PURIFY_ENGINE_H
/* What the service and the tests need of an engine beyond the public calls. */
#include "purify/purify.h"

/*
 * Tiles per network evaluation. Measured on 2 AVX2 cores (oneDNN, f32, one thread): a convolution
 * at batch 1 reaches the same GFLOP/s as at 2, 4 and 8 for all layers of a 32-pixel UNet, so
 * nothing is gained by making images wait for each other.
 */
enum { PURIFY_MICRO_BATCH = 1 };

/* purify_engine_new with another micro-batch. The bytes may differ between micro-batches, never
   between the neighbours within one. */
status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e) MUST_USE;

struct engine_hooks {
    purify_stop_fn *stop;     /* (optional) before each evaluation; nonzero stops */
    void (*pause)(void *arg); /* (optional) between tiles; may call engine_run on the same engine */
    void *arg;
};
/* out_evaluations (tiles evaluated, also by a run that failed) may be NULL. */
status engine_run(struct purify_engine *en, struct image *img, const struct engine_hooks *hooks,
                  uint64_t *out_evaluations, struct errmsg *e) MUST_USE;

#endif
