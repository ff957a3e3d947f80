/* Whose content the kernel's page cache holds, and how a new opener comes to its own. */
#include "inode_parts.h"

#include <string.h>

#include "base/banned.h"

struct node_content node_content(const struct node_known *known, const struct node_version *v)
{
    struct node_content c = {.by_version = known->group != FUSED_GROUP_IMAGE || known->many};
    if (c.by_version)
        memcpy(c.digest.byte, v, sizeof *v);
    else
        c.digest = known->source;
    return c;
}
_Static_assert(sizeof(struct node_version) <= sizeof(struct digest), "it fits");

static bool same_content(const struct node_content *a, const struct node_content *b)
{
    return a->by_version == b->by_version && digest_equal(&a->digest, &b->digest);
}

struct opened *node_opened(struct node *n)
{
    if (!n->opened)
        n->opened = mem_zalloc(1, sizeof *n->opened);
    return n->opened;
}

enum open_mode table_open(struct table *t, struct node *n, const struct node_content *c)
{
    enum open_mode mode = OPEN_KEEP;
    pthread_mutex_lock(&t->lock);
    struct opened *o = node_opened(n);
    if (!o)
        mode = OPEN_DIRECT;
    else if (o->dropping)
        mode = same_content(&o->drop_to, c) ? OPEN_DROP : OPEN_DIRECT;
    else if (o->has_pages && !same_content(&o->pages, c))
        mode = o->readers && !c->by_version ? OPEN_DIRECT : OPEN_DROP;
    if (mode == OPEN_DROP) {
        o->dropping++;
        o->drop_to = *c;
    } else if (mode == OPEN_KEEP) {
        o->has_pages = true;
        o->pages = *c;
    }
    if (mode != OPEN_DIRECT)
        o->readers++;
    pthread_mutex_unlock(&t->lock);
    return mode;
}

void table_dropped(struct table *t, struct node *n, const struct node_content *c)
{
    pthread_mutex_lock(&t->lock);
    n->opened->dropping--;
    n->opened->pages = *c;
    pthread_mutex_unlock(&t->lock);
}

void table_close(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    n->opened->readers--;
    pthread_mutex_unlock(&t->lock);
}

bool table_has_readers(struct table *t, struct node *n)
{
    pthread_mutex_lock(&t->lock);
    bool has = n->opened && n->opened->readers > 0;
    pthread_mutex_unlock(&t->lock);
    return has;
}
