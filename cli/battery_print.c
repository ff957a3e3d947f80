#include "battery_print.h"

#include "cli.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

static const double sure = 1.96; /* standard errors: what is printed behind ± */

/* ---- for people ---- */

static void trial_name(const struct train_battery_trial *t, char *out, size_t size)
{
    const char *slash = strrchr(t->profile, '/');
    const char *profile = TEXT_SHOWN(slash ? slash + 1 : t->profile);
    if (t->way == TRAIN_BATTERY_PURIFIED)
        snprintf(out, size, "purified by %s", profile);
    else if (t->way == TRAIN_BATTERY_TUNED)
        snprintf(out, size, "by %s, fine-tuned on pairs", profile);
    else
        snprintf(out, size, "%s", train_battery_ways[t->way]);
}

static void print_trial(const struct train_battery_result *r, const struct train_battery_trial *t)
{
    char name[300];
    trial_name(t, name, sizeof name);
    printf("  %-36s %5.1f %% ± %.1f", name, 100 * t->accuracy, 100 * sure * t->error);
    if (!isnan(t->back))
        printf(", %.0f %% of what was taken is back", 100 * t->back);
    if (!isnan(t->purify_s))
        printf(", %.1f s for 1,000 images", 1000 * t->purify_s / r->images);
    if (!isnan(t->tune_s))
        printf(" after %.0f s of fine-tuning", t->tune_s);
    printf("\n");
}

static const char *strength_word(double strength)
{
    return strength >= 2. / 3 ? "strong" : strength >= 1. / 3 ? "moderate" : "weak";
}

static void print_taken(const struct train_battery_result *r)
{
    if (isnan(r->taken))
        printf(
            "  How much the protection takes is not known without the clean images (--clean).\n");
    else if (r->verdict == TRAIN_BATTERY_NOTHING)
        printf("  From this network little is taken, if anything: %.1f %% ± %.1f of accuracy.\n",
               100 * r->taken, 100 * sure * r->taken_error);
    else
        printf(
            "  It takes %.1f %% ± %.1f of accuracy, %.0f %% of what is learned over chance: %s.\n",
            100 * r->taken, 100 * sure * r->taken_error, 100 * r->strength,
            strength_word(r->strength));
}

static void print_verdict(const struct train_battery_result *r)
{
    char best[300] = "";
    if (r->best >= 0)
        trial_name(&r->trial[r->best], best, sizeof best);
    switch (r->verdict) {
    case TRAIN_BATTERY_REMOVED:
        printf("  It is removed: %s.\n", best);
        break;
    case TRAIN_BATTERY_PARTLY:
        printf("  It is removed in part: %s.\n", best);
        break;
    case TRAIN_BATTERY_HOLDS:
        printf("  None of these removes it.\n");
        break;
    case TRAIN_BATTERY_NOTHING:
        printf("  There is nothing that a purifier could bring back.\n");
        break;
    case TRAIN_BATTERY_GAINS:
        printf("  More is learned behind one: %s.\n", best);
        break;
    case TRAIN_BATTERY_UNKNOWN:
        printf("  Behind none of these clearly more is learned.\n");
        break;
    }
}

void battery_print(const struct train_battery_result *r)
{
    printf("\nWhat %s learns in %d epochs of %d images, by its accuracy on %d clean ones%s:\n",
           r->arch, r->epochs, r->images, r->test_images,
           r->held_out ? ", which were held out" : "");
    for (int i = 0; i < r->trials; i++)
        print_trial(r, &r->trial[i]);
    print_taken(r);
    print_verdict(r);
    if (r->trial[0].seeds == 1)
        printf("  By one training each: ± is of the test images alone (--seeds N: of trainings, "
               "too).\n");
}

/* ---- for programs ---- */

static json_t *trial_json(const struct train_battery_result *r, const struct train_battery_trial *t)
{
    json_t *j = json_object();
    json_object_set_new(j, "images", json_string(train_battery_ways[t->way]));
    json_object_set_new(j, "profile",
                        t->profile[0] ? json_string(TEXT_SHOWN(t->profile)) : json_null());
    json_object_set_new(j, "seeds", json_integer(t->seeds));
    json_object_set_new(j, "accuracy", json_real(t->accuracy));
    json_object_set_new(j, "error", json_real(t->error));
    json_object_set_new(j, "back", cli_json_real(t->back));
    json_object_set_new(j, "purify_s_per_1000", cli_json_real(1000 * t->purify_s / r->images));
    json_object_set_new(j, "tune_s", cli_json_real(t->tune_s));
    return j;
}

json_t *battery_json(const struct train_battery_result *r)
{
    json_t *j = json_object(), *trials = json_array();
    for (int i = 0; i < r->trials; i++)
        json_array_append_new(trials, trial_json(r, &r->trial[i]));
    json_object_set_new(j, "arch", json_string(r->arch));
    json_object_set_new(j, "epochs", json_integer(r->epochs));
    json_object_set_new(j, "images", json_integer(r->images));
    json_object_set_new(j, "test_images", json_integer(r->test_images));
    json_object_set_new(j, "held_out", json_boolean(r->held_out));
    json_object_set_new(j, "trials", trials);
    json_object_set_new(j, "taken", cli_json_real(r->taken));
    json_object_set_new(j, "taken_error", cli_json_real(r->taken_error));
    json_object_set_new(j, "strength", cli_json_real(r->strength));
    json_object_set_new(j, "verdict", json_string(train_battery_verdicts[r->verdict]));
    json_object_set_new(j, "best", r->best < 0 ? json_null() : json_integer(r->best));
    return j;
}
