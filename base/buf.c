#include "buf.h"

#include "banned.h"
#include <string.h>

void buf_done(struct buf *b)
{
    mem_free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

status buf_reserve(struct buf *b, size_t extra)
{
    if (extra > b->max || b->len > b->max - extra)
        return STATUS_LIMIT;
    size_t need = b->len + extra;
    if (b->data && need <= b->cap)
        return STATUS_OK;
    size_t cap = b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap < 64)
        cap = 64;
    if (cap > b->max)
        cap = b->max;
    char *data = mem_realloc(b->data, cap + 1);
    if (!data)
        return STATUS_NOMEM;
    b->data = data;
    b->cap = cap;
    data[b->len] = 0;
    return STATUS_OK;
}

status buf_add(struct buf *b, const void *data, size_t len)
{
    status st = buf_reserve(b, len);
    if (st)
        return st;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
    return STATUS_OK;
}

status buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    status st = len < 0 ? STATUS_INVALID : buf_reserve(b, (size_t)len);
    if (!st) {
        vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
    return st;
}
