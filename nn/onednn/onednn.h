#ifndef NN_ONEDNN_H
#define NN_ONEDNN_H
/*
 * onednn: what the kernels of device "onednn" share.
 *
 * Scratchpads are the plan's (user mode) and all memory objects exist before a run, so that a run
 * takes no memory of its own. A primitive is made for the thread count of the plan and run under
 * the same one: OpenMP keeps that number per thread, so plans of several threads do not meet.
 */
#include "device/device.h"
#include "onednn/compat.h"

/* The device's part of one plan. */
struct nn_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
};

/* A primitive and the memory objects it runs on. Zero-initialise; nn_dnnl_call_done releases. */
struct nn_dnnl_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arg[6];
    int n;
    size_t scratch_bytes; /* of the scratchpad, argument DNNL_ARG_SCRATCHPAD */
};

/* rc as our status; e says what could not be done. */
status nn_dnnl_status(dnnl_status_t rc, const char *what, struct errmsg *e);

/* Makes the primitive and its scratchpad argument. pd stays the caller's. */
status nn_dnnl_call_new(struct nn_dnnl_call *c, const struct nn_dnnl *d, dnnl_primitive_desc_t pd,
                        struct errmsg *e) MUST_USE;
/* Adds an argument of this layout; nn_dnnl_call_point sets its address. */
status nn_dnnl_call_arg(struct nn_dnnl_call *c, const struct nn_dnnl *d, int arg, nn_dnnl_md_ref md,
                        struct errmsg *e) MUST_USE;
status nn_dnnl_call_point(struct nn_dnnl_call *c, int arg, const void *data) MUST_USE;
status nn_dnnl_call_run(const struct nn_dnnl_call *c, const struct nn_dnnl *d) MUST_USE;
/* The same for image n of a call that was made for one: both tensors are pointed to it. */
status nn_dnnl_call_run_image(struct nn_dnnl_call *c, const struct nn_dnnl *d, int from_arg,
                              const struct nn_tensor *from, int to_arg, const struct nn_tensor *to,
                              int n) MUST_USE;
void nn_dnnl_call_done(struct nn_dnnl_call *c);

/* A reorder of `from` into `to`, both arguments added (DNNL_ARG_FROM, DNNL_ARG_TO). */
status nn_dnnl_reorder(struct nn_dnnl_call *c, const struct nn_dnnl *d, nn_dnnl_md_ref from,
                       nn_dnnl_md_ref to, struct errmsg *e) MUST_USE;

/*
 * dst (m,n) = src (m,k) weights (k,n) + bias (n), row by row in memory; a transposed operand is stored
 * as (k,m) or (n,k). Arguments SRC WEIGHTS BIAS? DST.
 */
struct nn_dnnl_product {
    int m, k, n;
    bool src_transposed, weights_transposed;
    bool packed; /* weights are made from f32 by reorder, into the layout that is best and safe */
    bool bias;   /* f32 */
    dnnl_data_type_t operand, result;
};
/* reorder and out_packed_bytes: of packed weights; else NULL. STATUS_UNSUPPORTED where the library has
   no such product. */
status nn_dnnl_product_new(struct nn_dnnl_call *call, struct nn_dnnl_call *reorder,
                           size_t *out_packed_bytes, const struct nn_dnnl *d,
                           const struct nn_dnnl_product *p, struct errmsg *e) MUST_USE;

/* Whether the library has the activation (acts.h). */
bool nn_dnnl_has_post(int post);
/* Attributes with user scratchpad, and ops in order: sum first when `sum`, then the activation,
   which is none or one that the library has. */
status nn_dnnl_attr(bool sum, int post, dnnl_primitive_attr_t *out, struct errmsg *e) MUST_USE;

/*
 * A convolution between x, w and y (y is the forward result) and the reorder that belongs to it:
 *   forward   SRC WEIGHTS BIAS? DST                reorder: plain weights -> WEIGHTS
 *   data      DIFF_SRC WEIGHTS DIFF_DST            reorder: plain weights -> WEIGHTS
 *   weights   SRC DIFF_WEIGHTS DIFF_BIAS? DIFF_DST reorder: DIFF_WEIGHTS -> plain weights
 * Plain is (O,I,Kh,Kw), as in nn_params. Where the primitive works on plain weights there is no
 * reorder.
 */
struct nn_dnnl_conv_spec {
    enum nn_dnnl_conv_kind kind;
    const struct nn_attr *attr;
    struct nn_tensor x, w, y; /* shapes and stores */
    bool bias, sum;
    int post;
    int batch; /* images per call */
};
struct nn_dnnl_conv_pair {
    struct nn_dnnl_call run, reorder;
    bool out;                     /* the reorder makes plain weights */
    struct nn_dnnl_layout layout; /* of weights that we reorder ourselves; else none */
    void *plain, *packed;
    size_t weights_bytes; /* in the primitive's layout; 0: plain */
    size_t scratch_bytes; /* enough for either call */
};
status nn_dnnl_conv_new(struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d,
                        const struct nn_dnnl_conv_spec *spec, struct errmsg *e) MUST_USE;
void nn_dnnl_conv_done(struct nn_dnnl_conv_pair *p);
/* Points both scratchpads, the reorder, and the weights argument: plain, or packed where that
 * differs. */
status nn_dnnl_conv_bind(struct nn_dnnl_conv_pair *p, enum nn_dnnl_conv_kind kind, void *plain,
                         void *packed, void *scratch) MUST_USE;
status nn_dnnl_conv_reorder(const struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d) MUST_USE;

/* Packs plain weights (dimensions in order, f32), padding included; and the other way. */
void nn_dnnl_layout_fill(const struct nn_dnnl_layout *l, const float *plain, void *packed);
void nn_dnnl_layout_read(const struct nn_dnnl_layout *l, const void *packed, float *plain);

/* Whether this step's stores are ones the device may compute with. */
bool nn_dnnl_stores_ok(const struct nn_step *s);
/* Whether the library takes this CPU's caches for a byte each (caches.c). */
bool nn_dnnl_misreads_caches(void);
/* The same for a convolution, and that the library computes it right. */
bool nn_dnnl_conv_ok(const struct nn_step *s, const struct nn_tensor *w);

extern const struct nn_kernel nn_onednn_conv2d, nn_onednn_conv2d_data, nn_onednn_conv2d_weights,
    nn_onednn_attention, nn_onednn_linear, nn_onednn_linear_data, nn_onednn_linear_weights;

#endif
