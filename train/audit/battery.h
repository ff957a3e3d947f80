#ifndef TRAIN_AUDIT_BATTERY_H
#define TRAIN_AUDIT_BATTERY_H
/* battery: trainings of an audit, as matrices of a bench; what it measures says train.h. Private to
   train. */
#include "train.h"

struct battery {
    struct train_battery_options o; /* with what was left out */
    char *data, *test;              /* folders; data: clean images, where there are any */
    struct train_battery_result *r; /* counts, and what is to be tried, are set first */
};

/* ---- battery_images.c ---- */
/* Sets the folders, and counts what is in them. What is held out, and what is left, are folders of links
   in OUT/images, which is made anew. */
status battery_images(struct battery *b, struct errmsg *e) MUST_USE;

/* ---- battery_matrix.c ---- */
/* Sets what is to be tried. */
status battery_trials(struct battery *b, struct errmsg *e) MUST_USE;
/* A trial's countermeasure in a matrix. */
void battery_name(const struct battery *b, int trial, char out[32]);
/* Writes OUT/protected.ini, or OUT/clean.ini; its path, for mem_free. */
status battery_matrix(const struct battery *b, bool clean, char **out_path,
                      struct errmsg *e) MUST_USE;

/* ---- battery_judge.c ---- */
/* What the trials' accuracies come to. */
void battery_judge(struct train_battery_result *r);

#endif
