#ifndef CLI_DISTANCE_PRINT_H
#define CLI_DISTANCE_PRINT_H
/* distance_print: the unlearnable distance of relearn audit, for people and for programs. */
#include "train/train.h"

#include <jansson.h>

void distance_print(const struct train_distance *d);
json_t *distance_json(const struct train_distance *d);

#endif
