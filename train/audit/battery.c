#include "audit/battery.h"

#include "audit/out.h"
#include "model.h"

#include <math.h>
#include <string.h>

static const char *const standard_profiles = "restore,default";
enum { STANDARD_EPOCHS = 20, STANDARD_TUNE_STEPS = 1000, SEEDS_MAX = 16 };

static status check(const struct train_battery_options *o, struct errmsg *e)
{
    if (!o->clean_dir && !o->test_dir)
        return errmsg_set(e, STATUS_INVALID,
                          "a battery needs clean images to test on: --test DIR, or --clean DIR, of "
                          "which a part is held out");
    if (o->pairs && !o->clean_dir)
        return errmsg_set(e, STATUS_INVALID,
                          "pairs are images as they are and as they were before: --clean DIR");
    if (o->seeds > SEEDS_MAX)
        return errmsg_set(e, STATUS_INVALID, "at most %d seeds", SEEDS_MAX);
    if (o->pairs < 0 || o->tune_steps < 0 || o->epochs < 0 || o->seeds < 0 || o->limit < 0 ||
        o->size < 0)
        return errmsg_set(e, STATUS_INVALID, "a number of a battery is below 0");
    return o->arch && !train_net_find(o->arch) ? train_net_unknown(o->arch, e) : STATUS_OK;
}

static struct train_battery_options complete(struct train_battery_options o)
{
    o.profiles = o.profiles ? o.profiles : standard_profiles;
    o.arch = o.arch ? o.arch : audit_arch;
    o.epochs = o.epochs ? o.epochs : STANDARD_EPOCHS;
    o.tune_steps = o.tune_steps ? o.tune_steps : STANDARD_TUNE_STEPS;
    o.seeds = o.seeds ? o.seeds : 1;
    o.limit = o.limit ? o.limit : TRAIN_AUDIT_LIMIT;
    return o;
}

/* ---- one matrix ---- */

/* Of a trial's cells: the mean, and how far it may be off. */
static status take(struct train_battery_trial *t, const struct train_bench *bench, const char *name,
                   int test_images, struct errmsg *e)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < train_bench_cells(bench); i++) {
        struct train_bench_cell c;
        status st = train_bench_cell(bench, i, &c, e);
        if (st)
            return st;
        if (strcmp(c.countermeasure, name) != 0)
            continue;
        double a = c.figure[TRAIN_BENCH_LAST];
        t->seeds++;
        sum += a;
        squares += a * a;
        t->purify_s = c.purify_s;
        t->tune_s = c.tune_s;
    }
    double n = t->seeds, mean = sum / n;
    double of_seeds = n > 1 ? fmax(squares / n - mean * mean, 0) / (n - 1) : 0;
    t->accuracy = mean;
    t->error = sqrt(mean * (1 - mean) / test_images + of_seeds);
    return STATUS_OK;
}

static status take_all(struct battery *b, const struct train_bench *bench, bool clean,
                       struct errmsg *e)
{
    char name[32];
    status st = STATUS_OK;
    for (int i = 0; i < b->r->trials && !st; i++) {
        struct train_battery_trial *t = &b->r->trial[i];
        battery_name(b, i, name);
        if ((t->way == TRAIN_BATTERY_CLEAN) == clean)
            st = take(t, bench, name, b->r->test_images, e);
    }
    return st;
}

static status run(struct battery *b, bool clean, struct errmsg *e)
{
    AUTO(mem_free) char *matrix = NULL;
    AUTO(train_bench_free) struct train_bench *bench = NULL;
    struct train_bench_result r = {.done = 0};
    status st = battery_matrix(b, clean, &matrix, e);
    const struct train_bench_options o = {.matrix = matrix,
                                          .data_dir = b->data,
                                          .test_dir = b->test,
                                          .out_dir = b->o.out_dir,
                                          .program = b->o.program,
                                          .threads = b->o.threads,
                                          .no_keys = true,
                                          .quiet = b->o.quiet};
    if (!st)
        st = train_bench_open(&o, &bench, e);
    if (!st)
        st = train_bench_run(bench, &r, e);
    if (!st && r.failed)
        st =
            errmsg_set(e, STATUS_IO, "%d of %d trainings failed (the same command tries again): %s",
                       r.failed, r.cells, r.first_why);
    return st ? st : take_all(b, bench, clean, e);
}

status train_battery(const struct train_battery_options *opt, struct train_battery_result *out,
                     struct errmsg *e)
{
    struct battery b = {.o = complete(*opt), .r = out};
    *out = (struct train_battery_result){.arch = b.o.arch, .epochs = b.o.epochs, .best = -1};
    status st = check(opt, e);
    if (!st)
        st = battery_trials(&b, e);
    if (!st)
        st = battery_images(&b, e);
    if (!st && b.o.clean_dir)
        st = run(&b, true, e);
    if (!st)
        st = run(&b, false, e);
    if (!st)
        battery_judge(out);
    mem_free(b.data);
    mem_free(b.test);
    return st;
}
