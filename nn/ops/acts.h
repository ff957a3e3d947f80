#ifndef NN_ACTS_H
#define NN_ACTS_H
/*
 * acts: the table of activations. A new one is a line here, its two functions in ops/act.c, its
 * three loops in kernels/acts.c; the compiler names what is missing.
 *
 * X(NAME, name, SAVES, algorithm)
 *     SAVES      what its gradient is computed from: the OUTPUT, which is kept anyway, or the INPUT
 *     algorithm  oneDNN's of the same values (dnnl_eltwise_...), where that keeps a NaN: then it is
 *                done inside a convolution; none: behind it, by kernels/acts.c
 */
#include "nn/nn.h"

#define NN_ACT_TABLE(X)                                                                            \
    X(RELU, relu, OUTPUT, none)                                                                    \
    X(SILU, silu, INPUT, swish)                                                                    \
    X(SIGMOID, sigmoid, OUTPUT, none)                                                              \
    X(TANH, tanh, OUTPUT, none)                                                                    \
    X(RELU6, relu6, OUTPUT, none)                                                                  \
    X(GELU, gelu, INPUT, none)                                                                     \
    X(EXP, exp, OUTPUT, none)

#define X(NAME, name, saves, algorithm) +1
_Static_assert(0 NN_ACT_TABLE(X) == NN_ACT_COUNT, "a line for every activation");
#undef X

enum nn_act_saves { NN_SAVES_OUTPUT, NN_SAVES_INPUT };

/* The activation by its definition, in doubles: the reference for every device (ops/act.c). */
struct nn_act_row {
    const char *name;
    enum nn_act_saves saves;
    double (*value)(double x);
    double (*slope)(double saved); /* dy/dx */
};
const struct nn_act_row *nn_act_row(enum nn_act_kind kind);

#endif
