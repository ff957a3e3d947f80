#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H
/* SHA-256 (OpenSSL) for identities, XXH3-64 (xxHash) for checksums of what we stored ourselves. */
#include "status.h"

#include <stdint.h>

struct digest {
    uint8_t byte[32];
};

enum { DIGEST_HEX_LEN = 64 };

struct digest_part {
    const void *data;
    size_t len;
};

/* SHA-256 over the concatenation of the parts. */
status digest_sha256(const struct digest_part *parts, size_t n, struct digest *out) MUST_USE;
/* SHA-256 over the first len bytes of a file, read in small pieces; *out_n is how many it had. IO.
 */
status digest_sha256_fd(int fd, uint64_t len, struct digest *out, uint64_t *out_n) MUST_USE;
void digest_hex(const struct digest *d, char out[DIGEST_HEX_LEN + 1]);
/* 64 hex digits, any case. */
status digest_parse(const char *hex, struct digest *out) MUST_USE;
int digest_equal(const struct digest *a, const struct digest *b);
uint64_t checksum64(const void *data, size_t len);

#endif
