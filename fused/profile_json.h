#ifndef FUSED_PROFILE_JSON_H
#define FUSED_PROFILE_JSON_H
/* profile_json: what purified, for those who ask later: status.json and purification.json. */
#include "purify/purify.h"

#include <jansson.h>

/* {"name", "id", "chain", "weights": [{"key", "file", "sha256"}]}; NULL without memory. */
json_t *profile_json(const struct purify_profile *p);

#endif
