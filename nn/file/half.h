#ifndef NN_HALF_H
#define NN_HALF_H
/* The two 16-bit formats of weights on disk. Widening is exact; narrowing rounds to nearest, ties
 * to even. */
#include <stdint.h>

float nn_from_f16(uint16_t bits);
float nn_from_bf16(uint16_t bits);
/* Beyond 65504 (rounded): infinity. NaN stays NaN. Small values become subnormal or zero. */
uint16_t nn_to_f16(float v);

#endif
