/* What a file was judged to be, which version that was of, and which one the kernel knows. */
#include "inode_parts.h"

#include "base/banned.h"

struct node_version node_version(const struct cache_file_id *id)
{
    return (struct node_version){id->size, id->mtime_ns, id->ctime_ns};
}

static bool same_version(const struct node_version *a, const struct node_version *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* Called with t->lock held. */
static void set_version(struct node *n, const struct node_version *v)
{
    if (n->is_known && same_version(&n->judged, v))
        return;
    n->versions += n->is_known;
    n->judged = *v;
    n->is_known = n->has_source = false;
}

void table_remember(struct table *t, struct node *n, const struct node_version *v,
                    const struct node_known *known)
{
    pthread_mutex_lock(&t->lock);
    set_version(n, v);
    /* Whoever looked at the header only does not know what a reader of the bytes knows. */
    if (!n->is_known || n->unsettled || known->has_source || !n->has_source) {
        n->unsettled = known->unsettled;
        n->group = (uint8_t)known->group;
        n->served_size = known->size;
        n->has_source = known->has_source && node_opened(n);
        n->many = known->many;
        n->stored = (n->has_source || n->many) && known->stored;
        if (n->has_source)
            n->opened->source = known->source;
    }
    n->is_known = true;
    pthread_mutex_unlock(&t->lock);
}

status table_recall(struct table *t, struct node *n, const struct node_version *v,
                    struct node_known *out)
{
    pthread_mutex_lock(&t->lock);
    status st = !n->is_known                   ? STATUS_NOT_FOUND
                : !same_version(&n->judged, v) ? STATUS_EXISTS
                : n->unsettled                 ? STATUS_NOT_FOUND
                                               : STATUS_OK;
    if (!st)
        *out = (struct node_known){.group = (enum fused_group)n->group,
                                   .many = n->many,
                                   .stored = n->stored,
                                   .has_source = n->has_source,
                                   .size = n->served_size};
    if (!st && n->has_source)
        out->source = n->opened->source;
    pthread_mutex_unlock(&t->lock);
    return st;
}

bool table_has_changed(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    bool has = n->versions > 0;
    pthread_mutex_unlock(&t->lock);
    return has;
}

bool table_is_image(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    bool is = n->is_known && n->group == FUSED_GROUP_IMAGE && !n->many;
    pthread_mutex_unlock(&t->lock);
    return is;
}

uint32_t table_stale(struct table *t, struct node *n, const struct node_version *v)
{
    pthread_mutex_lock(&t->lock);
    bool other = n->is_known && !same_version(&n->judged, v);
    uint32_t number = n->versions + other;
    if (number <= n->told)
        number = 0;
    pthread_mutex_unlock(&t->lock);
    return number;
}

void table_told(struct table *t, struct node *n, uint32_t number)
{
    pthread_mutex_lock(&t->lock);
    if (n->told < number)
        n->told = number;
    pthread_mutex_unlock(&t->lock);
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
