#ifndef TRAIN_REPORT_MATRIX_H
#define TRAIN_REPORT_MATRIX_H
/* matrix: what test images were taken for, of one run or the sum of several. */
#include "report/report.h"

struct report_matrix {
    int classes;         /* K; 0: nothing was added */
    int64_t *cell;       /* (K,K): row = label, column = prediction; for mem_free */
    const json_t *names; /* of the classes; the run's */
};
/* Adds what the run's test.json says; nothing where that says none, or one of other classes. */
status report_matrix_add(struct report_matrix *m, const struct report_run *r) MUST_USE;
int64_t report_matrix_at(const struct report_matrix *m, int label, int predicted);
int64_t report_matrix_row(const struct report_matrix *m, int label); /* its sum */
/* Of the images of a class, the part taken for `predicted`; NAN: it has none. */
double report_matrix_share(const struct report_matrix *m, int label, int predicted);
bool report_matrix_alike(const struct report_matrix *a,
                         const struct report_matrix *b); /* classes */
void report_matrix_name(struct html *h, const struct report_matrix *m, int k);

#endif
