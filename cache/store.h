#ifndef CACHE_STORE_H
#define CACHE_STORE_H
/*
 * store: what an open cache is made of, for the files of this folder.
 *
 *     cache.c     open, close                   get.c        get, has, memo, file
 *     readers.h   connections, open packs       queue.h      what waits to be written
 *     writer.c    the thread that writes it     active.c     the pack this handle appends to
 *     attach.c    the writer's index            recover.c    making it agree with the packs
 *     space.c     limits, eviction              compact.c    emptying and deleting packs
 *     full_disk.c a disk without space          stats.c      numbers
 *     list.c      list, verify                  gc.c         gc, rebuild
 *     remove.c    remove, pins                  maintain.c   what these four have in common
 *
 * Locks, in the order in which they may be taken: write_lock, then one of queue.lock, readers.lock,
 * pack_files.lock, which are never held together nor while anything waits for the disk.
 */
#include "index.h"
#include "pack.h"
#include "queue.h"
#include "readers.h"
#include "site.h"

#include <pthread.h>
#include <stdatomic.h>

struct counters {
    atomic_ullong hits, misses, unanswered, stored, stored_bytes, evicted, damaged, recovered,
        no_space, failed, rebuilds;
};

/* The progress of long work, and whom to report it to. */
struct report {
    cache_progress_fn *fn; /* or NULL */
    void *arg;
    uint64_t done, total;
};

struct cache {
    char *dir;                /* absolute */
    struct cache_options opt; /* with the defaults filled in */
    char *why_read_only;      /* or NULL */
    enum db_mode read_mode;   /* of readers */
    uint64_t batch_bytes;
    struct counters n;
    struct readers readers;
    struct pack_files pack_files;
    struct queue queue;
    pthread_t thread;
    bool has_thread;
    atomic_ullong kept_bytes; /* see space_limit */
    pthread_mutex_t write_lock;
    /* all guarded by write_lock */
    struct index *index;        /* NULL between a failure to replace it and the next try */
    struct pack active;         /* where records are appended; fd -1: none yet */
    uint64_t no_space_until_ns; /* until then a full disk is believed to be still full */
    uint64_t no_replace_until_ns;
    bool log_is_short;
    struct report report;
};

/* get.c */
/* Finds and reads an object on disk; *out_row is where it lies. EXISTS: it has a row, but it is
   damaged or its pack is gone, and *out_row says where it should be. */
status object_fetch(struct cache *c, const struct cache_key *key, struct cache_object *out,
                    struct index_row *out_row) MUST_USE;

#define RESERVE_SPACE (4u << 20) /* on the disk, for a reserve beside an open index and its log */
#define MEMO_MAX 4000000u        /* rows of each of the two tables, together about a gigabyte */

/* writer.c */
status writer_start(struct cache *c) MUST_USE;
void writer_stop(struct cache *c);

/* maintain.c */
/* Takes write_lock, with everything queued before stored and the index open. */
status maintain_begin(struct cache *c) MUST_USE;
/* The same for long work: report_progress calls fn, until maintain_end. */
status maintain_begin_reporting(struct cache *c, cache_progress_fn *fn, void *arg, uint64_t done,
                                uint64_t total) MUST_USE;
/* Releases write_lock and returns st; after CORRUPT the index will be replaced. */
status maintain_end(struct cache *c, status st);
/* Like reader_acquire, but waits while the index is being replaced. */
status maintain_reader(struct cache *c, struct index **out) MUST_USE;

/* Everything below: write_lock is held. */

/* maintain.c: call it several times a second; other than OK: stop. */
status report_progress(struct cache *c) MUST_USE;

/* attach.c */
/* c->index is open, and is the file at the path; one that was opened just now agrees with the
 * packs. */
status index_ready(struct cache *c, struct errmsg *e) MUST_USE;
/* Renames a damaged index aside and builds a new one. CORRUPT: this was done a moment ago. */
status index_replace(struct cache *c, struct errmsg *e) MUST_USE;

/* recover.c */
/* Adds what packs hold beyond what the index knows, drops rows of packs that are gone. every: look
   at every record of every pack. Packs that others have locked are left out. */
status recover_packs(struct cache *c, bool every, cache_progress_fn *progress, void *arg) MUST_USE;
/* recover_pack.c: the same for one locked pack; leaves p->end where the next record may go.
   *out_sealed: nowhere. */
status recover_tail(struct cache *c, struct pack *p, bool every, bool *out_sealed) MUST_USE;
/* The ids of the files in packs/, ascending, for mem_free. */
status list_packs(const char *dir, uint32_t **out, size_t *out_n) MUST_USE;

/* active.c */
/* c->active is open, locked, and may be appended to. */
status active_open(struct cache *c) MUST_USE;
/* Closes and so unlocks it; the next active_open may choose another. */
void active_close(struct cache *c);
/* After a failure: removes what was appended from `start` on and is not in the index. */
void active_rollback(struct cache *c, uint64_t start);

/* space.c */
/* Bytes that packs may take up in all now that they take up disk_bytes. */
uint64_t space_limit(struct cache *c, uint64_t disk_bytes);
/* Bytes of records that may be added before live ones are evicted. */
uint64_t space_left(struct cache *c, const struct index_totals *t);
/* Evicts and compacts until `need` more bytes fit under max_bytes and above min_free_bytes.
   NO_SPACE: cannot. */
status space_make(struct cache *c, uint64_t need, struct cache_gc_result *r) MUST_USE;
/* Whether `need` more bytes fit under max. */
status space_fits(struct cache *c, uint64_t need, uint64_t max, bool *out_fits) MUST_USE;

/* compact.c */
/* Deletes packs without live records. */
status packs_delete_empty(struct cache *c, struct cache_gc_result *r) MUST_USE;
/* Deletes the pack, after moving its live records to the active one. BUSY: locked by others. */
status pack_reclaim(struct cache *c, uint32_t id, struct cache_gc_result *r) MUST_USE;
/* Whether a pack may be left for later without that being a failure of ours. */
bool pack_not_ours(status st);

/* full_disk.c */
/* Deletes the reserve, frees the space of the index's log and keeps the log short until there is
   space again. */
void log_shorten(struct cache *c);
void log_relax(struct cache *c);
/* Deletes packs until `need` more bytes fit under max. LIMIT: they do not. */
status full_disk_make(struct cache *c, uint64_t need, uint64_t max,
                      struct cache_gc_result *r) MUST_USE;
/* Deletes one pack, without needing space for it. */
bool full_disk_delete_pack(struct cache *c);
/* The same where there is not even space to open the index for writing; write_lock aside. */
bool full_disk_before_open(struct cache *c);
/* Deletes the packs that nobody else has locked, then their rows, for which there is space then. */
status full_disk_delete_all(struct cache *c, uint64_t *removed) MUST_USE;

#endif
