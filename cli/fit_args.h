#ifndef CLI_FIT_ARGS_H
#define CLI_FIT_ARGS_H
/*
 * fit_args: what commands that train by steps (train_fit_options) have in common: rows of options,
 * the rule for what they write, what they print.
 *
 *     struct fit_args a;
 *     fit_args_init(&a, &options.fit);            // its values are the defaults that --help names
 *     n = fit_args_rows(&a, rows);                // room for FIT_ROWS_MAX; then rows of one's own
 *     ... cli_parse ...
 *     fit_args_take(&a);                          // now options.fit is what the user wants
 *     st = fit_args_check_output(&a, &e);
 */
#include "cli.h"
#include "train/train.h"

enum { FIT_ROWS_MAX = 24, FIT_DEFAULTS = 5 };
struct fit_args {
    struct train_fit_options *fit;
    struct cli_choice precision;
    double lr, ema;
    int flip, half, resume, force, skip_bad, quiet, json;
    char help[FIT_DEFAULTS][80]; /* of options whose defaults are the caller's */
};
void fit_args_init(struct fit_args *a, struct train_fit_options *fit);
size_t fit_args_rows(struct fit_args *a, struct cli_option *out);
void fit_args_take(struct fit_args *a);
/* That of cli_output_check; and a checkpoint is work that was not finished: to be gone on with, or
   given up in so many words. */
status fit_args_check_output(const struct fit_args *a, struct errmsg *e) MUST_USE;

/* "1,2,2" -> {1,2,2}: the number of numbers, at most max; 0 when it is no such list. */
int fit_args_list(const char *text, int out[], int max);

/* Of the result: an object with file, precision, steps, loss, images_per_s and parameters; a line. */
json_t *fit_result_json(const struct fit_args *a, const struct train_fit_result *r);
void fit_result_print(const struct fit_args *a, const struct train_fit_result *r);

#endif
