#ifndef PURIFY_ENGINE_H
#define PURIFY_ENGINE_H
/*
 * What the service and the tests need of an engine beyond the public calls.
 *
 * An engine has two lanes (lane.h): tiles pass PURIFY_MICRO_BATCH at a time while that many are at
 * hand, and one at a time when fewer are; nothing is padded. Which way a tile goes changes none of
 * its bits.
 */
#include "purify/purify.h"

/*
 * Tiles per network evaluation. Measured on one AVX-512 core in bf16: an evaluation of the
 * published 35.7 M-parameter UNet costs 30 ms at batch 1 and 4 * 24 ms at batch 4, where the
 * weights come from memory once for four tiles; the shipped small one gains 8 to 15 %. More than
 * four gain little and make a reader wait longer. Three tiles cost about as much one by one as
 * padded to four, so a lane runs full or not at all.
 *
 * Memory: both lanes have an arena, the wide one's four times as large; the packed weights are one
 * copy for all lanes of all engines of a model.
 */
enum { PURIFY_MICRO_BATCH = 4 };

/* purify_engine_new with a wide lane of another size; 1: without one. The bytes never differ. */
status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e) MUST_USE;

struct engine_hooks {
    purify_stop_fn *stop; /* (optional) before each evaluation; nonzero stops */
    /* (optional) between the micro-batches of one image; may run others on the same engine */
    void (*pause)(void *arg);
    void *arg;
};
/* out_evaluations (tiles evaluated, also by a run that failed) may be NULL. */
status engine_run(struct purify_engine *en, struct image *img, const struct engine_hooks *hooks,
                  uint64_t *out_evaluations, struct errmsg *e) MUST_USE;

/* One image of a group: it is stopped, fails and is changed on its own. */
struct engine_member {
    struct image *img;
    struct engine_hooks hooks;
    status st; /* the results, as engine_run gives them */
    uint64_t evaluations;
    struct errmsg err;
};
/* Whether img is one tile and one sample, and so may share a micro-batch with others. (Of many
   samples it fills micro-batches itself.) */
bool engine_groups(const struct purify_engine *en, const struct image *img);
/*
 * 1 to PURIFY_MICRO_BATCH images. As many as the wide lane has slots, and all of them such that
 * engine_groups, go through it together: that takes the time of one micro-batch, without a pause in
 * it; each is asked whether to stop, and the evaluations go on until all have said so. Others are
 * run one after the other.
 */
void engine_run_group(struct purify_engine *en, struct engine_member *member, int n);

#endif
