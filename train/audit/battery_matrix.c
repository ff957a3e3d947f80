/* What is tried, as a bench reads it. */
#include "audit/battery.h"

#include <string.h>

enum { TEXT_MAX = 1 << 16 };

static struct train_battery_trial *add(struct battery *b, enum train_battery_way way)
{
    struct train_battery_trial *t = &b->r->trial[b->r->trials++];
    *t = (struct train_battery_trial){.way = way};
    return t;
}

/* A path is seen from here, and the matrix lies elsewhere. */
static status set_profile(struct train_battery_trial *t, const char *from, size_t n,
                          struct errmsg *e)
{
    AUTO(mem_free) char *name = mem_printf("%.*s", (int)n, from);
    if (!name)
        return STATUS_NOMEM;
    bool is_path = strchr(name, '/') || (n > 4 && strcmp(name + n - 4, ".ini") == 0);
    char *real = is_path ? realpath(name, NULL) : NULL;
    if (is_path && !real)
        return errmsg_set(e, STATUS_NOT_FOUND, "there is no profile %s", name);
    const char *text = real ? real : name;
    bool good = n > 0 && strlen(text) < sizeof t->profile && !text[strcspn(text, ";#\"\n\r\t")];
    if (good)
        snprintf(t->profile, sizeof t->profile, "%s", text);
    free(real);
    return good ? STATUS_OK
                : errmsg_set(
                      e, STATUS_INVALID,
                      "'%.80s' cannot be the name of a profile in a list (names are parted by "
                      "commas; a path has at most %d bytes, and no ; # or quotes)",
                      name, (int)sizeof t->profile - 1);
}

static status add_profiles(struct battery *b, struct errmsg *e)
{
    status st = STATUS_OK;
    for (const char *at = b->o.profiles; at && !st;) {
        size_t n = strcspn(at, ",");
        if (b->r->trials == TRAIN_BATTERY_PROFILES_MAX + 2)
            return errmsg_set(e, STATUS_LIMIT, "more than %d profiles", TRAIN_BATTERY_PROFILES_MAX);
        st = set_profile(add(b, TRAIN_BATTERY_PURIFIED), at, n, e);
        at = at[n] ? at + n + 1 : NULL;
    }
    return st;
}

/* The first profile whose restorer can be fine-tuned. */
static status add_tuned(struct battery *b, struct errmsg *e)
{
    AUTO(mem_free) struct purify_profile *p = mem_alloc(sizeof *p);
    status st = p ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0, n = b->r->trials; i < n && !st; i++) {
        AUTO(mem_free) char *model = NULL;
        const char *profile = b->r->trial[i].profile;
        if (!profile[0])
            continue;
        struct errmsg why = {""};
        st = purify_profile_load(profile, p, e);
        if (!st && purify_profile_model(p, "restore", &model, &why) == STATUS_OK) {
            struct train_battery_trial *t = add(b, TRAIN_BATTERY_TUNED);
            memcpy(t->profile, profile, sizeof t->profile);
            return STATUS_OK;
        }
    }
    return st ? st
              : errmsg_set(e, STATUS_INVALID,
                           "%s: none of these has a restorer that could be fine-tuned on pairs",
                           b->o.profiles);
}

status battery_trials(struct battery *b, struct errmsg *e)
{
    add(b, TRAIN_BATTERY_AS_IT_IS);
    if (b->o.clean_dir)
        add(b, TRAIN_BATTERY_CLEAN);
    status st = add_profiles(b, e);
    return !st && b->o.pairs ? add_tuned(b, e) : st;
}

void battery_name(const struct battery *b, int trial, char out[32])
{
    const struct train_battery_trial *t = &b->r->trial[trial];
    bool shown = t->profile[0] && strlen(t->profile) < 20 && !strchr(t->profile, '/');
    if (t->way == TRAIN_BATTERY_TUNED)
        snprintf(out, 32, "tuned");
    else if (t->way != TRAIN_BATTERY_PURIFIED)
        snprintf(out, 32, "none");
    else if (shown)
        snprintf(out, 32, "%d-%s", trial, t->profile);
    else
        snprintf(out, 32, "%d-profile", trial);
}

/* What the trainings and both matrices have in common. */
static status put_head(const struct battery *b, bool clean, struct buf *t)
{
    /* Without augmentation, at small steps, a network soon knows few images by heart: until then a
       protection takes little from it. */
    status st = buf_addf(t,
                         "; written by relearn audit\n[train]\nepochs = %d\nbatch = 64\n"
                         "lr = 0.05\npad = 0\nflip = no\ntest-every = 0\n",
                         b->o.epochs);
    if (!st && !clean && b->o.clean_dir)
        st = buf_addf(t, "[protection audited]\ntree = images/protected\n");
    if (!st)
        st = buf_addf(t, "[bench]\nimages = %d\nvictims = %s\nseeds = 0", b->o.limit, b->o.arch);
    for (int i = 1; i < b->o.seeds && !st; i++)
        st = buf_addf(t, ", %d", i);
    if (!st && b->o.size)
        st = buf_addf(t, "\nsize = %d", b->o.size);
    if (!st && b->o.channels)
        st = buf_addf(t, "\nchannels = %d", b->o.channels);
    if (!st)
        st = buf_addf(t, "\nprotections = %s\ncountermeasures = none",
                      clean || !b->o.clean_dir ? "clean" : "audited");
    return st;
}

static status put_countermeasures(const struct battery *b, struct buf *t)
{
    char name[32];
    status st = STATUS_OK;
    for (int i = 0; i < b->r->trials && !st; i++) {
        battery_name(b, i, name);
        if (b->r->trial[i].profile[0])
            st = buf_addf(t, ", %s", name);
    }
    for (int i = 0; i < b->r->trials && !st; i++) {
        const struct train_battery_trial *trial = &b->r->trial[i];
        battery_name(b, i, name);
        if (trial->profile[0])
            st = buf_addf(t, "\n[countermeasure %s]\nprofile = %s", name, trial->profile);
        if (!st && trial->way == TRAIN_BATTERY_TUNED)
            st = buf_addf(t, "\npairs = %d\ntune-steps = %d\ntune-batch = 64\ntune-lr = 5e-4",
                          b->o.pairs, b->o.tune_steps);
    }
    return st;
}

status battery_matrix(const struct battery *b, bool clean, char **out_path, struct errmsg *e)
{
    AUTO(mem_free)
    char *path = mem_printf("%s/%s.ini", b->o.out_dir, clean ? "clean" : "protected");
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    status st = path ? put_head(b, clean, &text) : STATUS_NOMEM;
    if (!st && !clean)
        st = put_countermeasures(b, &text);
    if (!st)
        st = buf_addf(&text, "\n");
    if (!st)
        st = io_write_file(path, text.data, text.len, e);
    if (!st)
        *out_path = TAKE(path);
    return st;
}
