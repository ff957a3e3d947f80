#ifndef TRAIN_PROTECT_FLOATS_H
#define TRAIN_PROTECT_FLOATS_H
/*
 * floats: a large zeroed array for a method to work in. Up to memory_max bytes it is in memory; a
 * larger one is a mapped file without a name, which the kernel writes out when memory is short. Disk
 * space is allocated at once, so that a full disk is an error here and not later. The file is gone
 * when the array is freed or the program ends.
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
