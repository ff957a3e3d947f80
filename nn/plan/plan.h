#ifndef NN_PLAN_H
#define NN_PLAN_H
/*
 * plan: from a graph to a flat list of prepared steps. plan.c drives these, in this order:
 *
 *     clone      the plan works on a copy of the graph ("the program"), so the graph may be freed
 *     prune      nodes and outputs whose results nobody needs are removed            (prune.c)
 *     stores     in a bf16 plan intermediates of rank 4 become bf16, casts are added (stores.c)
 *     fuse       two nodes become one where a kernel of the same device supports it   (fuse.c)
 *     choose     a kernel per node; where none supports bf16, its values go back to f32 (choose.c)
 *     prepare    scratch and packed sizes                                            (choose.c)
 *     place      liveness -> one offset per value and scratch in one arena           (arena.c)
 *     bind       pointers; pack                                                      (bind.c)
 */
#include "ops/op.h"
#include "plan/packs.h"

enum { NN_DEVICE_CHAIN_MAX = 4 };

/* A range of the arena, live from the step that writes it to the last that reads it. Two that are
   live at the same time never overlap. */
struct nn_allocation {
    size_t bytes, offset;
    int first, last; /* steps; -1: before the run; INT_MAX: after it */
};

struct nn_plan {
    struct nn_graph *program;
    enum nn_store *store; /* [program->n_values] */
    void **data;          /* [program->n_values]; NULL for absent values */
    int *alloc_of;        /* [program->n_values], index in allocs, -1: not in the arena */
    struct nn_allocation *allocs;
    int n_allocs;
    struct nn_step *steps;
    int n_steps;
    const struct nn_device *device;
    void *device_ctx[NN_DEVICE_CHAIN_MAX];
    int n_open; /* devices of the chain that were opened */
    char *arena;
    /* The steps' weights in their kernels' layouts: all in one buffer, or, in a plan that shares
       them, one pack per step, NULL for a step that packs nothing. */
    char *packed;
    struct nn_pack **pack; /* [n_steps]; NULL: the plan does not share */
    struct nn_run run;
    int threads;
    bool apart; /* as in struct nn_step */
    enum nn_precision precision;
    struct nn_plan_info info;
    bool poison; /* tests: every range is filled with NaN when it dies */
};

/* ---- device.c ---- */
const struct nn_device *nn_device_find(const char *name); /* NULL: the default; NULL if unknown */
/* The first kernel of the chain that supports the step (the first after `after` when that is not
   NULL), and how deep in the chain it was found. */
const struct nn_kernel *nn_kernel_pick(const struct nn_device *d, const struct nn_step *s,
                                       const struct nn_kernel *after, int *out_depth);

/* ---- prune.c ---- */
status nn_prune(struct nn_graph *program) MUST_USE;

/* ---- fuse.c ---- */
status nn_fuse(struct nn_plan *p) MUST_USE;
/* The step a node would become, without pointers. */
struct nn_step nn_step_of(const struct nn_plan *p, const struct nn_node *node);

/* ---- stores.c ---- */
/* Fills p->store; appends casts to the program (which may grow its values). */
status nn_choose_stores(struct nn_plan *p) MUST_USE;

/* ---- choose.c ---- */
/* Makes sure that some kernel supports each node; where none supports bf16, values go back to f32. */
status nn_settle_kernels(struct nn_plan *p, struct errmsg *e) MUST_USE;
/* Fills p->steps: the first kernel that supports the step and can be prepared. */
status nn_prepare_steps(struct nn_plan *p, struct errmsg *e) MUST_USE;

/* ---- arena.c ---- */
/* Gives every value and the scratch of every step its range and offset. scratch_alloc[n_steps]. */
status nn_place(struct nn_plan *p, int *scratch_alloc, size_t *out_bytes) MUST_USE;

/* ---- bind.c ---- */
status nn_bind_steps(struct nn_plan *p, bool shared, struct errmsg *e) MUST_USE;

#endif
