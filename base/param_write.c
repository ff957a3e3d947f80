/* Parameters as text: values, what a value must be, --help. */
#include "param.h"

#include <stdlib.h>
#include <string.h>

#include "base.h"

static status add_names(const struct param *p, struct buf *out)
{
    status st = STATUS_OK;
    for (int i = 0; p->names[i] && !st; i++)
        st = buf_addf(out, "%s%s", i == 0 ? "" : p->names[i + 1] ? ", " : " or ", p->names[i]);
    return st;
}

status param_wanted(const struct param *p, struct buf *out)
{
    switch (p->kind) {
    case PARAM_INT:
        return buf_addf(out, "a whole number from %.9g to %.9g", p->lo, p->hi);
    case PARAM_U64:
        return buf_addf(out, "a whole number");
    case PARAM_FLOAT:
    case PARAM_DOUBLE:
        return buf_addf(out, "a number from %.9g to %.9g", p->lo, p->hi);
    case PARAM_BOOL:
        return buf_addf(out, "yes or no");
    case PARAM_ENUM:
        return add_names(p, out);
    case PARAM_TEXT:
        return buf_addf(out, "a text");
    }
    return STATUS_INTERNAL;
}

/* As few digits as give the same number again. */
static status add_double(double v, struct buf *out)
{
    char text[32];
    int digits = 15;
    do
        snprintf(text, sizeof text, "%.*g", digits, v);
    while (strtod(text, NULL) != v && ++digits <= 17);
    return buf_addf(out, "%s", text);
}

status param_get(const struct param *p, const void *values, struct buf *out)
{
    const void *v = (const char *)values + p->offset;
    switch (p->kind) {
    case PARAM_INT:
        return buf_addf(out, "%d", *(const int *)v);
    case PARAM_U64:
        return buf_addf(out, "%llu", (unsigned long long)*(const uint64_t *)v);
    case PARAM_FLOAT:
        return buf_addf(out, "%.9g", (double)*(const float *)v);
    case PARAM_DOUBLE:
        return add_double(*(const double *)v, out);
    case PARAM_BOOL:
        return buf_addf(out, "%s", *(const bool *)v ? "yes" : "no");
    case PARAM_ENUM:
        return buf_addf(out, "%s", p->names[*(const int *)v]);
    case PARAM_TEXT:
        return buf_addf(out, "%s", (const char *)v);
    }
    return STATUS_INTERNAL;
}

status param_text(const struct param_table *t, const void *values, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF_INIT(1 << 16);
    status st = STATUS_OK;
    for (int i = 0; i < t->n && !st; i++) {
        st = buf_addf(&b, "%s=", t->row[i].key);
        if (!st)
            st = param_get(&t->row[i], values, &b);
        if (!st)
            st = buf_addf(&b, "\n");
    }
    return st ? st : buf_add(out, b.data, b.len);
}

status param_help(const struct param *p, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    status st = buf_addf(&b, "%s", p->about);
    if (!st && p->unit)
        st = buf_addf(&b, " (%s)", p->unit);
    if (!st && (p->kind == PARAM_INT || p->kind == PARAM_FLOAT || p->kind == PARAM_DOUBLE))
        st = buf_addf(&b, ", %.9g to %.9g", p->lo, p->hi);
    if (!st && p->kind == PARAM_ENUM) {
        st = buf_addf(&b, ": ");
        if (!st)
            st = add_names(p, &b);
    }
    if (!st && p->standard[0])
        st = buf_addf(&b, "; default %s", p->standard);
    return st ? st : buf_add(out, b.data, b.len);
}
