#ifndef PURIFY_PROFILE_H
#define PURIFY_PROFILE_H
/*
 * The fields of a profile as one table: reading, writing, checking and the canonical form all walk
 * it, so a field that is added here is read, written, checked and part of the id.
 */
#include "purify/purify.h"

enum profile_kind { PROFILE_TEXT, PROFILE_INT, PROFILE_FLOAT, PROFILE_ENUM };
struct profile_field {
    const char *key;
    enum profile_kind kind;
    size_t offset;
    double lo, hi;            /* of numbers; an enum has hi names */
    const char *const *names; /* of an enum */
};
enum { PROFILE_FIELDS = 13 };
extern const struct profile_field profile_fields[PROFILE_FIELDS];

/* NULL when no field has this key. */
const struct profile_field *profile_find(const char *key);
/* INVALID, with the keys that there are. */
status profile_unknown_key(const char *key, struct errmsg *e) MUST_USE;
/* STATUS_INVALID says what is wrong with value; the field is then unchanged. */
status profile_set(struct purify_profile *p, const struct profile_field *f, const char *value,
                   struct errmsg *e) MUST_USE;
/* The value as it is written in a file. */
status profile_get(const struct purify_profile *p, const struct profile_field *f,
                   struct buf *out) MUST_USE;
/* Which terms of the guidance act. */
bool profile_guides_pixel(const struct purify_profile *p);
bool profile_guides_percept(const struct purify_profile *p);
/* purify_profile_finish, naming the field at fault in *out_key (NULL when it is no one's). */
status profile_finish(struct purify_profile *p, const char **out_key, struct errmsg *e) MUST_USE;
/* The id from the fields and the two digests. */
status profile_id(const struct purify_profile *p, struct digest *out) MUST_USE;
/* The weights file that a `model` or `percept` value means; for mem_free. */
status profile_weights_path(const char *value, char **out) MUST_USE;
bool profile_is_path(const char *value);

#endif
