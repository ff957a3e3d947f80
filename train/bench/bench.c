/* Opening a bench: the matrix, the folders, the data's digests. */
#include "bench/work.h"

#include <dirent.h>
#include <math.h>
#include <string.h>

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

json_t *bench_real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

void bench_remove_aside(const struct train_bench *b, const char *folder, const char *id)
{
    AUTO(mem_free) char *dir = mem_printf("%s/%s", b->out, folder);
    DIR *d = dir ? opendir(dir) : NULL;
    const struct dirent *entry;
    size_t n = strlen(id);
    while (d && (entry = readdir(d)))
        if (strncmp(entry->d_name, id, n) == 0 && strncmp(entry->d_name + n, ".json.", 6) == 0)
            (void)unlinkat(dirfd(d), entry->d_name, 0); /* it is in nobody's way */
    if (d)
        closedir(d);
}

static status digest_of(const struct train_bench *b, const char *dir, int limit,
                        char out[DIGEST_HEX_LEN + 1], struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *set = NULL;
    struct digest digest;
    status st = tree_open(b, dir, limit, &set, e);
    if (!st)
        st = train_set_digest(set, &digest, e);
    if (!st)
        digest_hex(&digest, out);
    return st;
}

static status digest_given(struct train_bench *b, struct errmsg *e)
{
    for (int i = 0; i < b->matrix.n_protections + b->matrix.n_more_protections; i++) {
        struct matrix_member *w = &b->matrix.protection[i];
        status st =
            w->tree ? digest_of(b, w->tree, b->matrix.images, w->tree_digest, e) : STATUS_OK;
        if (st)
            return matrix_fail(&b->matrix, w->line, st, e);
    }
    return STATUS_OK;
}

static status open_data(const struct train_bench_options *opt, struct train_bench *b,
                        struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    status st = bench_data_folder(m, opt->data_dir, m->data, "data", &b->data, e);
    if (!st)
        st = bench_data_folder(m, opt->test_dir, m->test, "test", &b->test, e);
    if (!st)
        st = bench_given_folders(b, e);
    if (!st)
        st = bench_check_out(b, e);
    if (!st)
        st = digest_given(b, e);
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
    b->keys = !opt->no_keys;
    b->program = mem_strdup(opt->program);
    status st = b->program ? matrix_read(opt->matrix, opt->preset, &b->matrix, e) : STATUS_NOMEM;
    if (!st)
        st = bench_out_folder(opt, b);
    if (!st &&
        !(b->cache = opt->cache_dir ? mem_strdup(opt->cache_dir) : mem_printf("%s/cache", b->out)))
        st = STATUS_NOMEM;
    if (!st)
        st = open_data(opt, b, e);
    if (!st)
        st = bench_victim_files(b, e);
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
