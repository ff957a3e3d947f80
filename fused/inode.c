/*
 * A chained hash table that doubles when it is full. Names are separate strings since a rename
 * changes them. A node is removed when lookups and refs are both 0; a child holds a reference to
 * its parent, so removal may climb; it does so in a loop, not by recursion.
 */
#include "inode.h"

#include "locks.h"
#include <pthread.h>
#include <string.h>

#include "base/banned.h"

struct node {
    uint64_t device, inode; /* never change */
    struct node *chain;     /* all below guarded by table->lock */
    struct node *parent;    /* NULL for the root */
    char *name;
    uint64_t lookups;
    uint32_t refs;
    uint32_t readers;
    struct node_version judged; /* of a directory: mtime_ns is its last seen change */
    struct node_version pages;
    uint64_t served_size;
    uint8_t kind;
    bool known, stored, has_pages;
};

struct table {
    pthread_mutex_t lock;
    struct node **chain; /* guarded by lock, as all below */
    size_t chains;       /* a power of two */
    size_t count;
    struct node *root;
};

struct node_version node_version(const struct cache_file_id *id)
{
    return (struct node_version){id->size, id->mtime_ns, id->ctime_ns};
}

static bool same_version(const struct node_version *a, const struct node_version *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static size_t hash(uint64_t device, uint64_t inode)
{
    return (size_t)((inode ^ device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu >> 20);
}

/* ---- the table, all called with t->lock held ---- */

static struct node *find(struct table *t, uint64_t device, uint64_t inode)
{
    struct node *n = t->chain[hash(device, inode) & (t->chains - 1)];
    while (n && (n->inode != inode || n->device != device))
        n = n->chain;
    return n;
}

static void insert(struct table *t, struct node *n)
{
    struct node **head = &t->chain[hash(n->device, n->inode) & (t->chains - 1)];
    n->chain = *head;
    *head = n;
}

/* Without memory the chains just grow longer. */
static void grow(struct table *t)
{
    struct node **old = t->chain, **fresh = mem_zalloc(2 * t->chains, sizeof *fresh);
    if (!fresh)
        return;
    size_t n_old = t->chains;
    t->chain = fresh;
    t->chains *= 2;
    for (size_t i = 0; i < n_old; i++)
        for (struct node *next, *n = old[i]; n; n = next) {
            next = n->chain;
            insert(t, n);
        }
    mem_free(old);
}

static void remove_if_unused(struct table *t, struct node *n)
{
    while (n && n != t->root && n->lookups == 0 && n->refs == 0) {
        struct node **at = &t->chain[hash(n->device, n->inode) & (t->chains - 1)];
        while (*at != n)
            at = &(*at)->chain;
        *at = n->chain;
        t->count--;
        struct node *parent = n->parent;
        mem_free(n->name);
        mem_free(n);
        if (parent)
            parent->refs--;
        n = parent;
    }
}

static bool is_ancestor(const struct node *maybe, const struct node *n)
{
    for (; n; n = n->parent)
        if (n == maybe)
            return true;
    return false;
}

static struct node *node_new(struct table *t, uint64_t device, uint64_t inode, char *name)
{
    struct node *n = mem_zalloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->device = device;
    n->inode = inode;
    n->name = name;
    if (t->count >= t->chains)
        grow(t);
    insert(t, n);
    t->count++;
    return n;
}

static void move_under(struct table *t, struct node *n, struct node *parent)
{
    struct node *old = n->parent;
    parent->refs++;
    n->parent = parent;
    if (old) {
        old->refs--;
        remove_if_unused(t, old);
    }
}

static status lookup_locked(struct table *t, struct node *parent, char **name, uint64_t device,
                            uint64_t inode, struct node **out)
{
    struct node *n = find(t, device, inode);
    if (n && is_ancestor(n, parent))
        return STATUS_INVALID;
    if (!n) {
        n = node_new(t, device, inode, *name);
        if (!n)
            return STATUS_NOMEM;
        *name = NULL;
    } else if (strcmp(n->name, *name) != 0) {
        char *old = n->name;
        n->name = *name;
        *name = old;
    }
    if (n->parent != parent)
        move_under(t, n, parent);
    n->lookups++;
    *out = n;
    return STATUS_OK;
}

/* ---- public ---- */

status table_new(uint64_t root_device, uint64_t root_inode, struct table **out)
{
    struct table *t = mem_zalloc(1, sizeof *t);
    if (!t)
        return STATUS_NOMEM;
    pthread_mutex_init(&t->lock, NULL);
    t->chains = 1024;
    t->chain = mem_zalloc(t->chains, sizeof *t->chain);
    if (t->chain)
        t->root = node_new(t, root_device, root_inode, NULL);
    if (!t->root) {
        table_free(t);
        return STATUS_NOMEM;
    }
    *out = t;
    return STATUS_OK;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->chain && i < t->chains; i++)
        for (struct node *next, *n = t->chain[i]; n; n = next) {
            next = n->chain;
            mem_free(n->name);
            mem_free(n);
        }
    mem_free(t->chain);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

struct node *table_root(struct table *t)
{
    return t->root;
}

struct node *table_place(struct table *t, struct node *n, char **out_name)
{
    pthread_mutex_lock(&t->lock);
    struct node *parent = n->parent;
    if (parent) {
        parent->refs++;
        *out_name = mem_strdup(n->name);
    }
    pthread_mutex_unlock(&t->lock);
    return parent;
}

uint64_t table_count(struct table *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t n = t->count;
    pthread_mutex_unlock(&t->lock);
    return n;
}

uint64_t node_device(const struct node *n)
{
    return n->device;
}

uint64_t node_inode(const struct node *n)
{
    return n->inode;
}

status table_lookup(struct table *t, struct node *parent, const char *name, uint64_t device,
                    uint64_t inode, struct node **out)
{
    AUTO(mem_free) char *copy = mem_strdup(name); /* then the old name, or nothing */
    if (!copy)
        return STATUS_NOMEM;
    pthread_mutex_lock(&t->lock);
    status st = lookup_locked(t, parent, &copy, device, inode, out);
    pthread_mutex_unlock(&t->lock);
    return st;
}

void table_forget(struct table *t, struct node *n, uint64_t lookups)
{
    pthread_mutex_lock(&t->lock);
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    remove_if_unused(t, n);
    pthread_mutex_unlock(&t->lock);
}

struct node *table_find(struct table *t, uint64_t device, uint64_t inode)
{
    pthread_mutex_lock(&t->lock);
    struct node *n = find(t, device, inode);
    if (n)
        n->refs++;
    pthread_mutex_unlock(&t->lock);
    return n;
}

void table_ref(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    n->refs++;
    pthread_mutex_unlock(&t->lock);
}

void table_unref(struct table *t, struct node *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&t->lock);
    n->refs--;
    remove_if_unused(t, n);
    pthread_mutex_unlock(&t->lock);
}

status table_all(struct table *t, struct node ***out, size_t *out_n)
{
    pthread_mutex_lock(&t->lock);
    size_t n = 0;
    struct node **all = mem_zalloc(t->count, sizeof *all);
    for (size_t i = 0; all && i < t->chains; i++)
        for (struct node *at = t->chain[i]; at; at = at->chain) {
            at->refs++;
            all[n++] = at;
        }
    pthread_mutex_unlock(&t->lock);
    if (!all)
        return STATUS_NOMEM;
    *out = all;
    *out_n = n;
    return STATUS_OK;
}

status table_path(struct table *t, const struct node *n, const char *name, char out[PATH_MAX])
{
    char *at = out + PATH_MAX - 1; /* built from the end */
    *at = 0;
    bool fits = true;
    pthread_mutex_lock(&t->lock);
    for (const char *part = name ? name : n->name; part;) {
        size_t len = strlen(part), slash = *at != 0;
        fits = (size_t)(at - out) >= len + slash;
        if (!fits)
            break;
        if (slash)
            *--at = '/';
        at -= len;
        memcpy(at, part, len);
        if (name) /* the first part was not n's own */
            name = NULL;
        else
            n = n->parent;
        part = n ? n->name : NULL;
    }
    pthread_mutex_unlock(&t->lock);
    if (!fits)
        return STATUS_LIMIT;
    if (*at)
        memmove(out, at, strlen(at) + 1);
    else
        memcpy(out, ".", 2);
    return STATUS_OK;
}

void table_remember(struct table *t, struct node *n, const struct node_version *v,
                    const struct node_known *known)
{
    pthread_mutex_lock(&t->lock);
    n->judged = *v;
    n->kind = (uint8_t)known->kind;
    n->stored = known->stored;
    n->served_size = known->size;
    n->known = true;
    pthread_mutex_unlock(&t->lock);
}

status table_recall(struct table *t, struct node *n, const struct node_version *v,
                    struct node_known *out)
{
    pthread_mutex_lock(&t->lock);
    status st = !n->known                     ? STATUS_NOT_FOUND
                : same_version(&n->judged, v) ? STATUS_OK
                                              : STATUS_EXISTS;
    if (!st)
        *out = (struct node_known){(enum fused_kind)n->kind, n->stored, n->served_size};
    pthread_mutex_unlock(&t->lock);
    return st;
}

void table_set_changed(struct table *t, struct node *n, int64_t ns)
{
    pthread_mutex_lock(&t->lock);
    n->judged.mtime_ns = ns;
    pthread_mutex_unlock(&t->lock);
}

int64_t table_changed(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    int64_t ns = n->judged.mtime_ns;
    pthread_mutex_unlock(&t->lock);
    return ns;
}

enum open_mode table_open(struct table *t, struct node *n, const struct node_version *v)
{
    enum open_mode mode;
    pthread_mutex_lock(&t->lock);
    if (!n->has_pages || same_version(&n->pages, v))
        mode = OPEN_KEEP;
    else
        mode = n->readers ? OPEN_DIRECT : OPEN_DROP;
    if (mode == OPEN_KEEP) {
        n->has_pages = true;
        n->pages = *v;
    }
    n->readers += mode != OPEN_DIRECT;
    pthread_mutex_unlock(&t->lock);
    return mode;
}

void table_dropped(struct table *t, struct node *n, const struct node_version *v)
{
    pthread_mutex_lock(&t->lock);
    n->pages = *v;
    pthread_mutex_unlock(&t->lock);
}

void table_close(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    n->readers--;
    pthread_mutex_unlock(&t->lock);
}

bool table_has_readers(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    bool has = n->readers > 0;
    pthread_mutex_unlock(&t->lock);
    return has;
}
