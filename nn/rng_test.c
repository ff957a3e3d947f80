#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The known answers published with the authors' Random123 for philox4x32-10. */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } row[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        uint32_t out[4];
        nn_philox(row[i].key, row[i].counter, out);
        for (int j = 0; j < 4; j++)
            assert_int_equal(out[j], row[i].out[j]);
    }
}

static void words_are_blocks(void **state)
{
    (void)state;
    struct nn_rng r = nn_rng(0x0123456789abcdef, 0xfedcba9876543210);
    uint64_t at = ((uint64_t)7 << 34) + 11; /* the second counter word is used */
    uint32_t counter[4] = {(uint32_t)(at / 4), (uint32_t)(at / 4 >> 32), 0x76543210, 0xfedcba98};
    uint32_t key[2] = {0x89abcdef, 0x01234567}, out[4];
    nn_philox(key, counter, out);
    assert_int_equal(nn_rng_u32(r, at), out[3]);
    assert_true(nn_rng_uniform(r, at) == (float)(out[3] >> 8) / 16777216.0f);
}

/* What a purified image depends on. These bits may never change; a change is a new profile id. */
static void normal_golden_bits(void **state)
{
    (void)state;
    static const uint32_t want[16] = {
        0xbedb93e5, 0xbe103a06, 0x3fcfd47d, 0x3ed12a88, 0x3f00621b, 0xbf245b03,
        0x3fc3ce29, 0x3f0c98bf, 0xbf2273a6, 0x3f5548d7, 0xbf761e40, 0x3d058616,
        0xbedc6755, 0x3ea16884, 0xbd758c62, 0xbf904e8a,
    };
    float out[16];
    nn_rng_normal(nn_rng(1, 2), 0, out, 16);
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        assert_int_equal(bits, want[i]);
    }
    enum { N = 1 << 16 };
    float *many = mem_alloc(N * sizeof *many);
    assert_non_null(many);
    nn_rng_normal(nn_rng(0xfeedfacecafebeef, 99), ((uint64_t)1 << 40) + 2, many, N);
    assert_int_equal(checksum64(many, N * sizeof *many), 0xb6bea9a6587a80e3);
    mem_free(many);
}

static void normal_matches_libm(void **state)
{
    (void)state;
    enum { N = 20000 };
    static float out[N];
    struct nn_rng r = nn_rng(5, 6);
    nn_rng_normal(r, 0, out, N);
    for (int i = 0; i < N; i += 2) {
        float u = (float)(int32_t)(nn_rng_u32(r, (uint64_t)i) >> 1) * 0x1p-31f + 0x1p-32f;
        double turn = 3.14159265358979323846 * 0x1p-31 * nn_rng_u32(r, (uint64_t)i + 1);
        double rad = sqrt(-2 * log((double)u));
        assert_true(fabs(out[i] - rad * cos(turn)) < 1e-6 * rad);
        assert_true(fabs(out[i + 1] - rad * sin(turn)) < 1e-6 * rad);
    }
}

static void normal_moments(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *x = mem_alloc(N * sizeof *x);
    assert_non_null(x);
    nn_rng_normal(nn_rng(3, 4), 0, x, N);
    double sum[5] = {0};
    int beyond3 = 0;
    for (int i = 0; i < N; i++) {
        double v = x[i], q = v * v;
        sum[1] += v, sum[2] += q, sum[3] += q * v, sum[4] += q * q;
        beyond3 += fabs(v) > 3;
    }
    /* five standard errors of each */
    assert_true(fabs(sum[1] / N) < 5 / 1024.0);
    assert_true(fabs(sum[2] / N - 1) < 5 * sqrt(2) / 1024);
    assert_true(fabs(sum[3] / N) < 5 * sqrt(15) / 1024);
    assert_true(fabs(sum[4] / N - 3) < 5 * sqrt(96) / 1024);
    assert_true(abs(beyond3 - 2831) < 5 * 54);
    mem_free(x);
}

static void normal_depends_on_place_only(void **state)
{
    (void)state;
    struct nn_rng r = nn_rng(11, 12);
    float all[600], part[600];
    nn_rng_normal(r, 100, all, 600);
    for (size_t from = 0; from < 140; from += 2)
        for (size_t n = 0; n < 140; n += 7) {
            nn_rng_normal(r, 100 + from, part, n);
            assert_memory_equal(part, all + from, n * sizeof *part);
        }
}

static void shuffle_permutes(void **state)
{
    (void)state;
    enum { N = 1000 };
    int order[N], again[N], seen[N] = {0}, fixed = 0;
    nn_rng_shuffle(nn_rng(1, 1), order, N);
    nn_rng_shuffle(nn_rng(1, 1), again, N);
    for (int i = 0; i < N; i++) {
        assert_in_range(order[i], 0, N - 1);
        seen[order[i]]++;
        fixed += order[i] == i;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    assert_memory_equal(order, again, sizeof order);
    assert_true(fixed < 10);
    nn_rng_shuffle(nn_rng(1, 1), order, 1);
    assert_int_equal(order[0], 0);
    nn_rng_shuffle(nn_rng(1, 1), order, 0);
}

/* Each of the 24 orders of four things: within five standard errors of a 24th. */
static void shuffle_is_even(void **state)
{
    (void)state;
    enum { N = 24000 };
    int hits[256] = {0}, kinds = 0;
    for (uint64_t i = 0; i < N; i++) {
        int o[4];
        nn_rng_shuffle(nn_rng(9, i), o, 4);
        hits[o[0] << 6 | o[1] << 4 | o[2] << 2 | o[3]]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(hits); i++)
        if (hits[i]) {
            kinds++;
            assert_in_range(hits[i], 1000 - 155, 1000 + 155);
        }
    assert_int_equal(kinds, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(words_are_blocks),
        cmocka_unit_test(normal_golden_bits),   cmocka_unit_test(normal_matches_libm),
        cmocka_unit_test(normal_moments),       cmocka_unit_test(normal_depends_on_place_only),
        cmocka_unit_test(shuffle_permutes),     cmocka_unit_test(shuffle_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
