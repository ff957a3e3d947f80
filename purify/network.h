#ifndef PURIFY_NETWORK_H
#define PURIFY_NETWORK_H
/* What all purifiers with a network check. */
#include "purify/purify.h"

/* UNSUPPORTED: a colour image, and a network of one channel. */
status network_takes(const struct image *img, int channels, struct errmsg *e) MUST_USE;
/* A network gone wrong must not become pixels: INTERNAL when one of n numbers is not finite. */
status network_is_sane(const float *x, size_t n, struct errmsg *e) MUST_USE;

#endif
