#ifndef TRAIN_BENCH_PLAN_H
#define TRAIN_BENCH_PLAN_H
/*
 * plan: the cells of a matrix and the trees that they are trained on, named by what decides them
 * (the source of a protected tree is the clean one, or another protected one):
 *
 *     clean     {"version", "data"}
 *     given     {"version", "source": {...}, "tree"}
 *     protected {"version", "source": {...}, "method", "options"}
 *     tuned     {"version", "source": {...}, "profile", "tune"}
 *     purified  {"version", "source": {...}, "profile"}
 *     diluted   {"version", "source": {...}, "clean", "dilute"}
 *     cell      {"version", "images": {...}, "test", "train"}
 */
#include "bench/bench.h"

/* What a countermeasure is named after, besides what the matrix says; "": nothing. */
struct plan_by {
    char profile[DIGEST_HEX_LEN + 1]; /* its id */
    char init[DIGEST_HEX_LEN + 1];    /* of the file with the first weights of its trainings */
    char clean[DIGEST_HEX_LEN + 1];   /* of plan_add_diluted */
};
/* out (n_countermeasures), zeroed before. INVALID or NOT_FOUND, with the line: a file is not what it
   should be, or not there. */
status plan_countermeasures(const struct train_bench *b, struct plan_by *out,
                            struct errmsg *e) MUST_USE;

/* The SHA-256 of a description; NOMEM for NULL. */
status plan_name(const json_t *description, char id[DIGEST_HEX_LEN + 1]) MUST_USE;

/* Each makes *tree the tree that has this done to it, which is added unless it is there. */
status plan_add_clean(struct train_bench *b, int *tree) MUST_USE;
status plan_add_protected(struct train_bench *b, const struct matrix_member *by,
                          int *tree) MUST_USE;
status plan_add_purified(struct train_bench *b, const struct matrix_member *by,
                         const char *profile_id, int *tree) MUST_USE;

/* clean: the digest of the images that are added, and of those before them in the data. */
status plan_add_diluted(struct train_bench *b, const struct matrix_member *by, const char *clean,
                        int *tree) MUST_USE;

#endif
