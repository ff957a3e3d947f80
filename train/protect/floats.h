#ifndef TRAIN_PROTECT_FLOATS_H
#define TRAIN_PROTECT_FLOATS_H
/*
 * floats: a large zeroed array for a method to work in. Up to memory_max bytes it is in memory; a
 * larger one is a mapped file without a name, which the kernel writes out when memory is short. Disk
 * space is allocated at once, so that a full disk is an error here and not later. The file is gone
 * when the array is freed or the program ends.
 */
#include "base/base.h"

/* What methods leave in memory: 50,000 perturbations of CIFAR-10 take 0.6 GB. */
#define FLOATS_MEMORY ((size_t)2 << 30)

struct floats {
    float *v;
    size_t bytes;
    bool mapped;
};
status floats_init(struct floats *f, size_t n, size_t memory_max, const char *folder,
                   struct errmsg *e) MUST_USE;
void floats_done(struct floats *f);

#endif
