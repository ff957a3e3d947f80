#ifndef TRAIN_ORIGIN_H
#define TRAIN_ORIGIN_H
/* origin: what was done to the images of a data set before they were trained on. Private to train. */
#include "base/base.h"

#include <jansson.h>

/*
 * {"mountpoint", "source", "profile", "profile_id", "chain", "weights", "profile_text", "version"} of
 * the mount that dir is in, from .relearn/status.json and profile.ini in its root, or of the tree that
 * `relearn purify` wrote, from TREE.purification.json beside it; what is not there is left out. NULL: dir
 * is in neither. For json_decref.
 */
json_t *train_origin(const char *dir);
/* The numbers and texts of dir/protection.json, which `relearn protect` writes and a mount shows as
   it is; NULL: there is none. For json_decref. */
json_t *train_origin_protection(const char *dir);

#endif
