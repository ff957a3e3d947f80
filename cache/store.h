#ifndef CACHE_STORE_H
#define CACHE_STORE_H
/*
 * store: what an open cache is made of, for the files of this folder.
 *
 *     cache.c    open, close, get, has, memo, file         reader.c   read connections, pack files
 *     queue.c    what waits to be written; pending objects  writer.c   the thread that writes it
 *     active.c   the pack this handle appends to            room.c     eviction, compaction
 *     recover.c  making the index agree with the packs      care.c     list, verify, gc, remove, pins
 *
 * Locks, in the order in which they may be taken: write_lock, then one of queue.lock, readers.lock,
 * files.lock, which are never held together nor while anything waits for the disk.
 */
#include "index.h"
#include "pack.h"
#include "site.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- reader.c ---- */
enum {
    READERS_MAX = 8, /* connections; more threads than that wait for one, for microseconds */
    FILES_MAX = 64,  /* open packs, 16 GiB of cache at the default size */
};

/* Read connections, handed out one to a thread for one lookup. */
struct readers {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct index *idle[READERS_MAX]; /* guarded by lock */
    int n_idle;                      /* guarded by lock */
    int n_out;                       /* handed out; guarded by lock */
};

struct file_slot {
    uint32_t id; /* 0: empty */
    int fd;
    int users;
    bool doomed; /* not to be found again; closed with the last user */
    uint64_t last;
};
/* Open packs, for reading. */
struct files {
    pthread_mutex_t lock;
    struct file_slot slot[FILES_MAX]; /* guarded by lock */
    uint64_t clock;                   /* guarded by lock */
};
struct file_use {
    int fd;
    int slot; /* -1: not in the table, closed after use */
};

/* ---- queue.c ---- */
enum {
    PENDING_BUCKETS = 4096,
    SIDE_MEMOS = 4096, /* most of each that one batch takes; more are not recorded */
    SIDE_FILES = 4096,
    SIDE_DROPS = 256,
    SIDE_TOUCHES = 4096,
};

/* One object on its way to a pack. */
struct put {
    struct put *next; /* in the queue, then in the batch */
    struct put *in_bucket;
    struct cache_key key;
    struct cache_shape shape;
    uint64_t len;
    uint64_t checksum;
    uint64_t cost;       /* bytes it counts for in the queue */
    uint8_t *block;      /* as pack_append wants it; NULL when the same key was already waiting */
    cache_done_fn *done; /* (optional) */
    void *arg;
    int users;   /* the queue or batch, and readers that copy; guarded by queue.lock */
    status st;   /* from here on the writer's */
    bool wanted; /* not stored yet: to be appended, at: */
    uint64_t offset;
};

struct memo_put {
    struct digest source;
    struct cache_memo memo;
};
struct file_put {
    struct cache_file_id id;
    struct digest source;
};

/* Small things that ride along with a batch. */
struct side {
    struct memo_put memo[SIDE_MEMOS];
    struct file_put file[SIDE_FILES];
    struct index_row drop[SIDE_DROPS];
    int64_t touch[SIDE_TOUCHES];
    int n_memo, n_file, n_drop, n_touch;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the writer */
    pthread_cond_t room;    /* for cache_put */
    pthread_cond_t settled; /* for cache_flush */
    /* all guarded by lock */
    struct put *first, **last;
    struct put *bucket[PENDING_BUCKETS];
    struct side *filling, *spare; /* spare: NULL while the writer has it */
    uint64_t bytes;               /* waiting or being written */
    uint64_t puts_in, puts_out;   /* accepted, settled */
    uint64_t sides_in, sides_out;
    status error; /* the first since the last flush */
    bool hurry;   /* a flush waits: write small things too */
    bool index_bad;
    bool stop;
};

struct batch {
    struct put *first;
    uint64_t n_puts;
    uint64_t bytes; /* of the records */
    struct side *side;
    uint64_t n_side;
    bool index_bad;
    bool last; /* the writer may end after it */
};

struct counters {
    atomic_ullong hits, misses, unanswered, stored, stored_bytes, evicted, damaged, recovered,
        no_space, failed, rebuilds;
};

/* Who may stop the work that is being done, and how far it is. */
struct asking {
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
    struct files files;
    struct queue queue;
    pthread_t thread;
    bool has_thread;
    atomic_ullong kept_bytes; /* see room_limit */
    pthread_mutex_t write_lock;
    /* all guarded by write_lock */
    struct index *index;        /* NULL between a failure to replace it and the next try */
    struct pack active;         /* where records are appended; fd -1: none yet */
    uint64_t no_space_until_ns; /* until then a full disk is believed to be still full */
    uint64_t no_replace_until_ns;
    bool log_is_short;
    struct asking asking;
};

/* reader.c */
void readers_init(struct cache *c);
void readers_done(struct cache *c);
/* NOT_FOUND: there is no index. Give back with the status of what was done. */
status readers_take(struct cache *c, struct index **out) MUST_USE;
void readers_give(struct cache *c, struct index *x, status st);
/* NOT_FOUND: the pack is gone. */
status files_take(struct cache *c, uint32_t id, struct file_use *out) MUST_USE;
void files_give(struct cache *c, struct file_use *use);
void files_forget(struct cache *c, uint32_t id);
/* Closes what others deleted, so that the space comes back. */
void files_sweep(struct cache *c);
/* NOT_FOUND: the pack is gone; CORRUPT: the record is not what the row says. */
status object_read(struct cache *c, const struct index_row *row, struct cache_object *out) MUST_USE;

/* cache.c */
/* Finds and reads an object on disk; *out_row is where it lies. EXISTS: it has a row, but it is
   damaged or its pack is gone, and *out_row says where it should be. */
status object_fetch(struct cache *c, const struct cache_key *key, struct cache_object *out,
                    struct index_row *out_row) MUST_USE;

#define RESERVE_ROOM (4u << 20) /* on the disk, for a reserve beside an open index and its log */
#define MEMO_MAX 4000000u       /* rows of each of the two tables, together about a gigabyte */

/* queue.c */
status queue_init(struct cache *c) MUST_USE;
void queue_done(struct cache *c);
/* NOT_FOUND, or a copy of a waiting object; out may be NULL. */
status queue_find(struct cache *c, const struct cache_key *key, struct cache_object *out) MUST_USE;
void queue_drop(struct cache *c, const struct index_row *row);
void queue_touch(struct cache *c, int64_t id);
void queue_index_bad(struct cache *c);
/* What was said of it before no longer holds. */
void queue_index_good(struct cache *c);
/* Waits for work, or some seconds; the batch may be empty. */
void queue_take(struct cache *c, struct batch *out);
/* Makes the batch's results known, calls back, frees. side_st: of memos and drops. */
void queue_settle(struct cache *c, struct batch *b, status side_st);
/* cache_flush without forgetting the error. */
status queue_wait(struct cache *c) MUST_USE;

/* writer.c */
status writer_start(struct cache *c) MUST_USE;
void writer_stop(struct cache *c);

/* Everything below: write_lock is held. */

/* care.c */
/* Asks whoever watches what is being done, several times a second; other than OK: stop. */
status ask(struct cache *c) MUST_USE;

/* recover.c */
/* c->index is open, and is the file at the path; one that was opened just now agrees with the
 * packs. */
status index_ready(struct cache *c, struct errmsg *e) MUST_USE;
/* Renames a damaged index aside and builds a new one. CORRUPT: this was done a moment ago. */
status index_replace(struct cache *c, struct errmsg *e) MUST_USE;
/* Adds what packs hold beyond what the index knows, drops rows of packs that are gone. every: look
   at every record of every pack. Packs that others have locked are left out. */
status recover_packs(struct cache *c, bool every, cache_progress_fn *progress, void *arg) MUST_USE;
/* The same for one locked pack; leaves p->end where the next record may go. *out_sealed: nowhere.
 */
status recover_tail(struct cache *c, struct pack *p, bool every, bool *out_sealed) MUST_USE;
/* The ids of the files in packs/, ascending, for mem_free. */
status list_packs(const char *dir, uint32_t **out, size_t *out_n) MUST_USE;

/* active.c */
/* c->active is open, locked and has room. */
status active_take(struct cache *c) MUST_USE;
/* Unlocks and closes it; the next active_take may choose another. */
void active_drop(struct cache *c);
/* After a failure: removes what was appended from `start` on and is not in the index. */
void active_undo(struct cache *c, uint64_t start);

/* room.c */
/* The disk is full: the reserve goes, and the index's log gives its space back and stays short
   until there is room. */
void log_shorten(struct cache *c);
void log_relax(struct cache *c);
/* Bytes that packs may take up in all now that they take up disk_bytes. */
uint64_t room_limit(struct cache *c, uint64_t disk_bytes);
/* Bytes of records that may be added before live ones are evicted. */
uint64_t room_left(struct cache *c, const struct index_totals *t);
/* Evicts and compacts until `need` more bytes fit under max_bytes and above min_free_bytes.
   NO_SPACE: cannot. */
status room_make(struct cache *c, uint64_t need, struct cache_gc_result *r) MUST_USE;
/* The disk is full: deletes one pack, without needing space for it. */
bool room_emergency(struct cache *c);
/* The same where there is not even room to open the index for writing; write_lock aside. */
bool room_before_open(struct cache *c);
/* Deletes the packs that nobody else has locked, with their rows, for which they make the room. */
status room_delete_all(struct cache *c, uint64_t *removed) MUST_USE;
/* Deletes packs without live records. */
status room_delete_empty(struct cache *c, struct cache_gc_result *r) MUST_USE;
/* Deletes the pack, after moving its live records to the active one. BUSY: locked by others. */
status room_reclaim(struct cache *c, uint32_t id, struct cache_gc_result *r) MUST_USE;

#endif
