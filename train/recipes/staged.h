#ifndef TRAIN_RECIPES_STAGED_H
#define TRAIN_RECIPES_STAGED_H
/*
 * ST-style staged training. train.h says what is published about it, what is ours, and how the ACM
 * is measured; this is the control of learning rates by it, as pure functions that tests can call.
 * The hooks are in staged.c.
 *
 * Control, after each epoch e; A_s(e) is the ACM of stage s, A_s(0) that of the random network:
 *
 * - stage s signals when A_s(e) > rise * A_s(0); the last stage never does: clustering is its job;
 *
 * - a signal multiplies the stage's learning-rate factor m_s by `slow` (not below `floor`), an
 *   epoch without divides it by that (not above 1);
 *
 * - then m_s <= m_{s+1} is enforced from deep to shallow: shallow stages are never faster;
 *
 * - with rollbacks left, an epoch whose signal is new (no stage signalled the epoch before) is
 *   undone: weights go back to the last epoch that ended without signal, with the slowed factors.
 *
 * So shallow stages are held where classes are not much more clustered than by random features, and
 * depth has to do the rest. On data without perturbation a false alarm costs little: shallow stages
 * change little once they are useful.
 */
#include "train.h"

struct train_staged_options {
    double rise;   /* > 1 */
    double slow;   /* 0..1 */
    double floor;  /* 0..1 */
    int rollbacks; /* how many epochs may be undone in a run; 0: never */
};
struct train_staged {
    struct train_staged_options opt;
    int stages;
    int rollbacks_left;
    bool signalled;                 /* the epoch before */
    double start[TRAIN_STAGES_MAX]; /* A_s(0) */
    double scale[TRAIN_STAGES_MAX]; /* m_s */
};
struct train_staged_verdict {
    bool signal[TRAIN_STAGES_MAX];
    bool any;
    bool rollback; /* the caller restores the weights of the last epoch that ended without signal */
};
/* acm: of the network before any training. */
void train_staged_init(struct train_staged *s, const struct train_staged_options *opt, int stages,
                       const double *acm);
struct train_staged_verdict train_staged_step(struct train_staged *s, const double *acm);

#endif
