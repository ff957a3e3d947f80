#include "kernels/kernels.h"
#include "openblas/openblas.h"

#include <cblas.h>
#include <pthread.h>

void nn_gemm(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
             const float *b, int ldb, float beta, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n,
                k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void single_thread(void)
{
    openblas_set_num_threads(1);
}

/* Process-wide by nature of the library, hence once. */
static status device_open(int threads, enum nn_precision p, void **out_ctx, struct errmsg *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)threads, (void)p, (void)e;
    *out_ctx = NULL;
    return pthread_once(&once, single_thread) ? STATUS_INTERNAL : STATUS_OK;
}

/* bf16 here means storage: half the memory, f32 arithmetic. */
static bool device_precision(enum nn_precision p)
{
    (void)p;
    return true;
}

static const struct nn_kernel *const kernels[] = {
    &nn_openblas_conv2d,      &nn_openblas_conv2d_data,    &nn_openblas_conv2d_weights,
    &nn_openblas_attention,   &nn_openblas_attention_back, &nn_openblas_linear,
    &nn_openblas_linear_data, &nn_openblas_linear_weights, NULL};

static const struct nn_kernel *const *lists(int i, enum nn_precision p)
{
    const struct nn_kernel_set *ours = nn_kernels_here();
    const struct nn_kernel *const *const all[] = {ours->winograd, ours->depthwise, ours->attention,
                                                  kernels, NULL};
    (void)p;
    return all[i];
}

const struct nn_device nn_device_openblas = {.name = "openblas",
                                             .list = lists,
                                             .next = &nn_device_common,
                                             .precision = device_precision,
                                             .open = device_open};
