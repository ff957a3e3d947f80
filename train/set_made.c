/* Sets of images that were made, not read: all of them are kept. */
#include "set_state.h"

#include <stdio.h>
#include <string.h>

static status fill(struct train_set *s, const struct set_made *m)
{
    size_t bytes = (size_t)m->width * (size_t)m->height * (size_t)m->channels;
    for (; s->classes < m->classes; s->classes++) {
        char name[16];
        snprintf(name, sizeof name, "%d", s->classes);
        s->class_name[s->classes] = mem_strdup(name);
        if (!s->class_name[s->classes])
            return STATUS_NOMEM;
    }
    for (; s->n < m->n; s->n++) {
        char path[32];
        struct sample *one = &s->sample[s->n];
        struct kept *k = mem_alloc(sizeof *k + bytes);
        if (!k)
            return STATUS_NOMEM;
        k->width = m->width;
        k->height = m->height;
        memcpy(k->pixels, m->pixels + (size_t)s->n * bytes, bytes);
        one->label = m->label[s->n];
        atomic_store(&one->kept, k);
        snprintf(path, sizeof path, "%d/%d", one->label, s->n);
        one->path = mem_strdup(path);
        if (!one->path) {
            s->n++; /* it is the set's already */
            return STATUS_NOMEM;
        }
    }
    return STATUS_OK;
}

status train_set_make(const struct set_made *m, struct train_set **out)
{
    AUTO(train_set_free) struct train_set *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->dirfd = -1;
    s->opt.threads = 1;
    s->width = m->width;
    s->height = m->height;
    s->channels = m->channels;
    s->class_name = mem_zalloc((size_t)m->classes, sizeof *s->class_name);
    s->sample = mem_zalloc((size_t)m->n, sizeof *s->sample);
    if (!s->class_name || !s->sample)
        return STATUS_NOMEM;
    status st = fill(s, m);
    if (!st)
        *out = TAKE(s);
    return st;
}
