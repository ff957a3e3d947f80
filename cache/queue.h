#ifndef CACHE_QUEUE_H
#define CACHE_QUEUE_H
/*
 * queue: what waits to be written. Puts are objects on their way to a pack, which cache_get finds
 * here until they have a row (puts.c); updates are small changes of the index (updates.c). The
 * writer takes a batch of both, stores it and settles it:
 *
 *     queue_take(c, &batch);
 *     ... sets p->st of each put ...
 *     queue_settle(c, &batch, status of the updates);
 */
#include "index.h"

#include <pthread.h>

struct cache;

enum {
    PENDING_BUCKETS = 4096,
    UPDATES_MEMOS = 4096, /* most of each that one batch takes; more are not recorded */
    UPDATES_FILES = 4096,
    UPDATES_DROPS = 256,
    UPDATES_TOUCHES = 4096,
};

/* One object on its way to a pack. */
struct put {
    struct put *next; /* in the queue, then in the batch */
    struct put *in_bucket;
    struct cache_key key;
    struct cache_shape shape;
    uint64_t len;
    uint64_t checksum;
    uint64_t cost;       /* bytes counted in queue.bytes */
    uint8_t *block;      /* as pack_append wants it; NULL when the same key was already waiting */
    cache_done_fn *done; /* (optional) */
    void *arg;
    int users;   /* the queue or batch, and readers that copy; guarded by queue.lock */
    status st;   /* from here on: used by the writer only */
    bool wanted; /* not stored yet: to be appended, at: */
    uint64_t offset;
};

struct memo_put {
    struct digest source;
    struct cache_memo memo;
};
struct file_put {
    struct cache_file_id id;
    struct digest source;
};

struct updates {
    struct memo_put memo[UPDATES_MEMOS];
    struct file_put file[UPDATES_FILES];
    struct index_row drop[UPDATES_DROPS]; /* found damaged */
    int64_t touch[UPDATES_TOUCHES];       /* read: ids of rows */
    int n_memo, n_file, n_drop, n_touch;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the writer */
    pthread_cond_t space;   /* for cache_put */
    pthread_cond_t settled; /* for cache_flush */
    /* all guarded by lock */
    struct put *first, **last;
    struct put *bucket[PENDING_BUCKETS];
    struct updates *filling, *spare; /* spare: NULL while the writer has it */
    uint64_t bytes;                  /* waiting or being written */
    uint64_t puts_in, puts_out;      /* accepted, settled */
    uint64_t updates_in, updates_out;
    status error; /* the first since the last flush */
    bool hurry;   /* a flush waits: write updates at once */
    bool index_bad;
    bool stop;
};

struct batch {
    struct put *first;
    uint64_t n_puts;
    uint64_t bytes; /* of the records */
    struct updates *updates;
    uint64_t n_updates;
    bool index_bad;
    bool last; /* the writer may end after it */
};

status queue_init(struct cache *c) MUST_USE;
void queue_done(struct cache *c);
/* Waits for work, or some seconds; the batch may be empty. */
void queue_take(struct cache *c, struct batch *out);
/* Makes the batch's results known, calls back, frees. updates_st: of memos and drops. */
void queue_settle(struct cache *c, struct batch *b, status updates_st);
/* cache_flush without forgetting the error. */
status queue_wait(struct cache *c) MUST_USE;
/* The index is damaged: the writer is to replace it. */
void queue_index_bad(struct cache *c);
/* It was replaced: what was said of it before no longer holds. */
void queue_index_good(struct cache *c);

/* ---- puts.c ---- */
/* NOT_FOUND, or a copy of a waiting object; out may be NULL. */
status queue_find(struct cache *c, const struct cache_key *key, struct cache_object *out) MUST_USE;
/* Both with queue.lock held: p->st is its result; one user less, and freed with the last. */
void put_settle(struct cache *c, struct put *p);
void put_unuse(struct put *p);

/* ---- updates.c ---- */
void queue_drop(struct cache *c, const struct index_row *row);
void queue_touch(struct cache *c, int64_t id);

#endif
