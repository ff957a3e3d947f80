#ifndef TRAIN_PROTECT_WRITE_H
#define TRAIN_PROTECT_WRITE_H
/* write: a protected tree that is being written, for write.c (the tree and the file beside it) and
   write_image.c (one image). */
#include "protect/protect.h"

#include "out_tree.h"
#include "set.h"

#include <pthread.h>
#include <stdatomic.h>

/* What one image adds to the result; kept apart so that sums do not depend on threads. */
struct measured {
    double square_error, l2, max_abs;
};

struct writer {
    struct protect_job *job;
    struct out_tree tree;
    struct measured *measured;   /* (n) */
    struct protect_shape shape;  /* of what is added */
    size_t row;                  /* floats of a row */
    struct nn_file_stream *file; /* NULL: nothing is kept */
    char *beside;
    pthread_mutex_t drawing;
    struct progress progress; /* guarded by drawing */
    atomic_int done;
    _Atomic uint64_t pixels;
};

/* Protects and writes image i, keeps its row of a sample-wise perturbation, and fills measured[i].
   Any thread. */
status protect_write_image(struct writer *w, int i, const struct set_view *v,
                           struct errmsg *e) MUST_USE;

#endif
