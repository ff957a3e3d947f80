#ifndef FUSED_DAEMON_H
#define FUSED_DAEMON_H
/* The life of relearnfsd, from parsed options to the exit code. */
#include "options.h"

/* In the background the calling process exits by itself once the mount is ready (or not). */
int daemon_run(const struct daemon_options *opt);

#endif
