#ifndef NN_PACKS_H
#define NN_PACKS_H
/*
 * packs: weights in a kernel's layout that several plans read (nn_plan_options.shared).
 *
 * Two steps share one pack when they have the same kernel, parameter, shapes, stores, attributes and
 * threads: all that a kernel's `pack` may depend on. Where samples are apart their number makes no
 * difference, as kernels then compute each as if it was alone (nn.h). Packs are reference
 * counted. nn_params owns the list.
 *
 * Threads: all calls may be made at once, each on a step of its own. A pack is filled under the
 * list's lock, so that no thread reads a half-filled one; plans of one nn_params that are made at
 * the same time wait for each other there.
 */
#include "device/device.h"

#include <pthread.h>

struct nn_pack;
struct nn_packs {
    pthread_mutex_t lock;
    struct nn_pack *first; /* guarded by lock */
};
void nn_packs_init(struct nn_packs *l);
void nn_packs_done(struct nn_packs *l);

/* A reference to the pack of a prepared step whose operands' addresses are known; the first call for
   such a step creates the pack. STATUS_NOMEM leaves nothing behind. */
status nn_pack_ref(struct nn_packs *l, const struct nn_step *s, struct nn_pack **out) MUST_USE;
void *nn_pack_data(struct nn_pack *k);
/* Fills it by the step's kernel, which is bound to it, unless it is filled already. */
status nn_pack_fill(struct nn_packs *l, struct nn_pack *k, struct nn_step *s) MUST_USE;
/* The last reference frees the pack. k may be NULL. */
void nn_pack_unref(struct nn_packs *l, struct nn_pack *k);

#endif
