#ifndef TRAIN_BENCH_BENCH_H
#define TRAIN_BENCH_BENCH_H
/* bench: the cells of a matrix, and the trees of images that they share, as its files see them. A
   restorer that is fine-tuned on pairs of a protected tree is kept as a tree, too: a folder with
   the weights and a profile that uses them. A diluted tree has the images of its source, and clean
   ones besides. */
#include "bench/matrix.h"

enum bench_tree_kind {
    BENCH_CLEAN,
    BENCH_GIVEN, /* protected by somebody else */
    BENCH_PROTECTED,
    BENCH_TUNED,
    BENCH_PURIFIED,
    BENCH_DILUTED,
    BENCH_TREE_KINDS
};
extern const char *const bench_tree_verbs[BENCH_TREE_KINDS]; /* what makes one: "copy", ... */
struct bench_tree {
    char id[DIGEST_HEX_LEN + 1];
    enum bench_tree_kind kind;
    int source;                     /* the tree it is made of; -1: the data. Of one that a tuned
                                       restorer purifies: that one, whose source the images are */
    const struct matrix_member *by; /* what makes it; NULL: a copy */
    json_t *description;            /* everything that decides it */
};
struct bench_cell {
    char id[DIGEST_HEX_LEN + 1];
    int protection, countermeasure, victim; /* of the matrix */
    uint64_t seed;
    int tree; /* that it is trained on */
    bool chosen;
    json_t *description;
};

struct train_bench {
    struct matrix matrix;
    char *data, *test, *out, *cache, *program; /* absolute, but for the last two */
    int jobs, threads;                         /* threads: of one job */
    bool keep, quiet, keys;                    /* keys: as of train_data_options */
    char data_digest[DIGEST_HEX_LEN + 1], test_digest[DIGEST_HEX_LEN + 1];
    struct bench_tree *tree; /* the first is the clean one */
    int n_trees;
    struct bench_cell *cell;
    int n_cells;
};

/* The command that trains a cell's victim; NULL: relearn train does. */
static inline const char *bench_command(const struct train_bench *b, const struct bench_cell *c)
{
    return b->matrix.victim[c->victim].command;
}

/* OUT/FOLDER/IDTAIL, for mem_free; NULL without memory. */
char *bench_path(const struct train_bench *b, const char *folder, const char *id, const char *tail);
bool bench_there(const struct train_bench *b, const char *folder, const char *id, const char *tail);
/* The object in such a file. CORRUPT: it is none. */
status bench_read(const struct train_bench *b, const char *folder, const char *id, json_t **out,
                  struct errmsg *e) MUST_USE;

/* Adds what a tree that is there, and those it was made of, took: {"purify": seconds}. (tree.c) */
void bench_add_seconds(const struct train_bench *b, int i, json_t *seconds);
/* null for what is not finite, which JSON cannot say. */
json_t *bench_real(double v);

/* Removes what a killed process had begun to write as FOLDER/ID.json. Who calls it has claimed ID. */
void bench_remove_aside(const struct train_bench *b, const char *folder, const char *id);

/* ---- folders.c ---- */
/* `given`, or what the matrix has `said`, seen from its file. what: "data" or "test". */
status bench_data_folder(const struct matrix *m, const char *given, const char *said,
                         const char *what, char **out, struct errmsg *e) MUST_USE;
/* Sets out, which need not be there. */
status bench_out_folder(const struct train_bench_options *opt, struct train_bench *b) MUST_USE;
/* Makes the trees that protections name absolute paths. */
status bench_given_folders(struct train_bench *b, struct errmsg *e) MUST_USE;
/* INVALID: it lies in the data, which are never written. */
status bench_check_out(const struct train_bench *b, struct errmsg *e) MUST_USE;

#define BENCH_TUNED_WEIGHTS                                                                        \
    "/restorer.safetensors" /* in a tuned tree; with .checkpoint, half made */
#define BENCH_TUNED_PROFILE "/tuned.ini"

/* ---- needs.c ---- */
enum { BENCH_NEEDS_MAX = 3 };
/* The trees that must be there while this one is made, the images that it changes first; how many
   they are. */
int bench_needs(const struct train_bench *b, int tree, int out[BENCH_NEEDS_MAX]);
/* The images that a tree is made of; -1: the data. */
int bench_images_of(const struct train_bench *b, int tree);

/* ---- tuned.c ---- */
/* The weights of a profile's restorer, for mem_free. INVALID: it has none. */
status bench_restorer(const struct purify_profile *p, char **out, struct errmsg *e) MUST_USE;
/* Those that are fine-tuned: of the countermeasure's profile. */
status bench_tune_from(const struct matrix_member *by, char **out, struct errmsg *e) MUST_USE;
/* Writes the profile that uses a tuned tree's weights into dir, where the tree stands. */
status bench_tuned_profile(const struct matrix_member *by, const char *dir,
                           struct errmsg *e) MUST_USE;

/* ---- victims.c ---- */
/* Takes the digests of what victims' commands consist of. */
status bench_victim_files(struct train_bench *b, struct errmsg *e) MUST_USE;

/* ---- plan.c ---- */
/* Makes trees and cells of the matrix. */
status bench_plan(struct train_bench *b, const char *pattern, struct errmsg *e) MUST_USE;
/* The options of a cell's training, but for paths and threads. */
status bench_train_options(const struct matrix *m, const struct bench_cell *c, struct given *out,
                           struct errmsg *e) MUST_USE;

/* ---- dilute.c ---- */
/* The first `images` of the data, and so many more, which a countermeasure adds. INVALID: there are
   not so many. */
status bench_dilute_open(const struct train_bench *b, int more, struct train_set **out,
                         struct errmsg *e) MUST_USE;

/* ---- result.c ---- */
struct bench_figures {
    const char *train_json; /* what `relearn train --json` printed, or a victim's command */
    double seconds;
    bool resumed;
};
/* Writes the cell's result, unless there is one. */
status bench_result_write(const struct train_bench *b, const struct bench_cell *c,
                          const struct bench_figures *f, struct errmsg *e) MUST_USE;
/* Remembers why there is none. */
status bench_failure_write(const struct train_bench *b, const struct bench_cell *c, const char *why,
                           struct errmsg *e) MUST_USE;

#endif
