/* Paths of a protected tree, and the checks before it is written; nothing here writes. */
#include "protect/protect.h"

#include "set.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

char *protect_target(const struct protect_job *j, int i)
{
    const char *path = train_set_path(j->set, i);
    return mem_printf("%s/%.*s.png", j->opt->dst_dir, (int)train_path_stem(path), path);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* x.jpg and x.png of one folder would become one file. */
status protect_check_collisions(const struct protect_job *j, struct errmsg *e)
{
    int n = j->info.samples;
    char **all = mem_zalloc((size_t)n, sizeof *all);
    status st = all ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < n && !st; i++)
        st = (all[i] = protect_target(j, i)) ? STATUS_OK : STATUS_NOMEM;
    if (!st)
        qsort(all, (size_t)n, sizeof *all, compare_text);
    for (int i = 1; i < n && !st; i++)
        if (strcmp(all[i - 1], all[i]) == 0)
            st = errmsg_set(e, STATUS_INVALID, "two images of %s would both become %s",
                            j->opt->src_dir, all[i]);
    for (int i = 0; i < n && all; i++)
        mem_free(all[i]);
    mem_free(all);
    return st;
}

static bool is_empty_dir(const char *path, bool *out_exists)
{
    DIR *d = opendir(path);
    *out_exists = d || errno != ENOENT;
    if (!d)
        return false;
    int entries = 0;
    while (entries < 3 && readdir(d))
        entries++;
    closedir(d);
    return entries < 3; /* . and .. */
}

/* The real path of path, or of its nearest ancestor that exists. */
static bool real_ancestor(const char *path, char out[PATH_MAX])
{
    char at[PATH_MAX];
    if (snprintf(at, sizeof at, "%s", path) >= (int)sizeof at)
        return false;
    while (!realpath(at, out)) {
        char *slash = strrchr(at, '/');
        if (errno != ENOENT)
            return false;
        if (!slash)
            return realpath(".", out) != NULL;
        *(slash == at ? slash + 1 : slash) = 0;
    }
    return true;
}

char *protect_folder(const struct protect_job *j)
{
    char at[PATH_MAX];
    return real_ancestor(j->opt->dst_dir, at) ? mem_strdup(at) : NULL;
}

/* The destination may not be the source or inside it; checked before anything is created. */
static status check_outside(const struct protect_job *j, struct errmsg *e)
{
    char src[PATH_MAX], dst[PATH_MAX];
    if (!realpath(j->opt->src_dir, src) || !real_ancestor(j->opt->dst_dir, dst))
        return errmsg_set(e, STATUS_NOT_FOUND, "cannot resolve %s or %s", j->opt->src_dir,
                          j->opt->dst_dir);
    size_t n = strlen(src);
    if (strncmp(src, dst, n) == 0 && (dst[n] == 0 || dst[n] == '/'))
        return errmsg_set(e, STATUS_INVALID, "%s lies in %s, which is never written",
                          j->opt->dst_dir, j->opt->src_dir);
    return STATUS_OK;
}

/* DST without trailing slashes, for the sibling's name. */
char *protect_beside(const struct protect_job *j)
{
    const char *dst = j->opt->dst_dir;
    size_t n = strlen(dst);
    while (n > 1 && dst[n - 1] == '/')
        n--;
    return mem_printf("%.*s.perturbation.safetensors", (int)n, dst);
}

status protect_check_target(const struct protect_job *j, struct errmsg *e)
{
    bool exists, empty = is_empty_dir(j->opt->dst_dir, &exists);
    AUTO(mem_free) char *beside = protect_beside(j);
    status st = beside ? check_outside(j, e) : STATUS_NOMEM;
    if (!st && exists && !empty && !j->opt->force)
        st = errmsg_set(e, STATUS_EXISTS,
                        "%s exists and is not an empty directory (write into it with --force)",
                        j->opt->dst_dir);
    if (!st && access(beside, F_OK) == 0 && !j->opt->force)
        st = errmsg_set(e, STATUS_EXISTS, "%s exists (replace it with --force)", beside);
    return st;
}
