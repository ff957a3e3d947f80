#ifndef FUSED_BYTES_H
#define FUSED_BYTES_H
/*
 * Served bytes with a reference count, and the memory that keeps the most recently used of them up
 * to a limit, found by the digest of the source file's bytes. An entry that is dropped lives on for
 * whoever still holds a reference.
 */
#include "fused.h"

/* Uninitialised, one reference; the creator may write through bytes_writable until it shares it. */
status bytes_new(size_t len, struct fused_bytes **out) MUST_USE;
uint8_t *bytes_writable(struct fused_bytes *b);
struct fused_bytes *bytes_ref(struct fused_bytes *b);

struct lru;
status lru_new(uint64_t max_bytes, struct lru **out) MUST_USE;
void lru_free(struct lru *l);
/* A reference for the caller, or NULL. */
struct fused_bytes *lru_get(struct lru *l, const struct digest *source);
/* Takes a reference of its own; replaces what was there. Bytes larger than a quarter of the limit
   are not kept, nor is anything when memory has run out. */
void lru_put(struct lru *l, const struct digest *source, struct fused_bytes *b);
uint64_t lru_bytes(struct lru *l);

#endif
