#ifndef PURIFY_PURIFIER_H
#define PURIFY_PURIFIER_H
/*
 * A purifier is a file in purifiers/ with one row, which purifiers/table.c lists. Nothing else
 * knows it by name.
 *
 * Its kind says how an image passes through it, turn by turn: as tiles through a network
 * (diffusion.h, subtract.h, deconvolve.h), row by row (window.h), or block by block (blocks.h).
 */
#include "engine.h"

/*
 * What has no network works in equal steps (rows, blocks). A turn has as many of them as take about
 * PURIFIER_TURN_NS, and at least one: other images wait no longer than that.
 */
#define PURIFIER_TURN_NS 4e6
static inline int64_t purifier_turn_steps(double step_ns)
{
    double steps = PURIFIER_TURN_NS / step_ns;
    return steps < 1 ? 1 : steps > 1e6 ? 1000000 : (int64_t)steps;
}
/* How many turns so many steps take; 0 when they do not fill one. */
static inline int64_t purifier_turns(int64_t steps, int64_t a_turn)
{
    return steps < a_turn ? 0 : (steps + a_turn - 1) / a_turn;
}

struct purifier_ops;
struct window;
struct blocks;

/* A link of a model's chain: shared read-only by all engines. */
struct purifier {
    const struct purifier_ops *ops;
    const void *values; /* finished */
    void *plan;         /* NULL where ops->plan is */
};

/* The image that a purifier is run on. */
struct purifier_job {
    const struct image *in;       /* as the purifier before it left it; without alpha */
    const struct image *original; /* as it was before the chain; of the same shape */
    uint8_t *out;                 /* (H,W,C), the result; not in's pixels */
};

/* One of several images that go through a purifier together. */
struct purifier_member {
    void *run;
    const struct engine_hooks *hooks;
    uint64_t *evaluations; /* those made are added */
    status st;             /* the result */
    struct errmsg *e;
};

struct purifier_kind {
    /* (optional, with close) Per-thread state, passed to step. batch: how many images or tiles are
       evaluated together. */
    status (*open)(const struct purifier *p, int batch, void **out_worker, struct errmsg *e);
    void (*close)(void *worker);
    /* (optional) Side and channels of what the network works on. */
    void (*shape)(const struct purifier *p, int *out_size, int *out_channels);
    /* Turns that an image of this shape takes, or more where turns are unequal: then they count by
       what they cost. 0: less than one, so it is done within another purifier's. */
    int64_t (*turns)(const struct purifier *p, int width, int height, int channels);
    /* What a run keeps. */
    size_t (*bytes)(const struct purifier *p, const struct image *img);
    /* UNSUPPORTED: it cannot purify such an image. */
    status (*begin)(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e);
    int64_t (*left)(const void *run); /* turns; 0: job->out is complete */
    /* A turn. `shares`: or several at once, worker[i] in the hands of the team's thread i, and the
       result is that of as many calls by one. The hooks are for the calling thread. */
    bool shares;
    status (*step)(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e);
    /* (optional) `batch` images that are one turn each, at once and to their end. */
    void (*together)(void *worker, struct purifier_member *member, int n);
    void (*drop)(void *run); /* NULL allowed */
};

struct purifier_ops {
    const char *name;    /* as the chain has it */
    const char *summary; /* a phrase, no full stop */
    int version;         /* raised when its output changes */
    struct param_table params;
    const struct purifier_kind *kind;

    /* ---- its values; each optional ---- */
    /* Checks what the table cannot say (an odd side), and resolves weights. *out_key: the parameter
       at fault. */
    status (*finish)(void *values, const char **out_key, struct errmsg *e);
    /* What goes into the profile's id instead of all parameters, where the output does not depend
       on all of them. */
    status (*canonical)(const struct param_table *t, const void *values, struct buf *out);
    int (*evaluations)(const void *values);
    bool (*weights)(const void *values, int i, struct purify_weights *out);

    /* ---- what it prepares; both or none ---- */
    /* id: of the profile, which noise is keyed by. */
    status (*plan)(const void *values, const struct digest *id, void **out, struct errmsg *e);
    void (*free)(void *plan);

    /* ---- the rest as its kind wants it ---- */
    double pixel_ns;                   /* about what a pixel costs, and each pass over it */
    int (*passes)(const void *values); /* NULL: one */
    int (*margin)(const void *values); /* window: rows and columns seen around a pixel; NULL: 0 */
    bool repeats_edge;                 /* window: beyond an edge that goes on; else a mirror */
    void (*row)(const struct window *w, float *out);           /* window */
    int64_t (*blocks)(int width, int height);                  /* blocks: in a pass */
    status (*block)(const struct blocks *b, struct errmsg *e); /* blocks: makes one */
    /* blocks: what is kept between the passes; NULL: 0 */
    size_t (*bytes)(const void *values, const struct image *img);
};

static inline int purifier_passes(const struct purifier *p)
{
    return p->ops->passes ? p->ops->passes(p->values) : 1;
}

/* All rows, in the order in which they are listed; NULL ends them. */
extern const struct purifier_ops *const purifier_table[];
const struct purifier_ops *purifier_find(const char *name); /* NULL: there is none */

#endif
