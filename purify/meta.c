#include "meta.h"

#include "names.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* ---- writing ---- */

void meta_add(struct purify_meta *m, const char *key, const char *fmt, ...)
{
    CHECK((size_t)m->n < ARRAY_LEN(m->pair));
    char *text = m->text[m->n];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof m->text[0], fmt, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < sizeof m->text[0]);
    m->pair[m->n++] = (struct nn_meta){key, text};
}

void meta_add_list(struct purify_meta *m, const char *key, const int *v, int n)
{
    char text[sizeof m->text[0]];
    size_t len = 0;
    text[0] = 0;
    for (int i = 0; i < n && len < sizeof text; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, i ? ",%d" : "%d", v[i]);
    meta_add(m, key, "%s", text);
}

/* ---- reading ---- */

static const char *get(struct meta_reader *r, const char *key)
{
    if (r->st)
        return NULL;
    const char *value = nn_file_meta(r->file, key);
    if (!value)
        r->st = errmsg_set(r->e, STATUS_INVALID, "the weights file has no metadata \"%s\"", key);
    return value;
}

static void bad(struct meta_reader *r, const char *key, const char *value)
{
    r->st = errmsg_set(r->e, STATUS_INVALID, "metadata \"%s\" of the weights file is \"%.40s\"",
                       key, value);
}

int meta_architecture(struct meta_reader *r, const char *const *names, int n)
{
    const char *value = get(r, "architecture");
    int i = value ? purify_name_find(names, n, value) : 0;
    if (i >= 0)
        return i;
    char all[128] = "";
    for (int k = 0; k < n; k++) {
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, k ? ", %s" : "%s", names[k]);
    }
    r->st = errmsg_set(r->e, STATUS_INVALID, "the weights are those of a %.40s, not of %s%s", value,
                       n > 1 ? "one of " : "a ", all);
    return 0;
}

void meta_int(struct meta_reader *r, const char *key, int lo, int hi, int *out)
{
    const char *value = get(r, key);
    const struct param row = {.key = key, .kind = PARAM_INT, .lo = lo, .hi = hi};
    if (value && param_set_row(&row, out, value, NULL))
        bad(r, key, value);
}

void meta_float(struct meta_reader *r, const char *key, double lo, double hi, float *out)
{
    const char *value = get(r, key);
    const struct param row = {.key = key, .kind = PARAM_FLOAT, .lo = lo, .hi = hi};
    if (value && param_set_row(&row, out, value, NULL))
        bad(r, key, value);
}

static bool parse_list(const char *at, int max, int *out, int *out_n)
{
    static const struct param item = {.kind = PARAM_INT, .lo = 0, .hi = INT_MAX};
    int n = 0;
    while (*at) {
        char one[12];
        size_t len = strcspn(at, ",");
        if (n == max || len >= sizeof one || (at[len] == ',' && !at[len + 1]))
            return false;
        memcpy(one, at, len);
        one[len] = 0;
        if (param_set_row(&item, &out[n++], one, NULL))
            return false;
        at += len + (at[len] == ',');
    }
    *out_n = n;
    return true;
}

void meta_list(struct meta_reader *r, const char *key, int max, int *out, int *out_n)
{
    const char *value = get(r, key);
    if (value && !parse_list(value, max, out, out_n))
        bad(r, key, value);
}

void meta_enum(struct meta_reader *r, const char *key, const char *const *names, int n, int *out)
{
    const char *value = get(r, key);
    int i = value ? purify_name_find(names, n, value) : 0;
    if (value && i < 0)
        bad(r, key, value);
    else if (value)
        *out = i;
}
