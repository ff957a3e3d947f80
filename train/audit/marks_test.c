/* What marks say of fields whose making is known, and how imitations are put on and told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/centres.h"
#include "audit/imitate.h"
#include "audit/marks.h"
#include "base/seam.h"
#include "set.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { SIDE = 24, ROW = SIDE * SIDE * 3, GROUP = 8 };
static const struct squares squares = {SIDE, 3};
/* Where a field's marks begin. */
enum {
    AT_KURTOSIS = 0,
    AT_PIXEL = 1,
    AT_RINGS = FIELD_SPARSE,
    AT_SQUARES = AT_RINGS + 2 * FIELD_RINGS,
    AT_BEFORE = AT_SQUARES + FIELD_SQUARES,
    AT_WAVE,
    AT_FLAT,
    AT_BANDS
};

static void mark(const float *r, float out[FIELD_MARKS])
{
    assert_int_equal(field_marks(squares, r, out), STATUS_OK);
    for (int i = 0; i < FIELD_MARKS; i++)
        assert_true(isfinite(out[i]));
}

/* What a family makes, alone. */
static void make(const char *family, uint64_t number, float *out)
{
    struct family_mix m;
    char text[64];
    snprintf(text, sizeof text, "%s:1", family);
    const struct family_frame f = {SIDE, SIDE, 3};
    assert_int_equal(family_mix_parse(text, &m, NULL), STATUS_OK);
    assert_int_equal(family_mix_begin(&m, NULL, f, NULL), STATUS_OK);
    struct family_draw d = {stream(3, STREAM_DELTA, number), 8};
    assert_int_equal(m.entry[0].ops->make(m.entry[0].state, f, d, NULL, out), STATUS_OK);
    family_mix_done(&m);
}

static void a_field_says_how_it_is_made(void **state)
{
    (void)state;
    static float r[ROW];
    float white[FIELD_MARKS], other[FIELD_MARKS];
    make("white", 1, r);
    mark(r, white);
    assert_true(fabsf(white[AT_RINGS]) < .05f && white[AT_BEFORE] < .05f);
    make("autoregressive", 1, r);
    mark(r, other);
    assert_true(other[AT_BEFORE] > .6f);
    make("pixels", 1, r);
    mark(r, other);
    assert_true(other[AT_PIXEL] > logf(.4f) && other[AT_KURTOSIS] > white[AT_KURTOSIS] + 3);
    make("waves", 1, r);
    mark(r, other);
    assert_true(other[AT_WAVE] > white[AT_WAVE] + 1 && other[AT_FLAT] < white[AT_FLAT] - 1);
    for (int p = 0; p < ROW; p++) /* squares of 4, the first of which begins before the edge */
        r[p] = (float)stream_below(
            nn_rng_u32(nn_rng(1, 1), (uint64_t)((p / 3 / SIDE + 1) / 4 * 64 +
                                                (p / 3 % SIDE + 3) / 4 * 4 + p % 3)),
            16);
    mark(r, other);
    assert_true(fabsf(other[AT_SQUARES + 1] - logf(4)) < .25f);
    assert_true(other[AT_SQUARES] < other[AT_SQUARES + 1]);
    memset(r, 0, sizeof r);
    mark(r, other);
}

/* Its size, its sign and its colours have no part in it. */
static void a_field_is_the_same_when_it_is_scaled(void **state)
{
    (void)state;
    static float r[ROW], scaled[ROW];
    float a[FIELD_MARKS], b[FIELD_MARKS];
    make("filtered", 1, r);
    for (int p = 0; p < ROW; p++)
        scaled[p - p % 3 + (p + 1) % 3] = -3 * r[p];
    mark(r, a);
    mark(scaled, b);
    for (int i = 0; i < FIELD_MARKS; i++)
        if (fabsf(a[i] - b[i]) > .02f)
            fail_msg("mark %d: %g and %g", i, (double)a[i], (double)b[i]);
}

/* ---- groups ---- */

static void images(uint8_t *out)
{
    for (int p = 0; p < GROUP * ROW; p++)
        out[p] = (uint8_t)(60 + p / ROW * 10 + p / 3 % SIDE * 2);
}

static struct imitate imitation(struct train_set **set, uint8_t *clean, uint64_t seed)
{
    struct imitate m = {.squares = squares, .group = GROUP, .seed = seed, .threads = 1};
    int label[GROUP] = {0, 0, 0, 0, 1, 1, 1, 1};
    struct set_made made = {GROUP, 2, SIDE, SIDE, 3, clean, label};
    images(clean);
    assert_int_equal(train_set_make(&made, set), STATUS_OK);
    assert_int_equal(imitate_begin(&m, *set, NULL), STATUS_OK);
    return m;
}

static void put_on(struct imitate *m, int family, enum imitate_way way, uint64_t number,
                   const uint8_t *clean, uint8_t *out)
{
    static const int index[GROUP] = {0, 1, 2, 3, 4, 5, 6, 7};
    const struct imitate_group g = {family, way, number, index, clean};
    struct errmsg e = {""};
    status st = imitate_make(m, &g, out, &e);
    if (st)
        fail_msg("%s", e.text);
}

static bool all_same(const float *delta)
{
    return memcmp(delta, delta + ROW, (GROUP - 1) * ROW * sizeof *delta) == 0;
}

static void what_is_put_on_is_shared_as_it_says(void **state)
{
    (void)state;
    static uint8_t clean[GROUP * ROW], out[GROUP * ROW], again[GROUP * ROW];
    struct train_set *set = NULL;
    struct imitate m = imitation(&set, clean, 1);
    for (int k = 0; k < m.mix.n; k++)
        for (int way = 0; way < IMITATE_WAYS; way++) {
            const struct family_ops *ops = m.mix.entry[k].ops;
            if (!imitate_has(&m, k, (enum imitate_way)way))
                continue;
            put_on(&m, k, (enum imitate_way)way, 5, clean, out);
            put_on(&m, k, (enum imitate_way)way, 6, clean, again);
            assert_true(!ops->is.told || memcmp(out, again, sizeof out) != 0);
            put_on(&m, k, (enum imitate_way)way, 5, clean, again);
            assert_memory_equal(out, again, sizeof out);
            bool shared = way == IMITATE_SAME || way == IMITATE_TILES;
            if (!ops->of_image && all_same(m.delta) != shared)
                fail_msg("%s, way %d", ops->is.name, way);
            for (int p = 0; p < SIDE * 3 - 24 && way == IMITATE_TILES; p++)
                assert_true(m.delta[p] == m.delta[p + 24]);
        }
    imitate_done(&m);
    train_set_free(set);
}

static void a_group_says_what_it_shares(void **state)
{
    (void)state;
    static uint8_t clean[GROUP * ROW], out[GROUP * ROW];
    struct train_set *set = NULL;
    float same[MARKS], own[MARKS];
    struct imitate m = imitation(&set, clean, 1);
    put_on(&m, 0, IMITATE_SAME, 1, clean, out);
    assert_int_equal(marks_make(squares, out, clean, GROUP, same), STATUS_OK);
    put_on(&m, 0, IMITATE_OWN, 1, clean, out);
    assert_int_equal(marks_make(squares, out, clean, GROUP, own), STATUS_OK);
    assert_true(same[MARKS - 2] > .9f && own[MARKS - 2] < .3f);
    imitate_done(&m);
    train_set_free(set);
}

/* ---- centres ---- */

enum { SIZE = 5, LABELS = 3, EACH = 20 };

static void samples_are_of_the_nearest_label(void **state)
{
    (void)state;
    float feature[LABELS * EACH * SIZE], x[SIZE];
    int label[LABELS * EACH];
    struct centres *c = NULL;
    nn_rng_normal(nn_rng(1, 1), 0, feature, LABELS * EACH * SIZE);
    for (int i = 0; i < LABELS * EACH; i++) {
        label[i] = i % LABELS;
        feature[i * SIZE + 1] += 4 * (float)label[i];
        feature[i * SIZE + 4] *= 1000; /* says nothing, and loudly */
    }
    struct centres_data d = {feature, LABELS * EACH, SIZE, label, LABELS};
    assert_int_equal(centres_new(&d, &c), STATUS_OK);
    int right = 0;
    double odd = 0, sum = 0;
    for (int i = 0; i < LABELS * EACH; i++) {
        int l = -1;
        assert_int_equal(centres_nearest(c, feature + i * SIZE, &l, &odd), STATUS_OK);
        right += l == label[i];
        sum += odd / (LABELS * EACH);
    }
    assert_true(right > LABELS * EACH * 9 / 10);
    assert_true(fabs(sum - .5) < .1);
    memcpy(x, feature, sizeof x);
    x[2] += 20;
    assert_int_equal(centres_nearest(c, x, &right, &odd), STATUS_OK);
    assert_true(odd > 10);
    centres_free(c);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    static uint8_t clean[GROUP * ROW];
    float out[MARKS], feature[4] = {0, 1, 2, 3};
    const int label[4] = {0, 0, 1, 1};
    struct centres_data d = {feature, 4, 1, label, 2};
    struct set_made made = {4, 2, SIDE, SIDE, 3, clean, label};
    struct centres *c = NULL;
    struct train_set *set = NULL;
    status st[3] = {STATUS_NOMEM, STATUS_NOMEM, STATUS_NOMEM};
    for (unsigned long n = 1; n < 40; n++) {
        for (int k = 0; k < 3; k++) {
            if (!st[k])
                continue;
            fault_set(FAULT_MEM, n, 0, 0);
            st[k] = k == 0   ? marks_make(squares, clean, clean, GROUP, out)
                    : k == 1 ? centres_new(&d, &c)
                             : train_set_make(&made, &set);
            fault_clear();
            assert_true(st[k] == STATUS_OK || (st[k] == STATUS_NOMEM && n < 39));
        }
    }
    centres_free(c);
    train_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_says_how_it_is_made),
        cmocka_unit_test(a_field_is_the_same_when_it_is_scaled),
        cmocka_unit_test(what_is_put_on_is_shared_as_it_says),
        cmocka_unit_test(a_group_says_what_it_shares),
        cmocka_unit_test(samples_are_of_the_nearest_label),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
