#include "kv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void train_kv_add(struct kv_list *m, const char *key, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    AUTO(buf_done) struct buf b = BUF_INIT((size_t)1 << 24);
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    status st = m->st ? m->st : len < 0 ? STATUS_INVALID : buf_reserve(&b, (size_t)len + 1);
    if (!st && m->n == KV_MAX)
        st = STATUS_LIMIT;
    if (!st) {
        vsnprintf(b.data, (size_t)len + 1, fmt, again);
        text = TAKE(b.data);
    }
    va_end(again);
    va_end(ap);
    if (st) {
        m->st = st;
        return;
    }
    m->text[m->n] = text;
    m->pair[m->n++] = (struct nn_meta){key, text};
}

void train_kv_done(struct kv_list *m)
{
    for (int i = 0; i < m->n; i++)
        mem_free(m->text[i]);
    m->n = 0;
}

double train_kv_double(const struct nn_file *f, const char *key, double absent)
{
    const char *text = nn_file_meta(f, key);
    char *end;
    double v = text ? strtod(text, &end) : absent;
    return text && (end == text || *end) ? absent : v;
}

long long train_kv_int(const struct nn_file *f, const char *key, long long absent)
{
    const char *text = nn_file_meta(f, key);
    char *end;
    errno = 0;
    long long v = text ? strtoll(text, &end, 10) : absent;
    return text && (end == text || *end || errno) ? absent : v;
}
