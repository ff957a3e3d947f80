/* Names, and lists of them. */
#include "bench/matrix.h"

#include <ctype.h>
#include <string.h>

status matrix_name(const char *from, size_t n, char out[MATRIX_NAME_MAX], struct errmsg *e)
{
    bool good = n > 0 && n < MATRIX_NAME_MAX;
    for (size_t i = 0; i < n && good; i++)
        good = isalnum((unsigned char)from[i]) || strchr("._+-", from[i]);
    if (!good)
        return errmsg_set(e, STATUS_INVALID,
                          "'%.*s' is no name (letters, digits, . _ + -; names are parted by "
                          "commas)",
                          n < 60 ? (int)n : 60, from);
    memcpy(out, from, n);
    out[n] = 0;
    return STATUS_OK;
}

static status split(const char *text, char out[MATRIX_LIST_MAX][MATRIX_NAME_MAX], int *out_n,
                    struct errmsg *e)
{
    int n = 0;
    for (const char *at = text; at; n++) {
        at += strspn(at, " \t");
        const char *comma = strchr(at, ',');
        size_t len = comma ? (size_t)(comma - at) : strlen(at);
        while (len && strchr(" \t", at[len - 1]))
            len--;
        if (n == MATRIX_LIST_MAX)
            return errmsg_set(e, STATUS_LIMIT, "more than %d names", MATRIX_LIST_MAX);
        status st = matrix_name(at, len, out[n], e);
        for (int i = 0; i < n && !st; i++)
            if (strcmp(out[i], out[n]) == 0)
                st = errmsg_set(e, STATUS_INVALID, "%s is listed twice", out[n]);
        if (st)
            return st;
        at = comma ? comma + 1 : NULL;
    }
    *out_n = n;
    return STATUS_OK;
}

status matrix_names(const struct matrix *m, enum matrix_key key,
                    char out[MATRIX_LIST_MAX][MATRIX_NAME_MAX], int *out_n, struct errmsg *e)
{
    const struct matrix_line *l = m->set[key];
    status st = split(l->value, out, out_n, e);
    return st ? matrix_fail(m, l->line, st, e) : STATUS_OK;
}
