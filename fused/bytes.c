/*
 * One mutex; a chained hash table of fixed size (16384 chains serve 80 000 images of 3 KiB in 256
 * MiB with five to a chain) and a list from most to least recently used. Every entry is in both.
 */
#include "bytes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/banned.h"

struct shared_bytes {
    struct fused_bytes pub; /* first: cast back in bytes_of */
    atomic_uint refs;
    uint8_t data[];
};

static struct shared_bytes *bytes_of(struct fused_bytes *b)
{
    return (struct shared_bytes *)b;
}

status bytes_new(size_t len, struct fused_bytes **out)
{
    struct shared_bytes *s = mem_alloc(sizeof *s + len);
    if (!s)
        return STATUS_NOMEM;
    atomic_init(&s->refs, 1);
    s->pub.len = len;
    s->pub.data = s->data;
    *out = &s->pub;
    return STATUS_OK;
}

uint8_t *bytes_writable(struct fused_bytes *b)
{
    return bytes_of(b)->data;
}

struct fused_bytes *bytes_ref(struct fused_bytes *b)
{
    atomic_fetch_add_explicit(&bytes_of(b)->refs, 1, memory_order_relaxed);
    return b;
}

void fused_bytes_unref(struct fused_bytes *b)
{
    if (b && atomic_fetch_sub_explicit(&bytes_of(b)->refs, 1, memory_order_acq_rel) == 1)
        mem_free(bytes_of(b));
}

enum { CHAINS = 16384 };

struct entry {
    struct digest source;
    struct fused_bytes *bytes;
    struct entry *chain;
    struct entry *newer, *older;
};

struct lru {
    pthread_mutex_t lock;
    uint64_t max;
    uint64_t bytes; /* guarded by lock, as all below */
    struct entry *newest, *oldest;
    struct entry *chain[CHAINS];
};

status lru_new(uint64_t max_bytes, struct lru **out)
{
    struct lru *l = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    pthread_mutex_init(&l->lock, NULL);
    l->max = max_bytes;
    *out = l;
    return STATUS_OK;
}

static struct entry **chain_of(struct lru *l, const struct digest *source)
{
    uint32_t h;
    memcpy(&h, source->byte, sizeof h);
    return &l->chain[h & (CHAINS - 1)];
}

static void unlink_entry(struct lru *l, struct entry *en)
{
    struct entry **at = chain_of(l, &en->source);
    while (*at != en)
        at = &(*at)->chain;
    *at = en->chain;
    *(en->newer ? &en->newer->older : &l->newest) = en->older;
    *(en->older ? &en->older->newer : &l->oldest) = en->newer;
    l->bytes -= en->bytes->len;
}

static void link_newest(struct lru *l, struct entry *en)
{
    struct entry **head = chain_of(l, &en->source);
    en->chain = *head;
    *head = en;
    en->newer = NULL;
    en->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = en;
    l->newest = en;
    l->bytes += en->bytes->len;
}

static void drop(struct lru *l, struct entry *en)
{
    unlink_entry(l, en);
    fused_bytes_unref(en->bytes);
    mem_free(en);
}

void lru_free(struct lru *l)
{
    if (!l)
        return;
    while (l->oldest)
        drop(l, l->oldest);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

static struct entry *find(struct lru *l, const struct digest *source)
{
    struct entry *en = *chain_of(l, source);
    while (en && !digest_equal(&en->source, source))
        en = en->chain;
    return en;
}

struct fused_bytes *lru_get(struct lru *l, const struct digest *source)
{
    struct fused_bytes *b = NULL;
    pthread_mutex_lock(&l->lock);
    struct entry *en = find(l, source);
    if (en) {
        unlink_entry(l, en);
        link_newest(l, en);
        b = bytes_ref(en->bytes);
    }
    pthread_mutex_unlock(&l->lock);
    return b;
}

void lru_put(struct lru *l, const struct digest *source, struct fused_bytes *b)
{
    struct entry *en = b->len > l->max / 4 ? NULL : mem_alloc(sizeof *en);
    if (!en)
        return;
    *en = (struct entry){.source = *source, .bytes = bytes_ref(b)};
    pthread_mutex_lock(&l->lock);
    struct entry *old = find(l, source);
    if (old)
        drop(l, old);
    link_newest(l, en);
    while (l->bytes > l->max)
        drop(l, l->oldest);
    pthread_mutex_unlock(&l->lock);
}

uint64_t lru_bytes(struct lru *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t n = l->bytes;
    pthread_mutex_unlock(&l->lock);
    return n;
}
