#ifndef TRAIN_BENCH_GIVEN_H
#define TRAIN_BENCH_GIVEN_H
/*
 * given: options of `relearn protect` and `relearn train` as a matrix file gives them: checked
 * against the tables that the commands have, and written in one way, so that 0.10 and .1 are the
 * same cell.
 */
#include "train.h"

#include <jansson.h>

enum { GIVEN_MAX = 40, GIVEN_KEY_MAX = 64 };
struct given_item {
    char key[GIVEN_KEY_MAX]; /* the option without its dashes */
    char value[PARAM_TEXT_MAX];
    bool flag; /* yes is --KEY, no is --no-KEY */
    int line;  /* of the matrix */
};
/* Sorted by key; a key is there once. */
struct given {
    struct given_item item[GIVEN_MAX];
    int n;
};

/* What `relearn protect` takes with this method; INVALID says what it takes. */
status given_protect(struct given *g, const char *method, const char *key, const char *value,
                     int line, struct errmsg *e) MUST_USE;
/* What `relearn train` takes but for what a matrix says itself (data, network, seed); recipes'
   parameters are RECIPE-KEY. */
status given_train(struct given *g, const char *key, const char *value, int line,
                   struct errmsg *e) MUST_USE;
/* What `relearn restore train` takes, as tune-KEY; `pairs` is short for tune-pair-limit. NOT_FOUND:
   this is no such key. */
status given_tune(struct given *g, const char *key, const char *value, int line,
                  struct errmsg *e) MUST_USE;
/* Whether the value is the path of a file, as seen from the matrix. A cell is named after what is in
   it. */
bool given_is_path(const struct given_item *item);
/* Whether each recipe's parameter is one of the recipe that is given with them; *out_line is the
   line at fault. */
status given_check_recipe(const struct given *g, int *out_line, struct errmsg *e) MUST_USE;

/* Adds without checks; what has the key is replaced. */
status given_put(struct given *g, const struct given_item *item) MUST_USE;
/* `over` on top of g. */
status given_merge(struct given *g, const struct given *over) MUST_USE;
/* The value of a key; NULL: it is not given. */
const char *given_value(const struct given *g, const char *key);
/* {"batch": "128"}; NULL without memory. */
json_t *given_json(const struct given *g);

/* ---- rows of tables ---- */
/* Puts PREFIXKEY with what the row makes of value. */
status given_row(struct given *g, const char *prefix, const struct param *row, bool flag,
                 const char *value, int line, struct errmsg *e) MUST_USE;
/* Appends the keys of a table, parted by commas. */
void given_keys(const struct param_table *t, const char *prefix, struct buf *out);

#endif
