#ifndef FUSED_SELFTEST_H
#define FUSED_SELFTEST_H
#include "fused.h"

/* Takes one small image from file to bytes through everything that serving uses, and checks the
   size that was promised. Stored like any other, so only the first mount with a profile waits for
   the purifier. */
status selftest_purify(struct fused_pipeline *p, struct errmsg *e) MUST_USE;

#endif
