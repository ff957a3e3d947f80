/* What the table of runs says of a run, and its CSV with what a page has no room for. */
#include "report/columns.h"

#include "model.h"

#include <math.h>

static double samples(const struct report_run *r)
{
    return report_number(json_object_get(r->config, "options"), "samples");
}
static double seed(const struct report_run *r)
{
    return report_number(json_object_get(r->config, "options"), "seed");
}
static double epochs(const struct report_run *r)
{
    return report_last(r, REPORT_EPOCH);
}
static double train_accuracy(const struct report_run *r)
{
    return report_last(r, REPORT_TRAIN_ACCURACY);
}
static double last(const struct report_run *r)
{
    return r->last;
}
static double best(const struct report_run *r)
{
    return r->best;
}
static double best_epoch(const struct report_run *r)
{
    return r->best_epoch ? r->best_epoch : NAN;
}
static double images_per_s(const struct report_run *r)
{
    return report_last(r, REPORT_IMAGES_PER_S);
}
static double seconds(const struct report_run *r)
{
    return r->seconds;
}
static const char *name(const struct report_run *r)
{
    return r->name;
}
static const char *is(const struct report_run *r)
{
    return report_role_names[r->role];
}
static const char *protection(const struct report_run *r)
{
    return report_text(report_protected_by(r), "method");
}
static const char *profile(const struct report_run *r)
{
    return report_text(report_purified_by(r), "profile");
}
static const char *profile_id(const struct report_run *r)
{
    return report_text(report_purified_by(r), "profile_id");
}
static const char *purifier_version(const struct report_run *r)
{
    return report_text(report_purified_by(r), "version");
}
static const char *arch(const struct report_run *r)
{
    return report_option(r, "arch");
}
static const char *recipe(const struct report_run *r)
{
    return report_option(r, "recipe");
}
static const char *precision(const struct report_run *r)
{
    const char *s = report_option(r, "precision");
    return *s ? s : nn_precision_names[TRAIN_PRECISION_UNNAMED];
}
static const char *digest(const struct report_run *r)
{
    return report_text(r->config, "data_digest");
}
static const char *version(const struct report_run *r)
{
    return report_text(r->config, "version");
}
static const char *machine(const struct report_run *r)
{
    return report_text(r->config, "machine");
}
static const char *ended(const struct report_run *r)
{
    return r->ended ? r->ended : "";
}

const struct report_column report_columns[] = {
    {"run", "run", name, NULL, false},
    {"images are", "images_are", is, NULL, false},
    {"protection", "protection", protection, NULL, false},
    {"profile", "profile", profile, NULL, false},
    {"network", "network", arch, NULL, false},
    {"recipe", "recipe", recipe, NULL, false},
    {"seed", "seed", NULL, seed, false},
    {"precision", "precision", precision, NULL, false},
    {"images", "images", NULL, samples, false},
    {"epochs", "epochs", NULL, epochs, false},
    {"train", "train_accuracy", NULL, train_accuracy, true},
    {"test, last", "test_accuracy_last", NULL, last, true},
    {"test, best", "test_accuracy_best", NULL, best, true},
    {"at epoch", "best_epoch", NULL, best_epoch, false},
    {"images/s", "images_per_s", NULL, images_per_s, false},
    {"seconds", "seconds", NULL, seconds, false},
    {NULL, "profile_id", profile_id, NULL, false},
    {NULL, "purifier_version", purifier_version, NULL, false},
    {NULL, "data_digest", digest, NULL, false},
    {NULL, "version", version, NULL, false},
    {NULL, "machine", machine, NULL, false},
    {NULL, "ended", ended, NULL, false},
};

const int report_n_columns = ARRAY_LEN(report_columns);
