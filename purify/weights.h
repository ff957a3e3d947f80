#ifndef PURIFY_WEIGHTS_H
#define PURIFY_WEIGHTS_H
/* The weights files that purifiers name in their values. */
#include "purify/purify.h"

/* Opens what a value means (profile_weights_path) and takes its digest. */
status weights_read(const char *value, struct nn_file **out, struct digest *out_digest,
                    struct errmsg *e) MUST_USE;
/* The same again later: CORRUPT when it is another file by now than that which the profile's id
   was made of. */
status weights_open(const char *value, const struct digest *expected, struct nn_file **out,
                    struct errmsg *e) MUST_USE;

#endif
