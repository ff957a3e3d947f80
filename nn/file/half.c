#include "file/half.h"

#include <string.h>

static float as_float(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint32_t as_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

float nn_from_bf16(uint16_t bits)
{
    return as_float((uint32_t)bits << 16);
}

/* 1 sign, 5 exponent (bias 15), 10 fraction bits. */
float nn_from_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7fffu;
    if (rest >= 0x7c00) /* infinity and NaN */
        return as_float(sign | 0x7f800000 | rest << 13);
    if (rest >= 0x0400)
        return as_float(sign | ((rest << 13) + ((127 - 15) << 23)));
    float magnitude = (float)rest * 0x1p-24f; /* subnormal: exact in a float */
    return as_float(sign | as_bits(magnitude));
}

uint16_t nn_to_f16(float v)
{
    uint32_t bits = as_bits(v), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x1ff));
    if (rest >= 0x47800000) /* 65536 and above */
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x33000000) /* below half of the smallest subnormal */
        return (uint16_t)sign;
    uint32_t drop = 13, base = rest - ((127 - 15) << 23);
    if (rest < 0x38800000) { /* subnormal: the leading one becomes explicit and moves right */
        drop = 126 - (rest >> 23);
        base = (rest & 0x7fffff) | 0x800000;
    }
    uint32_t kept = base >> drop, lost = base & ((1u << drop) - 1), half = 1u << (drop - 1);
    kept += lost > half || (lost == half && (kept & 1)); /* may carry into the exponent: right */
    return (uint16_t)(sign | kept);
}
