#include "list_copy.h"

#include "range.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

struct copying {
    const struct list_copy *c;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done; /* guarded by lock, as all below */
    status st;
    struct errmsg err;
    bool unwritten; /* it was `to` that failed */
};

static status copy_image(void *arg, uint64_t index, struct fused_bytes *b)
{
    struct copying *w = arg;
    const struct list_copy *c = w->c;
    const struct image_list *l = &c->from->verdict.list;
    if (c->stop && c->stop(c->arg))
        return STATUS_CANCELLED;
    status st = io_pwrite(c->to, b->data, b->len, (off_t)(image_list_at(l, index)));
    if (!st && c->copied)
        c->copied(c->arg);
    if (st) {
        pthread_mutex_lock(&w->lock);
        w->unwritten = true;
        pthread_mutex_unlock(&w->lock);
    }
    return st;
}

static void copied_all(void *arg, status st, const struct errmsg *e)
{
    struct copying *w = arg;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->st = st;
    w->err = *e;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

static status copy_images(struct copying *w)
{
    const struct list_copy *c = w->c;
    struct range *r;
    const struct range_options o = {.file = c->from,
                                    .to = c->from->verdict.list.count,
                                    .want_bytes = true,
                                    .priority = PURIFY_URGENT,
                                    .image = copy_image,
                                    .done = copied_all,
                                    .arg = w};
    status st = range_new(c->pipeline, &o, &r);
    if (st)
        return st;
    range_start(r);
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->ended, &w->lock);
    pthread_mutex_unlock(&w->lock);
    range_free(r);
    return w->st;
}

/* What stands between the images. */
static status copy_gaps(const struct list_copy *c, int *out_reading)
{
    const struct fused_file *f = c->from;
    uint8_t chunk[4096];
    uint64_t at = 0, end;
    for (; image_list_gap(&f->verdict.list, f->id.size, &at, &end); at = end) {
        size_t want = end - at < sizeof chunk ? (size_t)(end - at) : sizeof chunk, n;
        *out_reading = 1;
        status st = io_pread(f->fd, chunk, want, (off_t)at, &n);
        if (st || n < want)
            return st ? st : STATUS_AGAIN;
        *out_reading = 0;
        st = io_pwrite(c->to, chunk, n, (off_t)at);
        if (st)
            return st;
        end = at + n;
    }
    return STATUS_OK;
}

status list_copy(const struct list_copy *c, int *out_reading, struct errmsg *e)
{
    struct copying w = {.c = c};
    *out_reading = 0;
    if (ftruncate(c->to, (off_t)c->from->id.size) < 0)
        return status_from_errno(errno);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.ended, NULL);
    status st = copy_gaps(c, out_reading);
    if (!st) {
        st = copy_images(&w);
        *out_reading = !w.unwritten;
        *e = w.err;
    }
    if (!st) {
        *out_reading = 1;
        st = source_unchanged(c->from->fd, &c->from->id);
    }
    pthread_cond_destroy(&w.ended);
    pthread_mutex_destroy(&w.lock);
    return st;
}
