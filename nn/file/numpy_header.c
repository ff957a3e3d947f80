#include "file/numpy_header.h"

#include <limits.h>
#include <string.h>

static const struct {
    const char *descr, *dtype;
} types[] = {{"<f4", "F32"}, {"<f8", "F64"}, {"<f2", "F16"}, {"|u1", "U8"},  {"|i1", "I8"},
             {"<i2", "I16"}, {"<i4", "I32"}, {"<i8", "I64"}, {"<u2", "U16"}, {"|b1", "BOOL"}};

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

/* (10, 3, 32, 32) or (5,) or (): as numbers. */
static bool read_shape(struct text *t, struct nn_shape *out, bool *out_fits)
{
    int64_t dim[NN_RANK_MAX] = {0};
    int rank = 0;
    *out_fits = true;
    if (!skip(t, "("))
        return false;
    while (!skip(t, ")")) {
        int64_t v = 0;
        skip_blanks(t);
        if (t->at >= t->end || *t->at < '0' || *t->at > '9')
            return false;
        for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
            v = v > INT_MAX ? v : v * 10 + (*t->at - '0');
        *out_fits = *out_fits && v <= INT_MAX && rank < NN_RANK_MAX;
        if (rank < NN_RANK_MAX)
            dim[rank] = v;
        rank++;
        if (!skip(t, ",")) {
            if (!skip(t, ")"))
                return false;
            break;
        }
    }
    *out = nn_shape1(1); /* of a single number */
    out->rank = rank == 0 ? 1 : rank < NN_RANK_MAX ? rank : NN_RANK_MAX;
    for (int i = 0; i < out->rank && rank && *out_fits; i++)
        out->dim[i] = (int)dim[i];
    return true;
}

static bool read_type(struct text *t, const char **out)
{
    if (!skip(t, "'"))
        return false;
    const char *from = t->at;
    while (t->at < t->end && *t->at != '\'')
        t->at++;
    size_t n = (size_t)(t->at - from);
    *out = NULL;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strlen(types[i].descr) == n && memcmp(types[i].descr, from, n) == 0)
            *out = types[i].dtype;
    return skip(t, "'");
}

bool numpy_header_read(const char *from, size_t len, struct numpy_header *out)
{
    struct text t = {from, from + len};
    int seen = 0; /* a bit for each key */
    if (!skip(&t, "{"))
        return false;
    while (!skip(&t, "}")) {
        bool good;
        int key = skip(&t, "'descr':") ? 1 : skip(&t, "'fortran_order':") ? 2 : 4;
        if (key == 1) {
            /* a record type is a list: no numbers */
            skip_blanks(&t);
            good = read_type(&t, &out->dtype);
        } else if (key == 2) {
            out->fortran = skip(&t, "True");
            good = out->fortran || skip(&t, "False");
        } else {
            good = skip(&t, "'shape':") && read_shape(&t, &out->shape, &out->fits);
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
