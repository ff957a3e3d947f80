#ifndef TRAIN_ORIGIN_H
#define TRAIN_ORIGIN_H
/* origin: the relearnfs mount that a data set is read from. Private to train. */
#include "base/base.h"

#include <jansson.h>

/*
 * {"mountpoint", "source", "profile", "profile_id", "version"} of the mount that dir is in, from
 * .relearn/status.json in its root; what is not there is left out. NULL: dir is in no such mount.
 * For json_decref.
 */
json_t *train_origin(const char *dir);

#endif
