/* The table of open packs. */
#include "store.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Both with pack_files.lock held. */
static int find_slot(const struct pack_files *f, uint32_t id)
{
    for (int i = 0; i < PACK_FILES_MAX; i++)
        if (f->slot[i].id == id && !f->slot[i].doomed)
            return i;
    return -1;
}

static int free_slot(const struct pack_files *f)
{
    int best = -1;
    for (int i = 0; i < PACK_FILES_MAX; i++) {
        const struct pack_slot *s = &f->slot[i];
        if (!s->id)
            return i;
        if (!s->users && (best < 0 || s->last < f->slot[best].last))
            best = i;
    }
    return best;
}

/* Puts a freshly opened pack into the table when there is a place for it. */
static void keep_pack_file(struct pack_files *f, uint32_t id, struct pack_file *use)
{
    int old = -1;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id) < 0 ? free_slot(f) : -1;
    if (i >= 0) {
        old = f->slot[i].id ? f->slot[i].fd : -1;
        f->slot[i] = (struct pack_slot){.id = id, .fd = use->fd, .users = 1, .last = ++f->clock};
    }
    pthread_mutex_unlock(&f->lock);
    use->slot = i;
    if (old >= 0)
        close(old);
}

status pack_file_acquire(struct cache *c, uint32_t id, struct pack_file *out)
{
    struct pack_files *f = &c->pack_files;
    if (id == 0)
        return STATUS_NOT_FOUND;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id);
    if (i >= 0) {
        f->slot[i].users++;
        f->slot[i].last = ++f->clock;
        *out = (struct pack_file){f->slot[i].fd, i};
    }
    pthread_mutex_unlock(&f->lock);
    if (i >= 0)
        return STATUS_OK;
    AUTO(mem_free) char *path = pack_path(c->dir, id);
    if (!path)
        return STATUS_NOMEM;
    struct pack_file use = {-1, -1};
    status st = site_open(path, O_RDONLY, &use.fd, NULL);
    if (st)
        return st;
    keep_pack_file(f, id, &use);
    *out = use;
    return STATUS_OK;
}

void pack_file_release(struct cache *c, struct pack_file *use)
{
    struct pack_files *f = &c->pack_files;
    int old = use->slot < 0 ? use->fd : -1;
    if (use->slot >= 0) {
        pthread_mutex_lock(&f->lock);
        struct pack_slot *s = &f->slot[use->slot];
        if (--s->users == 0 && s->doomed) {
            old = s->fd;
            *s = (struct pack_slot){0};
        }
        pthread_mutex_unlock(&f->lock);
    }
    if (old >= 0)
        close(old);
}

/* With pack_files.lock held: the descriptor to close, or -1. */
static int doom(struct pack_slot *s)
{
    s->doomed = true;
    if (s->users)
        return -1;
    int fd = s->fd;
    *s = (struct pack_slot){0};
    return fd;
}

void pack_file_forget(struct cache *c, uint32_t id)
{
    struct pack_files *f = &c->pack_files;
    pthread_mutex_lock(&f->lock);
    int i = find_slot(f, id);
    int old = i >= 0 ? doom(&f->slot[i]) : -1;
    pthread_mutex_unlock(&f->lock);
    if (old >= 0)
        close(old);
}

void pack_files_sweep(struct cache *c)
{
    struct pack_files *f = &c->pack_files;
    for (int i = 0; i < PACK_FILES_MAX; i++) {
        struct stat sb;
        int old = -1;
        pthread_mutex_lock(&f->lock);
        struct pack_slot *s = &f->slot[i];
        if (s->id && !s->doomed && fstat(s->fd, &sb) == 0 && sb.st_nlink == 0)
            old = doom(s);
        pthread_mutex_unlock(&f->lock);
        if (old >= 0)
            close(old);
    }
}
