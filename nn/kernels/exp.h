#ifndef NN_EXP_H
#define NN_EXP_H
/*
 * exp: constants of the exponential functions, which kernels.h computes for a float and lanes.h for
 * vectors, in the same operations.
 *
 * x log2(e) is rounded to n by adding 1.5 * 2^23 + 127, which leaves n + 127 in the low bits of the
 * sum: the exponent of 2^n as a float has it. What is left goes into a polynomial, whose value is
 * multiplied by that. A NaN becomes a NaN, of any payload: that of the sum is never looked at
 * alone.
 *
 * exp: r = x - n ln 2, ln 2 in two parts of which the first is exact times n; degree 7; 1.2e-7
 * relative. For results that become bf16: f = x log2(e) - n, and 2^f by degree 3; 7.5e-5. Below -87
 * exp gives 1.6e-38, above 88.37 2.4e38.
 */
#define NN_EXP_MIN (-87.0f)
#define NN_EXP_MAX 88.37f
#define NN_EXP_LOG2E 1.44269504f
#define NN_EXP_ROUND 12583039.0f
#define NN_EXP_LN2_FIRST 0.693359375f
#define NN_EXP_LN2_REST (-2.12194440e-4f)
enum { NN_EXP_TERMS = 8, NN_EXP2_TERMS = 4 };
/* From the highest power down. */
static const float nn_exp_terms[NN_EXP_TERMS] = {1.9875691500e-4f,
                                                 1.3981999507e-3f,
                                                 8.3334519073e-3f,
                                                 4.1665795894e-2f,
                                                 1.6666665459e-1f,
                                                 5.0000001201e-1f,
                                                 1.0f,
                                                 1.0f};
static const float nn_exp2_terms[NN_EXP2_TERMS] = {0.0551715083f, 0.2426113337f, 0.6932610273f,
                                                   0.9999280572f};

#endif
