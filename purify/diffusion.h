#ifndef PURIFY_DIFFUSION_H
#define PURIFY_DIFFUSION_H
/*
 * What the purifiers by diffusion (jcdp, avatar) share. Their values are a struct purify_jcdp, of
 * which each has parameters for some; an image goes through the sampler tile by tile.
 *
 * An engine evaluates `batch` tiles at a time while it has that many, and one at a time when it has
 * fewer (microbatch.h); nothing is padded. Which of the two it is changes no bit of a tile.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_diffusion;

/* For struct purifier_ops. */
status diffusion_finish(void *values, const char **out_key, struct errmsg *e) MUST_USE;
status diffusion_canonical(const struct param_table *t, const void *values,
                           struct buf *out) MUST_USE;
int diffusion_evaluations(const void *values);
bool diffusion_weights(const void *values, int i, struct purify_weights *out);
status diffusion_plan(const void *values, const struct digest *id, void **out,
                      struct errmsg *e) MUST_USE;
void diffusion_free(void *plan);

enum {
    DIFFUSION_ROUNDS_MAX = 64,
    DIFFUSION_AVERAGE_MAX = 64
}; /* fit the noise streams, microbatch.c */
/* Parameters that several of them have. */
#define DIFFUSION_ROW(member) offsetof(struct purify_jcdp, member)
#define DIFFUSION_MODEL                                                                            \
    {                                                                                              \
        "model", PARAM_TEXT, DIFFUSION_ROW(model),                                                 \
            .standard = "default",                                                                 \
            .about = "the noise predictor: a safetensors file, or the name of a shipped model"     \
    }
#define DIFFUSION_T_START(t)                                                                       \
    {                                                                                              \
        "t_start", PARAM_INT, DIFFUSION_ROW(t_start),                                              \
            .lo = 1, .hi = PURIFY_TOTAL_MAX, .standard = t,                                        \
            .unit = "steps of the model's schedule",                                               \
            .about = "how far images are diffused: more removes more, of the image too"            \
    }
#define DIFFUSION_STEPS(n)                                                                         \
    {                                                                                              \
        "steps", PARAM_INT, DIFFUSION_ROW(steps),                                                  \
            .lo = 1, .hi = PURIFY_TOTAL_MAX, .standard = n,                                        \
            .about = "network evaluations in a round, at most t_start"                             \
    }
#define DIFFUSION_ETA                                                                              \
    {                                                                                              \
        "eta", PARAM_FLOAT, DIFFUSION_ROW(eta),                                                    \
            .lo = 0, .hi = 1, .standard = "1",                                                     \
            .about = "1: ancestral sampling (DDPM), 0: deterministic (DDIM)"                       \
    }
#define DIFFUSION_DETERMINISTIC                                                                    \
    {                                                                                              \
        "deterministic_steps", PARAM_INT, DIFFUSION_ROW(deterministic_steps),                      \
            .lo = 0, .hi = PURIFY_TOTAL_MAX - 1, .standard = "0",                                  \
            .about = "the last N of a round take eta = 0: they add no noise"                       \
    }
#define DIFFUSION_AVERAGE                                                                          \
    {                                                                                              \
        "average", PARAM_INT, DIFFUSION_ROW(average),                                              \
            .lo = 1, .hi = DIFFUSION_AVERAGE_MAX, .standard = "1",                                 \
            .about = "independent samples whose mean is the result"                                \
    }
#define DIFFUSION_VARIANCE                                                                         \
    {                                                                                              \
        "variance", PARAM_ENUM, DIFFUSION_ROW(variance), .names = purify_variance_names,           \
                                                         .standard = "fixedlarge",                 \
                                                         .about = "of the noise of a step"         \
    }
#define DIFFUSION_OVERLAP                                                                          \
    {                                                                                              \
        "overlap", PARAM_INT, DIFFUSION_ROW(overlap),                                              \
            .lo = 0, .hi = 1023, .standard = "8", .unit = "pixels",                                \
            .about = "by how much the tiles of larger images overlap"                              \
    }
#define DIFFUSION_PRECISION                                                                        \
    {                                                                                              \
        "precision", PARAM_ENUM, DIFFUSION_ROW(precision),                                         \
            .names = nn_precision_names, .standard = "f32",                                        \
            .about = "the noise predictor's numbers (bf16: on a CPU that has it)"                  \
    }

#endif
