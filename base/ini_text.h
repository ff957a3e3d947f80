#ifndef BASE_INI_TEXT_H
#define BASE_INI_TEXT_H
/*
 * ini_text: a text of [section] lines, key = value lines and # comments. inih parses it; here lines
 * are counted for the messages, and what inih would cut (long lines, NUL bytes) is refused.
 *
 *     static status take(void *arg, const struct ini_value *v, struct errmsg *why) { ... }
 *     st = ini_text_read("a.ini", text, len, take, &mine, e);      // "a.ini:3: <why>"
 */
#include "status.h"

#include <stdbool.h>
#include <stddef.h>

struct ini_value {
    const char *section, *key, *value; /* never NULL; valid during the call */
    int line;                          /* from 1 */
    bool more; /* an indented line, which goes on with the value of the line before */
};
/* A failure ends the reading; what it says in why is put behind file and line. */
typedef status ini_fn(void *arg, const struct ini_value *v, struct errmsg *why);
/* text ends with a NUL behind its len bytes. path is for messages only. INVALID: a line is none of
   the three kinds, too long, or has a NUL byte. */
status ini_text_read(const char *path, const char *text, size_t len, ini_fn *fn, void *arg,
                     struct errmsg *e) MUST_USE;

#endif
