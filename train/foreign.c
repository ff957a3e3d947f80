#include "foreign.h"

#include <string.h>

enum { FULL_NAME_MAX = 512 };

/* What may stand for what, once in a name. */
static const struct alias {
    const char *ours, *theirs;
} aliases[] = {{".downsample.", ".shortcut."}, {"fc.", "linear."}, {"linear.", "fc."}};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* prefix + name, where `at` bytes into name stand n bytes for which `with` is put. */
static const struct nn_file_tensor *find_as(const struct nn_file *f, const char *prefix,
                                            size_t prefix_len, const char *name, size_t at,
                                            size_t n, const char *with)
{
    char full[FULL_NAME_MAX];
    int len = snprintf(full, sizeof full, "%.*s%.*s%s%s", (int)prefix_len, prefix, (int)at, name,
                       with, name + at + n);
    return len >= 0 && (size_t)len < sizeof full ? nn_file_find(f, full) : NULL;
}

static const struct nn_file_tensor *find(const struct nn_file *f, const char *prefix,
                                         size_t prefix_len, const char *name)
{
    const struct nn_file_tensor *t = find_as(f, prefix, prefix_len, name, 0, 0, "");
    for (size_t i = 0; !t && i < ARRAY_LEN(aliases); i++) {
        const char *part = strstr(name, aliases[i].ours);
        bool whole = part && (*aliases[i].ours == '.' || part == name);
        if (whole)
            t = find_as(f, prefix, prefix_len, name, (size_t)(part - name), strlen(aliases[i].ours),
                        aliases[i].theirs);
    }
    return t;
}

static int count_found(const struct nn_file *f, struct nn_params *p, const char *prefix,
                       size_t prefix_len)
{
    int n = 0;
    for (int i = 0; i < nn_params_count(p); i++)
        n += find(f, prefix, prefix_len, nn_params_at(p, i)->name) != NULL;
    return n;
}

/* What stands before all names: that of those before the first one's under which most are found. */
static const char *find_prefix(const struct nn_file *f, struct nn_params *p, size_t *out_len)
{
    const char *first = nn_params_at(p, 0)->name, *best = "";
    int most = count_found(f, p, "", 0);
    *out_len = 0;
    for (int i = 0; i < nn_file_count(f) && most < nn_params_count(p); i++) {
        const char *name = nn_file_at(f, i)->name;
        size_t len = strlen(name) - (ends_with(name, first) ? strlen(first) : strlen(name));
        if (len == 0 || name[len - 1] != '.')
            continue;
        int found = count_found(f, p, name, len);
        if (found > most) {
            most = found;
            best = name;
            *out_len = len;
        }
    }
    return best;
}

static const char *shape_text(struct nn_shape s, char out[64])
{
    int len = 0;
    for (int i = 0; i < s.rank; i++)
        len += snprintf(out + len, 64 - (size_t)len, i ? "x%d" : "%d", s.dim[i]);
    return out;
}

static status find_one(const struct nn_file *f, const char *prefix, size_t prefix_len,
                       const struct nn_param_entry *p, const struct nn_file_tensor **out,
                       struct errmsg *e)
{
    char theirs[64], ours[64];
    const struct nn_file_tensor *t = find(f, prefix, prefix_len, p->name);
    if (!t)
        return errmsg_set(e, STATUS_NOT_FOUND, "the file has no tensor %.*s%s", (int)prefix_len,
                          prefix, p->name);
    if (!nn_shape_equal(t->shape, p->shape))
        return errmsg_set(e, STATUS_INVALID, "tensor %s is %s, in the network it is %s", t->name,
                          shape_text(t->shape, theirs), shape_text(p->shape, ours));
    *out = t;
    return STATUS_OK;
}

status train_foreign_load(const struct nn_file *f, struct nn_params *p, struct errmsg *e)
{
    size_t len;
    const char *prefix = find_prefix(f, p, &len);
    const struct nn_file_tensor *t;
    for (int i = 0; i < nn_params_count(p); i++) {
        status st = find_one(f, prefix, len, nn_params_at(p, i), &t, e);
        if (st)
            return st;
    }
    for (int i = 0; i < nn_params_count(p); i++) {
        struct nn_param_entry *entry = nn_params_at(p, i);
        status st = find_one(f, prefix, len, entry, &t, e);
        if (!st)
            st = nn_file_read_f32(t, entry->value, (size_t)nn_shape_count(entry->shape));
        if (st)
            return errmsg_set(e, st, "tensor %s holds %s, not floats", t->name, t->dtype);
    }
    return STATUS_OK;
}

bool train_foreign_is(const struct nn_file *f, struct nn_params *p)
{
    size_t len;
    const char *prefix = find_prefix(f, p, &len);
    const struct nn_file_tensor *t;
    for (int i = 0; i < nn_params_count(p); i++)
        if (find_one(f, prefix, len, nn_params_at(p, i), &t, NULL))
            return false;
    int under = 0;
    for (int i = 0; i < nn_file_count(f); i++) {
        const char *name = nn_file_at(f, i)->name;
        under += strncmp(name, prefix, len) == 0 && !ends_with(name, ".num_batches_tracked");
    }
    return under == nn_params_count(p);
}

static int dim_of(const struct nn_file *f, const char *const *names, size_t n, int rank, int dim)
{
    for (int i = 0; i < nn_file_count(f); i++)
        for (size_t k = 0; k < n; k++) {
            const struct nn_file_tensor *t = nn_file_at(f, i);
            size_t skip = strlen(t->name) - (ends_with(t->name, names[k]) ? strlen(names[k]) : 0);
            bool whole = ends_with(t->name, names[k]) && (!skip || t->name[skip - 1] == '.') &&
                         !strstr(t->name, "layer");
            if (whole && t->shape.rank == rank)
                return t->shape.dim[dim];
        }
    return 0;
}

int train_foreign_channels(const struct nn_file *f)
{
    static const char *const stem[] = {"conv1.weight"};
    return dim_of(f, stem, ARRAY_LEN(stem), 4, 1);
}

int train_foreign_classes(const struct nn_file *f)
{
    static const char *const head[] = {"fc.weight", "linear.weight"};
    return dim_of(f, head, ARRAY_LEN(head), 2, 0);
}
