/* Where the images are, and where everything else goes. */
#include "bench/bench.h"

#include <errno.h>
#include <string.h>

static status absolute(const char *path, char **out, struct errmsg *e)
{
    char *real = realpath(path, NULL);
    if (!real) {
        int err = errno;
        return errmsg_set(e, status_from_errno(err), "cannot read %s: %s", path, strerror(err));
    }
    *out = mem_strdup(real);
    free(real);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

/* given, or what the matrix says, seen from its file. */
status bench_data_folder(const struct matrix *m, const char *given, const char *said,
                         const char *what, char **out, struct errmsg *e)
{
    if (!given && !said)
        return errmsg_set(e, STATUS_INVALID, "%s does not say where the %s images are (--%s DIR)",
                          m->path, strcmp(what, "data") == 0 ? "training" : "test", what);
    if (given)
        return absolute(given, out, e);
    AUTO(mem_free) char *path = matrix_path(m, said);
    return path ? absolute(path, out, e) : STATUS_NOMEM;
}

/* It need not be there. */
status bench_out_folder(const struct train_bench_options *opt, struct train_bench *b)
{
    AUTO(mem_free)
    char *named = opt->out_dir ? mem_strdup(opt->out_dir) : mem_printf("bench-%s", b->matrix.name);
    char *here = getcwd(NULL, 0);
    if (named)
        b->out = named[0] == '/' || !here ? mem_strdup(named) : mem_printf("%s/%s", here, named);
    free(here);
    return b->out ? STATUS_OK : STATUS_NOMEM;
}

status bench_given_folders(struct train_bench *b, struct errmsg *e)
{
    for (int i = 0; i < b->matrix.n_protections + b->matrix.n_more_protections; i++) {
        struct matrix_member *w = &b->matrix.protection[i];
        char *path = NULL;
        status st = w->tree ? absolute(w->tree, &path, e) : STATUS_OK;
        if (st)
            return matrix_fail(&b->matrix, w->line, st, e);
        mem_free(w->tree);
        w->tree = path;
    }
    return STATUS_OK;
}

static bool lies_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0 || n == 1);
}

/* The source of images is never written. */
status bench_check_out(const struct train_bench *b, struct errmsg *e)
{
    AUTO(mem_free) char *there = mem_strdup(b->out); /* the part of it that exists */
    char *real = NULL;
    while (there && !(real = realpath(there, NULL)) && strrchr(there, '/') > there)
        *strrchr(there, '/') = 0;
    const char *in = !real                    ? NULL
                     : lies_in(real, b->data) ? b->data
                     : lies_in(real, b->test) ? b->test
                                              : NULL;
    for (int i = 0; real && !in && i < b->matrix.n_protections; i++) {
        const char *tree = b->matrix.protection[i].tree;
        in = tree && lies_in(real, tree) ? tree : NULL;
    }
    free(real);
    return in ? errmsg_set(e, STATUS_INVALID, "%s lies in %s, which is never written (--out DIR)",
                           b->out, in)
              : STATUS_OK;
}
