#ifndef CLI_BATTERY_PRINT_H
#define CLI_BATTERY_PRINT_H
/* battery_print: what the battery of relearn audit has measured, for people and for programs. */
#include "train/train.h"

#include <jansson.h>

void battery_print(const struct train_battery_result *r);
json_t *battery_json(const struct train_battery_result *r);

#endif
