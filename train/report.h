#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H
/* report: what the files of a run say, for the page about runs. */
#include "train.h"

#include <jansson.h>

/* What one run's files say; series are indexed by epoch line. */
struct report_run {
    const char *name; /* last component of the directory */
    json_t *config;
    int n, stages;
    double *epoch, *train, *test, *acm[TRAIN_STAGES_MAX];
    double best, last, images_per_s, seconds;
    int best_epoch;
};
/* Call report_run_done also on failure. */
status report_read_run(const char *dir, struct report_run *r, struct errmsg *e) MUST_USE;
void report_run_done(struct report_run *r);
double report_number(const json_t *j, const char *key); /* NAN: there is none */

#endif
