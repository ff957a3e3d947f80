/*
 * A ring of NAMED_SHOWN entries for display and an open-addressed set of (device, inode) for
 * counting. A removed key leaves a marker, so that probing goes on past it.
 */
#include "named.h"

#include "locks.h"
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

enum { SLOTS = 1 << 17, KEYS_MAX = 65536 }; /* never more than half full, so probes are short */

struct slot {
    uint64_t device, inode;
    enum { EMPTY, USED, REMOVED } state;
};

struct named {
    pthread_mutex_t lock;
    struct slot *slot; /* guarded by lock, as all below; SLOTS of them, made with the first name */
    uint64_t filled;   /* slots that are not EMPTY */
    uint64_t count;
    struct named_entry ring[NAMED_SHOWN];
    unsigned next;
};

status named_new(struct named **out)
{
    struct named *n = mem_zalloc(1, sizeof *n);
    if (!n)
        return STATUS_NOMEM;
    pthread_mutex_init(&n->lock, NULL);
    *out = n;
    return STATUS_OK;
}

static void entry_clear(struct named_entry *en)
{
    mem_free(en->name);
    mem_free(en->why);
    *en = (struct named_entry){0};
}

void named_free(struct named *n)
{
    if (!n)
        return;
    for (int i = 0; i < NAMED_SHOWN; i++)
        entry_clear(&n->ring[i]);
    mem_free(n->slot);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

/* Called with n->lock held. The key's slot, or the first empty one of its probe. */
static struct slot *probe(struct named *n, const struct cache_file_id *id)
{
    uint64_t h = (id->inode ^ id->device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    for (size_t i = h >> 40;; i++) {
        struct slot *s = &n->slot[i % SLOTS];
        if (s->state == EMPTY ||
            (s->state == USED && s->device == id->device && s->inode == id->inode))
            return s;
    }
}

/* Called with n->lock held. True when it was not counted before. */
static bool count_in(struct named *n, const struct cache_file_id *id)
{
    if (!n->slot)
        n->slot = mem_zalloc(SLOTS, sizeof *n->slot);
    if (!n->slot)
        return true;
    struct slot *s = probe(n, id);
    if (s->state == USED)
        return false;
    if (n->filled < KEYS_MAX) {
        *s = (struct slot){id->device, id->inode, USED};
        n->filled++;
    }
    return true;
}

/* Called with n->lock held. */
static struct named_entry *find_shown(struct named *n, const struct cache_file_id *id)
{
    for (int i = 0; i < NAMED_SHOWN; i++)
        if (n->ring[i].name && n->ring[i].device == id->device && n->ring[i].inode == id->inode)
            return &n->ring[i];
    return NULL;
}

void named_add(struct named *n, const struct cache_file_id *id, const char *name, const char *why)
{
    struct named_entry fresh = {id->device, id->inode, mem_strdup(name), mem_strdup(why)};
    pthread_mutex_lock(&n->lock);
    n->count += count_in(n, id);
    struct named_entry *at = find_shown(n, id);
    if (!at)
        at = &n->ring[n->next++ % NAMED_SHOWN];
    if (fresh.name && fresh.why) {
        entry_clear(at);
        *at = fresh;
        fresh = (struct named_entry){0};
    }
    pthread_mutex_unlock(&n->lock);
    entry_clear(&fresh);
}

void named_remove(struct named *n, const struct cache_file_id *id)
{
    pthread_mutex_lock(&n->lock);
    struct slot *s = n->slot ? probe(n, id) : NULL;
    if (s && s->state == USED) {
        s->state = REMOVED;
        n->count--;
    }
    struct named_entry *en = find_shown(n, id);
    if (en)
        entry_clear(en);
    pthread_mutex_unlock(&n->lock);
}

uint64_t named_count(struct named *n)
{
    pthread_mutex_lock(&n->lock);
    uint64_t count = n->count;
    pthread_mutex_unlock(&n->lock);
    return count;
}

char *named_why(struct named *n, const struct cache_file_id *id)
{
    pthread_mutex_lock(&n->lock);
    struct named_entry *en = find_shown(n, id);
    char *why = en ? mem_strdup(en->why) : NULL;
    pthread_mutex_unlock(&n->lock);
    return why;
}

void named_each(struct named *n, void (*fn)(void *arg, const struct named_entry *entry), void *arg)
{
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < NAMED_SHOWN; i++) {
        const struct named_entry *en = &n->ring[(n->next - 1 - i) % NAMED_SHOWN];
        if (en->name)
            fn(arg, en);
    }
    pthread_mutex_unlock(&n->lock);
}
