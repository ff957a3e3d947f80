/*
 * The parallel loops.
 *
 * A range is cut into one contiguous part per thread by a formula. A thread takes its part piece by
 * piece, then what is left of the others' parts: mostly it works where it did in the op before, but
 * a thread whose core is slow, or not its alone, does not hold up the rest. In nn_for_parts a part
 * is one piece and has a number.
 */
#include "device/device.h"

#include <omp.h>
#include <stdatomic.h>

/* ThreadSanitizer cannot see into the OpenMP runtime: it is told where a region begins and ends. */
#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif
#ifdef WATCHED
#include <sanitizer/tsan_interface.h>
static char region_begins, region_ends;
#define RELEASE(place) __tsan_release(&(place))
#define ACQUIRE(place) __tsan_acquire(&(place))
/* The region's own arguments are read before the region can say that it has begun. */
#define UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED
#define RELEASE(place)
#define ACQUIRE(place)
#endif

static int64_t part_start(int64_t n, int threads, int i)
{
    return n / threads * i + (n % threads < i ? n % threads : i);
}

/* What has been taken of a part; on a cache line of its own. */
struct share {
    _Alignas(64) _Atomic int64_t next;
};
enum { SHARES_MAX = 64, PIECES = 8 };

UNWATCHED
void nn_for_blocks(int threads, int64_t n, int64_t block, nn_range_fn *fn, const void *ctx)
{
    int64_t blocks = (n + block - 1) / block;
    threads = (int)(threads < blocks ? threads : blocks);
    if (threads <= 1) {
        if (n > 0)
            fn(ctx, 0, n, 0);
        return;
    }
    struct share share[SHARES_MAX];
    int parts = threads < SHARES_MAX ? threads : SHARES_MAX;
    for (int i = 0; i < parts; i++)
        atomic_init(&share[i].next, part_start(blocks, parts, i));
    int64_t piece = blocks / threads / PIECES + 1;
    RELEASE(region_begins);
#pragma omp parallel num_threads(threads)
    {
        ACQUIRE(region_begins);
        int me = omp_get_thread_num();
        for (int i = 0; i < parts; i++) {
            int part = (me + i) % parts;
            int64_t end = part_start(blocks, parts, part + 1), at;
            while ((at = atomic_fetch_add(&share[part].next, piece)) < end) {
                int64_t stop = at + piece < end ? at + piece : end;
                fn(ctx, at * block, stop * block < n ? stop * block : n, me);
            }
        }
        RELEASE(region_ends);
    }
    ACQUIRE(region_ends);
}

void nn_for_range(int threads, int64_t n, nn_range_fn *fn, const void *ctx)
{
    nn_for_blocks(threads, n, 1, fn, ctx);
}

struct parts {
    int64_t n;
    int parts;
    nn_range_fn *fn;
    const void *ctx;
};

/* Items are parts: whichever thread takes part i calls fn as thread i. */
static void take_parts(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct parts *p = ctx;
    (void)thread;
    for (int i = (int)first; i < last; i++)
        p->fn(p->ctx, part_start(p->n, p->parts, i), part_start(p->n, p->parts, i + 1), i);
}

void nn_for_parts(int threads, int64_t n, nn_range_fn *fn, const void *ctx)
{
    int64_t parts = threads > 1 ? threads : 1;
    parts = parts < n ? parts : n;
    nn_for_range(threads, parts, take_parts, &(struct parts){n, (int)parts, fn, ctx});
}

int nn_bind_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}
