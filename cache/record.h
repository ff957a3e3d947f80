#ifndef CACHE_RECORD_H
#define CACHE_RECORD_H
/* The bytes of a pack: its file header and its record headers. Layout in record.c. No I/O. */
#include "cache.h"

enum {
    RECORD_ALIGN = 64, /* every record starts at a multiple, so that a scan can find the next one */
    PACK_HEADER_BYTES = 64,
    RECORD_HEADER_BYTES = 128,
};

struct record {
    struct cache_key key;
    struct cache_shape shape;
    uint64_t len; /* bytes of pixels */
    uint64_t checksum;
};

/* Whether the shape is one that may be stored; *out_len its bytes. */
bool record_shape_ok(struct cache_shape shape, uint64_t *out_len);
/* Bytes a record with len bytes of pixels takes in a pack, padding included. */
uint64_t record_bytes(uint64_t len);

/* salt: the random number of the pack, so that pixels which happen to look like a record of some
   other pack are not taken for one. */
void pack_header_encode(uint64_t salt, uint64_t created_ns, uint8_t out[PACK_HEADER_BYTES]);
/* CORRUPT, or BAD_VERSION when it is a pack of a later program. */
status pack_header_decode(const uint8_t in[PACK_HEADER_BYTES], uint64_t *out_salt) MUST_USE;

void record_encode(const struct record *r, uint64_t salt, uint8_t out[RECORD_HEADER_BYTES]);
/* CORRUPT unless every field and the header checksum hold. *out_salt is for the caller to judge. */
status record_decode(const uint8_t in[RECORD_HEADER_BYTES], struct record *out,
                     uint64_t *out_salt) MUST_USE;
/* A cheap first look for scans. */
bool record_magic(const uint8_t *in);

#endif
