#ifndef FUSED_JAIL_PARTS_H
#define FUSED_JAIL_PARTS_H
/*
 * The side of the jail that has images to decode:
 *
 *     jail.c       one image through a decoder
 *     jail_pool.c  the warden and its decoders: started, lent, ended
 *
 * Invariants
 *  1. A decoder is at any time idle (in the list), in the hands of one caller, or absent; `started`
 *     counts the first two, and is at most opt.decoders.
 *  2. Calls to the warden are made with `orders` held, and a pid stays what it was until it has been
 *     reaped, so no signal goes to a stranger.
 *  3. What a decoder may use is set before each image: address space by prlimit, the time by looking
 *     at its clock while its answer is waited for.
 */
#include "jail.h"

#include <pthread.h>

struct decoder {
    pid_t pid;
    int socket, memory;
    uint8_t *at; /* the memory, as mapped here */
    size_t bytes;
    struct decoder *next;
};

struct jail {
    struct jail_options opt;
    pid_t warden;
    int socket;
    uint64_t vm_bytes;
    pthread_mutex_t orders; /* one call to the warden at a time */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct decoder *idle; /* guarded by lock, as `started` */
    int started;
};

status jail_start_warden(struct jail *j, struct errmsg *e) MUST_USE;
status decoder_start(struct jail *j, struct decoder **out, struct errmsg *e) MUST_USE;
/* Ends it, and tells how it ended: a wait status, or -1. */
int decoder_end(struct jail *j, struct decoder *d);
/* An idle one, or a new one; waits while all are at work. */
status decoder_take(struct jail *j, struct decoder **out, struct errmsg *e) MUST_USE;
/* d NULL: it has ended. */
void decoder_give_back(struct jail *j, struct decoder *d);

#endif
