#include "bench/tree.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>

bool tree_ready(const struct train_bench *b, int i)
{
    return bench_there(b, "trees", b->tree[i].id, ".json");
}

status tree_open(const struct train_bench *b, const char *dir, int limit, struct train_set **out,
                 struct errmsg *e)
{
    const struct train_data_options data = {.dir = dir,
                                            .limit = limit,
                                            .size = b->matrix.size,
                                            .keys = b->keys,
                                            .channels = b->matrix.channels,
                                            .threads = b->threads * b->jobs,
                                            .memory_bytes = 1};
    return train_set_open(&data, out, e);
}

void bench_add_seconds(const struct train_bench *b, int i, json_t *seconds)
{
    json_t *j = NULL;
    if (bench_read(b, "trees", b->tree[i].id, &j, NULL))
        return;
    const char *verb = bench_tree_verbs[b->tree[i].kind];
    json_object_update(seconds, json_object_get(j, "before"));
    double took = json_number_value(json_object_get(j, "seconds"));
    took += json_number_value(json_object_get(seconds, verb)); /* one protected on another */
    json_object_set_new(seconds, verb, json_real(took));
    json_decref(j);
}

/* What its making read is there now, and may be removed before a cell has a result. */
void tree_distance_read(const json_t *stamp, struct tree_distance *out)
{
    const json_t *psnr = json_object_get(stamp, "psnr_db"),
                 *coherent = json_object_get(stamp, "coherent");
    out->psnr_db = json_is_number(psnr) ? json_number_value(psnr) : INFINITY;
    out->coherent = json_is_number(coherent) ? json_number_value(coherent) : NAN;
}

static status stamp(const struct train_bench *b, int i, const struct tree_distance *d,
                    double seconds, struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(b, "trees", b->tree[i].id, ".json");
    json_t *before = json_object();
    if (b->tree[i].source >= 0)
        bench_add_seconds(b, b->tree[i].source, before);
    json_t *j = json_pack("{s:O, s:f, s:o, s:o, s:o}", "description", b->tree[i].description,
                          "seconds", seconds, "before", before, "psnr_db", bench_real(d->psnr_db),
                          "coherent", bench_real(d->coherent));
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(j);
    status st = path && text ? io_write_file(path, text, strlen(text), e) : STATUS_NOMEM;
    free(text);
    return st;
}

status tree_finish(const struct train_bench *b, int i, double seconds, struct tree_tick tick,
                   struct errmsg *e)
{
    AUTO(mem_free) char *part = bench_path(b, "trees", b->tree[i].id, ".part");
    AUTO(mem_free) char *path = bench_path(b, "trees", b->tree[i].id, "");
    struct tree_distance d = {NAN, NAN};
    if (!part || !path)
        return STATUS_NOMEM;
    status st = b->tree[i].kind == BENCH_TUNED ? bench_tuned_profile(b->tree[i].by, part, e)
                                               : tree_measure(b, i, part, tick, &d, e);
    if (st)
        return errmsg_prefix(e, st, "%s",
                             b->tree[i].kind == BENCH_GIVEN ? b->tree[i].by->tree : part);
    AUTO(mem_free) char *said = bench_path(b, "trees", b->tree[i].id, ".part.purification.json");
    AUTO(mem_free) char *says = bench_path(b, "trees", b->tree[i].id, ".purification.json");
    if (said && says) /* of a purified tree: its runs record it */
        status_ignore(io_rename(AT_FDCWD, said, says), "a protected tree has none");
    tree_remove_folder(path); /* of one that was renamed and never stamped */
    st = io_rename(AT_FDCWD, part, path);
    if (st)
        return errmsg_set(e, st, "cannot rename %s: %s", part, status_text(st));
    return stamp(b, i, &d, seconds, e);
}
