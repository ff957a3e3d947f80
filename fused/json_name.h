#ifndef FUSED_JSON_NAME_H
#define FUSED_JSON_NAME_H
/*
 * File names in JSON. A name is bytes, a JSON string is Unicode. A name that is UTF-8 is a string
 * as it is. Of any other,
 *
 *     in an array    {"hex":"61ff"}                           its bytes
 *     in an object   "path":"a\ufffd", "path_hex":"61ff"      to be looked at, and its bytes
 *
 * so that a reader who wants the file asks for KEY_hex first.
 */
#include "base/base.h"

#include <jansson.h>

/* An element of an array; NULL without memory. */
json_t *json_name_new(const char *name);
/* Its bytes as a new string. INVALID: not what json_name_new makes, empty, or with a 0 in it. */
status json_name_read(const json_t *j, char **out) MUST_USE;

/* Sets key, and key_hex when that is needed. name may be NULL: "". */
status json_name_set(json_t *object, const char *key, const char *name) MUST_USE;
/* The bytes as a new string; INVALID: neither key_hex nor key is there. */
status json_name_get(const json_t *object, const char *key, char **out) MUST_USE;

#endif
