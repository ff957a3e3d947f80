#ifndef BASE_PICKLE_STACK_H
#define BASE_PICKLE_STACK_H
/*
 * pickle_stack: the machine that a pickle is a program for: values, a stack of them, marks in the
 * stack, and a memo of values to be used again. The first failure stays in `st`; after it nothing
 * is done and NULL is returned.
 */
#include "pickle.h"
#include "seam.h"

typedef struct pickle_value value;

struct pickle {
    const unsigned char *data;
    size_t len, at;
    const struct pickle_rules *rules;
    value **made; /* owns every value */
    size_t n_made, cap_made;
    struct pickle_list stack;
    size_t *marks;
    size_t n_marks, cap_marks;
    struct pickle_list memo; /* NULL where nothing was put */
    struct pickle_list persistent;
    value *root;
    size_t added; /* calls of pickle_add */
    struct errmsg *e;
    status st;
};

void pickle_fail(struct pickle *p, status st, const char *why);
void pickle_corrupt(struct pickle *p);
/* The next n bytes. */
const unsigned char *pickle_take(struct pickle *p, uint64_t n);
uint64_t pickle_take_little(struct pickle *p, int bytes);

void pickle_add(struct pickle *p, struct pickle_list *l, value *v);
value *pickle_make(struct pickle *p, enum pickle_kind kind);
void pickle_push(struct pickle *p, value *v);
/* What was pushed before the last mark cannot be popped. */
value *pickle_pop(struct pickle *p);
/* The uppermost value, which stays: NULL when none can be popped; CORRUPT when it is not of the
   kind. */
value *pickle_peek(const struct pickle *p);
value *pickle_top(struct pickle *p, enum pickle_kind kind);
/* The uppermost n values become one. */
void pickle_push_tuple(struct pickle *p, size_t n);
/* Moves the uppermost n values to the end of the list below them; `by`: how many belong together. */
void pickle_append(struct pickle *p, size_t n, enum pickle_kind kind, size_t by);

void pickle_mark(struct pickle *p);
/* Takes the last mark away; how many values stand above it. */
size_t pickle_unmark(struct pickle *p);

void pickle_memo_put(struct pickle *p, uint64_t index);
void pickle_memo_get(struct pickle *p, uint64_t index);

/* ---- pickle_push.c ---- */
void pickle_push_whole(struct pickle *p, enum pickle_kind kind, int64_t whole);
void pickle_push_text(struct pickle *p, uint64_t len);
void pickle_push_long(struct pickle *p, uint64_t len);
void pickle_push_real(struct pickle *p);
void pickle_push_persistent(struct pickle *p);
/* GLOBAL, STACK_GLOBAL, REDUCE and BUILD. */
void pickle_push_global(struct pickle *p);
void pickle_push_stack_global(struct pickle *p);
void pickle_call(struct pickle *p);
void pickle_set_state(struct pickle *p);

#endif
