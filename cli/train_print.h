#ifndef CLI_TRAIN_PRINT_H
#define CLI_TRAIN_PRINT_H
/* What `relearn train` prints; each gives exit status 0. */
#include "cli.h"
#include "train/train.h"

int train_print_result(const struct train_options *o, const struct train_result *r, int json);
/* Networks, recipes and augmentations. */
int train_print_list(int json);

#endif
