#include "npy.h"

#include <string.h>

#include "banned.h"

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct text {
    const char *at, *end;
};

static void skip_blanks(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
}

static bool skip(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool read_number(struct text *t, uint64_t *out)
{
    uint64_t v = 0;
    skip_blanks(t);
    if (t->at >= t->end || *t->at < '0' || *t->at > '9')
        return false;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*t->at - '0'), &v) || v > INT64_MAX)
            v = INT64_MAX;
    *out = v;
    return true;
}

/* (10, 3, 32, 32) or (5,) or (). */
static bool read_shape(struct text *t, struct npy_header *out)
{
    out->rank = 0;
    if (!skip(t, "("))
        return false;
    while (!skip(t, ")")) {
        uint64_t v;
        if (!read_number(t, &v))
            return false;
        if (out->rank < NPY_RANK_MAX)
            out->dim[out->rank] = v;
        out->rank += out->rank <= NPY_RANK_MAX;
        if (!skip(t, ","))
            return skip(t, ")");
    }
    return true;
}

/* A quoted name, or a record type, which is a list. */
static bool read_type(struct text *t, char out[NPY_TYPE_MAX])
{
    out[0] = 0;
    if (!skip(t, "'"))
        return false;
    const char *from = t->at;
    while (t->at < t->end && *t->at != '\'')
        t->at++;
    size_t n = (size_t)(t->at - from);
    if (n < NPY_TYPE_MAX) {
        memcpy(out, from, n);
        out[n] = 0;
    }
    return skip(t, "'");
}

static bool read_dict(struct text t, struct npy_header *out)
{
    int seen = 0; /* a bit for each key */
    if (!skip(&t, "{"))
        return false;
    while (!skip(&t, "}")) {
        bool good;
        int key = skip(&t, "'descr':") ? 1 : skip(&t, "'fortran_order':") ? 2 : 4;
        if (key == 1) {
            good = read_type(&t, out->type);
        } else if (key == 2) {
            out->fortran = skip(&t, "True");
            good = out->fortran || skip(&t, "False");
        } else {
            good = skip(&t, "'shape':") && read_shape(&t, out);
        }
        if (!good || (seen & key))
            return false;
        seen |= key;
        if (!skip(&t, ",")) {
            if (!skip(&t, "}"))
                return false;
            break;
        }
    }
    skip_blanks(&t);
    return seen == 7 && t.at == t.end;
}

bool npy_is(const void *head, size_t len)
{
    return len >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

status npy_parse(const void *head, size_t len, struct npy_header *out, struct errmsg *e)
{
    const unsigned char *p = head;
    if (!npy_is(head, len) || len < 10)
        return errmsg_set(e, STATUS_CORRUPT, "not in numpy's format");
    if (p[6] < 1 || p[6] > 3)
        return errmsg_set(e, STATUS_UNSUPPORTED, "version %d of numpy's format", p[6]);
    size_t start = p[6] == 1 ? 10 : 12, n = p[8] | (size_t)p[9] << 8;
    if (start == 12 && len >= start)
        n |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    struct npy_header h = {.rank = 0};
    if (len < start || n > len - start ||
        !read_dict((struct text){(const char *)p + start, (const char *)p + start + n}, &h))
        return errmsg_set(e, STATUS_CORRUPT, "its header is damaged");
    h.data_at = start + n;
    *out = h;
    return STATUS_OK;
}

uint64_t npy_count(const struct npy_header *h)
{
    uint64_t n = 1;
    if (h->rank > NPY_RANK_MAX)
        return INT64_MAX;
    for (int i = 0; i < h->rank; i++)
        if (h->dim[i] == 0)
            return 0;
    for (int i = 0; i < h->rank; i++)
        if (__builtin_mul_overflow(n, h->dim[i], &n) || n > INT64_MAX)
            return INT64_MAX;
    return n;
}
