#ifndef NN_AMX_H
#define NN_AMX_H
/*
 * amx: convolutions in bf16 as products of tiles, on CPUs that have Intel's AMX.
 *
 * A tile is 16 rows of 64 bytes in a register. One instruction adds the product of two to a third:
 * A, 16 rows of 32 bf16, times B, whose row k holds rows 2k and 2k + 1 of a matrix of 16 columns with
 * their elements in turns (VNNI), to C, 16 x 16 f32.
 *
 * Here 32 images are one side of a tile: at a given pixel of the result and a given tap of the
 * kernel, all of them read the same pixel of the other image. So there is nothing to gather and
 * nothing to pad, and what the kernel would read of the padding is left out, which at 4x4 pixels is
 * nearly a third of all. Images lie apart in memory; they are packed into tiles first, a block of them
 * at a time. Channels go in blocks of 32, too, so that tiles are multiplied two by two.
 *
 * Each element of a result is one sum in an order that depends on shapes only.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
 */
#if defined(__AVX512BF16__)
#include "kernels/kernels.h"

#include <immintrin.h>

enum {
    NN_AMX_SIDE = 16,                           /* rows of a tile, columns of its f32 */
    NN_AMX_BLOCK = 2 * NN_AMX_SIDE,             /* images or channels: the side of 2 tiles */
    NN_AMX_ROW = 64,                            /* bytes */
    NN_AMX_TILE = NN_AMX_SIDE * NN_AMX_ROW / 2, /* bf16 numbers */
    NN_AMX_PAIR = 2 * NN_AMX_TILE,              /* of the two tiles of a block */
    NN_AMX_SUMS = NN_AMX_BLOCK * NN_AMX_BLOCK,  /* floats of 2 x 2 products */
};
#define NN_AMX __attribute__((target("amx-tile,amx-bf16")))

/* All eight tiles in full size, for the calling thread, until it releases them. The kernel has been
   asked for them by whoever found that the CPU has them (oneDNN). */
static inline NN_AMX void nn_amx_begin(void)
{
    struct config {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    };
    static const _Alignas(64) struct config full = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    _Static_assert(sizeof full == 64, "as the CPU reads it");
    _tile_loadconfig(&full);
}
static inline NN_AMX void nn_amx_end(void)
{
    _tile_release();
}

/* The 2 x 2 sums, tiles 0 to 3 in rows: to zero; from and to memory, 32 rows of 32 floats; and one product
   of two tiles of A with two of B added. */
static inline NN_AMX void nn_amx_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}
enum { NN_AMX_SUMS_ROW = NN_AMX_BLOCK * 4 }; /* bytes */
static inline NN_AMX void nn_amx_load(const float *from)
{
    const float *low = from + NN_AMX_SUMS / 2;
    _tile_loadd(0, from, NN_AMX_SUMS_ROW);
    _tile_loadd(1, from + NN_AMX_SIDE, NN_AMX_SUMS_ROW);
    _tile_loadd(2, low, NN_AMX_SUMS_ROW);
    _tile_loadd(3, low + NN_AMX_SIDE, NN_AMX_SUMS_ROW);
}
static inline NN_AMX void nn_amx_store(float *to)
{
    float *low = to + NN_AMX_SUMS / 2;
    _tile_stored(0, to, NN_AMX_SUMS_ROW);
    _tile_stored(1, to + NN_AMX_SIDE, NN_AMX_SUMS_ROW);
    _tile_stored(2, low, NN_AMX_SUMS_ROW);
    _tile_stored(3, low + NN_AMX_SIDE, NN_AMX_SUMS_ROW);
}
static inline NN_AMX void nn_amx_add(const uint16_t *a, const uint16_t *b)
{
    _tile_loadd(4, a, NN_AMX_ROW);
    _tile_loadd(6, b, NN_AMX_ROW);
    _tile_loadd(7, b + NN_AMX_TILE, NN_AMX_ROW);
    _tile_loadd(5, a + NN_AMX_TILE, NN_AMX_ROW);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* Two rows of 32 numbers in turns: a0 b0 a1 b1 ...; the first 16 of each, and the others. */
static inline __m512i nn_amx_in_turns(__m512i a, __m512i b, bool others)
{
    static const _Alignas(64) uint16_t order[2][NN_AMX_BLOCK] = {
        {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
         8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
         24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63},
    };
    return _mm512_permutex2var_epi16(a, _mm512_load_si512(order[others]), b);
}

/* 16 x 16 words of 32 bits. */
static inline __attribute__((always_inline)) void nn_amx_transpose(__m512i r[NN_AMX_SIDE])
{
    __m512i t[NN_AMX_SIDE];
    for (int i = 0; i < NN_AMX_SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < NN_AMX_SIDE; i += 4)
        for (int k = 0; k < 2; k++) {
            r[i + 2 * k] = _mm512_unpacklo_epi64(t[i + k], t[i + k + 2]);
            r[i + 2 * k + 1] = _mm512_unpackhi_epi64(t[i + k], t[i + k + 2]);
        }
    for (int i = 0; i < NN_AMX_SIDE; i += 8)
        for (int k = 0; k < 4; k++) {
            t[i + k] = _mm512_shuffle_i32x4(r[i + k], r[i + k + 4], 0x88);
            t[i + k + 4] = _mm512_shuffle_i32x4(r[i + k], r[i + k + 4], 0xdd);
        }
    for (int k = 0; k < 8; k++) {
        r[k] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0x88);
        r[k + 8] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0xdd);
    }
}

/* A mask of the first n lanes of 16, which are all where n is larger. */
static inline __mmask16 nn_amx_first(int n)
{
    return (__mmask16)(n < NN_AMX_SIDE ? (1u << n) - 1 : 0xffff);
}

/* An image tensor (N,H,W,C), bf16, as blocks of images see it. */
struct nn_amx_images {
    const uint16_t *data;
    int n, h, w, c;
};
static inline struct nn_amx_images nn_amx_images(const struct nn_tensor *t)
{
    const int *d = t->shape.dim;
    return (struct nn_amx_images){t->data, d[0], d[1], d[2], d[3]};
}
/* 32 channels from c on of image n's pixel; zeros for channels and images beyond the last. */
static inline __m512i nn_amx_pixel(const struct nn_amx_images *t, int n, int64_t pixel, int c)
{
    if (n >= t->n)
        return _mm512_setzero_si512();
    const uint16_t *from = t->data + ((int64_t)n * t->h * t->w + pixel) * t->c + c;
    if (c + NN_AMX_BLOCK <= t->c)
        return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi16((1u << (t->c - c)) - 1, from);
}
/* Blocks of images or channels, the last of which may be filled up with zeros. */
static inline int nn_amx_blocks(int n)
{
    return (n + NN_AMX_BLOCK - 1) / NN_AMX_BLOCK;
}

/* Whether the tensors of a convolution between x and y suit: any channels. */
bool nn_amx_fits(const struct nn_step *s, const struct nn_tensor *x, const struct nn_tensor *y);

extern const struct nn_kernel nn_amx_conv2d, nn_amx_conv2d_data, nn_amx_conv2d_weights;
#endif
#endif
