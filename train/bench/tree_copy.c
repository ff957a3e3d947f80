/* Copies of images as PNG, and the trees that are such: the clean one, and given ones. */
#include "bench/tree.h"

#include "out_tree.h"
#include "set.h"

#include <pthread.h>
#include <string.h>

struct copying {
    struct train_set *set;
    const bool *chosen;
    const char *to;
    struct out_tree tree;
    struct tree_tick tick;
    pthread_mutex_t ticking;
};

static status copy_one(void *arg, int i, struct errmsg *e)
{
    struct copying *c = arg;
    struct set_view v;
    const char *name = train_set_path(c->set, i);
    if (c->chosen && !c->chosen[i])
        return STATUS_OK;
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
        c->tick.fn(c->tick.arg);
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

status tree_copy(struct train_set *set, const bool *chosen, const char *to, struct tree_tick tick,
                 struct errmsg *e)
{
    struct copying c = {.set = set, .chosen = chosen, .to = to, .tick = tick};
    return copy_all(&c, e);
}

status tree_write_images(const struct train_bench *b, int i, struct tree_tick tick,
                         struct errmsg *e)
{
    const struct bench_tree *t = &b->tree[i];
    AUTO(train_set_free) struct train_set *set = NULL;
    AUTO(mem_free) char *to = bench_path(b, "trees", t->id, ".part");
    const char *from = t->kind == BENCH_GIVEN ? t->by->tree : b->data;
    status st = to ? tree_open(b, from, b->matrix.images, &set, e) : STATUS_NOMEM;
    return st ? st : tree_copy(set, NULL, to, tick, e);
}
