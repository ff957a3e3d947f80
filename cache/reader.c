/* Reading: a few SQLite connections and a table of open packs, shared by all threads. */
#include "store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void readers_init(struct cache *c)
{
    pthread_mutex_init(&c->readers.lock, NULL);
    pthread_cond_init(&c->readers.returned, NULL);
    pthread_mutex_init(&c->files.lock, NULL);
}

void readers_done(struct cache *c)
{
    for (int i = 0; i < c->readers.n_idle; i++)
        index_close(c->readers.idle[i]);
    for (int i = 0; i < FILES_MAX; i++)
        if (c->files.slot[i].id)
            close(c->files.slot[i].fd);
    pthread_cond_destroy(&c->readers.returned);
    pthread_mutex_destroy(&c->readers.lock);
    pthread_mutex_destroy(&c->files.lock);
}

status readers_take(struct cache *c, struct index **out)
{
    struct readers *r = &c->readers;
    struct index *x = NULL;
    pthread_mutex_lock(&r->lock);
    while (r->n_idle == 0 && r->n_out == READERS_MAX)
        pthread_cond_wait(&r->returned, &r->lock);
    if (r->n_idle > 0)
        x = r->idle[--r->n_idle];
    r->n_out++;
    pthread_mutex_unlock(&r->lock);
    status st = STATUS_OK;
    if (x && index_moved(x)) {
        index_close(x);
        x = NULL;
    }
    if (!x)
        st = index_open(c->dir, c->read_mode, &x, NULL);
    if (st)
        readers_give(c, NULL, st);
    else
        *out = x;
    return st;
}

void readers_give(struct cache *c, struct index *x, status st)
{
    struct readers *r = &c->readers;
    if (st == STATUS_CORRUPT && !(x && index_moved(x)))
        queue_index_bad(c);
    if (st && st != STATUS_NOT_FOUND) { /* what failed may go on failing: a new one next time */
        index_close(x);
        x = NULL;
    }
    pthread_mutex_lock(&r->lock);
    r->n_out--;
    if (x)
        r->idle[r->n_idle++] = x;
    pthread_cond_signal(&r->returned);
    pthread_mutex_unlock(&r->lock);
}

/* ---- open packs ---- */

/* Both with files.lock held. */
static int find_slot(const struct files *f, uint32_t id)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (f->slot[i].id == id && !f->slot[i].doomed)
            return i;
    return -1;
}

static int free_slot(const struct files *f)
{
    int best = -1;
    for (int i = 0; i < FILES_MAX; i++) {
        const struct file_slot *s = &f->slot[i];
        if (!s->id)
            return i;
        if (!s->users && (best < 0 || s->last < f->slot[best].last))
            best = i;
    }
    return best;
}

/* Puts a freshly opened pack into the table when there is a place for it. */
static void keep_file(struct files *f, uint32_t id, struct file_use *use)
{
    int old = -1;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id) < 0 ? free_slot(f) : -1;
    if (i >= 0) {
        old = f->slot[i].id ? f->slot[i].fd : -1;
        f->slot[i] = (struct file_slot){.id = id, .fd = use->fd, .users = 1, .last = ++f->clock};
    }
    pthread_mutex_unlock(&f->lock);
    use->slot = i;
    if (old >= 0)
        close(old);
}

status files_take(struct cache *c, uint32_t id, struct file_use *out)
{
    struct files *f = &c->files;
    if (id == 0)
        return STATUS_NOT_FOUND;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id);
    if (i >= 0) {
        f->slot[i].users++;
        f->slot[i].last = ++f->clock;
        *out = (struct file_use){f->slot[i].fd, i};
    }
    pthread_mutex_unlock(&f->lock);
    if (i >= 0)
        return STATUS_OK;
    AUTO(mem_free) char *path = pack_path(c->dir, id);
    if (!path)
        return STATUS_NOMEM;
    struct file_use use = {-1, -1};
    status st = site_open(path, O_RDONLY, &use.fd, NULL);
    if (st)
        return st;
    keep_file(f, id, &use);
    *out = use;
    return STATUS_OK;
}

void files_give(struct cache *c, struct file_use *use)
{
    struct files *f = &c->files;
    int old = use->slot < 0 ? use->fd : -1;
    if (use->slot >= 0) {
        pthread_mutex_lock(&f->lock);
        struct file_slot *s = &f->slot[use->slot];
        if (--s->users == 0 && s->doomed) {
            old = s->fd;
            *s = (struct file_slot){0};
        }
        pthread_mutex_unlock(&f->lock);
    }
    if (old >= 0)
        close(old);
}

/* With files.lock held: the descriptor to close, or -1. */
static int doom(struct file_slot *s)
{
    s->doomed = true;
    if (s->users)
        return -1;
    int fd = s->fd;
    *s = (struct file_slot){0};
    return fd;
}

void files_forget(struct cache *c, uint32_t id)
{
    struct files *f = &c->files;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id);
    int old = i >= 0 ? doom(&f->slot[i]) : -1;
    pthread_mutex_unlock(&f->lock);
    if (old >= 0)
        close(old);
}

void files_sweep(struct cache *c)
{
    struct files *f = &c->files;
    for (int i = 0; i < FILES_MAX; i++) {
        struct stat sb;
        int old = -1;
        pthread_mutex_lock(&f->lock);
        struct file_slot *s = &f->slot[i];
        if (s->id && !s->doomed && fstat(s->fd, &sb) == 0 && sb.st_nlink == 0)
            old = doom(s);
        pthread_mutex_unlock(&f->lock);
        if (old >= 0)
            close(old);
    }
}

/* ---- one object ---- */

void cache_object_done(struct cache_object *o)
{
    mem_free(o->pixels);
    *o = (struct cache_object){0};
}

static status read_once(struct cache *c, const struct index_row *row, uint8_t *pixels)
{
    struct file_use use;
    status st = files_take(c, row->pack, &use);
    if (st)
        return st;
    st = pack_read(use.fd, row->offset, &row->key, row->shape, pixels);
    files_give(c, &use);
    return st;
}

status object_read(struct cache *c, const struct index_row *row, struct cache_object *out)
{
    uint64_t len;
    if (!record_shape_ok(row->shape, &len))
        return STATUS_CORRUPT;
    AUTO(mem_free) uint8_t *pixels = mem_alloc((size_t)len);
    if (!pixels)
        return STATUS_NOMEM;
    status st = read_once(c, row, pixels);
    if (st == STATUS_CORRUPT) { /* or the table has a deleted pack whose number was given again */
        files_forget(c, row->pack);
        st = read_once(c, row, pixels);
    }
    if (st)
        return st;
    *out = (struct cache_object){row->shape, TAKE(pixels), (size_t)len};
    return STATUS_OK;
}
