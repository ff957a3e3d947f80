/* Announced files: the warm list, in the order given, and hints of what changed. */
#include "sweep_parts.h"

#include "source_walk.h"
#include <string.h>

#include "base/banned.h"

enum { HINTS_MAX = 65536 };
static const uint64_t warm_bytes_max = 256ull << 20;

/* Called with s->lock held. */
static void push(struct sweep_list *l, struct sweep_item *it)
{
    it->next = NULL;
    *l->last = it;
    l->last = &it->next;
    l->count++;
}

struct sweep_item *sweep_list_pop(struct sweep_list *l)
{
    struct sweep_item *it = l->first;
    if (!it)
        return NULL;
    l->first = it->next;
    if (!l->first)
        l->last = &l->first;
    l->count--;
    return it;
}

void sweep_list_clear(struct sweep_list *l)
{
    for (struct sweep_item *next, *it = l->first; it; it = next) {
        next = it->next;
        mem_free(it);
    }
}

static struct sweep_item *item_new(const char *path)
{
    struct sweep_item *it = mem_alloc(sizeof *it + strlen(path) + 1);
    if (it)
        memcpy(it->path, path, strlen(path) + 1);
    return it;
}

static status warm_file(struct sweep *s, const char *path)
{
    struct sweep_item *it = item_new(path);
    if (!it)
        return STATUS_NOMEM;
    status st = STATUS_OK;
    pthread_mutex_lock(&s->lock);
    if (s->warm_bytes + strlen(path) > warm_bytes_max) {
        st = STATUS_LIMIT;
    } else {
        s->warm_begins |= s->warm_state.done == s->warm_state.total;
        push(&s->warm, it);
        s->warm_bytes += strlen(path);
        s->warm_state.total++;
        pthread_cond_broadcast(&s->changed);
        it = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    mem_free(it);
    return st;
}

void sweep_hint(struct sweep *s, const char *path)
{
    struct sweep_item *it = s && s->fs->opt.sweeping ? item_new(path) : NULL;
    if (!it)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->hints.count < HINTS_MAX) {
        push(&s->hints, it);
        it = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    mem_free(it);
}

static status warm_visit(void *arg, int dirfd, const char *name, const char *path)
{
    (void)dirfd, (void)name;
    return warm_file(arg, path);
}

status sweep_warm(struct sweep *s, const char *path, struct errmsg *e)
{
    return source_walk(s->fs, path, warm_visit, s, e);
}

void sweep_warm_state(struct sweep *s, struct fused_warm_state *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->warm_state;
    pthread_mutex_unlock(&s->lock);
}
