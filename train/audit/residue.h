#ifndef TRAIN_AUDIT_RESIDUE_H
#define TRAIN_AUDIT_RESIDUE_H
/*
 * residue: what the shipped restorer leaves of images, many at a time; what it takes is the difference.
 * A pure function of each image. Private to train; one thread at a time.
 *
 *     residue_open(threads, &r, &e);
 *     residue_left(r, squares, n, left, &e);  // as often as wanted
 *     residue_close(r);
 */
#include "base/base.h"

#include <stdint.h>

/* Images of one size. */
struct squares {
    int side, channels; /* 1 or 3 */
};
static inline size_t squares_values(struct squares s)
{
    return (size_t)s.side * (size_t)s.side * (size_t)s.channels;
}

struct residue;
/* threads 0: cpu_count(). NOT_FOUND: the model is not there. */
status residue_open(int threads, struct residue **out, struct errmsg *e) MUST_USE;
void residue_close(struct residue *r); /* NULL allowed */
/* seen, left (n,side,side,C), which do not overlap. CANCELLED when asked to stop. */
status residue_left(struct residue *r, struct squares s, const uint8_t *seen, int n, uint8_t *left,
                    struct errmsg *e) MUST_USE;

#endif
