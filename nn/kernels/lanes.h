#ifndef NN_LANES_H
#define NN_LANES_H
/* lanes: eight floats that the compiler keeps in a vector register (or in two). */
#include <string.h>
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

typedef float nn_lanes __attribute__((vector_size(32)));

static inline nn_lanes nn_lanes_load(const float *p)
{
    nn_lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void nn_lanes_store(float *p, nn_lanes v)
{
    memcpy(p, &v, sizeof v);
}
static inline nn_lanes nn_lanes_all(float f)
{
    return (nn_lanes){f, f, f, f, f, f, f, f};
}
/* a b + c, in one rounding where nn_fma rounds once. */
static inline nn_lanes nn_lanes_fma(nn_lanes a, nn_lanes b, nn_lanes c)
{
#if defined(__AVX2__) && defined(__FMA__)
    return (nn_lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    for (int i = 0; i < 8; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}

#endif
