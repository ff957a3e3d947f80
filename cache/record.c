/*
 * A pack, byte by byte. All numbers are little-endian; checksums are XXH3-64.
 *
 *     pack     = pack header, record*, possibly a torn or unused tail
 *     record   = record header, pixels, zeros up to a multiple of 64
 *
 *     pack header (64 bytes)               record header (128 bytes)
 *      0  8  "RLFSPACK"                      0  8  "RLFSRECD"
 *      8  4  version, 1                      8  4  version, 1
 *     12  4  bytes of this header           12  4  bytes of this header
 *     16  8  salt                           16  8  salt of the pack
 *     24  8  created, ns since 1970         24 32  key: pixels
 *     32 24  zero                           56 32  key: profile
 *     56  8  checksum of bytes 0-55         88  4  width
 *                                           92  4  height
 *                                           96  4  channels
 *                                          100  4  zero
 *                                          104  8  bytes of pixels
 *                                          112  8  checksum of the pixels
 *                                          120  8  checksum of bytes 0-119
 */
#include "record.h"

#include <endian.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

static const char pack_magic[8] = "RLFSPACK";
static const char rec_magic[8] = "RLFSRECD";

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

bool record_shape_ok(struct cache_shape s, uint64_t *out_len)
{
    if (s.channels < 1 || s.channels > 4 || s.width < 1 || s.height < 1)
        return false;
    if (s.width > CACHE_OBJECT_MAX || s.height > CACHE_OBJECT_MAX)
        return false;
    uint64_t area = (uint64_t)s.width * s.height; /* <= 2^60 */
    if (area > CACHE_OBJECT_MAX / s.channels)
        return false;
    *out_len = area * s.channels;
    return true;
}

uint64_t record_bytes(uint64_t len)
{
    return (RECORD_HEADER_BYTES + len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

uint64_t cache_object_bytes(uint64_t pixel_bytes)
{
    return record_bytes(pixel_bytes);
}

void pack_header_encode(uint64_t salt, uint64_t created_ns, uint8_t out[PACK_HEADER_BYTES])
{
    memset(out, 0, PACK_HEADER_BYTES);
    memcpy(out, pack_magic, sizeof pack_magic);
    put32(out + 8, FORMAT_VERSION);
    put32(out + 12, PACK_HEADER_BYTES);
    put64(out + 16, salt);
    put64(out + 24, created_ns);
    put64(out + 56, checksum64(out, 56));
}

status pack_header_decode(const uint8_t in[PACK_HEADER_BYTES], uint64_t *out_salt)
{
    if (memcmp(in, pack_magic, sizeof pack_magic) != 0 || get64(in + 56) != checksum64(in, 56))
        return STATUS_CORRUPT;
    if (get32(in + 8) != FORMAT_VERSION || get32(in + 12) != PACK_HEADER_BYTES)
        return STATUS_BAD_VERSION;
    *out_salt = get64(in + 16);
    return STATUS_OK;
}

void record_encode(const struct record *r, uint64_t salt, uint8_t out[RECORD_HEADER_BYTES])
{
    memcpy(out, rec_magic, sizeof rec_magic);
    put32(out + 8, FORMAT_VERSION);
    put32(out + 12, RECORD_HEADER_BYTES);
    put64(out + 16, salt);
    memcpy(out + 24, r->key.pixels.byte, 32);
    memcpy(out + 56, r->key.profile.byte, 32);
    put32(out + 88, r->shape.width);
    put32(out + 92, r->shape.height);
    put32(out + 96, r->shape.channels);
    put32(out + 100, 0);
    put64(out + 104, r->len);
    put64(out + 112, r->checksum);
    put64(out + 120, checksum64(out, 120));
}

bool record_magic(const uint8_t *in)
{
    return memcmp(in, rec_magic, sizeof rec_magic) == 0;
}

status record_decode(const uint8_t in[RECORD_HEADER_BYTES], struct record *out, uint64_t *out_salt)
{
    if (!record_magic(in) || get64(in + 120) != checksum64(in, 120))
        return STATUS_CORRUPT;
    if (get32(in + 8) != FORMAT_VERSION || get32(in + 12) != RECORD_HEADER_BYTES)
        return STATUS_CORRUPT;
    struct record r = {
        .shape = {get32(in + 88), get32(in + 92), get32(in + 96)},
        .len = get64(in + 104),
        .checksum = get64(in + 112),
    };
    memcpy(r.key.pixels.byte, in + 24, 32);
    memcpy(r.key.profile.byte, in + 56, 32);
    uint64_t len;
    if (!record_shape_ok(r.shape, &len) || len != r.len)
        return STATUS_CORRUPT;
    *out = r;
    *out_salt = get64(in + 16);
    return STATUS_OK;
}
