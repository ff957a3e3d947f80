#ifndef TRAIN_ATTACK_H
#define TRAIN_ATTACK_H
/*
 * attack: gradients of a classifier's loss with respect to images, and projected gradient steps
 * along their signs (PGD; Madry et al. 2018, section 2.1): up the loss for adversarial examples,
 * down for error-minimising ones. Private to train; shared by adversarial training and protections.
 *
 * Images are as the network sees them, (pixel/255 - mean) / std, (batch,H,W,C); sizes of steps are
 * in grey levels. The weights are the model's: after they changed, refresh. Belongs to one thread
 * at a time.
 *
 *     st = train_attack_new(model, ATTACK_RUNNING, 128, &plan_options, &a, e);
 *     st = train_attack_refresh(a);
 *     st = train_attack_pgd(a, &(struct attack_options){.eps = 8, .step = 2, .steps = 10},
 *                           stream(seed, STREAM_ATTACK, step), label, x);
 */
#include "model.h"

/* What batch norms use. In neither do running statistics move. */
enum attack_norm {
    ATTACK_RUNNING, /* the running statistics: the network as it is evaluated */
    ATTACK_BATCH    /* the batch's own: as it is trained */
};
struct attack_options {
    float eps, step; /* grey levels; at most eps away from where it began, and within 0..255 */
    int steps;
    bool random_start; /* begin uniformly within eps */
    bool descend;      /* make the loss smaller */
};
struct attack;
status train_attack_new(const struct train_model *m, enum attack_norm norm, int batch,
                        const struct nn_plan_options *po, struct attack **out,
                        struct errmsg *e) MUST_USE;
void train_attack_free(struct attack *a);
DEFINE_FREEP(struct attack *, train_attack_free)
status train_attack_refresh(struct attack *a) MUST_USE;
/* Of each image's own cross entropy, valid until the next call. A label outside 0..K-1 gives 0. */
status train_attack_gradient(struct attack *a, const float *x, const int32_t *label,
                             const float **out_grad) MUST_USE;
/* Moves x. r: of the random start. CANCELLED when asked to stop, with x somewhere on its way. */
status train_attack_pgd(struct attack *a, const struct attack_options *o, struct nn_rng r,
                        const int32_t *label, float *x) MUST_USE;

#endif
