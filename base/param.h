#ifndef BASE_PARAM_H
#define BASE_PARAM_H
/*
 * param: the named parameters of a purifier, a recipe, a protection or the like.
 *
 * Each has one table of rows, and the table is the only source: files and command lines are parsed,
 * values are checked and printed, defaults are set and --help is made by walking it.
 *
 *     struct blur { int side; float sigma; };
 *     static const struct param rows[] = {
 *         {"side", PARAM_INT, offsetof(struct blur, side), .lo = 1, .hi = 31, .standard = "3",
 *          .unit = "pixels", .about = "side of the window"},
 *         {"sigma", PARAM_FLOAT, offsetof(struct blur, sigma), .lo = 0, .hi = 100,
 *          .standard = "1.5", .unit = "pixels", .about = "standard deviation"},
 *     };
 *     static const struct param_table table = PARAM_TABLE(rows, struct blur);
 *
 * The values are the owner's struct. No function allocates except in a buf. All may be called from
 * any thread, as long as no other thread writes the values.
 */
#include "buf.h"

#include <stdbool.h>

enum param_kind {
    PARAM_INT,    /* int */
    PARAM_U64,    /* uint64_t; lo and hi do not count */
    PARAM_FLOAT,  /* float */
    PARAM_DOUBLE, /* double */
    PARAM_BOOL,   /* bool: yes or no; true, false, on, off, 1, 0 are read, too */
    PARAM_ENUM,   /* int or an enum of its size: index in names, which end with NULL */
    PARAM_TEXT,   /* char[PARAM_TEXT_MAX] */
};
/* One line of an INI file holds a key and a text. */
enum { PARAM_TEXT_MAX = 256, PARAM_TEXT_LEN = 180 };

struct param {
    const char *key; /* lower case, '_' between words */
    enum param_kind kind;
    size_t offset;
    double lo, hi;            /* of numbers, both allowed */
    const char *const *names; /* of an enum */
    const char *standard;     /* the default, as it would be written */
    const char *unit;         /* "pixels", "grey levels"; NULL: none */
    const char *about;        /* what it is: a phrase for --help, no full stop */
};
struct param_table {
    const struct param *row;
    int n;
    size_t size; /* of the struct */
};
#define PARAM_TABLE(rows, type)                                                                    \
    {                                                                                              \
        rows, (int)(sizeof(rows) / sizeof *(rows)), sizeof(type)                                   \
    }
/* For an owner without parameters. */
#define PARAM_NONE                                                                                 \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/* key = value, as it was given. */
struct param_arg {
    const char *key, *value;
};

/* Sets all values to their defaults; the rest of the struct is zeroed. */
void param_defaults(const struct param_table *t, void *values);
/* NULL when no row has this key. Words of a key may be joined by '-' as well. */
const struct param *param_find(const struct param_table *t, const char *key);
/* INVALID, and values are as they were: there is no such key (e lists those that there are), or
   text is not what the row wants (e says what it wants). */
status param_set(const struct param_table *t, void *values, const char *key, const char *text,
                 struct errmsg *e) MUST_USE;
status param_set_row(const struct param *p, void *values, const char *text,
                     struct errmsg *e) MUST_USE;
/* Sets the defaults, then each of n arguments. */
status param_set_all(const struct param_table *t, void *values, const struct param_arg *arg, int n,
                     struct errmsg *e) MUST_USE;
/* Checks values that were set in code by the same rules; *out_key (if not NULL) is the key at
   fault. */
status param_check(const struct param_table *t, const void *values, const char **out_key,
                   struct errmsg *e) MUST_USE;
/* The value as it is written: reading it gives the same value. */
status param_get(const struct param *p, const void *values, struct buf *out) MUST_USE;
/* "key=value\n" for each row in the table's order. */
status param_text(const struct param_table *t, const void *values, struct buf *out) MUST_USE;
/* "a whole number from 1 to 31", "light, dark or grey": what a value must be. */
status param_wanted(const struct param *p, struct buf *out) MUST_USE;
/* "side of the window (pixels), 1 to 31; default 3" */
status param_help(const struct param *p, struct buf *out) MUST_USE;

#endif
