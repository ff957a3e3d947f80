/*
 * The parallel loops.
 *
 * The range is divided into one contiguous part per thread. A thread works through its own part chunk
 * by chunk and then helps with the others' parts. So it mostly touches the memory that it touched in
 * the op before, yet a thread whose core is slow or shared does not hold up the others. In
 * nn_for_parts a part is one chunk and has a number.
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

/* The next chunk of a part, on a cache line of its own. */
struct cursor {
    _Alignas(64) _Atomic int64_t next;
};
enum { PARTS_MAX = 64, CHUNKS = 8 }; /* parts; chunks of a part */

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
    struct cursor cursor[PARTS_MAX];
    int parts = threads < PARTS_MAX ? threads : PARTS_MAX;
    for (int i = 0; i < parts; i++)
        atomic_init(&cursor[i].next, part_start(blocks, parts, i));
    int64_t chunk = blocks / threads / CHUNKS + 1;
    RELEASE(region_begins);
#pragma omp parallel num_threads(threads)
    {
        ACQUIRE(region_begins);
        int me = omp_get_thread_num();
        for (int i = 0; i < parts; i++) {
            int part = (me + i) % parts;
            int64_t end = part_start(blocks, parts, part + 1), at;
            while ((at = atomic_fetch_add(&cursor[part].next, chunk)) < end) {
                int64_t stop = at + chunk < end ? at + chunk : end;
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

/* Items are parts. */
static void run_parts(const void *ctx, int64_t first, int64_t last, int thread)
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
    nn_for_range(threads, parts, run_parts, &(struct parts){n, (int)parts, fn, ctx});
}

int nn_bind_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}
