/* Small changes of the index that wait: memos, files, damaged rows to drop, used rows to touch.
   They collect in c->queue.filling, which the writer exchanges for an empty one. */
#include "store.h"

/* A file whose ctime is younger than the clock that stamped it ticks may be changed again without
   getting another ctime. Zero nanoseconds mean that the file system probably counts seconds. */
static bool may_change_unseen(const struct cache_file_id *id)
{
    const int64_t tick_ns = 20000000, coarse_ns = 2000000000, second_ns = 1000000000;
    int64_t doubt = id->ctime_ns % second_ns ? tick_ns : coarse_ns;
    return id->ctime_ns > (int64_t)time_real_ns() - doubt;
}

status cache_memo_put(struct cache *c, const struct digest *source, const struct cache_memo *memo)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return STATUS_DENIED;
    if (memo->info_len > CACHE_MEMO_INFO_MAX)
        return STATUS_INVALID;
    pthread_mutex_lock(&q->lock);
    bool fits = q->filling->n_memo < UPDATES_MEMOS;
    if (fits) {
        q->filling->memo[q->filling->n_memo++] = (struct memo_put){*source, *memo};
        q->updates_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return fits ? STATUS_OK : STATUS_AGAIN;
}

status cache_file_put(struct cache *c, const struct cache_file_id *id, const struct digest *source)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return STATUS_DENIED;
    if (may_change_unseen(id))
        return STATUS_AGAIN;
    pthread_mutex_lock(&q->lock);
    bool fits = q->filling->n_file < UPDATES_FILES;
    if (fits) {
        q->filling->file[q->filling->n_file++] = (struct file_put){*id, *source};
        q->updates_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return fits ? STATUS_OK : STATUS_AGAIN;
}

void queue_drop(struct cache *c, const struct index_row *row)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return;
    pthread_mutex_lock(&q->lock);
    if (q->filling->n_drop < UPDATES_DROPS) { /* else it will be found damaged again */
        q->filling->drop[q->filling->n_drop++] = *row;
        q->updates_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
}

void queue_touch(struct cache *c, int64_t id)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return;
    pthread_mutex_lock(&q->lock);
    struct updates *s = q->filling;
    if (s->n_touch < UPDATES_TOUCHES) { /* else this use is not recorded */
        s->touch[s->n_touch++] = id;
        q->updates_in++;
    }
    if (s->n_touch == UPDATES_TOUCHES / 2)
        pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}
