#ifndef FUSED_CACHE_ROOM_H
#define FUSED_CACHE_ROOM_H
/*
 * Whether the cache would keep what is purified ahead. It is full when it refuses, or when it
 * evicts to make room what the same run has purified. Not thread-safe.
 */
#include "base/base.h"

#include <stdbool.h>

struct fs;
struct cache_room {
    const struct fs *fs;
    uint64_t lost;             /* purified and not stored for want of space, as last seen */
    uint64_t until_ns;         /* taken to be full so long */
    uint64_t objects, evicted; /* when this run began: what is evicted beyond these is ours */
    unsigned asked;
};

/* False: nothing that is purified now would be kept, there being no cache or one that is only read. */
bool cache_keeps(const struct fs *fs);
/* A new run: what it purifies is its own from here on. */
void cache_room_begin(struct cache_room *r, const struct fs *fs);
/* Whether what is purified now would be thrown away, or throw away what this run has purified. */
bool cache_is_full(struct cache_room *r);

#endif
