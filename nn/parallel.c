/*
 * The parallel loop, and what is asked of a step's tensors.
 *
 * The range is cut into one contiguous part per thread by a formula, not by a scheduler: which
 * thread sums what is the same in every run, hence so are the bits of sums kept by thread.
 */
#include "device.h"

#include <omp.h>

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

UNWATCHED
void nn_for_range(int threads, int64_t n, nn_range_fn *fn, const void *ctx)
{
    if (n <= 0)
        return;
    if (threads > n)
        threads = (int)n;
    if (threads <= 1) {
        fn(ctx, 0, n, 0);
        return;
    }
    /* The runtime may give fewer threads than asked for: parts are handed out by number. */
    RELEASE(region_begins);
#pragma omp parallel num_threads(threads)
    {
        ACQUIRE(region_begins);
        for (int i = omp_get_thread_num(); i < threads; i += omp_get_num_threads())
            fn(ctx, part_start(n, threads, i), part_start(n, threads, i + 1), i);
        RELEASE(region_ends);
    }
    ACQUIRE(region_ends);
}

int nn_bind_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

size_t nn_store_bytes(enum nn_store s)
{
    return s == NN_STORE_BF16 ? 2 : 4;
}

bool nn_all_f32(const struct nn_step *s)
{
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].store == NN_STORE_BF16)
            return false;
    for (int i = 0; i < s->n_out; i++)
        if (s->out[i].store == NN_STORE_BF16)
            return false;
    return true;
}

bool nn_plain_step(const struct nn_step *s)
{
    if (!nn_all_f32(s) || s->attr.post)
        return false;
    switch (s->op) {
    case NN_OP_CONV2D:
        return !nn_has(&s->in[3]) && !nn_has(&s->in[4]);
    case NN_OP_CONV2D_DATA:
    case NN_OP_ACT_BACK:
        return !nn_has(&s->in[2]);
    case NN_OP_BATCH_NORM:
    case NN_OP_GROUP_NORM_BACK:
        return !nn_has(&s->in[5]);
    case NN_OP_BATCH_NORM_BACK:
        return !nn_has(&s->in[7]);
    default:
        return true;
    }
}
