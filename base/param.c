#include "param.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

static_assert(sizeof(enum param_kind) == sizeof(int), "a row reads enums as ints");

static void *at(const struct param *p, void *values)
{
    return (char *)values + p->offset;
}

static const void *at_const(const struct param *p, const void *values)
{
    return (const char *)values + p->offset;
}

static bool same_key(const char *key, const char *given)
{
    for (; *key && *given; key++, given++)
        if (*key != (*given == '-' ? '_' : *given))
            return false;
    return *key == *given;
}

const struct param *param_find(const struct param_table *t, const char *key)
{
    for (int i = 0; i < t->n; i++)
        if (same_key(t->row[i].key, key))
            return &t->row[i];
    return NULL;
}

/* ---- reading ---- */

static bool read_int(const struct param *p, const char *text, int *out)
{
    if (!*text || text[strspn(text, "+-0123456789")])
        return false;
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || *end || end == text || (double)v < p->lo || (double)v > p->hi)
        return false;
    *out = (int)v;
    return true;
}

static bool read_u64(const char *text, uint64_t *out)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, NULL, 10);
    if (errno)
        return false;
    *out = v;
    return true;
}

/* A finite decimal number and nothing else: no hex, no "inf"; no negative zero either. */
static bool read_number(const char *text, double *out)
{
    if (!*text || text[strspn(text, "+-.eE0123456789")])
        return false;
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text || !isfinite(v))
        return false;
    *out = v + 0.0;
    return true;
}

static bool read_float(const struct param *p, const char *text, float *out)
{
    double v;
    if (!read_number(text, &v))
        return false;
    float f = strtof(text, NULL) + 0.0f;
    if (!isfinite(f) || (double)f < p->lo || (double)f > p->hi)
        return false;
    *out = f;
    return true;
}

static bool read_double(const struct param *p, const char *text, double *out)
{
    double v;
    if (!read_number(text, &v) || v < p->lo || v > p->hi)
        return false;
    *out = v;
    return true;
}

static int find_name(const char *const *names, const char *text)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    return -1;
}

static bool read_bool(const char *text, bool *out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1", NULL};
    int i = find_name(words, text);
    if (i >= 0)
        *out = i & 1;
    return i >= 0;
}

/* What an INI file can hold: no control characters, no ';' (a comment), no blanks at the ends. */
static status check_text(const char *key, const char *value, struct errmsg *e)
{
    size_t n = strlen(value);
    if (n > PARAM_TEXT_LEN)
        return errmsg_set(e, STATUS_INVALID,
                          "%s is longer than %d characters (use a shorter path, or a link)", key,
                          PARAM_TEXT_LEN);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f || value[i] == ';')
            return errmsg_set(e, STATUS_INVALID, "%s holds a ';' or a control character", key);
    if (n > 0 && (value[0] == ' ' || value[n - 1] == ' '))
        return errmsg_set(e, STATUS_INVALID, "%s begins or ends with a blank", key);
    return STATUS_OK;
}

/* ---- what is wrong ---- */

static status wrong_value(const struct param *p, const char *text, struct errmsg *e)
{
    AUTO(buf_done) struct buf wanted = BUF_INIT(4096);
    status st = param_wanted(p, &wanted);
    return st ? st
              : errmsg_set(e, STATUS_INVALID, "%s is \"%.40s\", not %s", p->key, text, wanted.data);
}

static status unknown_key(const struct param_table *t, const char *key, struct errmsg *e)
{
    AUTO(buf_done) struct buf keys = BUF_INIT(4096);
    status st = t->n ? STATUS_OK : buf_addf(&keys, "none");
    for (int i = 0; i < t->n && !st; i++)
        st = buf_addf(&keys, "%s%s", i ? ", " : "", t->row[i].key);
    return st ? st
              : errmsg_set(e, STATUS_INVALID, "unknown key \"%.40s\"; there are %s", key,
                           keys.data);
}

/* ---- setting ---- */

status param_set_row(const struct param *p, void *values, const char *text, struct errmsg *e)
{
    void *v = at(p, values);
    bool good = false;
    int i;
    status st;
    switch (p->kind) {
    case PARAM_INT:
        good = read_int(p, text, v);
        break;
    case PARAM_U64:
        good = read_u64(text, v);
        break;
    case PARAM_FLOAT:
        good = read_float(p, text, v);
        break;
    case PARAM_DOUBLE:
        good = read_double(p, text, v);
        break;
    case PARAM_BOOL:
        good = read_bool(text, v);
        break;
    case PARAM_ENUM:
        i = find_name(p->names, text);
        good = i >= 0;
        if (good)
            *(int *)v = i;
        break;
    case PARAM_TEXT:
        st = check_text(p->key, text, e);
        if (!st)
            snprintf(v, PARAM_TEXT_MAX, "%s", text);
        return st;
    }
    return good ? STATUS_OK : wrong_value(p, text, e);
}

status param_set(const struct param_table *t, void *values, const char *key, const char *text,
                 struct errmsg *e)
{
    const struct param *p = param_find(t, key);
    return p ? param_set_row(p, values, text, e) : unknown_key(t, key, e);
}

void param_defaults(const struct param_table *t, void *values)
{
    struct errmsg e;
    if (t->size)
        memset(values, 0, t->size);
    for (int i = 0; i < t->n; i++) {
        status st = param_set_row(&t->row[i], values, t->row[i].standard, &e);
        CHECK(st == STATUS_OK); /* a mistake in the table */
    }
}

status param_set_all(const struct param_table *t, void *values, const struct param_arg *arg, int n,
                     struct errmsg *e)
{
    status st = STATUS_OK;
    param_defaults(t, values);
    for (int i = 0; i < n && !st; i++)
        st = param_set(t, values, arg[i].key, arg[i].value, e);
    return st;
}

static status check_row(const struct param *p, const void *values, struct errmsg *e)
{
    const void *v = at_const(p, values);
    double x = 0, lo = p->lo, hi = p->hi;
    switch (p->kind) {
    case PARAM_TEXT:
        return check_text(p->key, v, e);
    case PARAM_U64:
    case PARAM_BOOL:
        return STATUS_OK;
    case PARAM_INT:
        x = *(const int *)v;
        break;
    case PARAM_FLOAT:
        x = (double)*(const float *)v;
        break;
    case PARAM_DOUBLE:
        x = *(const double *)v;
        break;
    case PARAM_ENUM:
        x = *(const int *)v;
        lo = 0;
        for (hi = -1; p->names[(int)hi + 1];)
            hi++;
        break;
    }
    if (x >= lo && x <= hi)
        return STATUS_OK;
    return errmsg_set(e, STATUS_INVALID, "%s is %g, not within %g to %g", p->key, x, lo, hi);
}

status param_check(const struct param_table *t, const void *values, const char **out_key,
                   struct errmsg *e)
{
    for (int i = 0; i < t->n; i++) {
        status st = check_row(&t->row[i], values, e);
        if (out_key)
            *out_key = st ? t->row[i].key : NULL;
        if (st)
            return st;
    }
    return STATUS_OK;
}
