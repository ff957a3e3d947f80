#include "bench/tree.h"

#include "out_tree.h"
#include "set.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

bool tree_ready(const struct train_bench *b, int i)
{
    return bench_there(b, "trees", b->tree[i].id, ".json");
}

static status open_set(const struct train_bench *b, const char *dir, int limit,
                       struct train_set **out, struct errmsg *e)
{
    const struct train_data_options data = {.dir = dir,
                                            .limit = limit,
                                            .size = b->matrix.size,
                                            .channels = b->matrix.channels,
                                            .threads = b->threads * b->jobs,
                                            .memory_bytes = 1};
    return train_set_open(&data, out, e);
}

/* ---- the clean tree ---- */

struct copying {
    struct train_set *set;
    const char *to;
    struct out_tree tree;
    void (*tick)(void *arg);
    void *arg;
    pthread_mutex_t ticking;
};

static status copy_one(void *arg, int i, struct errmsg *e)
{
    struct copying *c = arg;
    struct set_view v;
    const char *name = train_set_path(c->set, i);
    AUTO(mem_free)
    char *path = mem_printf("%s/%.*s.png", c->to, (int)train_path_stem(name), name);
    status st = path ? train_set_view(c->set, i, &v, e) : STATUS_NOMEM;
    if (st)
        return st;
    const struct image img = {v.width, v.height, train_set_info(c->set).channels,
                              (uint8_t *)v.pixels, NULL};
    st = out_tree_png(&c->tree, i, path, &img, e);
    train_set_view_done(&v);
    if (pthread_mutex_trylock(&c->ticking) == 0) {
        c->tick(c->arg);
        pthread_mutex_unlock(&c->ticking);
    }
    return st;
}

static status copy_all(struct copying *c, struct errmsg *e)
{
    status st = out_tree_init(&c->tree, train_set_info(c->set).samples);
    for (int i = 0; i < train_set_info(c->set).samples && !st; i++) {
        const char *path = train_set_path(c->set, i), *slash = strrchr(path, '/');
        AUTO(mem_free) char *dir = mem_printf("%s/%.*s", c->to, (int)(slash - path), path);
        st = dir ? out_tree_dir(&c->tree, dir, e) : STATUS_NOMEM;
    }
    pthread_mutex_init(&c->ticking, NULL);
    if (!st)
        st = train_set_for_each(c->set, copy_one, c, e);
    pthread_mutex_destroy(&c->ticking);
    out_tree_done(&c->tree);
    return st;
}

status tree_write_clean(const struct train_bench *b, void (*tick)(void *arg), void *arg,
                        struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *set = NULL;
    AUTO(mem_free) char *to = bench_path(b, "trees", b->tree[0].id, ".part");
    status st = to ? open_set(b, b->data, b->matrix.images, &set, e) : STATUS_NOMEM;
    struct copying c = {.set = set, .to = to, .tick = tick, .arg = arg};
    return st ? st : copy_all(&c, e);
}

/* ---- how far a tree is from the clean one ---- */

enum { PSNR_IMAGES_MAX = 1000 };

static status square_error(struct train_set *clean, struct train_set *other, int i, double *sum,
                           double *count, struct errmsg *e)
{
    struct set_view a = {0}, b = {0};
    size_t stem = train_path_stem(train_set_path(clean, i));
    if (stem != train_path_stem(train_set_path(other, i)) ||
        strncmp(train_set_path(clean, i), train_set_path(other, i), stem) != 0)
        return errmsg_set(e, STATUS_CORRUPT, "image %s of the clean tree is missing",
                          train_set_path(clean, i));
    status st = train_set_view(clean, i, &a, e);
    if (!st)
        st = train_set_view(other, i, &b, e);
    size_t n = (size_t)a.width * (size_t)a.height * (size_t)train_set_info(clean).channels;
    if (!st && (a.width != b.width || a.height != b.height ||
                train_set_info(clean).channels != train_set_info(other).channels))
        st = errmsg_set(e, STATUS_CORRUPT, "%s has not the clean image's size",
                        train_set_path(other, i));
    for (size_t k = 0; k < n && !st; k++)
        *sum += (double)(a.pixels[k] - b.pixels[k]) * (a.pixels[k] - b.pixels[k]);
    *count += (double)n;
    train_set_view_done(&a);
    train_set_view_done(&b);
    return st;
}

/* Over PSNR_IMAGES_MAX images, evenly spaced. */
static status psnr(struct train_set *clean, struct train_set *other, double *out, struct errmsg *e)
{
    int n = train_set_info(clean).samples;
    int step = n > PSNR_IMAGES_MAX ? n / PSNR_IMAGES_MAX : 1;
    double sum = 0, count = 0;
    status st = STATUS_OK;
    if (n != train_set_info(other).samples)
        return errmsg_set(e, STATUS_CORRUPT, "%d images, not %d", train_set_info(other).samples, n);
    for (int i = 0; i < n && !st; i += step)
        st = stop_requested() ? STATUS_CANCELLED : square_error(clean, other, i, &sum, &count, e);
    *out = 10 * log10(255.0 * 255.0 * count / sum);
    return st;
}

/* It must have all images that were asked for, under names of their own. */
static status check_clean(const struct train_bench *b, const struct train_set *clean,
                          struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *data = NULL;
    status st = open_set(b, b->data, b->matrix.images, &data, e);
    if (!st && train_set_info(data).samples != train_set_info(clean).samples)
        st = errmsg_set(e, STATUS_INVALID,
                        "%s has images in one folder that differ in their extension only", b->data);
    return st;
}

static status measure(const struct train_bench *b, int i, const char *dir, double *out,
                      struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *clean = NULL;
    AUTO(train_set_free) struct train_set *other = NULL;
    AUTO(mem_free) char *clean_dir = bench_path(b, "trees", b->tree[0].id, "");
    status st = open_set(b, dir, 0, &other, e);
    if (!st && i == 0) {
        *out = INFINITY;
        return check_clean(b, other, e);
    }
    if (!st)
        st = clean_dir ? open_set(b, clean_dir, 0, &clean, e) : STATUS_NOMEM;
    return st ? st : psnr(clean, other, out, e);
}

/* ---- stamps ---- */

static status stamp(const struct train_bench *b, int i, double psnr_db, double seconds,
                    struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(b, "trees", b->tree[i].id, ".json");
    json_t *j = json_pack("{s:O, s:f, s:o}", "description", b->tree[i].description, "seconds",
                          seconds, "psnr_db", isfinite(psnr_db) ? json_real(psnr_db) : json_null());
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(j);
    status st = path && text ? io_write_file(path, text, strlen(text), e) : STATUS_NOMEM;
    free(text);
    return st;
}

status tree_finish(const struct train_bench *b, int i, double seconds, struct errmsg *e)
{
    AUTO(mem_free) char *part = bench_path(b, "trees", b->tree[i].id, ".part");
    AUTO(mem_free) char *path = bench_path(b, "trees", b->tree[i].id, "");
    double psnr_db = NAN;
    if (!part || !path)
        return STATUS_NOMEM;
    status st = measure(b, i, part, &psnr_db, e);
    if (st)
        return errmsg_prefix(e, st, "%s", part);
    tree_remove_folder(path); /* of one that was renamed and never stamped */
    st = io_rename(AT_FDCWD, part, path);
    if (st)
        return errmsg_set(e, st, "cannot rename %s: %s", part, status_text(st));
    return stamp(b, i, psnr_db, seconds, e);
}
