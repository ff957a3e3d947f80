/* Which profiles there are: the user's, then the shipped ones that none of these hides. */
#include "profile.h"

#include <dirent.h>
#include <string.h>

enum { NAMES_MAX = 1024 }; /* of one directory */

struct names {
    char *name[NAMES_MAX]; /* "x.ini", for mem_free */
    int n;
};

static void names_free(struct names *l)
{
    for (int i = 0; l && i < l->n; i++)
        mem_free(l->name[i]);
    mem_free(l);
}
DEFINE_FREEP(struct names *, names_free)

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static status names_read(const char *dir, struct names **out)
{
    AUTO(names_free) struct names *l = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    DIR *d = opendir(dir);
    const struct dirent *entry;
    status st = STATUS_OK;
    while (d && !st && l->n < NAMES_MAX && (entry = readdir(d))) {
        if (entry->d_name[0] == '.' || !profile_ends_with(entry->d_name, ".ini"))
            continue;
        if ((l->name[l->n] = mem_strdup(entry->d_name)))
            l->n++;
        else
            st = STATUS_NOMEM;
    }
    if (d)
        closedir(d);
    if (st)
        return st;
    qsort(l->name, (size_t)l->n, sizeof *l->name, by_name);
    *out = TAKE(l);
    return STATUS_OK;
}

static bool names_has(const struct names *l, const char *name)
{
    for (int i = 0; l && i < l->n; i++)
        if (strcmp(l->name[i], name) == 0)
            return true;
    return false;
}

static status list_dir(const char *dir, const struct names *l, const struct names *hidden_by,
                       void (*fn)(const char *name, const char *path, void *arg), void *arg)
{
    for (int i = 0; i < l->n; i++) {
        if (names_has(hidden_by, l->name[i]))
            continue;
        AUTO(mem_free) char *path = mem_printf("%s/%s", dir, l->name[i]);
        if (!path)
            return STATUS_NOMEM;
        char name[sizeof((struct purify_profile *)0)->name];
        profile_name_of(path, name, sizeof name);
        fn(name, path, arg);
    }
    return STATUS_OK;
}

status purify_profile_list(void (*fn)(const char *name, const char *path, void *arg), void *arg)
{
    AUTO(names_free) struct names *user = NULL;
    AUTO(names_free) struct names *shipped = NULL;
    struct names **lists[2] = {&user, &shipped};
    for (int which = 0; which < 2; which++) {
        AUTO(mem_free) char *dir = NULL;
        status st = profile_dir(which, &dir);
        if (st == STATUS_NOT_FOUND)
            continue;
        if (!st)
            st = names_read(dir, lists[which]);
        if (!st)
            st = list_dir(dir, *lists[which], which == 1 ? user : NULL, fn, arg);
        if (st)
            return st;
    }
    return STATUS_OK;
}
