#ifndef TRAIN_ORIGIN_H
#define TRAIN_ORIGIN_H
/* Where a data set comes from, as far as it says so itself. Private to train. */
#include "base/base.h"

#include <jansson.h>

/*
 * A mount of relearnfs keeps .relearn/status.json in its root. {"mountpoint", "source", "profile",
 * "profile_id", "version"} of the one that dir lies in, as far as they are said; NULL when it lies
 * in none. For json_decref.
 */
json_t *train_origin(const char *dir);

#endif
