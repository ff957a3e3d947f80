/*
 * Philox 4x32-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * Word `at` of a stream is word at%4 of the block whose counter is {at/4 (64 bits), stream}.
 * Everything here must give the same bits with every compiler, CPU and vector width: a purified
 * image is a pure function of its source. So logarithm, sine and cosine are polynomials of our own,
 * evaluated with IEEE additions, products, quotients and roots only, and the compiler may not join
 * them into fused multiply-adds. rng_test.c holds golden bits.
 */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "nn/nn.h"

#include <math.h>
#include <string.h>

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u /* golden ratio */
#define PHILOX_W1 0xBB67AE85u /* sqrt(3) - 1 */

enum {
    PHILOX_ROUNDS = 10,
    LANES = 16, /* blocks computed side by side, so that the loops below become vector code */
    CHUNK = 4 * LANES
};

struct blocks {
    uint32_t word[4][LANES];
};

static inline void philox_round(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    uint64_t p0 = (uint64_t)PHILOX_M0 * c[0], p1 = (uint64_t)PHILOX_M1 * c[2];
    uint32_t w0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, w2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
    c[0] = w0;
    c[1] = (uint32_t)p1;
    c[2] = w2;
    c[3] = (uint32_t)p0;
}

void nn_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(out, counter, 4 * sizeof *out);
    for (int i = 0; i < PHILOX_ROUNDS; i++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        philox_round(out, k0, k1);
}

struct nn_rng nn_rng(uint64_t key, uint64_t stream)
{
    return (struct nn_rng){{(uint32_t)key, (uint32_t)(key >> 32)},
                           {(uint32_t)stream, (uint32_t)(stream >> 32)}};
}

uint32_t nn_rng_u32(struct nn_rng r, uint64_t at)
{
    uint64_t block = at / 4;
    uint32_t out[4];
    nn_philox(r.key,
              (uint32_t[4]){(uint32_t)block, (uint32_t)(block >> 32), r.stream[0], r.stream[1]},
              out);
    return out[at % 4];
}

float nn_rng_uniform(struct nn_rng r, uint64_t at)
{
    return (float)(nn_rng_u32(r, at) >> 8) * 0x1p-24f;
}

/* Blocks first .. first+LANES-1. */
static void philox_lanes(struct nn_rng r, uint64_t first, struct blocks *b)
{
    uint32_t k0 = r.key[0], k1 = r.key[1];
    for (int i = 0; i < LANES; i++) {
        uint64_t block = first + (uint64_t)i;
        b->word[0][i] = (uint32_t)block;
        b->word[1][i] = (uint32_t)(block >> 32);
        b->word[2][i] = r.stream[0];
        b->word[3][i] = r.stream[1];
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        for (int i = 0; i < LANES; i++) {
            uint32_t c[4] = {b->word[0][i], b->word[1][i], b->word[2][i], b->word[3][i]};
            philox_round(c, k0, k1);
            for (int j = 0; j < 4; j++)
                b->word[j][i] = c[j];
        }
}

/*
 * sqrt(-2 ln u) for u = (floor(w/2) + 1/2) / 2^31 rounded to a float, at most 1, at least 2^-32.
 * u = 2^e m with m in [sqrt(1/2), sqrt(2)); with s = (m-1)/(m+1), ln m = 2s + s^3 L(s^2).
 * L is a Chebyshev fit; together below 3e-7 of the result.
 */
static inline float radius(uint32_t w)
{
    const uint32_t sqrt_half = 0x3f3504f3;
    float u = (float)(int32_t)(w >> 1) * 0x1p-31f + 0x1p-32f, m;
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    uint32_t over = bits - sqrt_half;
    float e = (float)((int32_t)over >> 23);
    bits = (over & 0x7fffff) + sqrt_half;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float tail = s * z * (0x1.55555cp-1f + z * (0x1.997c1cp-2f + z * 0x1.2ee8d0p-2f));
    float ln = e * 0x1.62e430p-1f + (2.0f * s + tail);
    return sqrtf(-2.0f * ln);
}

/*
 * Cosine and sine of 2 pi w / 2^32: the nearest quarter turn is taken off exactly, in integers;
 * what is left, in [-pi/4, pi/4], goes through Chebyshev fits of (sin x / x - 1) / x^2 and of the
 * cosine's tail.
 */
static inline void turn(uint32_t w, float *out_cos, float *out_sin)
{
    uint32_t quarter = (w + 0x20000000u) >> 30;
    float x = (float)(int32_t)(w - (quarter << 30)) * 0x1.921fb6p-30f, z = x * x;
    float sn = x + x * z * (-0x1.555552p-3f + z * (0x1.110c2ap-7f + z * -0x1.9aca02p-13f));
    float cs =
        1.0f - 0.5f * z + z * z * (0x1.555554p-5f + z * (-0x1.6c12d4p-10f + z * 0x1.9bd8d2p-16f));
    uint32_t odd = quarter & 1;
    float c = odd ? sn : cs, s = odd ? cs : sn;
    /* the sign of the cosine is + - - + over the quarters, of the sine + + - - */
    *out_cos = (quarter + 1) & 2 ? -c : c;
    *out_sin = quarter & 2 ? -s : s;
}

/* Words 2i and 2i+1 of the chunk become normals 2i and 2i+1. */
static void normal_chunk(struct nn_rng r, uint64_t block, float out[CHUNK])
{
    struct blocks b;
    float value[4][LANES];
    philox_lanes(r, block, &b);
    for (int pair = 0; pair < 4; pair += 2)
        for (int i = 0; i < LANES; i++) {
            float rad = radius(b.word[pair][i]), c, s;
            turn(b.word[pair + 1][i], &c, &s);
            value[pair][i] = rad * c;
            value[pair + 1][i] = rad * s;
        }
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = value[j][i];
}

void nn_rng_normal(struct nn_rng r, uint64_t at, float *out, size_t n)
{
    CHECK(at % 2 == 0);
    uint64_t block = at / 4;
    size_t skip = at % 4;
    while (n > 0) {
        float chunk[CHUNK];
        size_t take = CHUNK - skip < n ? CHUNK - skip : n;
        normal_chunk(r, block, chunk);
        memcpy(out, chunk + skip, take * sizeof *out);
        out += take;
        n -= take;
        block += LANES;
        skip = 0;
    }
}

/* Fisher-Yates. The bound is applied to 64 random bits, whose bias, below 2^-32, is never seen. */
void nn_rng_shuffle(struct nn_rng r, int *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = i;
    for (int i = n - 1; i > 0; i--) {
        uint64_t at = 2 * (uint64_t)i;
        uint64_t hi = nn_rng_u32(r, at + 1), lo = nn_rng_u32(r, at), bound = (uint64_t)i + 1;
        int j = (int)((hi * bound + (lo * bound >> 32)) >> 32);
        int t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
}
