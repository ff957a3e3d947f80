#ifndef TRAIN_LOADER_H
#define TRAIN_LOADER_H
/*
 * A ring of `ahead` slots; slot b % ahead holds batch b. The consumer owns the slot it was given
 * last; asking for the next batch hands that slot back, and the batch `ahead` further on is begun
 * in it. A slot is filled in chunks, each a pool job that writes only its own rows; the last chunk
 * to finish wakes the consumer. A batch whose samples are all kept in memory is filled by the
 * consumer itself when it asks: copying costs less than waking a thread, and leaves the cores to
 * the network.
 *
 * Every job that was begun has ended before the epoch is changed or the loader freed.
 */
#include "augment.h"
#include "set.h"

#include <pthread.h>

struct slot {
    struct train_batch batch;
    float *x;
    int32_t *label;
    int *index;
    int pending;      /* chunks not finished; guarded by the loader's lock, as below */
    bool by_consumer; /* who fills it */
    int failed_at;
    status st;
    struct errmsg err;
};

struct chunk {
    struct train_loader *loader;
    struct slot *slot;
    int from, to; /* rows */
};

struct train_loader {
    struct train_set *set;
    struct train_loader_options opt;
    int width, height, channels; /* of a row of x */
    int samples, batches;
    int *order; /* (samples) */
    struct augment_list augment;
    float std[TRAIN_CHANNELS_MAX];        /* without zeros */
    float table[TRAIN_CHANNELS_MAX][256]; /* of the network's input, or of [0,1] before rows that
                                             work on pixels */
    uint64_t epoch;
    int begun, given; /* batches begun, given to the consumer; this epoch */
    struct slot *slot;
    struct chunk *chunk; /* (ahead, chunks) */
    int chunk_rows, chunks;
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t done;
};

/* loader_rows.c: rows from .. to-1 of a slot that is described; *out_at is the row of a failure. */
status loader_fill_rows(const struct train_loader *l, struct slot *s, int from, int to, int *out_at,
                        struct errmsg *e) MUST_USE;

#endif
