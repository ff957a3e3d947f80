#ifndef TRAIN_BENCH_MATRIX_H
#define TRAIN_BENCH_MATRIX_H
/*
 * matrix: what a matrix file says (its form: train.h). Everything in it is checked when it is read,
 * also what is not used; messages name file and line.
 *
 *     struct matrix m;
 *     st = matrix_read("table.ini", "quick", &m, e);
 *     ... matrix_done(&m), also after a failure ...
 */
#include "bench/given.h"

enum { MATRIX_NAME_MAX = 48, MATRIX_LIST_MAX = 64, MATRIX_LINES_MAX = 1024 };

/* A protection or a countermeasure. */
struct matrix_member {
    char name[MATRIX_NAME_MAX];
    char *method;       /* of a protection: NULL is the images as they are, or as in tree */
    char *tree;         /* of a protection: the images that somebody protected, a path; or NULL */
    char *profile;      /* of a countermeasure: a name or a path, NULL: nothing is purified */
    int line;           /* where that is said, or the list that has the name */
    struct given given; /* options of `relearn protect`, or `relearn train` */
    struct given tune; /* of a countermeasure: options of `relearn restore train`, for the profile's
                           restorer and pairs of the protected images; none: it is used as it is */
    char on[MATRIX_NAME_MAX]; /* of a protection: whose images are protected; "": clean ones, */
    int on_line;
    const struct matrix_member *source; /* and which that is; NULL */
    int dilute; /* of a countermeasure: clean images that are added; 0: none */
    int dilute_line;
    char tree_digest[DIGEST_HEX_LEN + 1]; /* known when the bench is open */
};

/* Who is trained: a network of ours, or a command that trains one. */
struct matrix_victim {
    char name[MATRIX_NAME_MAX];
    char *command;   /* a program and its arguments, as a shell reads them; NULL: a network */
    char *files;     /* what it consists of, paths parted by commas; NULL: not given */
    int line;        /* of its command or of its files */
    json_t *digests; /* {"path": SHA-256}, known when the bench is open */
};

/* Keys of [bench] and [preset NAME]. */
enum matrix_key {
    MATRIX_DATA,
    MATRIX_TEST,
    MATRIX_IMAGES,
    MATRIX_SIZE,
    MATRIX_CHANNELS,
    MATRIX_PROTECTIONS,
    MATRIX_COUNTERMEASURES,
    MATRIX_VICTIMS,
    MATRIX_SEEDS,
    MATRIX_KEY_COUNT
};

struct matrix_line {
    char *section, *key, *value;
    int line;
};

struct matrix {
    char *path;
    char name[MATRIX_NAME_MAX]; /* the file's, without .ini */
    struct matrix_line *lines;  /* the file */
    int n_lines;
    const struct matrix_line *set[MATRIX_KEY_COUNT]; /* NULL: not given */

    const char *data, *test;    /* as seen from the file; NULL: not given */
    int images, size, channels; /* 0: all, as they are */
    struct given train;         /* of all cells */
    struct matrix_member *protection, *countermeasure;
    int n_protections, n_countermeasures;
    int n_more_protections; /* behind those of the list: they are only the source of others */
    struct matrix_victim victim[MATRIX_LIST_MAX];
    uint64_t seed[MATRIX_LIST_MAX];
    int n_victims, n_seeds;
};
/* preset: NULL for none. */
status matrix_read(const char *path, const char *preset, struct matrix *out,
                   struct errmsg *e) MUST_USE;
void matrix_done(struct matrix *m);
/* "PATH:LINE: " before what e says. */
status matrix_fail(const struct matrix *m, int line, status st, struct errmsg *e);

/* In place of what *to owns: a copy of the text. */
status matrix_set_text(char **to, const char *text) MUST_USE;
/* A path in the file, as it is seen from there, for mem_free; NULL without memory. */
char *matrix_path(const struct matrix *m, const char *value);

/* ---- matrix_file.c: lines and sections ---- */
/* Reads the lines; continued lists are joined by commas. */
status matrix_load(struct matrix *m, const char *preset, struct errmsg *e) MUST_USE;
/* What follows KIND and a blank in a section's name; NULL: it is of another kind. */
const char *matrix_section(const struct matrix_line *l, const char *kind);
/* Whether this line begins a section (is the first of its name). */
bool matrix_begins(const struct matrix *m, int i);
/* The key of [bench] that is meant; MATRIX_KEY_COUNT: none. */
enum matrix_key matrix_key(const char *key);
void matrix_keys(struct buf *out);

/* ---- matrix_names.c ---- */
/* The first n bytes, when they are a name. */
status matrix_name(const char *from, size_t n, char out[MATRIX_NAME_MAX],
                   struct errmsg *e) MUST_USE;
/* The names of a list, each once; *out_n of them. */
status matrix_names(const struct matrix *m, enum matrix_key key,
                    char out[MATRIX_LIST_MAX][MATRIX_NAME_MAX], int *out_n,
                    struct errmsg *e) MUST_USE;

/* ---- matrix_values.c ---- */
status matrix_take_numbers(struct matrix *m, struct errmsg *e) MUST_USE;
status matrix_take_seeds(struct matrix *m, struct errmsg *e) MUST_USE;

/* ---- matrix_victims.c ---- */
status matrix_take_victims(struct matrix *m, struct errmsg *e) MUST_USE;
/* Whether commands are asked for nothing that only `relearn train` can do. When members are known. */
status matrix_check_victims(const struct matrix *m, struct errmsg *e) MUST_USE;
void matrix_victims_done(struct matrix *m);

/* ---- matrix_members.c: protections and countermeasures ---- */
status matrix_members(struct matrix *m, struct errmsg *e) MUST_USE;
/* The one of w's name. */
status matrix_member_read(const struct matrix *m, bool protects, struct matrix_member *w,
                          struct errmsg *e) MUST_USE;

/* ---- matrix_on.c ---- */
/* How many protections may have to be added. */
int matrix_count_on(const struct matrix *m);
/* Sets the source of each protection, and adds those that no list has, for which there is room. */
status matrix_link_on(struct matrix *m, struct errmsg *e) MUST_USE;

#endif
