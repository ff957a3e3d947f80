/* What the files are that commands of victims consist of. */
#include "bench/bench.h"

#include <fcntl.h>
#include <string.h>

static status digest_of(const char *path, struct digest *out, struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    uint64_t n;
    status st = io_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, &fd);
    if (!st)
        st = digest_sha256_fd(fd, UINT64_MAX, out, &n);
    return st ? errmsg_set(e, st, "cannot read %s: %s", path, status_text(st)) : STATUS_OK;
}

static status add_file(const struct matrix *m, const char *name, json_t *to, struct errmsg *e)
{
    AUTO(mem_free) char *path = matrix_path(m, name);
    char hex[DIGEST_HEX_LEN + 1];
    struct digest d;
    status st = path ? digest_of(path, &d, e) : STATUS_NOMEM;
    if (st)
        return st;
    digest_hex(&d, hex);
    return json_object_set_new(to, name, json_string(hex)) ? STATUS_NOMEM : STATUS_OK;
}

static status add_files(const struct matrix *m, struct matrix_victim *v, struct errmsg *e)
{
    AUTO(mem_free) char *names = mem_strdup(v->files);
    v->digests = json_object();
    status st = names && v->digests ? STATUS_OK : STATUS_NOMEM;
    char *rest = names;
    for (char *name; !st && (name = strsep(&rest, ","));) {
        name += strspn(name, " \t");
        for (size_t n = strlen(name); n && strchr(" \t", name[n - 1]);)
            name[--n] = 0;
        if (*name)
            st = add_file(m, name, v->digests, e);
    }
    return st;
}

status bench_victim_files(struct train_bench *b, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < b->matrix.n_victims && !st; i++) {
        struct matrix_victim *v = &b->matrix.victim[i];
        if (v->files && (st = add_files(&b->matrix, v, e)))
            st = matrix_fail(&b->matrix, v->line, st, e);
    }
    return st;
}
