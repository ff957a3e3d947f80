#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H
/*
 * index: the contents of index.sqlite. Each call is one statement on one connection; several that
 * belong together are made between index_begin and index_commit. A row is trusted only if the
 * record that it points to agrees (pack_check).
 *
 * Threads: a struct index belongs to one thread at a time.
 */
#include "db.h"
#include "record.h"

struct index;

struct index_row {
    int64_t id;
    struct cache_key key;
    struct cache_shape shape;
    uint32_t pack;
    uint64_t offset;
    uint64_t used;
    bool pinned; /* filled in by index_page only */
};

struct index_pack {
    uint32_t id;
    bool sealed;    /* nothing is appended any more */
    uint64_t bytes; /* of the file, as far as it has been looked at */
    uint64_t live_bytes;
    uint64_t live_count;
};

struct index_totals {
    uint64_t objects, live_bytes, disk_bytes, packs, profiles, pins, memos, files;
};

/* ---- the file (index.c) ---- */
/* Opens DIR/index.sqlite (mode DB_WRITE, DB_READ or DB_STILL) as it is. NOT_FOUND: there is none.
   Waits while another process replaces it; BUSY: longer than INDEX_LOOK_NS. */
status index_open(const char *dir, enum db_mode mode, struct index **out,
                  struct errmsg *e) MUST_USE;
void index_close(struct index *x); /* NULL allowed */
DEFINE_FREEP(struct index *, index_close)
/* Opens for writing; a file that is missing is created, one that is damaged is first renamed to
   index.sqlite.aside-N. Holds DIR/lock meanwhile; BUSY: another process held it for INDEX_LOCK_NS.
   *out_fresh: the index starts empty. */
status index_attach(const char *dir, struct index **out, bool *out_fresh,
                    struct errmsg *e) MUST_USE;
#define INDEX_LOCK_NS 5000000000u /* a migration of millions of rows takes less */
#define INDEX_LOOK_NS 1000000000u /* a reader can go on without the index */
/* Renames the index away, unless the file at the path is no longer the one x has open. */
status index_put_aside(const char *dir, struct index *x, struct errmsg *e) MUST_USE;
bool index_moved(struct index *x);
status index_self_check(struct index *x) MUST_USE;
/* Gives free pages back to the file system and empties the write-ahead log. */
status index_shrink(struct index *x) MUST_USE;
/* The disk is full: frees the log's space and keeps the log short from now on. */
status index_short_log(struct index *x) MUST_USE;
status index_long_log(struct index *x) MUST_USE;
struct db *index_db(struct index *x); /* for tests */

status index_begin(struct index *x) MUST_USE;
status index_commit(struct index *x) MUST_USE;
void index_rollback(struct index *x); /* nothing when no transaction is open */

/* ---- objects ---- */
status index_find(struct index *x, const struct cache_key *key, struct index_row *out) MUST_USE;
/* The row's location replaces that of an older row of the same key. row->id is ignored. */
status index_add(struct index *x, const struct index_row *row) MUST_USE;
/* Does nothing when the key has a row; *out_added says. */
status index_add_missing(struct index *x, const struct index_row *row, bool *out_added) MUST_USE;
/* Points row (as it was read) to a new place. *out_moved is false when it changed meanwhile. */
status index_move(struct index *x, const struct index_row *row, uint32_t pack, uint64_t offset,
                  bool *out_moved) MUST_USE;
/* Deletes the row if it still points where `row` says. */
status index_drop(struct index *x, const struct index_row *row, bool *out_dropped) MUST_USE;
status index_touch(struct index *x, int64_t id, uint64_t used) MUST_USE;
/* The next number of the clock that `used` and a memo's age are counted in. */
status index_tick(struct index *x, uint64_t *out_now) MUST_USE;
/* Up to max rows with id > after, by id. *out_n < max: there are no more. */
status index_page(struct index *x, int64_t after, struct index_row *rows, int max,
                  int *out_n) MUST_USE;
/* Up to max rows of one pack with offset >= from, by offset. */
status index_pack_page(struct index *x, uint32_t pack, uint64_t from, struct index_row *rows,
                       int max, int *out_n) MUST_USE;
/* Deletes up to max of the least recently used rows that are not pinned. */
status index_evict(struct index *x, int max, uint64_t *out_rows) MUST_USE;
/* Deletes up to max rows whose pack or profile has no row, or whose offset cannot be one. */
status index_drop_lost(struct index *x, int max, uint64_t *out_rows) MUST_USE;
/* Makes right what the index has counted of its rows. */
status index_recount(struct index *x) MUST_USE;
/* Deletes up to max rows in scope. */
status index_remove(struct index *x, enum cache_scope scope, const struct cache_key *key, int max,
                    uint64_t *out_rows) MUST_USE;
status index_pin(struct index *x, enum cache_scope scope, const struct cache_key *key) MUST_USE;
status index_unpin(struct index *x, enum cache_scope scope, const struct cache_key *key) MUST_USE;
/* Forgets profiles without objects and pins. */
status index_prune_profiles(struct index *x) MUST_USE;

/* ---- packs ---- */
status index_pack_get(struct index *x, uint32_t id, struct index_pack *out) MUST_USE;
/* Adds the pack, or sets the two fields; the live counts follow the objects by themselves. */
status index_pack_set(struct index *x, uint32_t id, uint64_t bytes, bool sealed) MUST_USE;
/* Forgets the pack and every row in it. */
status index_pack_drop(struct index *x, uint32_t id, uint64_t *out_rows) MUST_USE;
/* All packs by id, for mem_free. */
status index_packs(struct index *x, struct index_pack **out, size_t *out_n) MUST_USE;
/* An id that no pack had before, larger than `above`. */
status index_new_pack(struct index *x, uint32_t above, uint32_t *out_id) MUST_USE;
/* The packs that hold the least recently used rows that are not pinned, worst first; packs that
   hold a pinned row are left out. */
status index_old_packs(struct index *x, uint32_t *ids, int max, int *out_n) MUST_USE;

/* ---- memo and file ---- */
status index_memo_get(struct index *x, const struct digest *source,
                      struct cache_memo *out) MUST_USE;
status index_memo_put(struct index *x, const struct digest *source, const struct cache_memo *memo,
                      uint64_t now) MUST_USE;
status index_file_get(struct index *x, const struct cache_file_id *id,
                      struct digest *out_source) MUST_USE;
status index_file_put(struct index *x, const struct cache_file_id *id, const struct digest *source,
                      uint64_t now) MUST_USE;
/* Deletes the oldest when there are more than max; some more than needed, to be rare. */
status index_memo_prune(struct index *x, uint64_t max, uint64_t *out_rows) MUST_USE;
status index_file_prune(struct index *x, uint64_t max, uint64_t *out_rows) MUST_USE;
/* Both tables. */
status index_memos_clear(struct index *x) MUST_USE;

status index_totals(struct index *x, struct index_totals *out) MUST_USE;

#endif
