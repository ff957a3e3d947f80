#ifndef BASE_PICKLE_H
#define BASE_PICKLE_H
/*
 * pickle: what Python's pickle.dump wrote (protocols 2 to 5), as values. Nothing of the file is
 * executed. A pickle names the functions that it wants called: those that the caller lists become
 * values, which say the function and its arguments; any other name ends the reading with an error
 * that says it. Instructions that plain data does not need (instances of classes, extension codes,
 * buffers outside the file) are refused as well.
 *
 * Memory is bounded by the length of the pickle, and by PICKLE_VALUES_MAX and PICKLE_ADDED_MAX
 * however long it is. Values may be shared and may contain themselves; whoever walks them bounds the
 * walk.
 *
 *     enum { MAKE_ARRAY };
 *     static const struct pickle_name names[] = {{"numpy.core.multiarray", "_reconstruct"}};
 *     const struct pickle_rules rules = {names, ARRAY_LEN(names), "an array", ""};
 *     AUTO(pickle_free) struct pickle *p = NULL;
 *     status st = pickle_read(data, len, &rules, &p, &used, e);
 *     … pickle_is_call(pickle_root(p), MAKE_ARRAY) …
 */
#include "cleanup.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT, /* str, bytes and bytearray, which Python 2 did not tell apart */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT, /* also an OrderedDict; keys and values alternate */
    PICKLE_GLOBAL,
    PICKLE_CALL,
    PICKLE_PERSISTENT
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
        int global;              /* index of the caller's name */
        struct {
            int function; /* index of the caller's name */
            const struct pickle_value *args,
                *state; /* a TUPLE; NULL, or what its __setstate__ is given */
        } call;
        const struct pickle_value *id; /* PERSISTENT */
    };
};

enum {
    PICKLE_VALUES_MAX = 1 << 21, /* also of the stack, of its marks and of the memo */
    PICKLE_ADDED_MAX = 1 << 24   /* times that a value is pushed, or added to a list */
};

struct pickle_name {
    const char *module, *name;
};
struct pickle_rules {
    const struct pickle_name *name;
    int n;
    const char *of;     /* for messages: "a file of tensors" */
    const char *advice; /* "(save the state_dict() alone)", or "" */
};

struct pickle;
/* Reads one pickle from the beginning of data; *out_len: how long it was. The values live until
   pickle_free and point into data. CORRUPT; LIMIT; UNSUPPORTED names what is not read. */
status pickle_read(const unsigned char *data, size_t len, const struct pickle_rules *rules,
                   struct pickle **out, size_t *out_len, struct errmsg *e) MUST_USE;
void pickle_free(struct pickle *p);
DEFINE_FREEP(struct pickle *, pickle_free)
const struct pickle_value *pickle_root(const struct pickle *p);
/* Every PICKLE_PERSISTENT, in the order of the file. */
const struct pickle_list *pickle_persistent(const struct pickle *p);

/* ---- looking at values; v may be NULL, which is nothing ---- */
bool pickle_is(const struct pickle_value *v, enum pickle_kind kind);
bool pickle_is_text(const struct pickle_value *v, const char *text);
bool pickle_is_call(const struct pickle_value *v, int function);
/* NULL beyond the end of a TUPLE or LIST, and of anything else. */
const struct pickle_value *pickle_item(const struct pickle_value *v, size_t i);

#endif
