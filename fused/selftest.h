#ifndef FUSED_SELFTEST_H
#define FUSED_SELFTEST_H
#include "fused.h"

/* Takes one small image from file to bytes through everything that serving uses but the cache, and
   checks the size that was promised. It has a pipeline of its own, so that the image appears in no
   figure and is not cached. Success is remembered in the cache, so that only the first mount with a
   profile waits for the purifier. */
status selftest_purify(const struct fused_stack *s, struct errmsg *e) MUST_USE;

#endif
