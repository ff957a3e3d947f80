#include "import.h"

#include <stdarg.h>
#include <string.h>

const struct nn_file_tensor *import_find(const struct import_source *s, const char *fmt, ...)
{
    char name[2 * IMPORT_PREFIX_MAX];
    size_t n = strlen(s->prefix);
    va_list ap;
    memcpy(name, s->prefix, n);
    va_start(ap, fmt);
    vsnprintf(name + n, sizeof name - n, fmt, ap);
    va_end(ap);
    return nn_file_find(s->file, name);
}

/* What stands before the only tensor called `first`. */
static status find_prefix(struct import_source *s, const char *first, const char *what,
                          struct errmsg *e)
{
    const char *found = NULL;
    for (int i = 0; i < nn_file_count(s->file); i++) {
        const char *name = nn_file_at(s->file, i)->name;
        size_t n = strlen(name), end = strlen(first);
        if (n < end || strcmp(name + n - end, first) != 0 ||
            (n > end && name[n - end - 1] != '.') || n - end >= IMPORT_PREFIX_MAX)
            continue;
        if (found)
            return errmsg_set(
                e, STATUS_INVALID,
                "there are several networks, with \"%.100s\" and \"%.100s\": say which "
                "with --prefix",
                found, name);
        found = name;
        memcpy(s->prefix, name, n - end);
        s->prefix[n - end] = 0;
    }
    return found ? STATUS_OK
                 : errmsg_set(e, STATUS_UNSUPPORTED, "no tensor is called \"%s\": this is no %s",
                              first, what);
}

status import_open(const struct nn_file *f, const char *prefix, const char *first, const char *what,
                   struct import_source *out, struct errmsg *e)
{
    struct import_source s = {.file = f};
    if (prefix && strlen(prefix) >= IMPORT_PREFIX_MAX)
        return errmsg_set(e, STATUS_INVALID, "the prefix is longer than %d", IMPORT_PREFIX_MAX - 1);
    if (prefix)
        memcpy(s.prefix, prefix, strlen(prefix) + 1);
    status st = prefix ? STATUS_OK : find_prefix(&s, first, what, e);
    if (!st)
        *out = s;
    return st;
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
    meta->pair[meta->n++] = (struct nn_meta){"imported_sha256", hex};
    if (s->prefix[0])
        meta->pair[meta->n++] = (struct nn_meta){"imported_prefix", s->prefix};
    return nn_params_save(p, path, meta->pair, meta->n, false, e);
}
