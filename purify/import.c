#include "import.h"

#include <stdarg.h>
#include <string.h>

__attribute__((format(printf, 2, 0))) static const struct nn_file_tensor *
find_args(const struct import_source *s, const char *fmt, va_list ap)
{
    char name[3 * IMPORT_PREFIX_MAX];
    size_t n = strlen(s->prefix);
    memcpy(name, s->prefix, n);
    int wrote = vsnprintf(name + n, sizeof name - n, fmt, ap);
    return wrote >= 0 && (size_t)wrote < sizeof name - n ? nn_file_find(s->file, name) : NULL;
}

const struct nn_file_tensor *import_find(const struct import_source *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const struct nn_file_tensor *t = find_args(s, fmt, ap);
    va_end(ap);
    return t;
}

int import_dim(const struct import_source *s, int dim, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const struct nn_file_tensor *t = find_args(s, fmt, ap);
    va_end(ap);
    return t && dim < t->shape.rank ? t->shape.dim[dim] : 0;
}

status import_look(const struct nn_file *f, const char *prefix, const char *first,
                   struct import_source *out, const char **found, struct errmsg *e)
{
    size_t end = strlen(first);
    if (prefix && strlen(prefix) >= IMPORT_PREFIX_MAX)
        return errmsg_set(e, STATUS_INVALID, "the prefix is longer than %d", IMPORT_PREFIX_MAX - 1);
    for (int i = 0; i < nn_file_count(f); i++) {
        const char *name = nn_file_at(f, i)->name;
        size_t n = strlen(name), start = n - end;
        if (n < end || strcmp(name + start, first) != 0 || (start && name[start - 1] != '.') ||
            start >= IMPORT_PREFIX_MAX)
            continue;
        if (prefix && (strlen(prefix) != start || memcmp(prefix, name, start) != 0))
            continue;
        if (*found)
            return errmsg_set(e, STATUS_INVALID,
                              "there are several networks, with \"%.100s\" and \"%.100s\": say "
                              "which with --prefix",
                              *found, name);
        *found = name;
        *out = (struct import_source){.file = f};
        memcpy(out->prefix, name, start);
    }
    return STATUS_OK;
}

status import_open(const struct nn_file *f, const char *prefix, const char *first, const char *what,
                   struct import_source *out, struct errmsg *e)
{
    const char *found = NULL;
    status st = import_look(f, prefix, first, out, &found, e);
    if (st || found)
        return st;
    return errmsg_set(e, STATUS_UNSUPPORTED, "no tensor is called \"%s%s\": this is no %s",
                      prefix ? prefix : "", first, what);
}

status import_no_place(struct errmsg *e, const char *name, const char *why)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "tensor \"%.200s\" %s", name, why);
}

/* Every tensor under the prefix has a place. */
static status check_all_used(const struct import_source *s, const char *unused, struct nn_params *p,
                             struct errmsg *e)
{
    size_t n = strlen(s->prefix);
    for (int i = 0; i < nn_file_count(s->file); i++) {
        const char *name = nn_file_at(s->file, i)->name;
        if (strncmp(name, s->prefix, n) != 0 || nn_params_find(p, name + n))
            continue;
        if (!unused || strncmp(name + n, unused, strlen(unused)) != 0)
            return import_no_place(e, name,
                                   "has no place in the architecture that the others make");
    }
    return STATUS_OK;
}

status import_load(const struct import_source *s, const char *unused, struct nn_params *p,
                   struct errmsg *e)
{
    status st = check_all_used(s, unused, p, e);
    if (!st && (st = nn_params_load(p, s->file, s->prefix, e)) == STATUS_INVALID)
        st = STATUS_UNSUPPORTED; /* the file's fault, not the caller's */
    return st;
}

status import_save(const struct import_source *s, const struct nn_params *p,
                   struct purify_meta *meta, const char *path, struct errmsg *e)
{
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    status st = nn_file_digest(s->file, &digest);
    if (st)
        return st;
    digest_hex(&digest, hex);
    CHECK((size_t)meta->n + 2 <= ARRAY_LEN(meta->pair));
    meta->pair[meta->n++] = (struct nn_meta){"imported_sha256", hex};
    if (s->prefix[0])
        meta->pair[meta->n++] = (struct nn_meta){"imported_prefix", s->prefix};
    return nn_params_save(p, path, meta->pair, meta->n, false, e);
}
