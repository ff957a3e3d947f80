#ifndef TRAIN_REPORT_COLUMNS_H
#define TRAIN_REPORT_COLUMNS_H
/* columns: what a row about a run says. A column is a text or a number, one row here. */
#include "report/report.h"

struct report_column {
    const char *head; /* NULL: in the CSV only */
    const char *csv;
    const char *(*text)(const struct report_run *r);
    double (*number)(const struct report_run *r); /* where text is NULL; NAN: not known */
    bool part;                                    /* a number from 0 to 1 */
};
extern const struct report_column report_columns[];
extern const int report_n_columns;

#endif
