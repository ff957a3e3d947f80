#include "digest.h"

#include "cleanup.h"
#include "seam.h"
#include <openssl/evp.h>
#include <string.h>
#include <xxhash.h>

#include "banned.h"

static void ctx_free(EVP_MD_CTX *ctx)
{
    EVP_MD_CTX_free(ctx);
}
DEFINE_FREEP(EVP_MD_CTX *, ctx_free)

status digest_sha256(const struct digest_part *parts, size_t n, struct digest *out)
{
    AUTO(ctx_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return STATUS_NOMEM;
    if (!EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
        return STATUS_INTERNAL;
    for (size_t i = 0; i < n; i++)
        if (parts[i].len && !EVP_DigestUpdate(ctx, parts[i].data, parts[i].len))
            return STATUS_INTERNAL;
    struct digest d;
    if (!EVP_DigestFinal_ex(ctx, d.byte, NULL))
        return STATUS_INTERNAL;
    *out = d;
    return STATUS_OK;
}

status digest_sha256_fd(int fd, uint64_t len, struct digest *out, uint64_t *out_n)
{
    unsigned char piece[65536];
    AUTO(ctx_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        return STATUS_NOMEM;
    if (!EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
        return STATUS_INTERNAL;
    uint64_t at = 0;
    for (size_t n = sizeof piece; at < len && n; at += n) {
        status st = io_pread(fd, piece, len - at < sizeof piece ? (size_t)(len - at) : sizeof piece,
                             (off_t)at, &n);
        if (st)
            return st;
        if (!EVP_DigestUpdate(ctx, piece, n))
            return STATUS_INTERNAL;
    }
    struct digest d;
    if (!EVP_DigestFinal_ex(ctx, d.byte, NULL))
        return STATUS_INTERNAL;
    *out = d;
    *out_n = at;
    return STATUS_OK;
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out[2 * i] = hex[d->byte[i] >> 4];
        out[2 * i + 1] = hex[d->byte[i] & 15];
    }
    out[DIGEST_HEX_LEN] = 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

status digest_parse(const char *hex, struct digest *out)
{
    if (strnlen(hex, DIGEST_HEX_LEN + 1) != DIGEST_HEX_LEN)
        return STATUS_INVALID;
    struct digest d;
    for (int i = 0; i < 32; i++) {
        int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return STATUS_INVALID;
        d.byte[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = d;
    return STATUS_OK;
}

int digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}

uint64_t checksum64(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}
