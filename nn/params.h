#ifndef NN_PARAMS_H
#define NN_PARAMS_H
/*
 * params: what the graph and the planner need from nn_params beyond nn.h.
 *
 * Entries are never removed and never move: a pointer to an entry, to its value and to its grad is
 * good for the life of the nn_params. Index i of nn_params_at is the order of creation.
 */
#include "nn/nn.h"

/* The packed weights that plans of these parameters share (packs.h). */
struct nn_packs;
struct nn_packs *nn_params_packs(struct nn_params *p);

/* Finds the entry `name`, or creates it with zero values. STATUS_INVALID when it exists with
   another shape or another `trainable`, when the name is empty or NN_NAME_MAX bytes or longer, or
   when the shape has no elements. */
status nn_params_get(struct nn_params *p, const char *name, struct nn_shape s, enum nn_init init,
                     bool trainable, struct nn_param_entry **out, struct errmsg *e) MUST_USE;
/* The rule that the entry was created with. */
enum nn_init nn_params_rule(const struct nn_param_entry *e);
/* Makes e->grad point at zeroed memory; does nothing when it does already. */
status nn_params_need_grad(struct nn_param_entry *e) MUST_USE;

#endif
