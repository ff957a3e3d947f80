#ifndef PURIFY_BLOCKS_H
#define PURIFY_BLOCKS_H
/*
 * Purifiers that make an image block by block, once or several times over. A block is computed from
 * the output of the pass before, at the block and around it, so a turn can end between any two
 * blocks.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_blocks;

/* What a purifier's block() is given. */
struct blocks {
    const void *values, *plan;
    struct purifier_job job;
    int pass;      /* of ops->passes, from 0 */
    int64_t index; /* of the block, from 0 to ops->blocks() - 1 in each pass */
    void *memory;  /* ops->bytes() of it: the purifier's, from the first block to the last */
};

#endif
