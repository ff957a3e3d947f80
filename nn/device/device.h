#ifndef NN_DEVICE_H
#define NN_DEVICE_H
/*
 * device: which kernels run which op. A device is a list of kernels and a next device, whose kernels
 * are tried for what the list does not support; the end of every chain is `reference`, which supports
 * everything in f32:
 *
 *     onednn -> openblas -> common -> reference
 *
 * A kernel is a const struct. The planner makes one nn_step per node and calls, in this order,
 *
 *     supports   shapes, stores, attributes are known; pointers are NULL
 *     prepare    (optional) makes state, says how many scratch and packed bytes it needs;
 *                STATUS_UNSUPPORTED: it cannot do this step after all, and the next kernel of the
 *                chain is tried
 *     bind       (optional) all pointers are now final; the last chance to allocate
 *     pack       (optional) weights -> s->packed; again after every nn_plan_refresh
 *     run        many times; allocates nothing
 *     drop       (optional) frees state
 *
 * Memory: in, out, scratch and packed belong to the plan and are 64-byte aligned (parameters: at
 * least 16). scratch holds nothing between runs and is shared with other steps. out never overlaps
 * an input that is still needed, except where the op's row allows output 0 in place of an input.
 * Threads: one thread calls a step; inside run a kernel uses the loops below with s->threads.
 * No global mutable state: with threads = 1 many plans run at once.
 */
#include "graph/graph.h"

struct nn_tensor {
    struct nn_shape shape; /* rank 0: absent */
    enum nn_store store;
    bool constant; /* a parameter or buffer: changes between runs only, so it may be packed */
    void *data;    /* NULL when absent, and before bind */
};
static inline bool nn_has(const struct nn_tensor *t)
{
    return t->shape.rank > 0;
}
static inline float *nn_f32(const struct nn_tensor *t)
{
    return t->data;
}

/* What a run tells its steps. */
struct nn_run {
    uint64_t seed, counter; /* dropout */
};

struct nn_kernel;
struct nn_step {
    enum nn_op op;
    struct nn_attr attr;
    int n_in, n_out;
    struct nn_tensor in[NN_IN_MAX], out[NN_OUT_MAX]; /* positions as in graph.h's table */
    const struct nn_kernel *kernel;
    void *device_ctx; /* what the kernel's device returned from open */
    int threads;
    bool apart; /* a sample's bits may not depend on how many there are (nn.h) */
    enum nn_precision precision;
    const struct nn_run *run; /* valid in kernel.run */
    /* set by prepare */
    void *state;
    size_t scratch_bytes, packed_bytes;
    /* set before bind */
    void *scratch, *packed;
};

struct nn_kernel {
    enum nn_op op;
    const char *name; /* "onednn.conv2d" */
    bool (*supports)(
        const struct nn_step *s); /* (optional: f32/i32 everywhere, no post, nc, res) */
    status (*prepare)(struct nn_step *s, struct errmsg *e);
    status (*bind)(struct nn_step *s, struct errmsg *e);
    status (*pack)(struct nn_step *s);
    status (*run)(const struct nn_step *s);
    void (*drop)(struct nn_step *s);
};

struct nn_device {
    const char *name;
    /* (optional: none) The i-th list of its kernels on this CPU, NULL-terminated; NULL: there is
       none. Kernels are tried in the order of the lists. */
    const struct nn_kernel *const *(*list)(int i, enum nn_precision p);
    const struct nn_device *next;           /* NULL: the reference kernels of the op table */
    bool (*precision)(enum nn_precision p); /* (optional: every precision) */
    /* (optional) What the kernels share in one plan: an engine, a stream. */
    status (*open)(int threads, enum nn_precision p, void **out_ctx, struct errmsg *e);
    void (*close)(void *ctx);
};

extern const struct nn_device nn_device_onednn; /* onednn/, where it is built in */
extern const struct nn_device nn_device_openblas;
extern const struct nn_device nn_device_common; /* optimised plain C, not named to users */
extern const struct nn_device nn_device_reference;

/* Kernels that read or write bf16 say so in supports(); this is the default rule. */
bool nn_plain_step(const struct nn_step *s); /* every tensor f32 or i32; nothing fused in */
bool nn_all_f32(const struct nn_step *s);    /* every float tensor is stored as f32 */

/* ---- parallel loops: the only place with OpenMP ---- */
typedef void nn_range_fn(const void *ctx, int64_t first, int64_t last, int thread);
/* Calls fn on contiguous chunks that make up 0..n-1, from `threads` threads. `thread`, below that
   number, says which of them calls, so that each can have scratch of its own. A thread may get
   several chunks, and which thread gets which differs from run to run: results must not depend on
   it. threads <= 1: one plain call, no OpenMP. */
void nn_for_range(int threads, int64_t n, nn_range_fn *fn, const void *ctx);
/* The same with chunks that begin at multiples of block: for work that is blocked anyway, and to keep
   threads from writing to the same cache line. */
enum { NN_LINE_FLOATS = 16 };
void nn_for_blocks(int threads, int64_t n, int64_t block, nn_range_fn *fn, const void *ctx);
/* Divides 0..n-1 into at most `threads` parts and makes one call for each, that of part i as thread i
   whichever thread makes it: for partial sums that are then added in a fixed order. */
void nn_for_parts(int threads, int64_t n, nn_range_fn *fn, const void *ctx);

/* Sets the calling thread's OpenMP thread count, which libraries read when a kernel is made or run;
   returns the one before, to be set again. */
int nn_bind_threads(int threads);

/* ---- rows: one kernel body for f32 and bf16 ---- */
enum { NN_ROW_MAX = 2048 }; /* floats a row may have; fits L1 several times */
/* The n <= NN_ROW_MAX elements from `at` on as floats: in the tensor's own memory, or converted into
   scratch. */
const float *nn_row(const struct nn_tensor *t, int64_t at, int n, float *scratch);
/* Where to write floats for the elements from `at` on: the tensor's own memory, or scratch, which
   nn_row_put then converts into the tensor. */
float *nn_row_out(const struct nn_tensor *t, int64_t at, float *scratch);
void nn_row_put(const struct nn_tensor *t, int64_t at, int n, const float *scratch);

size_t nn_store_bytes(enum nn_store s);
static inline size_t nn_align(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

#endif
