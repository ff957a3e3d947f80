#ifndef FUSED_PARK_H
#define FUSED_PARK_H
/*
 * Requests that wait for the purifier. A parked request is answered exactly once: by whoever gets
 * it out of the park. That is the callback of its fetch (park_take says true), or the reaper, which
 * answers EINTR when the kernel passed an interrupt on and the caller is being killed. An interrupt
 * alone changes nothing: the work goes on, its result is kept, and programs that are merely
 * signalled (a timer, Ctrl-C with a handler) see no EINTR.
 *
 * A caller is being killed when SIGKILL is pending for its thread in /proc/TID/status; the kernel
 * puts it there for every fatal signal. From another PID namespace the thread cannot be seen: such
 * a caller waits for its image.
 */
#include "fuse_compat.h"

#include "base/base.h"

#include <stdbool.h>

struct park;
struct parked;
/* The reaper answered for w's caller, who is dying: nobody waits for the work any more. Called with
   the park's lock held, so that w is still there. */
typedef void parked_gone_fn(struct parked *w);
struct parked {
    fuse_req_t req;
    pid_t tid;
    parked_gone_fn *abandoned;
    bool gone; /* answered by the reaper */
    struct parked *prev, *next;
};

status park_new(struct park **out) MUST_USE;
/* Nothing may be parked any more. */
void park_free(struct park *p);
/* From now on the reaper may answer req. The storage is the caller's until park_take. */
void park_add(struct park *p, struct parked *w, fuse_req_t req, parked_gone_fn *abandoned);
/* True: req is the caller's to answer. False: it was answered. */
bool park_take(struct park *p, struct parked *w);
void park_stats(struct park *p, uint64_t *out_parked, uint64_t *out_killed);

#endif
