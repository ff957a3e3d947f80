#ifndef PURIFY_NETWORK_H
#define PURIFY_NETWORK_H
/* What all purifiers with a network need. */
#include "purify/purify.h"

/* UNSUPPORTED: a colour image, and a network of one channel. */
status network_takes(const struct image *img, int channels, struct errmsg *e) MUST_USE;
/* The key of the noise that an image gets under a profile: the first 8 bytes of SHA-256(pixel digest,
   profile id), little-endian. */
status network_noise_key(const struct image *img, const struct digest *profile,
                         uint64_t *out) MUST_USE;
/* A network gone wrong must not become pixels: INTERNAL when one of n numbers is not finite. */
status network_is_sane(const float *x, size_t n, struct errmsg *e) MUST_USE;

#endif
