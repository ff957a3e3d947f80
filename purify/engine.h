#ifndef PURIFY_ENGINE_H
#define PURIFY_ENGINE_H
/*
 * What the service and the tests need of an engine beyond the public calls.
 *
 * An image passes through a chain of purifiers (purifier.h) turn by turn. A turn is a micro-batch
 * of a network's tiles, a restorer's tile, or a few milliseconds of a purifier without a network; a
 * purifier that needs less has no turn of its own.
 */
#include "purify/purify.h"
#include "team.h"

/*
 * Tiles per network evaluation. Measured on one AVX-512 core in bf16: an evaluation of the
 * published 35.7 M-parameter UNet costs 30 ms at batch 1 and 4 * 24 ms at batch 4, where the
 * weights come from memory once for four tiles; the shipped small one gains 8 to 15 %. More than
 * four gain little and make a reader wait longer. Three tiles cost about as much one by one as
 * padded to four, so micro-batches are full or of one tile.
 *
 * Memory: an engine has an arena for a tile and one for four, four times as large; the packed
 * weights are one copy for all engines of a model. (A restorer's: subtract_plans.h.)
 */
enum { PURIFY_MICRO_BATCH = 4 };

/* purify_engine_new with another size of micro-batches; 1: tiles are evaluated one by one. The
   bytes never differ. */
status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e) MUST_USE;

struct engine_hooks {
    purify_stop_fn *stop; /* (optional) before each evaluation; nonzero stops */
    void *arg;
};
static inline bool engine_stopped(const struct engine_hooks *hooks)
{
    return hooks->stop && hooks->stop(hooks->arg);
}

/*
 * An image that is being purified: what is kept of it between its turns.
 *
 *     engine_begin
 *     while engine_left: engine_step
 *     engine_finish, or at any time engine_drop
 *
 * It belongs to no engine and no thread: each step may be made by another one, as long as the
 * engines are of one model. What other runs do in between does not change a bit of it.
 */
struct engine_run;
/* Refuses what purify_engine_run refuses. img must not be changed until the run has ended. */
status engine_begin(const struct purify_engine *en, struct image *img, struct engine_run **out,
                    struct errmsg *e) MUST_USE;
/* Slots (tiles times samples, squares of a restorer's tiles, and turns of purifiers without a
   network) that are left. */
int64_t engine_left(const struct engine_run *r);
/* One turn. After a failure the run is of no use. */
status engine_step(struct purify_engine *en, struct engine_run *r, const struct engine_hooks *hooks,
                   struct errmsg *e) MUST_USE;
/* Nothing is left: the image takes its new pixels. */
void engine_finish(struct engine_run *r);
void engine_drop(struct engine_run *r); /* the image stays as it is; NULL allowed */
DEFINE_FREEP(struct engine_run *, engine_drop)

/* Slots of an image as a whole. */
int64_t engine_slots(const struct purify_engine *en, const struct image *img);
/* Whether it takes no link of the chain more than one turn, so that it may be evaluated together with
   others. */
bool engine_groups(const struct purify_engine *en, const struct image *img);
/* Whether a team is of use to its next turn. r NULL: to the first turn of an image. */
bool engine_shares(const struct purify_engine *en, const struct engine_run *r);
/* What a run keeps beside the image, within a few KiB. */
size_t engine_run_bytes(const struct purify_engine *en, const struct image *img);

/* An image that is purified turn by turn, or together with others. Each is stopped, fails and is
   changed independently. */
struct engine_member {
    struct image *img;
    struct engine_hooks hooks;
    struct engine_run *run; /* NULL before its first turn and after its last */
    status st;              /* the results, as purify_engine_run gives them */
    uint64_t evaluations;   /* those of each turn are added */
    struct errmsg err;
};
/* A turn of one image, or as many at once as the team has threads and the purifier at work can
   make; engine[i] is thread i's, and its model that of the first. Returns the slots that are left;
   0: it has ended, with success or without. (To give it up before that: engine_drop(run).) */
int64_t engine_team_turn(struct purify_engine *const *engine, const struct team *team,
                         struct engine_member *m) MUST_USE;
int64_t engine_turn(struct purify_engine *en, struct engine_member *m) MUST_USE; /* of one */
/*
 * 1 to PURIFY_MICRO_BATCH images from beginning to end. PURIFY_MICRO_BATCH images of one slot each
 * go through a network together, in the time of one micro-batch; the stop hook of each is asked,
 * and evaluation ends early only when all have stopped. Any other group is run one after the other.
 */
void engine_run_group(struct purify_engine *en, struct engine_member *member, int n);

#endif
