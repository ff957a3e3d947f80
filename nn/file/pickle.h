#ifndef NN_PICKLE_H
#define NN_PICKLE_H
/*
 * pickle: the part of Python's pickle format (protocols 2 to 5) that tensors in dictionaries need,
 * as values. Nothing of the file is executed: a pickle names the functions it wants called, and
 * this reader knows the five that rebuild tensors and dictionaries; any other name ends the reading
 * with an error that says it.
 *
 * Memory is bounded by the length of the pickle: an instruction makes at most one value. Values may
 * be shared and may contain themselves; whoever walks them bounds the walk.
 */
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,    /* keys and values take turns */
    PICKLE_GLOBAL,  /* text: "module\nname" */
    PICKLE_STORAGE, /* a persistent id */
    PICKLE_TENSOR
};

struct pickle_value;
struct pickle_list {
    struct pickle_value **at;
    size_t n, cap;
};
struct pickle_value {
    enum pickle_kind kind;
    union {
        int64_t whole; /* BOOL, INT */
        double real;
        struct {
            const char *at; /* inside the pickle, not terminated */
            size_t len;
        } text;
        struct pickle_list list; /* TUPLE, LIST, DICT */
        struct {                 /* STORAGE */
            const char *dtype;   /* "F32" and the like */
            const struct pickle_value *key;
            int64_t elements;
        } storage;
        struct { /* TENSOR; sizes and strides in elements */
            const struct pickle_value *storage, *offset, *size, *stride;
        } tensor;
    };
};

struct pickle;
/* Reads one pickle from the beginning of data; *out_len: how long it was. The values live until
   pickle_free and point into data. */
status pickle_read(const unsigned char *data, size_t len, struct pickle **out, size_t *out_len,
                   struct errmsg *e) MUST_USE;
void pickle_free(struct pickle *p);
DEFINE_FREEP(struct pickle *, pickle_free)
const struct pickle_value *pickle_root(const struct pickle *p);
/* Every PICKLE_STORAGE, in the order of the file. */
const struct pickle_list *pickle_storages(const struct pickle *p);
bool pickle_is_text(const struct pickle_value *v, const char *text);

#endif
