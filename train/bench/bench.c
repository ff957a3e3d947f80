/* Opening a bench: the matrix, the folders, the data's digests. */
#include "bench/work.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { JSON_FILE_MAX = 4 << 20 };

char *bench_path(const struct train_bench *b, const char *folder, const char *id, const char *tail)
{
    return mem_printf("%s/%s/%s%s", b->out, folder, id, tail);
}

bool bench_there(const struct train_bench *b, const char *folder, const char *id, const char *tail)
{
    AUTO(mem_free) char *path = bench_path(b, folder, id, tail);
    return path && access(path, F_OK) == 0;
}

status bench_read(const struct train_bench *b, const char *folder, const char *id, json_t **out,
                  struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(b, folder, id, ".json");
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, JSON_FILE_MAX, &text, &len, e) : STATUS_NOMEM;
    if (st)
        return st;
    json_t *j = json_loadb(text, len, 0, NULL);
    if (!json_is_object(j)) {
        json_decref(j);
        return errmsg_set(e, STATUS_CORRUPT, "%s is damaged (remove it to measure again)", path);
    }
    *out = j;
    return STATUS_OK;
}

/* ---- folders ---- */

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
static status data_folder(const struct matrix *m, const char *given, const char *said,
                          const char *what, char **out, struct errmsg *e)
{
    const char *slash = strrchr(m->path, '/');
    if (!given && !said)
        return errmsg_set(e, STATUS_INVALID, "%s does not say where the %s images are (--%s DIR)",
                          m->path, strcmp(what, "data") == 0 ? "training" : "test", what);
    if (given || said[0] == '/' || !slash)
        return absolute(given ? given : said, out, e);
    AUTO(mem_free) char *path = mem_printf("%.*s/%s", (int)(slash - m->path), m->path, said);
    return path ? absolute(path, out, e) : STATUS_NOMEM;
}

/* It need not be there. */
static status out_folder(const struct train_bench_options *opt, struct train_bench *b)
{
    AUTO(mem_free)
    char *named = opt->out_dir ? mem_strdup(opt->out_dir) : mem_printf("bench-%s", b->matrix.name);
    char *here = getcwd(NULL, 0);
    if (named)
        b->out = named[0] == '/' || !here ? mem_strdup(named) : mem_printf("%s/%s", here, named);
    free(here);
    return b->out ? STATUS_OK : STATUS_NOMEM;
}

static bool lies_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0 || n == 1);
}

/* The source of images is never written. */
static status check_out(const struct train_bench *b, struct errmsg *e)
{
    AUTO(mem_free) char *there = mem_strdup(b->out); /* the part of it that exists */
    char *real = NULL;
    while (there && !(real = realpath(there, NULL)) && strrchr(there, '/') > there)
        *strrchr(there, '/') = 0;
    const char *in = !real                    ? NULL
                     : lies_in(real, b->data) ? b->data
                     : lies_in(real, b->test) ? b->test
                                              : NULL;
    free(real);
    return in ? errmsg_set(e, STATUS_INVALID, "%s lies in %s, which is never written (--out DIR)",
                           b->out, in)
              : STATUS_OK;
}

static status digest_of(const struct train_bench *b, const char *dir, int limit,
                        char out[DIGEST_HEX_LEN + 1], struct errmsg *e)
{
    const struct train_data_options data = {.dir = dir,
                                            .limit = limit,
                                            .size = b->matrix.size,
                                            .channels = b->matrix.channels,
                                            .threads = b->threads * b->jobs,
                                            .memory_bytes = 1};
    AUTO(train_set_free) struct train_set *set = NULL;
    struct digest digest;
    status st = train_set_open(&data, &set, e);
    if (!st)
        st = train_set_digest(set, &digest, e);
    if (!st)
        digest_hex(&digest, out);
    return st;
}

static status open_data(const struct train_bench_options *opt, struct train_bench *b,
                        struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    status st = data_folder(m, opt->data_dir, m->data, "data", &b->data, e);
    if (!st)
        st = data_folder(m, opt->test_dir, m->test, "test", &b->test, e);
    if (!st)
        st = check_out(b, e);
    if (!st)
        st = digest_of(b, b->data, m->images, b->data_digest, e);
    return st ? st : digest_of(b, b->test, 0, b->test_digest, e);
}

static status open_all(const struct train_bench_options *opt, struct train_bench *b,
                       struct errmsg *e)
{
    if (opt->jobs > WORK_JOBS_MAX)
        return errmsg_set(e, STATUS_INVALID, "at most %d jobs", WORK_JOBS_MAX);
    int cpus = opt->threads > 0 ? opt->threads : cpu_count();
    b->jobs = opt->jobs > 0 ? opt->jobs : 1;
    b->threads = cpus / b->jobs > 0 ? cpus / b->jobs : 1;
    b->keep = opt->keep;
    b->quiet = opt->quiet;
    b->program = mem_strdup(opt->program);
    status st = b->program ? matrix_read(opt->matrix, opt->preset, &b->matrix, e) : STATUS_NOMEM;
    if (!st)
        st = out_folder(opt, b);
    if (!st &&
        !(b->cache = opt->cache_dir ? mem_strdup(opt->cache_dir) : mem_printf("%s/cache", b->out)))
        st = STATUS_NOMEM;
    if (!st)
        st = open_data(opt, b, e);
    return st ? st : bench_plan(b, opt->cells, e);
}

status train_bench_open(const struct train_bench_options *opt, struct train_bench **out,
                        struct errmsg *e)
{
    AUTO(train_bench_free) struct train_bench *b = mem_zalloc(1, sizeof *b);
    status st = b ? open_all(opt, b, e) : STATUS_NOMEM;
    if (!st)
        *out = TAKE(b);
    return st;
}

void train_bench_free(struct train_bench *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->n_trees; i++)
        json_decref(b->tree[i].description);
    for (int i = 0; i < b->n_cells; i++)
        json_decref(b->cell[i].description);
    mem_free(b->tree);
    mem_free(b->cell);
    mem_free(b->data);
    mem_free(b->test);
    mem_free(b->out);
    mem_free(b->cache);
    mem_free(b->program);
    matrix_done(&b->matrix);
    mem_free(b);
}
