#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H
/*
 * cache: purified pixels on disk, shared by every mount and experiment of one machine.
 *
 *     DIR/index.sqlite     which object lies where (SQLite, WAL); can be thrown away
 *     DIR/packs/N.pack     append-only records: header (key, shape, checksums) + raw pixels
 *     DIR/lock             held for moments while the index is opened or replaced
 *     DIR/reserve          128 KiB that are deleted when a full disk leaves no space to work
 *
 * Invariants
 * - An object is a pure function of its key, so the cache never holds two different truths and
 *   losing an object only costs purifying it again.
 * - cache_get returns exactly the bytes that were put under that key, or STATUS_NOT_FOUND. Header
 *   and pixels are checked on every read; what fails the check is forgotten and counted.
 * - Whenever the process or the machine dies, cache_open succeeds afterwards. What cache_flush (or a
 *   done callback) reported as stored is still there, if the disk kept what it acknowledged.
 * - A lost or damaged index is rebuilt from the packs; the damaged file is renamed to
 *   index.sqlite.aside-N, never deleted behind the user's back.
 *
 * Life cycle
 *     struct cache *c;
 *     st = cache_open(dir, &(struct cache_options){.max_bytes = 50ull << 30}, &c, &err);
 *     st = cache_get(c, &key, &object);              // NOT_FOUND: purify, then
 *     st = cache_put(c, &key, shape, pixels, len, NULL, NULL);
 *     cache_object_done(&object);
 *     st = cache_close(c);                           // writes what is queued
 *
 * Threads: every call may be made from any thread, at the same time, except cache_close, which must
 * be the last call. Several processes may have one directory open. A handle does not survive
 * fork(): open in the child.
 *
 * Where a cache may be
 * - On a local file system: SQLite's log needs locks and memory that all its users share. On NFS,
 *   SMB, Lustre, 9p, FUSE and their like cache_open is UNSUPPORTED, unless nothing is written.
 * - In a directory that belongs to the user or to root, in which nobody else can replace anything,
 *   and whose files are regular ones of these two users; links in it are not followed. What is
 *   created has mode 0700 and 0600.
 * - Where it cannot be written (a read-only file system or directory, a disk so full that not even
 *   the reserve helps), a cache that is there is opened for reading: cache_read_only says why.
 *
 * May block: cache_get, cache_has, cache_memo_get and cache_file_get read the disk but never wait
 * for a writer (except for a moment, when the index is replaced); cache_try_put, cache_memo_put and
 * cache_file_put only copy into a queue; everything else may wait for the disk.
 */
#include "base/base.h"

#include <stdbool.h>

struct cache;

#define CACHE_NO_LIMIT UINT64_MAX

struct cache_options {
    uint64_t max_bytes;      /* limit for all packs together; 0: cache_default_limits. Exceeded by
                                at most one pack while that is being compacted */
    uint64_t min_free_bytes; /* of the file system that the cache leaves free; 0:
                                cache_default_limits. A put that would go below evicts, or is
                                NO_SPACE */
    uint64_t pack_bytes;     /* a pack is closed when it reaches this; 0: 256 MiB, less for small
                                limits */
    uint64_t queue_bytes;    /* most that waits to be written; 0: 64 MiB. One larger object is
                                accepted when the queue is empty */
    bool read_only;  /* no writer, nothing is created, renamed or repaired (SQLite may create its
                        -shm file); puts are DENIED */
    bool must_write; /* fail where it would be opened for reading only */
    bool make_space; /* when the disk is so full that the index cannot be opened even without the
                        reserve: delete the least recently used pack */
};

/* The limits where the options say 0: a quarter of the file system, at most 512 GiB (50 GiB where
   its size is not known), and 5 % of it free, at most 8 GiB. dir need not exist yet. */
struct cache_limits {
    uint64_t max_bytes;
    uint64_t min_free_bytes;
};
struct cache_limits cache_default_limits(const char *dir);

/* (pixels, profile): SHA-256 of the source's shape and decoded pixels, and the profile's id. */
struct cache_key {
    struct digest pixels;
    struct digest profile;
};

/* Each 1 or more; width * height * channels = bytes of pixels, at most CACHE_OBJECT_MAX. */
struct cache_shape {
    uint32_t width;    /* px */
    uint32_t height;   /* px */
    uint32_t channels; /* 1 .. 4 */
};
#define CACHE_OBJECT_MAX (1u << 30)

struct cache_object {
    struct cache_shape shape;
    uint8_t *pixels; /* (height, width, channels), owned: cache_object_done */
    size_t len;      /* bytes */
};

/* ---- open and close ---- */
/* Opens dir, creating it and what is in it. opt may be NULL. Recovers what a crash left behind.
   After any failure the caller can go on without a cache; e says why and what to do: UNSUPPORTED: a
   network file system. DENIED: another user's directory or file, or it cannot be written and is no
   cache. NO_SPACE. BUSY: DIR/lock has been held for 5 s. BAD_VERSION: a later program's. read_only
   on a directory that is no cache: NOT_FOUND; on a damaged index: CORRUPT. */
status cache_open(const char *dir, const struct cache_options *opt, struct cache **out,
                  struct errmsg *e) MUST_USE;
/* NULL when puts are stored; else a sentence that says why this handle only reads. Lives as long as
   the handle. */
const char *cache_read_only(const struct cache *c);
/* Writes what is queued, then frees, whatever the status (that of the last flush). NULL allowed. */
status cache_close(struct cache *c);
__attribute__((unused)) static inline void cache_closep(struct cache **c)
{
    status_ignore(cache_close(*c), "a scope left early has reported its own failure");
}

/* ---- objects ---- */
/* Reads one object, also one that is still queued. Marks it as used. NOT_FOUND: not there, evicted
   meanwhile, or damaged (then it is forgotten and counted in cache_stats.damaged), or the disk or
   the index did not answer (cache_stats.unanswered): purify. NOMEM. Nothing else. */
status cache_get(struct cache *c, const struct cache_key *key, struct cache_object *out) MUST_USE;
void cache_object_done(struct cache_object *o);

/* Whether cache_get would look for it on disk or in the queue; OK, NOT_FOUND or NOMEM. Reads no
   pixels, so a damaged object is still "there" until it is read; does not mark it as used. */
status cache_has(struct cache *c, const struct cache_key *key) MUST_USE;

/* What an object of so many bytes of pixels takes in the packs. */
uint64_t cache_object_bytes(uint64_t pixel_bytes);

/* Called exactly once for every accepted put, on the cache's own thread and without a lock held.
   st: OK: durable (or already stored); NO_SPACE: the disk or the limit is full and nothing could
   be evicted; AGAIN: it had waited for another put of its key, which failed; IO, BUSY, ...: not
   stored. It may call cache_get, _has, _try_put, _memo_*, _file_*; not
   _put, _flush, _close or anything below "maintenance". */
typedef void cache_done_fn(void *arg, status st);

/* Copies the pixels into the queue of the writer thread, which stores a whole queue with one sync
   and one transaction. From then on cache_get of this handle finds it; if storing fails it is gone
   again. done may be NULL. Waits while the queue is full.
   DENIED: read_only; INVALID: shape and len disagree; NOMEM. */
status cache_put(struct cache *c, const struct cache_key *key, struct cache_shape shape,
                 const void *pixels, size_t len, cache_done_fn *done, void *arg) MUST_USE;
/* The same, but AGAIN instead of waiting. It is fine to go on without storing. */
status cache_try_put(struct cache *c, const struct cache_key *key, struct cache_shape shape,
                     const void *pixels, size_t len, cache_done_fn *done, void *arg) MUST_USE;
/* Waits until everything that was queued before the call is settled: on disk or given up, and its
   done callback has returned. It does not wait for what others queue meanwhile, nor for space: on a
   full disk or cache a put is settled, with NO_SPACE. OK: all of it is durable; otherwise the first
   failure since the last flush, reported to one caller only. To know what is stored, ask per
   object: after cache_flush, whatever it returned, done callbacks have said which puts are durable
   (OK), and cache_has is OK for exactly what has a row, apart from later puts. What is stored may
   still be evicted later. */
status cache_flush(struct cache *c) MUST_USE;

/* ---- memo: a source file's bytes -> what decoding and hashing its pixels gave ---- */
/* Keyed by the SHA-256 of the bytes, so that an entry is true whatever the file is called, wherever
   it lies, and whatever number its file system gives it today. */
enum { CACHE_MEMO_INFO_MAX = 64 };

struct cache_memo {
    uint32_t format; /* the caller's number */
    struct cache_shape shape;
    struct digest pixels;
    uint32_t info_len; /* bytes of info in use, <= CACHE_MEMO_INFO_MAX */
    uint8_t info[CACHE_MEMO_INFO_MAX];
};

/* OK, NOT_FOUND or NOMEM. */
status cache_memo_get(struct cache *c, const struct digest *source,
                      struct cache_memo *out) MUST_USE;
/* Queues the entry, which replaces an older one; found by cache_memo_get after the next batch
   (cache_flush to be sure). AGAIN, and nothing is queued: the queue is full. */
status cache_memo_put(struct cache *c, const struct digest *source,
                      const struct cache_memo *memo) MUST_USE;

/* ---- file: a source file's metadata -> the digest of its bytes ---- */
/* Only as reliable as these numbers: file systems reuse and renumber inodes, and two that are
   mounted one after the other on one device may have the same. For sources of which the user said
   that they do not change; otherwise read the bytes. */
struct cache_file_id {
    uint64_t device;
    uint64_t inode;
    uint64_t size;    /* bytes */
    int64_t mtime_ns; /* tv_sec * 1e9 + tv_nsec */
    int64_t ctime_ns;
};
/* OK, NOT_FOUND (also when any of the five fields differs) or NOMEM. */
status cache_file_get(struct cache *c, const struct cache_file_id *id,
                      struct digest *out_source) MUST_USE;
/* Queues the entry, which replaces an older one for (device, inode), like cache_memo_put. `id` must
   have been taken before the file was read. AGAIN, and nothing is queued: the queue is full, or the
   file changed so recently that another change could leave the same times behind. */
status cache_file_put(struct cache *c, const struct cache_file_id *id,
                      const struct digest *source) MUST_USE;

/* ---- maintenance ---- */
struct cache_stats {
    /* of the directory */
    uint64_t objects;
    uint64_t live_bytes; /* records that have a row */
    uint64_t disk_bytes; /* packs, dead records included */
    uint64_t packs;
    uint64_t profiles;
    uint64_t pins;
    uint64_t memos;
    uint64_t files;
    uint64_t index_bytes; /* index.sqlite, -wal */
    uint64_t aside_files; /* index.sqlite.aside-N */
    uint64_t aside_bytes;
    uint64_t max_bytes; /* of this handle; CACHE_NO_LIMIT: none */
    uint64_t min_free_bytes;
    uint64_t free_bytes; /* that may still be stored before something is evicted */
    /* of this handle, since cache_open */
    uint64_t hits;
    uint64_t misses;
    uint64_t unanswered; /* of the misses: the disk or the index failed */
    uint64_t stored;
    uint64_t stored_bytes;
    uint64_t evicted;
    uint64_t damaged;   /* objects forgotten because a check failed */
    uint64_t recovered; /* objects found in packs that had no row */
    uint64_t no_space;  /* puts that were refused */
    uint64_t failed;    /* puts that failed otherwise */
    uint64_t rebuilds;  /* times the index was replaced */
    uint64_t queued_bytes;
};
status cache_stats(struct cache *c, struct cache_stats *out) MUST_USE;

struct cache_entry {
    struct cache_key key;
    struct cache_shape shape;
    uint64_t bytes; /* on disk, header included */
    uint64_t used;  /* sequence number of the last use; larger is later */
    uint32_t pack;
    uint64_t offset;
    bool pinned;
};
/* Anything but OK ends the walk and is what cache_list returns. No lock is held. */
typedef status cache_list_fn(void *arg, const struct cache_entry *entry);
/* Every stored object, in the order of storing. Objects that come or go meanwhile may be missed. */
status cache_list(struct cache *c, cache_list_fn *fn, void *arg) MUST_USE;

/* done of total (bytes, or packs for rebuild), several times a second and often with the same
   numbers; other than OK ends the work soon, with that status. */
typedef status cache_progress_fn(void *arg, uint64_t done, uint64_t total);

struct cache_verify_options {
    bool repair;                 /* forget damaged objects (and see read_only) */
    cache_list_fn *bad;          /* called for each damaged object; may be NULL */
    cache_progress_fn *progress; /* bytes; may be NULL */
    void *arg;                   /* of both */
};
struct cache_verify_result {
    uint64_t objects; /* looked at */
    uint64_t bytes;
    uint64_t bad;
    bool index_ok; /* SQLite's own check */
};
/* Reads every object again. OK even when some are bad: look at the result. CORRUPT: the index is so
   damaged that its rows cannot be read; it is being replaced, try again. */
status cache_verify(struct cache *c, const struct cache_verify_options *opt,
                    struct cache_verify_result *out) MUST_USE;

struct cache_gc_options {
    bool drop_aside;             /* also delete index.sqlite.aside-N */
    cache_progress_fn *progress; /* packs; may be NULL */
    void *arg;
};
struct cache_gc_result {
    uint64_t evicted;       /* objects, to get under max_bytes */
    uint64_t packs_deleted; /* rewritten ones included */
    uint64_t packs_compacted;
    uint64_t bytes_freed; /* of disk */
    uint64_t memos_pruned;
    uint64_t files_pruned;
    uint64_t aside_deleted;
};
/* Brings the directory under max_bytes, deletes empty packs, rewrites packs that are mostly dead,
   prunes the memo and file tables, and shrinks the index; one that is damaged is replaced. Safe
   while others read and write. */
status cache_gc(struct cache *c, const struct cache_gc_options *opt,
                struct cache_gc_result *out) MUST_USE;

/* Makes the index agree with the packs by reading every record header (pixels only near a pack's
   end): adds what is missing, drops what is not there. *out_objects: rows afterwards. Packs that
   another process is appending to are left to it. Pins, memos and files are kept. */
status cache_rebuild(struct cache *c, cache_progress_fn *progress, void *arg,
                     uint64_t *out_objects) MUST_USE;

/* What a removal or a pin applies to: everything, one profile, or one object. */
enum cache_scope { CACHE_ALL, CACHE_PROFILE, CACHE_KEY, CACHE_SCOPE_COUNT };

/* Forgets the objects, also pinned ones, and gives whole packs back to the disk (cache_gc gives
   back the rest). key is read as far as scope says; NULL for CACHE_ALL, which forgets the memo
   and file tables too. *out_removed may be NULL. */
status cache_remove(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                    uint64_t *out_removed) MUST_USE;

/* Pinned objects are not evicted. A pin outlives the handle, may be set before the object exists,
   and is forgotten with a lost index. Pinning twice is pinning once; unpinning what is not pinned
   is NOT_FOUND. CACHE_ALL is INVALID for pin and unpins everything for unpin. */
status cache_pin(struct cache *c, enum cache_scope scope, const struct cache_key *key) MUST_USE;
status cache_unpin(struct cache *c, enum cache_scope scope, const struct cache_key *key) MUST_USE;

#endif
