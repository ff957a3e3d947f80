/* Connections to the index, shared by all threads, and reading one object. */
#include "store.h"

#include <string.h>

void readers_init(struct cache *c)
{
    pthread_mutex_init(&c->readers.lock, NULL);
    pthread_cond_init(&c->readers.returned, NULL);
    pthread_mutex_init(&c->pack_files.lock, NULL);
}

void readers_done(struct cache *c)
{
    for (int i = 0; i < c->readers.n_idle; i++)
        index_close(c->readers.idle[i]);
    for (int i = 0; i < PACK_FILES_MAX; i++)
        if (c->pack_files.slot[i].id)
            close(c->pack_files.slot[i].fd);
    pthread_cond_destroy(&c->readers.returned);
    pthread_mutex_destroy(&c->readers.lock);
    pthread_mutex_destroy(&c->pack_files.lock);
}

status reader_acquire(struct cache *c, struct index **out)
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
        reader_release(c, NULL, st);
    else
        *out = x;
    return st;
}

void reader_release(struct cache *c, struct index *x, status st)
{
    struct readers *r = &c->readers;
    if (st == STATUS_CORRUPT && !(x && index_moved(x)))
        queue_index_bad(c);
    if (st && st != STATUS_NOT_FOUND) { /* a connection that failed may fail again: open a new one
                                           next time */
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

/* ---- objects ---- */

void cache_object_done(struct cache_object *o)
{
    mem_free(o->pixels);
    *o = (struct cache_object){0};
}

/* Memory is taken once the record's own header agrees with the row. */
static status read_record(int fd, const struct index_row *row, struct cache_object *out)
{
    struct record r;
    status st = pack_check(fd, row->offset, &row->key, row->shape, &r);
    if (st)
        return st;
    AUTO(mem_free) uint8_t *pixels = mem_alloc((size_t)r.len);
    if (!pixels)
        return STATUS_NOMEM;
    st = pack_pixels(fd, row->offset, &r, pixels);
    if (!st)
        *out = (struct cache_object){r.shape, TAKE(pixels), (size_t)r.len};
    return st;
}

static status read_once(struct cache *c, const struct index_row *row, struct cache_object *out)
{
    struct pack_file file;
    status st = pack_file_acquire(c, row->pack, &file);
    if (st)
        return st;
    st = read_record(file.fd, row, out);
    pack_file_release(c, &file);
    return st;
}

status object_read(struct cache *c, const struct index_row *row, struct cache_object *out)
{
    status st = read_once(c, row, out);
    if (st == STATUS_CORRUPT) { /* or the table has a deleted pack whose number was given again */
        pack_file_forget(c, row->pack);
        st = read_once(c, row, out);
    }
    return st;
}
