#ifndef TRAIN_BENCH_PLAN_H
#define TRAIN_BENCH_PLAN_H
/*
 * plan: the cells of a matrix and the trees that they are trained on, named by what decides them:
 *
 *     clean     {"version", "data"}
 *     given     {"version", "source": {...}, "tree"}
 *     protected {"version", "source": {...}, "method", "options"}
 *     tuned     {"version", "source": {...}, "profile", "tune"}
 *     purified  {"version", "source": {...}, "profile"}
 *     cell      {"version", "images": {...}, "test", "train"}
 */
#include "bench/bench.h"

/* The SHA-256 of a description; NOMEM for NULL. */
status plan_name(const json_t *description, char id[DIGEST_HEX_LEN + 1]) MUST_USE;

/* Each makes *tree the tree that has this done to it, which is added unless it is there. */
status plan_add_clean(struct train_bench *b, int *tree) MUST_USE;
status plan_add_protected(struct train_bench *b, const struct matrix_member *by,
                          int *tree) MUST_USE;
status plan_add_purified(struct train_bench *b, const struct matrix_member *by,
                         const char *profile_id, int *tree) MUST_USE;

#endif
