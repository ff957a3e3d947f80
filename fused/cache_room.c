#include "cache_room.h"

#include "fs.h"

#include "base/banned.h"

/* How long a cache that had no room is taken to be full before it is tried again. */
static const uint64_t full_ns = 10 * 1000000000ull;
enum { EVICTED_EVERY = 64 }; /* calls between two looks at what was evicted: that asks the index */

bool cache_keeps(const struct fs *fs)
{
    return fs->stack.cache && !cache_read_only(fs->stack.cache);
}

void cache_room_begin(struct cache_room *r, const struct fs *fs)
{
    struct cache_stats cs = {0};
    struct pipeline_stats ps;
    pipeline_stats(fs->pipeline, &ps);
    if (cache_keeps(fs))
        status_ignore(cache_stats(fs->stack.cache, &cs), "then any eviction counts as ours");
    *r = (struct cache_room){
        .fs = fs, .lost = ps.no_space, .objects = cs.objects, .evicted = cs.evicted};
}

bool cache_is_full(struct cache_room *r)
{
    struct pipeline_stats ps;
    struct cache_stats cs;
    uint64_t now = time_mono_ns();
    pipeline_stats(r->fs->pipeline, &ps);
    if (ps.no_space > r->lost) {
        r->lost = ps.no_space;
        r->until_ns = now + full_ns;
    }
    if (cache_keeps(r->fs) && r->asked++ % EVICTED_EVERY == 0 &&
        cache_stats(r->fs->stack.cache, &cs) == STATUS_OK && cs.evicted > r->evicted + r->objects)
        r->until_ns = now + full_ns;
    return now < r->until_ns;
}
