#ifndef TRAIN_REPORT_REPORT_H
#define TRAIN_REPORT_REPORT_H
/*
 * report: one page about training runs. What their files say is read (read.c, classes.c), runs that
 * differ in the seed alone become a group (roles.c, groups.c), and each part of the page is a
 * function here that writes it, and writes nothing where there is nothing to show (page.c).
 */
#include "report/chart.h"
#include "report/html.h"
#include "train.h"

#include <jansson.h>

/* ---- what is known of an epoch ---- */
enum report_series {
    REPORT_EPOCH,
    REPORT_TEST_ACCURACY,
    REPORT_TRAIN_ACCURACY,
    REPORT_TEST_LOSS,
    REPORT_TRAIN_LOSS,
    REPORT_LR,
    REPORT_IMAGES_PER_S,
    REPORT_SECONDS,
    REPORT_AGREEMENT,
    REPORT_SAL, /* mean over layers */
    REPORT_ACM,
    REPORT_SCALE = REPORT_ACM + TRAIN_STAGES_MAX,
    REPORT_SERIES_COUNT = REPORT_SCALE + TRAIN_STAGES_MAX
};
/* The key in a line of log.jsonl; of a stage's, the key of the array. */
const char *report_series_key(int series);
int report_series_stage(int series); /* from 0; -1: it is of the whole network */

/* ---- a run ---- */
enum report_role { REPORT_PROTECTED, REPORT_PURIFIED, REPORT_CLEAN, REPORT_ROLE_COUNT };
extern const char *const report_role_names[REPORT_ROLE_COUNT];

struct report_run {
    const char *dir;
    char *name;     /* the last component of dir; dir where another run has the same */
    json_t *config; /* config.json */
    json_t *test;   /* test.json; NULL: there is none that can be read */
    json_t *facts;  /* what decides the figures, the seed apart: text -> text */
    char *ended;    /* when its last epoch did; NULL: the log does not say */
    enum report_role role;
    int n, stages, slowed;               /* epoch lines; stages with an ACM, with a scale */
    double *series[REPORT_SERIES_COUNT]; /* (n), NAN: not known */
    double best, last, seconds;          /* accuracy on test images, NAN: never tested */
    int best_epoch, group;
};
/* Call report_run_done also on failure. */
status report_read_run(const char *dir, struct report_run *r, struct errmsg *e) MUST_USE;
void report_run_done(struct report_run *r);
double report_number(const json_t *j, const char *key);                 /* NAN: there is none */
const char *report_text(const json_t *j, const char *key);              /* "": there is none */
const char *report_option(const struct report_run *r, const char *key); /* "": there is none */
/* Of the last epoch that says it; NAN: none does. */
double report_last(const struct report_run *r, enum report_series s);
/* NULL where the data is not known to be protected, or purified. */
const json_t *report_protected_by(const struct report_run *r);
const json_t *report_purified_by(const struct report_run *r);

/* ---- groups: runs that differ in nothing but the seed ---- */
struct report_group {
    enum report_role role;
    const struct report_run *first; /* what is said of it holds for all */
    int n, tested;                  /* runs; those with a figure */
    double mean, deviation;         /* of the last accuracy; the sample's, NAN for one run */
    char *label;
};
struct report {
    const struct train_report_options *opt;
    struct report_run *run;     /* (n), in the order they were named */
    struct report_group *group; /* (n_groups), in the order of their first runs */
    int n, n_groups;
};
/* What a run's images are, from its own records and those of the others; fills role and facts. */
status report_find_roles(struct report *r, struct errmsg *e) MUST_USE;
status report_find_groups(struct report *r, struct errmsg *e) MUST_USE;
status report_label_group(struct report *r, int g) MUST_USE;            /* after those before it */
const char *report_fact(const struct report_group *g, const char *key); /* "": it has none */
bool report_same_fact(const struct report_group *a, const struct report_group *b, const char *key);
void report_groups_done(struct report *r);
/* Whether two groups that are not clean are of one network and of one protection: the same method and
   strength, or where no record says these, the same folder. */
bool report_same_protection(const struct report_group *a, const struct report_group *b);
/* The protected, or clean, group that group g is to be compared with: of the same protection (where
   that is known) and network, and as many other options alike as there are. -1: there is none. */
int report_reference(const struct report *r, int g, enum report_role role);
/* Of what a protection took, the part that came back: (mean - protected) / (clean - protected). NAN
   where it took nothing, or there is nothing to compare with. */
double report_recovered(const struct report *r, int g);

/* ---- parts of the page ---- */
void report_verdict(struct html *h, const struct report *r);
status report_sheets(struct html *h, const struct report *r, struct errmsg *e) MUST_USE;
status report_curves(struct html *h, const struct report *r) MUST_USE;
status report_classes(struct html *h, const struct report *r, struct errmsg *e) MUST_USE;
void report_distances(struct html *h, const struct report *r);
void report_table(struct html *h, const struct report *r);
status report_csv_links(struct html *h, const struct report *r) MUST_USE;
void report_provenance(struct html *h, const struct report *r);
void report_facts(struct html *h, const struct report *r);
extern const char report_style[], report_script[];

#endif
