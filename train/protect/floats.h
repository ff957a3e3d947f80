#ifndef TRAIN_PROTECT_FLOATS_H
#define TRAIN_PROTECT_FLOATS_H
/*
 * floats: a large zeroed array that a method works in. Up to memory_max bytes it is memory; beyond,
 * it is a file without a name in a folder, mapped, which the kernel writes out when memory is
 * wanted. Its room on the disk is taken at once, so that a full disk is an error here and never
 * later. Nothing is left of it when it is freed or the program ends.
 */
#include "base/base.h"

struct floats {
    float *v;
    size_t bytes;
    bool mapped;
};
status floats_init(struct floats *f, size_t n, size_t memory_max, const char *folder,
                   struct errmsg *e) MUST_USE;
void floats_done(struct floats *f);

#endif
