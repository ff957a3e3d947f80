#ifndef TRAIN_BENCH_CLAIM_VOID_H
#define TRAIN_BENCH_CLAIM_VOID_H
/* claim_void: what stands in a claim, and when it counts for nothing. */
#include "bench/claim.h"

#define CLAIM_LOCK ".lock" /* beside the claims; no id begins with a dot */

/* What this process writes into one, for mem_free. */
char *claim_text(const char *const needs[CLAIM_NEEDS_MAX]);
/* What stands in one, for mem_free; NULL: it is gone, or cannot be read. */
char *claim_read(const char *path);
/* Whether the claim at path, with this text, is void. */
bool claim_is_void(const char *dir, const char *path, const char *text, int stale_s);

#endif
