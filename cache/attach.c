/* The writer's index: opened, opened again when another file was put in its place, replaced when it
   is damaged; each time made to agree with the packs. */
#include "store.h"

#define REPLACE_PAUSE_NS 10000000000u /* an index that is damaged again so soon is not replaced */

static status make_dirs(struct cache *c, struct errmsg *e)
{
    struct site site = {0};
    AUTO(mem_free) char *packs = mem_printf("%s/packs", c->dir);
    if (!packs)
        return errmsg_set(e, STATUS_NOMEM, "cannot open %s: out of memory", c->dir);
    status st = site_local(c->dir, e);
    if (!st)
        st = io_mkdirs(c->dir, 1, e);
    if (!st)
        st = site_check(c->dir, &site, e);
    return st ? st : io_mkdirs(packs, 1, e);
}

/* Another process may have created the -shm file, and there may be no space for the log. */
static bool no_room_to_work(struct cache *c)
{
    uint64_t space, size;
    return c->opt.must_write && !site_space(c->dir, &space, &size) && space < RESERVE_BYTES;
}

/* A full disk may be one that the reserve helps with: little is needed, unless there is no index.
 */
static status attach_index(struct cache *c, struct errmsg *e)
{
    bool fresh = false, spent = false;
    status st = index_attach(c->dir, &c->index, &fresh, e);
    if (st == STATUS_NO_SPACE && (spent = reserve_spend(c->dir)))
        st = index_attach(c->dir, &c->index, &fresh, e);
    if (!st && (spent || no_room_to_work(c)))
        log_shorten(c);
    if (!st && fresh)
        atomic_fetch_add(&c->n.rebuilds, 1);
    return st;
}

static status attach(struct cache *c, struct errmsg *e)
{
    status st = make_dirs(c, e);
    if (!st)
        st = attach_index(c, e);
    if (st)
        return st;
    st = recover_packs(c, false, NULL, NULL);
    /* What could not be looked at now is only absent; it is looked at the next time. */
    if (st == STATUS_NO_SPACE || st == STATUS_BUSY || st == STATUS_IO)
        return STATUS_OK;
    return st ? errmsg_set(e, st, "cannot recover %s: %s", c->dir, status_text(st)) : STATUS_OK;
}

static void detach(struct cache *c)
{
    active_close(c);
    index_close(c->index);
    c->index = NULL;
}

status index_ready(struct cache *c, struct errmsg *e)
{
    if (c->index && !index_moved(c->index))
        return STATUS_OK;
    detach(c);
    status st = attach(c, e);
    if (st == STATUS_CORRUPT && c->index) /* it opened, but its inside is damaged */
        return index_replace(c, e);
    if (st)
        detach(c);
    return st;
}

status index_replace(struct cache *c, struct errmsg *e)
{
    uint64_t now = time_mono_ns();
    if (now < c->no_replace_until_ns)
        return errmsg_set(e, STATUS_CORRUPT, "%s: the index is damaged again", c->dir);
    c->no_replace_until_ns = now + REPLACE_PAUSE_NS;
    status st = c->index ? index_put_aside(c->dir, c->index, e) : STATUS_OK;
    detach(c);
    if (!st)
        st = attach(c, e);
    if (st) {
        detach(c);
        return st;
    }
    atomic_fetch_add(&c->n.rebuilds, 1);
    queue_index_good(c);
    return STATUS_OK;
}
