#ifndef NN_NN_H
#define NN_NN_H
/*
 * nn: tensors, op graph, automatic differentiation, planning, running; optimisers; weights on disk.
 * Knows nothing of images: a batch is numbers.
 *
 * Life of a network
 *   1. nn_params: named f32 weights (and their gradients), shared by all graphs of one network.
 *   2. nn_graph:  built once for one batch shape by the op calls below. A call that is given a
 *                 wrong shape returns NN_NONE and the graph keeps the FIRST error; everything after
 *                 it is a no-op, so a network is written without checks and the error reported by
 *                 nn_plan_new.
 *   3. nn_gradients / nn_param_gradients append the backward ops.
 *   4. nn_plan:   fuses (norm+activation, convolution+bias+residual), places every intermediate in
 *                 one arena by liveness, picks a kernel per op, packs weights. All memory is
 *                 allocated here.
 *   5. nn_plan_run: a flat loop over prepared ops. Allocates nothing, cannot fail for want of
 *                 memory.
 *
 *     struct nn_params *p = NULL;
 *     struct nn_graph *g = NULL;
 *     struct nn_plan *plan = NULL;
 *     struct nn_optim *opt = NULL;
 *     struct errmsg err = {0};
 *     status st = nn_params_new(&p);
 *     if (!st)
 *         st = nn_graph_new(p, &g);
 *     if (st)
 *         return st;
 *     struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(8, 32, 32, 3));
 *     struct nn_val w = nn_param(g, "conv.weight", nn_shape4(16, 3, 3, 3), NN_INIT_KAIMING);
 *     struct nn_val y = nn_conv2d(g, x, w, NN_NONE, nn_conv_same(3, 1));
 *     struct nn_val loss = nn_mean(g, nn_mul(g, y, y));
 *     nn_param_gradients(g, loss, NULL, 0, NULL);
 *     nn_output(g, loss, "loss");
 *     st = nn_params_init(p, seed); // or nn_params_load
 *     if (!st)
 *         st = nn_plan_new(g, &(struct nn_plan_options){.threads = 2}, &plan, &err);
 *     if (!st)
 *         st = nn_optim_new(p, &(struct nn_optim_options){.kind = NN_SGD}, &opt);
 *     for (int i = 0; i < steps && !st; i++) {
 *         memcpy(nn_plan_data(plan, x), batch, batch_bytes);
 *         st = nn_plan_run(plan); // gradients are now in nn_params
 *         nn_optim_step(opt, 0.1f);
 *         if (!st)
 *             st = nn_plan_refresh(plan); // the weights changed
 *     }
 *
 * Layout: images and what is computed from them are NHWC, dense, inputs and outputs f32; between ops a
 * bf16 plan keeps them in 16 bits (nn_precision). Convolution weights are kept as published
 * checkpoints have them, (O,I,Kh,Kw); linear weights (O,I). Dims: N batch, H W space, C channels,
 * K classes.
 *
 * Determinism: a plan run twice on the same inputs gives the same bits. With threads = 1 the result
 * for one sample of a forward pass does not depend on its position in the batch or on its
 * neighbours (batch normalisation in training mode and losses over the batch excepted, which depend
 * on them by nature), unless the plan computes gradients of parameters: those are sums over the batch,
 * and such a plan is free to choose what is fastest for all of it.
 *
 * Threads: a graph, a plan or an optimiser belongs to one thread at a time. Several plans may READ
 * one nn_params from different threads; nobody may write it (nn_optim_step, load, init) meanwhile,
 * nor may two plans that compute parameter gradients of one nn_params run at once.
 * Ownership: free in the order plan, graph, params. A graph may be freed once its plans exist.
 */
#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* ================================ shapes and values ================================ */

enum nn_dtype { NN_F32, NN_I32 };
enum { NN_RANK_MAX = 4, NN_NAME_MAX = 96 };

struct nn_shape {
    int rank; /* 1..4; 0 marks "no shape" */
    int dim[NN_RANK_MAX];
};
static inline struct nn_shape nn_shape1(int a)
{
    return (struct nn_shape){1, {a, 1, 1, 1}};
}
static inline struct nn_shape nn_shape2(int a, int b)
{
    return (struct nn_shape){2, {a, b, 1, 1}};
}
static inline struct nn_shape nn_shape3(int a, int b, int c)
{
    return (struct nn_shape){3, {a, b, c, 1}};
}
static inline struct nn_shape nn_shape4(int a, int b, int c, int d)
{
    return (struct nn_shape){4, {a, b, c, d}};
}
bool nn_shape_equal(struct nn_shape a, struct nn_shape b);
int64_t nn_shape_count(struct nn_shape s); /* number of elements */

/* A value in a graph. Copied freely; meaningless outside its graph. */
struct nn_val {
    int id; /* > 0 */
};
#define NN_NONE ((struct nn_val){0})

/* ================================ parameters ================================ */

enum nn_init {
    NN_INIT_ZERO,
    NN_INIT_ONE,
    NN_INIT_KAIMING, /* N(0, 2/fan_out), He et al. 2015 eq. 10, fan_out as torch's mode="fan_out" */
    NN_INIT_UNIFORM_FANIN, /* U(±1/sqrt(fan_in)): torch's default for convolution and linear layers;
                              an entry "X.bias" has the fan of "X.weight" */
    NN_INIT_XAVIER,        /* U(±sqrt(6/(fan_in+fan_out))) */
    NN_INIT_COUNT
};

struct nn_param_entry {
    const char *name;
    struct nn_shape shape;
    float *value;   /* count elements, in the published layout */
    float *grad;    /* count elements; NULL until a plan with nn_param_gradients exists */
    bool trainable; /* false: a buffer such as running_mean; optimisers skip it */
    float lr_scale; /* multiplies the learning rate of this entry; 1 by default */
    bool decay;     /* weight decay applies; true by default */
};

struct nn_params;
status nn_params_new(struct nn_params **out) MUST_USE;
void nn_params_free(struct nn_params *p);
DEFINE_FREEP(struct nn_params *, nn_params_free)
int nn_params_count(const struct nn_params *p);
struct nn_param_entry *nn_params_at(struct nn_params *p, int i);
struct nn_param_entry *nn_params_find(struct nn_params *p, const char *name); /* NULL if absent */
int64_t nn_params_elements(const struct nn_params *p, bool trainable_only);
/* Fills every entry by its init rule; the values depend on (seed, name) only, not on order. */
status nn_params_init(struct nn_params *p, uint64_t seed) MUST_USE;
/* Both must hold the same entries. */
status nn_params_copy(struct nn_params *to, const struct nn_params *from) MUST_USE;

/* ================================ graph ================================ */

struct nn_graph;
status nn_graph_new(struct nn_params *params, struct nn_graph **out) MUST_USE;
void nn_graph_free(struct nn_graph *g);
DEFINE_FREEP(struct nn_graph *, nn_graph_free)
/* The first error of building, STATUS_OK when there is none. */
status nn_graph_status(const struct nn_graph *g, struct errmsg *e) MUST_USE;
struct nn_shape nn_val_shape(const struct nn_graph *g, struct nn_val v); /* rank 0 for NN_NONE */

/* -- sources -- */
struct nn_val nn_input(struct nn_graph *g, const char *name, enum nn_dtype type, struct nn_shape s);
/* Finds the entry or creates it; an entry of another shape is an error. */
struct nn_val nn_param(struct nn_graph *g, const char *name, struct nn_shape s, enum nn_init init);
/* A parameter that is not trained (running statistics). */
struct nn_val nn_buffer(struct nn_graph *g, const char *name, struct nn_shape s, enum nn_init init);
/* Marks v as readable by nn_plan_data after a run; its memory is never reused. */
void nn_output(struct nn_graph *g, struct nn_val v, const char *name);

/* -- layers; x is (N,H,W,C) unless said otherwise -- */
struct nn_conv {
    int stride;
    int pad_top, pad_left, pad_bottom, pad_right; /* zeros */
    int groups;                                   /* 0 counts as 1 */
};
static inline struct nn_conv nn_conv_same(int kernel, int stride)
{
    int p = kernel / 2;
    return (struct nn_conv){stride, p, p, p, p, 1};
}
/* w (O,C/groups,Kh,Kw), b (O) or NN_NONE -> (N,H',W',O). Cross-correlation, as torch. */
struct nn_val nn_conv2d(struct nn_graph *g, struct nn_val x, struct nn_val w, struct nn_val b,
                        struct nn_conv attr);
/* x (N,C), w (O,C), b (O) or NN_NONE -> (N,O); an x (..,C) as its rows -> (..,O) */
struct nn_val nn_linear(struct nn_graph *g, struct nn_val x, struct nn_val w, struct nn_val b);
/* Ba et al. 2016: each row (C) of x (..,C) by its own mean and (biased) variance; gamma, beta (C). */
struct nn_val nn_layer_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, float eps);
/* Wu & He 2018; gamma, beta (C). Biased variance. */
struct nn_val nn_group_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, int groups, float eps);
/* Ioffe & Szegedy 2015; gamma, beta, mean, var (C). training: batch statistics are used (biased
   variance) and mean/var, which must be nn_buffer values, are updated after each run by
   r = (1-momentum) r + momentum * s, s with the unbiased variance (as torch). */
struct nn_val nn_batch_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, struct nn_val mean, struct nn_val var,
                            float momentum, float eps, bool training);
/* Batch norms that are built after this with `training` use the batch's statistics and leave the
   running ones as they are: for gradients of inputs (an attack, say) beside a training run. */
void nn_hold_statistics(struct nn_graph *g);
/* GELU (Hendrycks & Gimpel 2016) is x Phi(x), Phi the distribution function of the standard normal
   distribution: exactly, not the usual approximation by tanh. EXP is e^x, for log-variances. */
enum nn_act_kind { NN_RELU, NN_SILU, NN_SIGMOID, NN_TANH, NN_RELU6, NN_GELU, NN_EXP, NN_ACT_COUNT };
struct nn_val nn_act(struct nn_graph *g, struct nn_val x, enum nn_act_kind kind); /* any shape */
struct nn_val nn_add(struct nn_graph *g, struct nn_val a, struct nn_val b);       /* same shape */
struct nn_val nn_sub(struct nn_graph *g, struct nn_val a, struct nn_val b);
struct nn_val nn_mul(struct nn_graph *g, struct nn_val a, struct nn_val b);
struct nn_val nn_affine(struct nn_graph *g, struct nn_val x, float scale, float shift);
/* v (N,C) is added to every pixel of x, or multiplies it. */
struct nn_val nn_add_nc(struct nn_graph *g, struct nn_val x, struct nn_val v);
struct nn_val nn_mul_nc(struct nn_graph *g, struct nn_val x, struct nn_val v);
struct nn_val nn_concat(struct nn_graph *g, struct nn_val a, struct nn_val b); /* along C */
/* Channels first .. first+count-1 of x, (N,..,C), as a value of its own. */
struct nn_val nn_slice_c(struct nn_graph *g, struct nn_val x, int first, int count);
/* Sequences (N,L,C): in each sample the rows of b after those of a; rows first..first+count-1. */
struct nn_val nn_concat_tokens(struct nn_graph *g, struct nn_val a, struct nn_val b);
struct nn_val nn_slice_tokens(struct nn_graph *g, struct nn_val x, int first, int count);
/* v (..) added to every sample of x (N,..); v repeated n times, (n,..). */
struct nn_val nn_add_each(struct nn_graph *g, struct nn_val x, struct nn_val v);
struct nn_val nn_repeat(struct nn_graph *g, struct nn_val v, int n);
struct nn_val nn_reshape(struct nn_graph *g, struct nn_val x, struct nn_shape s); /* same count */
struct nn_val nn_upsample2(struct nn_graph *g, struct nn_val x);                  /* nearest */
struct nn_pool {
    int kernel, stride, pad;
    bool ceil_mode; /* as torch: the last window may start inside the padded input only */
};
struct nn_val nn_max_pool(struct nn_graph *g, struct nn_val x, struct nn_pool attr);
/* Padding counts in the divisor (torch's count_include_pad=True). */
struct nn_val nn_avg_pool(struct nn_graph *g, struct nn_val x, struct nn_pool attr);
struct nn_val nn_global_avg_pool(struct nn_graph *g, struct nn_val x); /* -> (N,C) */
/* Self-attention over the H*W positions, softmax(q k^T / sqrt(C/heads)) v; q k v (N,H,W,C). */
struct nn_val nn_attention(struct nn_graph *g, struct nn_val q, struct nn_val k, struct nn_val v,
                           int heads);
/* Zeroes with probability p, scales the rest by 1/(1-p); mask from (plan seed, run counter). */
struct nn_val nn_dropout(struct nn_graph *g, struct nn_val x, float p);
/* t (N) f32 -> (N,dim): sin then cos of t * 10000^(-i/(dim/2-shift)). shift is 1 in the DDPM code
   of Ho et al. 2020, 0 in that of Nichol & Dhariwal 2021. */
struct nn_val nn_timestep_embedding(struct nn_graph *g, struct nn_val t, int dim, int shift);
/* Each pixel's channel vector scaled to unit length: x / (sqrt(sum_c x^2) + eps); LPIPS, Zhang et
   al. 2018, eq. 1. The gradient at an all-zero pixel is 0. */
struct nn_val nn_unit_norm(struct nn_graph *g, struct nn_val x, float eps);
/* -> (N): mean over H,W of sum_c w_c (a-b)^2, w (C); LPIPS eq. 1. */
struct nn_val nn_weighted_sq_diff(struct nn_graph *g, struct nn_val a, struct nn_val b,
                                  struct nn_val w);

/* -- losses -- */
/* logits (N,K), labels (N) i32 -> (N). A label outside 0..K-1 gives loss 0 and no gradient. */
struct nn_val nn_softmax_xent(struct nn_graph *g, struct nn_val logits, struct nn_val labels);
/* logits (N,K), target (N,K): a weight for each class -> (N). One weight of 1 is the above. */
struct nn_val nn_soft_xent(struct nn_graph *g, struct nn_val logits, struct nn_val target);
struct nn_val nn_mse(struct nn_graph *g, struct nn_val a,
                     struct nn_val b);                      /* -> (N), mean per sample */
struct nn_val nn_mean(struct nn_graph *g, struct nn_val x); /* -> (1) */
struct nn_val nn_sum(struct nn_graph *g, struct nn_val x);  /* -> (1) */

/* -- gradients -- */
/* Appends d(sum of loss)/d(wrt[i]) and returns it in out_grad[i] (NN_NONE where loss does not
   depend on it: an error). loss may be (N): each sample's gradient is then its own, whatever the
   batch. */
void nn_gradients(struct nn_graph *g, struct nn_val loss, const struct nn_val *wrt, int n,
                  struct nn_val *out_grad);
/* The same for every trainable parameter the loss depends on, written to nn_param_entry.grad. May
   be combined with nn_gradients through one call: wrt may be NULL when n is 0. */
void nn_param_gradients(struct nn_graph *g, struct nn_val loss, const struct nn_val *wrt, int n,
                        struct nn_val *out_grad);

/* ================================ plan ================================ */

/* The type of what is computed inside a run. In bf16 plans convolutions, attention and wide linear
   layers multiply 16-bit operands, and the (N,H,W,C) values between ops are kept in 16 bits. Parameters, their gradients, optimiser
   state, averages, batch statistics and losses are f32 in every plan, as are inputs and outputs. */
enum nn_precision { NN_PREC_F32, NN_PREC_BF16, NN_PREC_COUNT };
extern const char *const nn_precision_names[NN_PREC_COUNT + 1]; /* as users write them, then NULL */

struct nn_plan_options {
    const char *device; /* "onednn", "openblas", "reference"; NULL: the best that was built in */
    enum nn_precision precision;
    int threads;    /* OpenMP threads of one run; 0: cpu_count() */
    bool no_fusion; /* for tests: one kernel per op */
    /* The caller promises not to write the parameters while plans of them exist. Equal plans of one
       nn_params, such as those of several threads, then share one copy of the weights in the
       kernels' layouts, which may be four times as large as the weights. nn_plan_refresh does
       nothing. */
    bool shared;
};

struct nn_plan;
/* STATUS_INVALID with the graph's first error; STATUS_UNSUPPORTED when the device or this CPU
   cannot do the precision. Must be called on the thread that will run it, or on one whose OpenMP
   thread count is the same: kernels bind their thread count here. */
status nn_plan_new(struct nn_graph *g, const struct nn_plan_options *opt, struct nn_plan **out,
                   struct errmsg *e) MUST_USE;
void nn_plan_free(struct nn_plan *p);
DEFINE_FREEP(struct nn_plan *, nn_plan_free)
/* Memory of an input (to be filled before a run; kept between runs) or of an output. float or
   int32_t by the value's dtype; NULL when v is neither. Valid as long as the plan. */
void *nn_plan_data(struct nn_plan *p, struct nn_val v);
/* The same by the name given to nn_input or nn_output. */
void *nn_plan_data_named(struct nn_plan *p, const char *name);
status nn_plan_run(struct nn_plan *p) MUST_USE;
/* Packs the parameters again after they changed. Allocates nothing. */
status nn_plan_refresh(struct nn_plan *p) MUST_USE;
/* Key of dropout masks; the run counter starts at `run`. */
void nn_plan_seed(struct nn_plan *p, uint64_t seed, uint64_t run);
struct nn_plan_info {
    int ops, fused;      /* after fusion; how many graph ops were folded into others */
    size_t arena_bytes;  /* intermediates */
    size_t packed_bytes; /* weights in the kernels' layouts, shared ones too */
    double flops;        /* multiply-adds * 2 of convolutions, products and attention in one run */
};
struct nn_plan_info nn_plan_info(const struct nn_plan *p);
/* One line per op: name, kernel, output shape, microseconds of the last profiled run (0 if none).
 */
status nn_plan_profile(struct nn_plan *p, struct buf *out) MUST_USE; /* runs once, timed */
/* Names of devices built in, NULL-terminated. */
const char *const *nn_devices(void);
/* bf16 on "openblas" is storage only: half the memory, f32 arithmetic, any CPU. NULL, the default
   device, has bf16 only where the CPU computes in it. */
bool nn_precision_supported(const char *device, enum nn_precision precision);
/* STATUS_UNSUPPORTED when the default device cannot: e says why, then hint, which is what to do. */
status nn_precision_check(enum nn_precision precision, const char *hint, struct errmsg *e) MUST_USE;

/* ================================ optimisers ================================ */

enum nn_optim_kind { NN_SGD, NN_ADAM, NN_ADAMW, NN_OPTIM_COUNT };
struct nn_optim_options {
    enum nn_optim_kind kind;
    float momentum; /* SGD; torch's form: v = m v + g; p -= lr v */
    bool nesterov;  /* SGD */
    /* L2, added to the gradient, as torch's SGD and Adam; AdamW (Loshchilov & Hutter 2019) shrinks
       the weights by lr times it instead */
    float weight_decay;
    float beta1, beta2, eps; /* Adam, Kingma & Ba 2015, and AdamW; 0 means .9, .999, 1e-8 */
    int threads;             /* of one step; 0: cpu_count(). The result does not depend on it */
};
struct nn_optim;
status nn_optim_new(struct nn_params *p, const struct nn_optim_options *opt,
                    struct nn_optim **out) MUST_USE;
void nn_optim_free(struct nn_optim *o);
DEFINE_FREEP(struct nn_optim *, nn_optim_free)
/* One step with learning rate lr * entry.lr_scale on every trainable entry that has a gradient. */
void nn_optim_step(struct nn_optim *o, float lr);
/* Scales all gradients so that their joint L2 norm is at most max_norm; returns the norm before.
   One that is not finite (a gradient is infinite or NaN) leaves them as they are. threads as above.
 */
double nn_clip_grad_norm(struct nn_params *p, float max_norm, int threads);

/* Exponential moving average of the trainable entries (buffers are copied). */
struct nn_ema;
status nn_ema_new(struct nn_params *p, float decay, int threads, struct nn_ema **out) MUST_USE;
void nn_ema_free(struct nn_ema *e);
DEFINE_FREEP(struct nn_ema *, nn_ema_free)
/* decay at step s is min(decay, (1+s)/(10+s)). */
void nn_ema_update(struct nn_ema *e);
/* Exchanges the averaged values with those in nn_params (call again to swap back). */
void nn_ema_swap(struct nn_ema *e);

/* ================================ weights on disk: safetensors ================================ */
/*
 * One file: 8 bytes little-endian header length, JSON header, tensor bytes. Reading maps the file;
 * offsets, sizes, overlaps, names and JSON are all checked before a tensor is used, and a file that
 * breaks a rule is STATUS_CORRUPT with the first tensor that breaks it. What the format allows but
 * nn_file cannot represent (an unknown dtype, five dimensions) is STATUS_UNSUPPORTED. Replace a file
 * that may be open by rename, as nn_file_save does: truncating it while it is mapped kills its
 * readers (SIGBUS).
 */
struct nn_meta {
    const char *key, *value;
};
struct nn_file;
struct nn_file_tensor {
    const char *name;
    const char *dtype;     /* "F32", "F16", "BF16", "I64", ... as in the file */
    struct nn_shape shape; /* rank 0 is kept as rank 1 with one element */
    const void *data;      /* inside the mapping */
    size_t bytes;
};
status nn_file_open(const char *path, struct nn_file **out, struct errmsg *e) MUST_USE;
/* The same for what PyTorch's torch.save wrote (the ZIP format, and the one before 1.6): the
   tensors of nested dictionaries and lists, called by their keys joined with dots. Nothing of the
   file is executed: a pickle that asks for more than tensors is STATUS_UNSUPPORTED, and e names
   what. And for arrays of numpy.save (called "array"), numpy.savez and numpy.savez_compressed (of
   these up to 2 GiB). Files that are none of these are read as safetensors. */
status nn_file_open_any(const char *path, struct nn_file **out, struct errmsg *e) MUST_USE;
void nn_file_close(struct nn_file *f);
DEFINE_FREEP(struct nn_file *, nn_file_close)
int nn_file_count(const struct nn_file *f);
const struct nn_file_tensor *nn_file_at(const struct nn_file *f, int i);
const struct nn_file_tensor *nn_file_find(const struct nn_file *f, const char *name);
const char *nn_file_meta(const struct nn_file *f, const char *key); /* NULL if absent */
int nn_file_meta_count(const struct nn_file *f);
struct nn_meta nn_file_meta_at(const struct nn_file *f, int i);
/* SHA-256 of the whole file as mapped. */
status nn_file_digest(const struct nn_file *f, struct digest *out) MUST_USE;
/* Converts F32, F16, BF16 or F64 to floats, F64 rounded to nearest. STATUS_LIMIT where a finite F64
   value is beyond the range of f32, STATUS_UNSUPPORTED for another dtype. */
status nn_file_read_f32(const struct nn_file_tensor *t, float *out, size_t count) MUST_USE;

struct nn_save_tensor {
    const char *name;
    struct nn_shape shape;
    const float *data;
    bool half; /* store as F16 */
};
/* Deterministic bytes (sorted by name); written to a temporary file, synced, renamed. */
status nn_file_save(const char *path, const struct nn_save_tensor *tensors, int n,
                    const struct nn_meta *meta, int n_meta, struct errmsg *e) MUST_USE;

/*
 * The same file of one f32 tensor whose values come in parts, in any order, so that a tensor may be
 * larger than memory. Elements that were never put are zero. The file appears under its name when it is
 * finished; freed before that, nothing is left of it.
 *
 *     nn_file_stream_new(path, "delta", shape, NULL, 0, &s, e)
 *     for (each row) nn_file_stream_put(s, row * width, values, width, e)   // from any thread
 *     nn_file_stream_finish(s, e); nn_file_stream_free(s)
 */
struct nn_file_stream;
status nn_file_stream_new(const char *path, const char *name, struct nn_shape shape,
                          const struct nn_meta *meta, int n_meta, struct nn_file_stream **out,
                          struct errmsg *e) MUST_USE;
/* Elements at .. at+count-1, which must be within the tensor. */
status nn_file_stream_put(struct nn_file_stream *s, uint64_t at, const float *v, size_t count,
                          struct errmsg *e) MUST_USE;
status nn_file_stream_finish(struct nn_file_stream *s, struct errmsg *e) MUST_USE;
void nn_file_stream_free(struct nn_file_stream *s);
DEFINE_FREEP(struct nn_file_stream *, nn_file_stream_free)

/* Every entry of p must be in the file as prefix+name with the same shape (extra tensors are
   ignored); the first that is not is named in e. */
status nn_params_load(struct nn_params *p, const struct nn_file *f, const char *prefix,
                      struct errmsg *e) MUST_USE;
status nn_params_save(const struct nn_params *p, const char *path, const struct nn_meta *meta,
                      int n_meta, bool half, struct errmsg *e) MUST_USE;
/* A checkpoint to resume from: weights, optimiser state, average (either may be NULL), metadata. It
   is a weights file as well: nn_params_load with prefix "" reads the weights, with "ema." the
   average. Loading changes nothing unless all that it should load is there; a checkpoint of another
   kind of optimiser is STATUS_INVALID, one in which something is missing STATUS_NOT_FOUND. Metadata
   keys "nn.*" are reserved. */
status nn_checkpoint_save(const char *path, const struct nn_params *p, const struct nn_optim *o,
                          const struct nn_ema *ema, const struct nn_meta *meta, int n_meta,
                          struct errmsg *e) MUST_USE;
status nn_checkpoint_load(const struct nn_file *f, struct nn_params *p, struct nn_optim *o,
                          struct nn_ema *ema, struct errmsg *e) MUST_USE;

/* ================================ randomness ================================ */
/*
 * Philox 4x32-10 (Salmon et al. 2011): a pure function of (key, counter), so a number does not
 * depend on what was drawn before. nn_rng names a stream; `at` counts 32-bit words in it.
 */
struct nn_rng {
    uint32_t key[2];
    uint32_t stream[2]; /* the upper two counter words */
};
void nn_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
struct nn_rng nn_rng(uint64_t key, uint64_t stream);
uint32_t nn_rng_u32(struct nn_rng r, uint64_t at);
float nn_rng_uniform(struct nn_rng r, uint64_t at); /* [0,1) */
/* n standard normals (Box-Muller on word pairs); out[i] depends on (r, at+i) only; at must be even.
   Uses no libm call whose result differs between CPUs of one architecture. */
void nn_rng_normal(struct nn_rng r, uint64_t at, float *out, size_t n);
/* A permutation of 0..n-1. */
void nn_rng_shuffle(struct nn_rng r, int *out, int n);

#endif
