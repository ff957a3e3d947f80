#ifndef CACHE_PACK_H
#define CACHE_PACK_H
/*
 * pack: one packs/N.pack file. Whoever appends to it, truncates it or deletes it holds an exclusive
 * flock on it, and releases it only by closing it; readers need no lock.
 *
 *     struct pack p = PACK_NONE;
 *     pack_create(dir, id, &p);
 *     pack_append(&p, &record, block, &offset); ...   // at p.end, which moves on
 *     pack_sync(&p);                                  // now rows may name the offsets
 *     pack_done(&p);
 *
 * Threads: a struct pack belongs to one thread at a time.
 */
#include "record.h"

/* No run of records between two syncs is longer, unless it is a single record. So only this much of
   a pack's end can be torn, and only there a scan has to read pixels. Part of the format. */
#define PACK_BATCH_MAX (32u << 20)

struct pack {
    int fd; /* -1: none */
    uint32_t id;
    uint64_t salt; /* meaningful when header is OK */
    uint64_t end;  /* where the next record goes; file size after pack_lock */
    status header; /* OK, or CORRUPT: readable but not to be appended to */
};
#define PACK_NONE                                                                                  \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* DIR/packs/NNNNNNNN.pack for mem_free, or NULL. */
char *pack_path(const char *dir, uint32_t id);
/* The id a file name in packs/ stands for; 0 when it is none. */
uint32_t pack_id(const char *name);

/* A new, locked pack with its header written and its name durable. EXISTS: the id is taken. */
status pack_create(const char *dir, uint32_t id, struct pack *out) MUST_USE;
/* Opens and locks an existing pack. DENIED: it is not ours, or no file; BUSY: another process has
   it; NOT_FOUND: it is gone; BAD_VERSION: a later program's, leave it alone. */
status pack_lock(const char *dir, uint32_t id, struct pack *out) MUST_USE;
/* Closes (and so unlocks). Idempotent. */
void pack_done(struct pack *p);
__attribute__((unused)) static inline void pack_donep(struct pack *p)
{
    pack_done(p);
}
/* Deletes the file; the lock must be held. The pack is done afterwards. */
status pack_delete(const char *dir, struct pack *p) MUST_USE;

/* block: record_bytes(r->len) bytes, [RECORD_HEADER_BYTES header][pixels][padding]; the header is
   filled in here. After a failure p->end is unchanged and the bytes behind it are undefined. */
status pack_append(struct pack *p, const struct record *r, uint8_t *block,
                   uint64_t *out_offset) MUST_USE;
status pack_sync(struct pack *p) MUST_USE;
/* Cuts the file back to `end`. */
status pack_rewind(struct pack *p, uint64_t end) MUST_USE;

/* Reads the record at offset, which must have this key and shape, into pixels (its length in bytes)
   and checks it. CORRUPT: it is not there or it is damaged; also what the disk cannot read. */
status pack_read(int fd, uint64_t offset, const struct cache_key *key, struct cache_shape shape,
                 uint8_t *pixels) MUST_USE;
/* Both in two steps: whether such a record is there as far as its header and the file's length say,
   and its pixels (out->len bytes). */
status pack_check(int fd, uint64_t offset, const struct cache_key *key, struct cache_shape shape,
                  struct record *out) MUST_USE;
status pack_pixels(int fd, uint64_t offset, const struct record *r, uint8_t *pixels) MUST_USE;
/* The header at offset, whatever its key. */
status pack_peek(int fd, uint64_t offset, struct record *out) MUST_USE;

#endif
