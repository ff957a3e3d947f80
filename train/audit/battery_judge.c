/* What trainings say of a protection. */
#include "audit/battery.h"

#include <math.h>

static const double sure = 1.96; /* standard errors: 19 times out of 20 */

const char *const train_battery_ways[TRAIN_BATTERY_WAY_COUNT + 1] = {
    [TRAIN_BATTERY_AS_IT_IS] = "as it is",
    [TRAIN_BATTERY_CLEAN] = "clean",
    [TRAIN_BATTERY_PURIFIED] = "purified",
    [TRAIN_BATTERY_TUNED] = "fine-tuned",
};
const char *const train_battery_verdicts[] = {
    [TRAIN_BATTERY_REMOVED] = "removed",
    [TRAIN_BATTERY_PARTLY] = "partly removed",
    [TRAIN_BATTERY_HOLDS] = "not removed",
    [TRAIN_BATTERY_NOTHING] = "nothing to remove",
    [TRAIN_BATTERY_GAINS] = "removed in part or whole",
    [TRAIN_BATTERY_UNKNOWN] = "unknown",
};

static bool is_countermeasure(const struct train_battery_trial *t)
{
    return t->way == TRAIN_BATTERY_PURIFIED || t->way == TRAIN_BATTERY_TUNED;
}

static double cost(const struct train_battery_trial *t)
{
    return (isnan(t->purify_s) ? 0 : t->purify_s) + (isnan(t->tune_s) ? 0 : t->tune_s);
}

/* The cheapest that brings enough back; else the one that brings most. */
static int find_best(const struct train_battery_result *r)
{
    int best = -1;
    for (int i = 0; i < r->trials; i++) {
        const struct train_battery_trial *t = &r->trial[i], *than = &r->trial[best < 0 ? 0 : best];
        if (!is_countermeasure(t))
            continue;
        bool enough = t->back >= TRAIN_BATTERY_BACK;
        bool that_is = best >= 0 && than->back >= TRAIN_BATTERY_BACK;
        bool better = enough && that_is ? cost(t) < cost(than) : t->accuracy > than->accuracy;
        if (best < 0 || (enough && !that_is) || (enough == that_is && better))
            best = i;
    }
    return best;
}

static double joint_error(const struct train_battery_trial *a, const struct train_battery_trial *b)
{
    return sqrt(a->error * a->error + b->error * b->error);
}

static enum train_battery_verdict verdict_of(const struct train_battery_result *r)
{
    const struct train_battery_trial *best = &r->trial[r->best < 0 ? 0 : r->best];
    if (isnan(r->taken))
        return best->accuracy - r->trial[0].accuracy > sure * joint_error(best, &r->trial[0])
                   ? TRAIN_BATTERY_GAINS
                   : TRAIN_BATTERY_UNKNOWN;
    if (r->taken < TRAIN_BATTERY_LITTLE || r->taken < sure * r->taken_error)
        return TRAIN_BATTERY_NOTHING;
    return best->back >= TRAIN_BATTERY_BACK   ? TRAIN_BATTERY_REMOVED
           : best->back >= TRAIN_BATTERY_HALF ? TRAIN_BATTERY_PARTLY
                                              : TRAIN_BATTERY_HOLDS;
}

void battery_judge(struct train_battery_result *r)
{
    const struct train_battery_trial *as_it_is = &r->trial[0], *clean = NULL;
    for (int i = 0; i < r->trials; i++)
        if (r->trial[i].way == TRAIN_BATTERY_CLEAN)
            clean = &r->trial[i];
    r->taken = clean ? clean->accuracy - as_it_is->accuracy : NAN;
    r->taken_error = clean ? joint_error(clean, as_it_is) : NAN;
    r->strength = clean ? r->taken / (clean->accuracy - 1. / r->classes) : NAN;
    bool any = clean && r->taken >= TRAIN_BATTERY_LITTLE && r->taken >= sure * r->taken_error;
    for (int i = 0; i < r->trials; i++) {
        struct train_battery_trial *t = &r->trial[i];
        t->back = any && is_countermeasure(t) ? (t->accuracy - as_it_is->accuracy) / r->taken : NAN;
    }
    r->best = find_best(r);
    r->verdict = verdict_of(r);
}
