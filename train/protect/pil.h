#ifndef TRAIN_PROTECT_PIL_H
#define TRAIN_PROTECT_PIL_H
#include <stddef.h>

/* f(v) = B A v, A and B without bias: values v of an image to a logit for each of K classes. */
struct pil_model {
    int classes;
    size_t values;
    const float *a; /* (values,K): A, a column at a time */
    const float *b; /* (K,K) */
};
/* f(v) into logits (K). hidden (K): scratch. */
void protect_pil_logits(const struct pil_model *m, const float *v, float *hidden, float *logits);
/* balance * CE(f(noise), label) + (1 - balance) * KL(uniform || softmax f(x - noise)), and its gradient
   with respect to noise (values). clean (K) is f(x); scratch (3 K). */
double protect_pil_loss(const struct pil_model *m, float balance, int label, const float *clean,
                        const float *noise, float *scratch, float *grad);

#endif
