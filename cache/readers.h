#ifndef CACHE_READERS_H
#define CACHE_READERS_H
/*
 * readers: connections to the index and open packs that all threads share for reading.
 *
 * What was acquired is released by the same thread, soon: a thread has one connection for one
 * lookup, and a pack for one record.
 */
#include "index.h"

#include <pthread.h>

struct cache;

enum {
    READERS_MAX = 8,    /* connections; more threads than that wait for one, for microseconds */
    PACK_FILES_MAX = 64 /* open packs, 16 GiB of cache at the default size */
};

struct readers {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct index *idle[READERS_MAX]; /* guarded by lock */
    int n_idle;                      /* guarded by lock */
    int n_out;                       /* acquired; guarded by lock */
};

struct pack_slot {
    uint32_t id; /* 0: empty */
    int fd;
    int users;
    bool doomed; /* not to be found again; closed with the last user */
    uint64_t last;
};
struct pack_files {
    pthread_mutex_t lock;
    struct pack_slot slot[PACK_FILES_MAX]; /* guarded by lock */
    uint64_t clock;                        /* guarded by lock */
};
struct pack_file {
    int fd;
    int slot; /* -1: not in the table, closed after use */
};

void readers_init(struct cache *c);
void readers_done(struct cache *c);
/* NOT_FOUND: there is no index. */
status reader_acquire(struct cache *c, struct index **out) MUST_USE;
/* st: of what was done with it. One that failed is closed, and CORRUPT has the index replaced. */
void reader_release(struct cache *c, struct index *x, status st);
/* NOT_FOUND: the pack is gone. */
status pack_file_acquire(struct cache *c, uint32_t id, struct pack_file *out) MUST_USE;
void pack_file_release(struct cache *c, struct pack_file *file);
/* The pack was deleted: its number may come to stand for another. */
void pack_file_forget(struct cache *c, uint32_t id);
/* Closes packs that other processes deleted, so that the space comes back. */
void pack_files_sweep(struct cache *c);
/* NOT_FOUND: the pack is gone; CORRUPT: the record is not what the row says. */
status object_read(struct cache *c, const struct index_row *row, struct cache_object *out) MUST_USE;

#endif
