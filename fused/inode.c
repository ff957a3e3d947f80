/*
 * A chained hash table that doubles when it is full. Names are separate strings since a rename
 * changes them. A node is removed when lookups and refs are both 0; a child holds a reference to
 * its parent, so removal may climb; it does so in a loop, not by recursion.
 */
#include "inode_parts.h"

#include <string.h>

#include "base/banned.h"

static size_t hash(uint64_t device, uint64_t inode)
{
    return (size_t)((inode ^ device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu >> 20);
}

static void node_free(struct node *n)
{
    mem_free(n->opened);
    mem_free(n->name);
    mem_free(n);
}

/* ---- the table, all called with t->lock held ---- */

/* The next one in n's chain; n may be the chain's first. */
static struct node *match(struct node *n, uint64_t device, uint64_t inode)
{
    while (n && (n->inode != inode || n->device != device))
        n = n->chain;
    return n;
}

static struct node *find(struct table *t, uint64_t device, uint64_t inode)
{
    return match(t->chain[hash(device, inode) & (t->chains - 1)], device, inode);
}

static bool is_at(const struct node *n, const struct node *parent, const char *name)
{
    return n->parent == parent && n->name && strcmp(n->name, name) == 0;
}

/* The one at this place, or NULL. */
static struct node *find_at(struct table *t, const struct node *parent, const char *name,
                            uint64_t device, uint64_t inode)
{
    struct node *n = find(t, device, inode);
    while (n && !is_at(n, parent, name))
        n = match(n->chain, device, inode);
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
        node_free(n);
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
                            uint64_t inode, bool unsure, struct node **out)
{
    struct node *n = find_at(t, parent, *name, device, inode);
    if (!n)
        n = find(t, device, inode);
    if (n && is_ancestor(n, parent))
        return STATUS_INVALID;
    if (n && unsure && !is_at(n, parent, *name))
        n = NULL;
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

/* Built from the end. */
static status path_locked(const struct node *n, const char *name, char out[PATH_MAX])
{
    char *at = out + PATH_MAX - 1;
    *at = 0;
    for (const char *part = name ? name : n->name; part;) {
        size_t len = strlen(part), slash = *at != 0;
        if ((size_t)(at - out) < len + slash)
            return STATUS_LIMIT;
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
    if (*at)
        memmove(out, at, strlen(at) + 1);
    else
        memcpy(out, ".", 2);
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
            node_free(n);
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
                    uint64_t inode, bool unsure, struct node **out)
{
    AUTO(mem_free) char *copy = mem_strdup(name); /* then the old name, or nothing */
    if (!copy)
        return STATUS_NOMEM;
    pthread_mutex_lock(&t->lock);
    status st = lookup_locked(t, parent, &copy, device, inode, unsure, out);
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

bool table_elsewhere(struct table *t, struct node *parent, const char *name, uint64_t device,
                     uint64_t inode, char out_path[PATH_MAX])
{
    pthread_mutex_lock(&t->lock);
    struct node *n = find_at(t, parent, name, device, inode) ? NULL : find(t, device, inode);
    bool elsewhere = n && path_locked(n, NULL, out_path) == STATUS_OK;
    pthread_mutex_unlock(&t->lock);
    return elsewhere;
}

struct node *table_find(struct table *t, uint64_t device, uint64_t inode, const char *path)
{
    char at[PATH_MAX];
    pthread_mutex_lock(&t->lock);
    struct node *first = find(t, device, inode), *n = first;
    if (first && match(first->chain, device, inode)) /* rare: a path costs more than the rest */
        while (n && (path_locked(n, NULL, at) || strcmp(at, path) != 0))
            n = match(n->chain, device, inode);
    n = n ? n : first;
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
    pthread_mutex_lock(&t->lock);
    status st = path_locked(n, name, out);
    pthread_mutex_unlock(&t->lock);
    return st;
}
