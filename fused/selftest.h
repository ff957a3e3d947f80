#ifndef FUSED_SELFTEST_H
#define FUSED_SELFTEST_H
#include "fused.h"

/* Takes one small image from file to bytes through everything that serving uses but the cache, and
   checks the size that was promised. In a pipeline of its own: it is none of the user's images, in
   no figure and in no cache. That it went well is remembered in the cache, so that only the first
   mount with a profile waits for the purifier. */
status selftest_purify(const struct fused_stack *s, struct errmsg *e) MUST_USE;

#endif
