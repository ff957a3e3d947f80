/* Entries in a chained table by (device, inode), and in one list by age. */
#include "name_list.h"

#include "locks.h"
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

enum { BUCKETS_MIN = 256 };

struct item {
    struct name_list_entry entry;
    struct item *next; /* in its bucket */
    struct item *newer, *older;
    size_t bytes;
    char text[]; /* name, 0, why, 0 */
};

struct name_list {
    size_t bytes_max;
    pthread_mutex_t lock;
    struct item **bucket; /* guarded by lock, as all below; made with the first name */
    size_t buckets, items, bytes;
    uint64_t count, number;
    struct item *newest, *oldest;
};

status name_list_new(size_t bytes_max, struct name_list **out)
{
    struct name_list *n = mem_zalloc(1, sizeof *n);
    if (!n)
        return STATUS_NOMEM;
    n->bytes_max = bytes_max;
    pthread_mutex_init(&n->lock, NULL);
    *out = n;
    return STATUS_OK;
}

void name_list_free(struct name_list *n)
{
    if (!n)
        return;
    for (struct item *older, *it = n->newest; it; it = older) {
        older = it->older;
        mem_free(it);
    }
    mem_free(n->bucket);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

static struct item *item_new(const struct cache_file_id *id, const char *name, const char *why)
{
    size_t name_len = strlen(name) + 1, why_len = strlen(why) + 1;
    size_t bytes = sizeof(struct item) + name_len + why_len;
    struct item *it = mem_alloc(bytes);
    if (!it)
        return NULL;
    memcpy(it->text, name, name_len);
    memcpy(it->text + name_len, why, why_len);
    it->entry = (struct name_list_entry){
        .device = id->device, .inode = id->inode, .name = it->text, .why = it->text + name_len};
    it->bytes = bytes + sizeof(struct item *);
    return it;
}

/* Called with n->lock held, as all below that are static. Where the pointer to it is, or would
   be. */
static struct item **find_slot(struct name_list *n, uint64_t device, uint64_t inode)
{
    uint64_t h = (inode ^ device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    struct item **at = &n->bucket[(h >> 20) % n->buckets];
    while (*at && ((*at)->entry.device != device || (*at)->entry.inode != inode))
        at = &(*at)->next;
    return at;
}

static struct item *find(struct name_list *n, const struct cache_file_id *id)
{
    return n->bucket ? *find_slot(n, id->device, id->inode) : NULL;
}

/* Chains stay short; without memory they grow longer. */
static bool make_room(struct name_list *n)
{
    if (n->bucket && n->items < n->buckets)
        return true;
    size_t buckets = n->bucket ? 2 * n->buckets : BUCKETS_MIN;
    struct item **more = mem_zalloc(buckets, sizeof *more);
    if (!more)
        return n->bucket != NULL;
    mem_free(n->bucket);
    n->bucket = more;
    n->buckets = buckets;
    for (struct item *it = n->newest; it; it = it->older) {
        it->next = NULL;
        *find_slot(n, it->entry.device, it->entry.inode) = it;
    }
    return true;
}

static void take_out(struct name_list *n, struct item *it)
{
    *find_slot(n, it->entry.device, it->entry.inode) = it->next;
    *(it->newer ? &it->newer->older : &n->newest) = it->older;
    *(it->older ? &it->older->newer : &n->oldest) = it->newer;
    n->items--;
    n->bytes -= it->bytes;
}

static void put_in(struct name_list *n, struct item *it)
{
    it->entry.number = ++n->number;
    it->next = NULL;
    it->newer = NULL;
    it->older = n->newest;
    *(n->newest ? &n->newest->newer : &n->oldest) = it;
    n->newest = it;
    *find_slot(n, it->entry.device, it->entry.inode) = it;
    n->items++;
    n->bytes += it->bytes;
}

void name_list_add(struct name_list *n, const struct cache_file_id *id, const char *name,
                   const char *why)
{
    struct item *it = item_new(id, name, why);
    pthread_mutex_lock(&n->lock);
    struct item *old = find(n, id);
    n->count += !old;
    if (old && it) {
        take_out(n, old);
        mem_free(old);
    }
    if (it && make_room(n))
        put_in(n, TAKE(it));
    while (n->bytes > n->bytes_max && n->oldest) {
        struct item *oldest = n->oldest;
        take_out(n, oldest);
        mem_free(oldest);
    }
    pthread_mutex_unlock(&n->lock);
    mem_free(it);
}

void name_list_remove(struct name_list *n, const struct cache_file_id *id)
{
    pthread_mutex_lock(&n->lock);
    struct item *it = find(n, id);
    if (it) {
        take_out(n, it);
        n->count--;
    }
    pthread_mutex_unlock(&n->lock);
    mem_free(it);
}

uint64_t name_list_count(struct name_list *n)
{
    pthread_mutex_lock(&n->lock);
    uint64_t count = n->count;
    pthread_mutex_unlock(&n->lock);
    return count;
}

char *name_list_why(struct name_list *n, const struct cache_file_id *id)
{
    pthread_mutex_lock(&n->lock);
    struct item *it = find(n, id);
    char *why = it ? mem_strdup(it->entry.why) : NULL;
    pthread_mutex_unlock(&n->lock);
    return why;
}

void name_list_each(struct name_list *n, name_list_fn *fn, void *arg)
{
    int left = NAME_LIST_SHOWN;
    pthread_mutex_lock(&n->lock);
    for (const struct item *it = n->newest; it && left; it = it->older, left--)
        fn(arg, &it->entry);
    pthread_mutex_unlock(&n->lock);
}

/* Walks over those before: a page costs what all before it cost, some milliseconds at a million
   names, and nobody but a person asks. */
void name_list_page(struct name_list *n, uint64_t after, unsigned most, name_list_fn *fn, void *arg)
{
    pthread_mutex_lock(&n->lock);
    const struct item *it = n->oldest;
    while (it && it->entry.number <= after)
        it = it->newer;
    for (; it && most; it = it->newer, most--)
        fn(arg, &it->entry);
    pthread_mutex_unlock(&n->lock);
}
