/* What groups' votes come to. */
#include "audit/kin.h"

#include <string.h>

/* Of imitations, nineteen in twenty are below 1. Of CIFAR-10 under LSP, OPS, AR, CUDA, PIL, TAP, HYPO and
   EMN, nine in ten groups or nearly so are below this; where the family was left out of the imitations,
   most are above it, up to 50, but for those that looked like another (AR like waves, TAP like AR). */
static const double odd_from = 1.5;

const char *const train_audit_kins[TRAIN_AUDIT_KIN_COUNT + 1] = {
    [TRAIN_AUDIT_KIN_NONE] = "not asked",
    [TRAIN_AUDIT_KIN_TOLD] = "told",
    [TRAIN_AUDIT_KIN_UNDECIDED] = "undecided",
    [TRAIN_AUDIT_KIN_UNKNOWN] = "none of the known",
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void kin_vote(struct train_audit_family *f, const struct train_family *nearest, double odd)
{
    const char *told = odd < odd_from ? nearest->told : NULL;
    int i = 0;
    while (i < f->n && !same(f->vote[i].told, told))
        i++;
    if (i == f->n) {
        f->vote[f->n].told = told;
        f->vote[f->n].like = told ? nearest->like : NULL;
        f->vote[f->n++].share = 0;
    }
    f->vote[i].share++;
    f->groups++;
}

void kin_count(struct train_audit_family *f)
{
    for (int i = 0; i < f->n; i++)
        f->vote[i].share /= f->groups;
    for (int i = 1; i < f->n; i++)
        for (int j = i; j > 0 && f->vote[j].share > f->vote[j - 1].share; j--) {
            __typeof__(f->vote[0]) larger = f->vote[j];
            f->vote[j] = f->vote[j - 1];
            f->vote[j - 1] = larger;
        }
    f->share = f->n ? f->vote[0].share : 0;
    bool clear = f->groups >= TRAIN_AUDIT_GROUPS_MIN && f->share >= TRAIN_AUDIT_KIN_SURE;
    f->kin = !clear            ? TRAIN_AUDIT_KIN_UNDECIDED
             : f->vote[0].told ? TRAIN_AUDIT_KIN_TOLD
                               : TRAIN_AUDIT_KIN_UNKNOWN;
}
