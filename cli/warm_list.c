#include "warm_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void warm_list_done(struct warm_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->item[i]);
    mem_free(l->item);
}

static status add(struct warm_list *l, const char *name)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 1024;
        char **more = mem_realloc(l->item, cap * sizeof *more);
        if (!more)
            return STATUS_NOMEM;
        l->item = more;
        l->cap = cap;
    }
    l->item[l->n] = mem_strdup(name);
    return l->item[l->n] ? (l->n++, STATUS_OK) : STATUS_NOMEM;
}

status warm_list_read(const char *file, struct warm_list *out, struct errmsg *e)
{
    AUTO(file_close) FILE *opened = strcmp(file, "-") ? fopen(file, "re") : NULL;
    FILE *f = opened ? opened : strcmp(file, "-") ? NULL : stdin;
    if (!f)
        return errmsg_set(e, STATUS_NOT_FOUND, "%s: cannot be read", file);
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    status st = STATUS_OK;
    while (!st && (n = getline(&line, &size, f)) >= 0) {
        line[strcspn(line, "\n")] = 0;
        if (*line)
            st = add(out, line);
    }
    free(line);
    return st;
}

/* The name relative to the mount. */
static const char *inside(const char *mount, const char *name)
{
    size_t len = strlen(mount);
    if (len && strncmp(name, mount, len) == 0 && name[len] == '/')
        name += len;
    while (*name == '/' || (name[0] == '.' && name[1] == '/'))
        name++;
    return name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void warm_list_resolve(struct warm_list *l, const char *mount)
{
    for (size_t i = 0; i < l->n; i++) {
        char *name = l->item[i];
        const char *in = inside(mount, name);
        size_t len = strlen(in);
        while (len && in[len - 1] == '/')
            len--;
        if (len == 1 && *in == '.')
            len = 0;
        memmove(name, in, len);
        name[len] = 0;
    }
    if (l->n)
        qsort(l->item, l->n, sizeof *l->item, by_name);
}

static bool has(const struct warm_list *l, const char *name)
{
    return l->n && bsearch(&name, l->item, l->n, sizeof *l->item, by_name);
}

bool warm_list_has(const struct warm_list *l, const char *name)
{
    AUTO(mem_free) char *above = mem_strdup(name);
    if (l->n == 0 || !above)
        return true;
    bool found = has(l, "") || has(l, above);
    for (char *slash; !found && (slash = strrchr(above, '/'));) {
        *slash = 0;
        found = has(l, above);
    }
    return found;
}
