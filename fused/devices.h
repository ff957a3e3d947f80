#ifndef FUSED_DEVICES_H
#define FUSED_DEVICES_H
/*
 * The file systems that files of the source lie on: whether one's inode numbers can be trusted,
 * that is, it never gives a number to two files that exist, and keeps what it gave.
 *
 * Threads: any.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { DEVICES_MAX = 64 }; /* that are remembered; others are asked each time */

struct devices {
    pthread_mutex_t lock;
    unsigned n; /* guarded by lock, as all below */
    struct {
        uint64_t device;
        bool sure;
    } known[DEVICES_MAX];
};

void devices_init(struct devices *d);
/* fd: anything on it. */
bool devices_sure(struct devices *d, uint64_t device, int fd);

#endif
