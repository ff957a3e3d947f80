#ifndef NN_LANES_H
#define NN_LANES_H
/*
 * lanes: as many floats as the compiler keeps in one vector register: sixteen where it compiles for
 * AVX-512, four for arm64 (it would keep more in memory, not in two registers), else eight. No
 * operation here mixes lanes, so a lane's bits do not depend on their number.
 */
#include "kernels/exp.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { NN_LANES = 16 };
#elif defined(__aarch64__)
enum { NN_LANES = 4 };
#else
enum { NN_LANES = 8 };
#endif
typedef float nn_lanes __attribute__((vector_size(NN_LANES * 4)));
typedef uint32_t nn_lanes_bits __attribute__((vector_size(NN_LANES * 4)));
typedef uint16_t nn_lanes_half __attribute__((vector_size(NN_LANES * 2)));

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
/* To an aligned place that is not read again soon: past the caches where that writes a whole line.
   nn_lanes_streamed comes before other threads read it. */
static inline void nn_lanes_stream(float *p, nn_lanes v)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(p, (__m512)v);
#else
    nn_lanes_store(p, v);
#endif
}
static inline void nn_lanes_streamed(void)
{
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}
static inline nn_lanes nn_lanes_all(float f)
{
#if defined(__AVX512F__)
    return (nn_lanes)_mm512_set1_ps(f);
#elif defined(__aarch64__)
    return (nn_lanes)vdupq_n_f32(f);
#else
    return (nn_lanes){f, f, f, f, f, f, f, f};
#endif
}
/* a b + c, in one rounding where nn_fma rounds once. */
static inline nn_lanes nn_lanes_fma(nn_lanes a, nn_lanes b, nn_lanes c)
{
#if defined(__AVX512F__)
    return (nn_lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (nn_lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (nn_lanes)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* b where it is NaN, else the smaller (the larger). */
static inline nn_lanes nn_lanes_min(nn_lanes a, nn_lanes b)
{
#if defined(__AVX512F__)
    return (nn_lanes)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (nn_lanes)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__aarch64__)
    float32x4_t x = (float32x4_t)a, y = (float32x4_t)b;
    return (nn_lanes)vbslq_f32(vcltq_f32(x, y), x, y);
#else
    for (int i = 0; i < NN_LANES; i++)
        b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
#endif
}
static inline nn_lanes nn_lanes_max(nn_lanes a, nn_lanes b)
{
#if defined(__AVX512F__)
    return (nn_lanes)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (nn_lanes)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__aarch64__)
    float32x4_t x = (float32x4_t)a, y = (float32x4_t)b;
    return (nn_lanes)vbslq_f32(vcgtq_f32(x, y), x, y);
#else
    for (int i = 0; i < NN_LANES; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
#endif
}

/* 0 where v is negative or 0, else f: also where v is NaN. */
static inline nn_lanes nn_lanes_unless_below(nn_lanes v, nn_lanes f)
{
    nn_lanes_bits bits, mask = (nn_lanes_bits)(v <= nn_lanes_all(0));
    memcpy(&bits, &f, sizeof bits);
    bits &= ~mask;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The operations of nn_expf and nn_expf_bf16 (kernels.h) in the same order. The compiler makes
   vectors of those too, but ten comparisons of the two limits. */
static inline nn_lanes nn_lanes_exp_limited(nn_lanes x)
{
    return nn_lanes_max(nn_lanes_all(NN_EXP_MIN), nn_lanes_min(nn_lanes_all(NN_EXP_MAX), x));
}
static inline nn_lanes nn_lanes_exp_scaled(nn_lanes p, nn_lanes t)
{
    nn_lanes_bits bits;
    nn_lanes power;
    memcpy(&bits, &t, sizeof bits);
    bits <<= 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}
static inline nn_lanes nn_lanes_exp(nn_lanes x)
{
    const nn_lanes round = nn_lanes_all(NN_EXP_ROUND);
    x = nn_lanes_exp_limited(x);
    nn_lanes t = nn_lanes_fma(x, nn_lanes_all(NN_EXP_LOG2E), round), n = t - round;
    nn_lanes r = nn_lanes_fma(n, nn_lanes_all(-NN_EXP_LN2_FIRST), x);
    r = nn_lanes_fma(n, nn_lanes_all(-NN_EXP_LN2_REST), r);
    nn_lanes p = nn_lanes_all(nn_exp_terms[0]);
#pragma GCC unroll 8
    for (int i = 1; i < NN_EXP_TERMS; i++)
        p = nn_lanes_fma(p, r, nn_lanes_all(nn_exp_terms[i]));
    return nn_lanes_exp_scaled(p, t);
}
static inline nn_lanes nn_lanes_exp_bf16(nn_lanes x)
{
    const nn_lanes round = nn_lanes_all(NN_EXP_ROUND), log2e = nn_lanes_all(NN_EXP_LOG2E);
    x = nn_lanes_exp_limited(x);
    nn_lanes t = nn_lanes_fma(x, log2e, round);
    nn_lanes f = nn_lanes_fma(x, log2e, -(t - round)), p = nn_lanes_all(nn_exp2_terms[0]);
#pragma GCC unroll 4
    for (int i = 1; i < NN_EXP2_TERMS; i++)
        p = nn_lanes_fma(p, f, nn_lanes_all(nn_exp2_terms[i]));
    return nn_lanes_exp_scaled(p, t);
}
static inline nn_lanes nn_lanes_silu_bf16(nn_lanes x)
{
    return x / (nn_lanes_all(1) + nn_lanes_exp_bf16(-x));
}

/* bf16 as floats' bits, and back as nn_store_at rounds; compilers split these into halves, and gcc
   on arm64 into single lanes. */
static inline nn_lanes_bits nn_lanes_wide(nn_lanes_half half)
{
#if defined(__AVX512F__)
    return (nn_lanes_bits)_mm512_cvtepu16_epi32((__m256i)half) << 16;
#elif defined(__AVX2__)
    return (nn_lanes_bits)_mm256_cvtepu16_epi32((__m128i)half) << 16;
#elif defined(__aarch64__)
    return (nn_lanes_bits)vmovl_u16((uint16x4_t)half) << 16;
#else
    return __builtin_convertvector(half, nn_lanes_bits) << 16;
#endif
}
static inline nn_lanes_half nn_lanes_upper(nn_lanes_bits bits)
{
#if defined(__AVX512F__)
    return (nn_lanes_half)_mm512_cvtepi32_epi16((__m512i)(bits >> 16));
#elif defined(__aarch64__)
    return (nn_lanes_half)vshrn_n_u32((uint32x4_t)bits, 16);
#else
    return __builtin_convertvector(bits >> 16, nn_lanes_half);
#endif
}
static inline nn_lanes_half nn_lanes_rounded(nn_lanes v)
{
#if defined(__AVX512BF16__)
    return (nn_lanes_half)_mm512_cvtneps_pbh((__m512)v);
#else
    nn_lanes_bits bits;
    memcpy(&bits, &v, sizeof bits);
    nn_lanes_bits rounded = bits + 0x7fff + (bits >> 16 & 1), sign = bits & 0x80000000;
#if defined(__AVX512F__)
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    __mmask16 small = _mm512_testn_epi32_mask((__m512i)bits, _mm512_set1_epi32(0x7f800000));
    __m512i quiet = _mm512_set1_epi32(0x400000);
    rounded = (nn_lanes_bits)_mm512_mask_or_epi32((__m512i)rounded, nan, (__m512i)bits, quiet);
    rounded = (nn_lanes_bits)_mm512_mask_mov_epi32((__m512i)rounded, small, (__m512i)sign);
#else
    nn_lanes_bits nan = (nn_lanes_bits)(v != v);
    nn_lanes_bits small = (nn_lanes_bits)((bits & 0x7f800000) == 0);
    rounded = (nan & (bits | 0x400000)) | (~nan & rounded);
    rounded = (small & sign) | (~small & rounded);
#endif
    return nn_lanes_upper(rounded);
#endif
}

/* Elements at .. at+NN_LANES-1 of f32 or bf16 memory, as nn_load_at and nn_store_at. */
static inline nn_lanes nn_lanes_load_at(const void *p, bool bf16, int64_t at)
{
    nn_lanes v;
    if (!bf16)
        return nn_lanes_load((const float *)p + at);
    nn_lanes_half half;
    memcpy(&half, (const uint16_t *)p + at, sizeof half);
    nn_lanes_bits bits = nn_lanes_wide(half);
    memcpy(&v, &bits, sizeof v);
    return v;
}
static inline void nn_lanes_store_at(void *p, bool bf16, int64_t at, nn_lanes v)
{
    if (!bf16) {
        nn_lanes_store((float *)p + at, v);
        return;
    }
    nn_lanes_half half = nn_lanes_rounded(v);
    memcpy((uint16_t *)p + at, &half, sizeof half);
}

#endif
