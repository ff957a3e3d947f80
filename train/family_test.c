/* What defines each family, found again in what it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "family.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { W = 32, H = 24, VALUES_MAX = W * H * 3, DRAWS = 60 };
static const struct family_frame frames[] = {{W, H, 3}, {W, H, 1}, {2, 2, 3}, {7, 5, 3}};

static void image(struct family_frame f, uint8_t *out)
{
    for (size_t i = 0; i < family_count(f); i++)
        out[i] = (uint8_t)(nn_rng_u32(nn_rng(8, 8), i) % 200);
}

/* Those that work with a training's images have tests of their own. */
static bool makes_alone(const char *name)
{
    struct family_mix m;
    char text[64];
    snprintf(text, sizeof text, "%s:1", name);
    assert_int_equal(family_mix_parse(text, &m, NULL), STATUS_OK);
    return m.entry[0].ops->make;
}

/* One family alone. */
static struct family_mix mix_of(const char *name, struct family_frame f)
{
    struct family_mix m;
    struct errmsg e = {""};
    char text[64];
    snprintf(text, sizeof text, "%s:1", name);
    if (family_mix_parse(text, &m, &e) || family_mix_begin(&m, NULL, f, &e))
        fail_msg("%s", e.text);
    assert_int_equal(m.n, 1);
    return m;
}

static void make(const struct family_mix *m, struct family_frame f, uint64_t number, float *out)
{
    const struct family_entry *entry = &m->entry[0];
    const struct family_draw d = {stream(1, STREAM_DELTA, number), (float)(4 + number % 13)};
    uint8_t was[VALUES_MAX];
    image(f, was);
    assert_int_equal(entry->ops->make(entry->state, f, d, entry->ops->of_image ? was : NULL, out),
                     STATUS_OK);
}

static float amplitude_of(uint64_t number)
{
    return (float)(4 + number % 13);
}

static double deviation(const float *v, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)v[i] * (double)v[i];
    return sqrt(square / (double)n);
}

/* Never of what was made before, and of no thing but the stream. */
static void a_perturbation_is_a_function_of_its_stream(void **state)
{
    (void)state;
    const struct train_family *family;
    for (int i = 0; (family = train_family_at(i)); i++)
        for (size_t k = 0; k < ARRAY_LEN(frames) && makes_alone(family->name); k++) {
            struct family_mix m = mix_of(family->name, frames[k]);
            struct family_mix again = mix_of(family->name, frames[k]);
            size_t bytes = family_count(frames[k]) * sizeof(float);
            bool differs = false;
            for (uint64_t number = 0; number < 20; number++) {
                float a[VALUES_MAX], b[VALUES_MAX], c[VALUES_MAX];
                make(&m, frames[k], number, a);
                make(&m, frames[k], number + 1, b);
                make(&again, frames[k], number, c);
                if (memcmp(a, c, bytes) != 0)
                    fail_msg("%s: draw %llu is not the same twice", family->name,
                             (unsigned long long)number);
                differs = differs || memcmp(a, b, bytes) != 0;
            }
            assert_true(differs == (strcmp(family->name, "none") != 0));
            family_mix_done(&m);
            family_mix_done(&again);
        }
}

static void perturbations_are_bounded_and_not_faint(void **state)
{
    (void)state;
    const struct train_family *family;
    for (int i = 0; (family = train_family_at(i)); i++) {
        bool bounded = strcmp(family->name, "pixels") != 0 && strcmp(family->name, "blur") != 0;
        if (!makes_alone(family->name))
            continue;
        struct family_mix m = mix_of(family->name, frames[0]);
        double sum = 0;
        for (uint64_t number = 0; number < DRAWS; number++) {
            float v[VALUES_MAX];
            make(&m, frames[0], number, v);
            for (size_t p = 0; p < family_count(frames[0]); p++)
                if (!(fabsf(v[p]) <= (bounded ? amplitude_of(number) * 1.00001f : 255)))
                    fail_msg("%s: %g of %g", family->name, (double)v[p],
                             (double)amplitude_of(number));
            sum += deviation(v, family_count(frames[0])) / (double)amplitude_of(number) / DRAWS;
        }
        family_mix_done(&m);
        if (!(strcmp(family->name, "none") == 0 ? sum == 0 : sum > .25))
            fail_msg("%s: %g of the amplitude", family->name, sum);
    }
}

/* ---- what each is ---- */

static float at(const float *v, int y, int x, int c)
{
    return v[(y * W + x) * 3 + c];
}

/* Whether every square of this side, the first of which begins before the corner, has one colour. */
static bool has_squares(const float *v, int side, int top, int left)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++) {
                bool new_row = (y + top) % side == 0, new_column = (x + left) % side == 0;
                if ((y > 0 && !new_row && at(v, y, x, c) != at(v, y - 1, x, c)) ||
                    (x > 0 && !new_column && at(v, y, x, c) != at(v, y, x - 1, c)))
                    return false;
            }
    return true;
}

/* The largest such side, 0 when there is none. */
static int side_of(const float *v, bool *out_shifted)
{
    for (int side = 16; side >= 2; side /= 2)
        for (int k = 0; k < side * side; k++)
            if (has_squares(v, side, k / side, k % side)) {
                *out_shifted = k > 0;
                return side;
            }
    return 0;
}

static void blocks_are_squares_of_one_colour(void **state)
{
    (void)state;
    struct family_mix m = mix_of("blocks", frames[0]);
    int sides[17] = {0}, shifts = 0, extremes = 0;
    for (uint64_t number = 0; number < DRAWS; number++) {
        float v[VALUES_MAX];
        bool shifted = false, extreme = true;
        make(&m, frames[0], number, v);
        int side = side_of(v, &shifted);
        if (!side)
            fail_msg("draw %llu has no squares", (unsigned long long)number);
        for (int p = 0; p < VALUES_MAX && extreme; p++)
            extreme = fabsf(v[p]) == amplitude_of(number);
        sides[side]++;
        shifts += shifted;
        extremes += extreme;
    }
    for (int side = 2; side <= 16; side *= 2)
        assert_in_range(sides[side], DRAWS / 10, DRAWS / 2); /* a quarter of them */
    assert_in_range(shifts, DRAWS / 5, DRAWS * 3 / 4);
    assert_in_range(extremes, DRAWS / 4, DRAWS * 3 / 4);
    family_mix_done(&m);
}

/* Mean product of values that lie `right` apart, as a part of the mean square. */
static double correlation(const float *v, int right)
{
    double product = 0, square = 0;
    for (int y = 0; y < H; y++)
        for (int x = 0; x + right < W; x++)
            for (int c = 0; c < 3; c++) {
                product += (double)at(v, y, x, c) * (double)at(v, y, x + right, c);
                square += (double)at(v, y, x, c) * (double)at(v, y, x, c);
            }
    return product / square;
}

static int zeros(const float *v)
{
    int n = 0;
    for (int p = 0; p < W * H; p++)
        n += v[p * 3] == 0 && v[p * 3 + 1] == 0 && v[p * 3 + 2] == 0;
    return n;
}

/* Its filters reach up to 7 pixels; white noise reaches none. */
static void filtered_noise_has_texture_and_white_noise_has_none(void **state)
{
    (void)state;
    double near[2] = {0}, far[2] = {0};
    int thinned = 0;
    static const char *const name[] = {"filtered", "white"};
    for (int i = 0; i < 2; i++) {
        struct family_mix m = mix_of(name[i], frames[0]);
        for (uint64_t number = 0; number < DRAWS; number++) {
            float v[VALUES_MAX];
            make(&m, frames[0], number, v);
            near[i] += pow(correlation(v, 1), 2) / DRAWS;
            far[i] += pow(correlation(v, 7), 2) / DRAWS;
            thinned += zeros(v) > W * H / 20;
        }
        family_mix_done(&m);
    }
    assert_true(near[0] > .005 && near[1] < .001); /* 1 / (number of values) by chance */
    assert_true(far[0] < .005 && far[1] < .001);
    assert_in_range(thinned, DRAWS / 8, DRAWS / 2); /* a quarter of the filtered ones */
}

/* ---- linear laws ---- */

/* Solves the symmetric n x n system a x = b in place. */
static void solve(int n, double a[8][8], double b[8])
{
    for (int i = 0; i < n; i++)
        for (int r = i + 1; r < n; r++) {
            double f = a[r][i] / a[i][i];
            for (int k = i; k < n; k++)
                a[r][k] -= f * a[i][k];
            b[r] -= f * b[i];
        }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
}

/* Sums up equations  sum_i x_i known[i] = wanted,  and what part of wanted's square no x explains. */
struct law {
    int n;
    double a[8][8], b[8], square;
};
static void law_add(struct law *l, const double *known, double wanted)
{
    for (int i = 0; i < l->n; i++) {
        for (int k = 0; k < l->n; k++)
            l->a[i][k] += known[i] * known[k];
        l->b[i] += known[i] * wanted;
    }
    l->square += wanted * wanted;
}
static double law_unexplained(struct law *l)
{
    double x[8], explained = 0;
    for (int i = 0; i < l->n; i++) {
        l->a[i][i] *= 1 + 1e-9; /* for laws of fewer terms */
        x[i] = l->b[i];
    }
    double b[8];
    memcpy(b, x, sizeof b);
    solve(l->n, l->a, x);
    for (int i = 0; i < l->n; i++)
        explained += x[i] * b[i];
    return 1 - explained / l->square;
}

/* The windows of one channel in which no value was cut off. */
static double not_autoregressive(const float *v, float amplitude, int c)
{
    struct law l = {.n = 8};
    for (int y = 2; y < H; y++)
        for (int x = 2; x < W; x++) {
            double w[9];
            bool cut = false;
            for (int i = 0; i < 9; i++) {
                w[i] = (double)at(v, y - 2 + i / 3, x - 2 + i % 3, c);
                cut = cut || fabs(w[i]) >= (double)amplitude * .9999;
            }
            if (!cut)
                law_add(&l, w, w[8]);
        }
    return law_unexplained(&l);
}

static void autoregressive_values_follow_from_those_before(void **state)
{
    (void)state;
    struct family_mix m = mix_of("autoregressive", frames[0]);
    for (uint64_t number = 0; number < DRAWS; number++) {
        float v[VALUES_MAX];
        make(&m, frames[0], number, v);
        for (int c = 0; c < 3; c++) {
            double left = not_autoregressive(v, amplitude_of(number), c);
            if (!(left < 1e-4)) /* of noise about 1 */
                fail_msg("draw %llu, channel %d: %g", (unsigned long long)number, c, left);
        }
    }
    family_mix_done(&m);
}

/* Four waves at most: along a row  v(x-4) + v(x+4)  follows from the seven between. */
static void waves_obey_the_law_of_four_waves(void **state)
{
    (void)state;
    struct family_mix m = mix_of("waves", frames[0]);
    for (uint64_t number = 0; number < DRAWS; number++) {
        float v[VALUES_MAX];
        make(&m, frames[0], number, v);
        struct law l = {.n = 4};
        for (int y = 0; y < H; y++)
            for (int x = 4; x + 4 < W; x++)
                for (int c = 0; c < 3; c++) {
                    double pair[5];
                    for (int d = 0; d <= 4; d++)
                        pair[d] = (double)at(v, y, x - d, c) + (double)at(v, y, x + d, c);
                    law_add(&l, pair, pair[4]);
                }
        double left = law_unexplained(&l);
        if (!(left < 1e-4))
            fail_msg("draw %llu: %g", (unsigned long long)number, left);
    }
    family_mix_done(&m);
}

static void pixels_are_one_or_two_of_an_extreme_colour(void **state)
{
    (void)state;
    struct family_mix m = mix_of("pixels", frames[0]);
    int count[3] = {0};
    for (uint64_t number = 0; number < DRAWS; number++) {
        float v[VALUES_MAX];
        make(&m, frames[0], number, v);
        int changed = W * H - zeros(v);
        assert_in_range(changed, 1, 2);
        count[changed]++;
        for (int p = 0; p < VALUES_MAX; p++)
            assert_true(v[p] == 0 || fabsf(v[p]) == 255);
    }
    assert_in_range(count[1], DRAWS / 4, DRAWS * 3 / 4);
    family_mix_done(&m);
}

static void shifts_of_colour_have_no_edges(void **state)
{
    (void)state;
    struct family_mix m = mix_of("colour", frames[0]);
    int constant = 0;
    for (uint64_t number = 0; number < DRAWS; number++) {
        float v[VALUES_MAX], most = 0;
        make(&m, frames[0], number, v);
        for (int y = 0; y < H; y++)
            for (int x = 1; x < W; x++)
                for (int c = 0; c < 3; c++)
                    most = fmaxf(most, fabsf(at(v, y, x, c) - at(v, y, x - 1, c)));
        constant += most == 0;
        assert_true(most <= 2 * amplitude_of(number) * 3 / (W - 1) * 1.001f); /* 3 pieces */
    }
    assert_in_range(constant, DRAWS / 8, DRAWS / 2);
    family_mix_done(&m);
}

/* A blurred image is bright, black stays black, and the kernel is the draw's alone: the blur of a sum
   is, up to its brightness, the sum of the blurs. */
static void blur_is_a_convolution(void **state)
{
    (void)state;
    const struct family_frame f = frames[0];
    struct family_mix m = mix_of("blur", f);
    const struct family_entry *entry = &m.entry[0];
    for (uint64_t number = 0; number < 10; number++) {
        const struct family_draw d = {stream(1, STREAM_DELTA, number), 16};
        uint8_t point[2][VALUES_MAX] = {{0}, {0}}, both[VALUES_MAX] = {0};
        float blurred[3][VALUES_MAX], most = 0;
        int place[2] = {(5 * W + 5) * 3, (15 * W + 20) * 3};
        for (int i = 0; i < 2; i++)
            point[i][place[i]] = both[place[i]] = 100;
        const uint8_t *in[3] = {point[0], point[1], both};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(entry->ops->make(entry->state, f, d, in[i], blurred[i]), STATUS_OK);
            for (int p = 0; p < VALUES_MAX; p++)
                blurred[i][p] += (float)in[i][p];
        }
        for (int p = 0; p < VALUES_MAX; p++) {
            most = fmaxf(most, blurred[0][p]);
            assert_true(fabsf(blurred[2][p] - blurred[0][p] - blurred[1][p]) < 1e-3f);
        }
        assert_true(fabsf(most - 255) < 1e-3f);
    }
    family_mix_done(&m);
}

/* ---- a choice of them ---- */

static void shares_are_kept(void **state)
{
    (void)state;
    struct family_mix m;
    struct errmsg e = {""};
    AUTO(buf_done) struct buf text = BUF_INIT(1000);
    if (family_mix_parse("waves:1,blocks:2.5,none:0.5", &m, &e))
        fail_msg("%s", e.text);
    int count[3] = {0};
    for (int i = 0; i < 1000; i++)
        count[family_mix_pick(&m, (i + .5) / 1000)]++;
    assert_int_equal(count[0], 250);
    assert_int_equal(count[1], 625);
    assert_int_equal(count[2], 125);
    assert_int_equal(family_mix_pick(&m, 1), 2);
    assert_int_equal(family_mix_text(&m, &text), STATUS_OK);
    assert_string_equal(text.data, "waves:25,blocks:62.5,none:12.5");
    family_mix_done(&m);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"stripes:1",
         "no family is called \"stripes\"; there are blocks, filtered, autoregressive"},
        {"blocks", "\"blocks\" is not NAME:SHARE"},
        {"blocks:", "\"blocks:\" is not NAME:SHARE"},
        {"blocks:0", "a number over 0"},
        {"blocks:-1", "a number over 0"},
        {"blocks:nan", "a number over 0"},
        {"blocks:inf", "a number over 0"},
        {"blocks:1x", "\"blocks:1x\""},
        {"blocks:1,waves:2,blocks:3", "family blocks is named twice"},
        {"", "no family is named"},
        {",", "no family is named"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct family_mix m;
        struct errmsg e = {""};
        assert_int_equal(family_mix_parse(bad[i].text, &m, &e), STATUS_INVALID);
        if (!strstr(e.text, bad[i].says))
            fail_msg("'%s': %s", bad[i].text, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_perturbation_is_a_function_of_its_stream),
        cmocka_unit_test(perturbations_are_bounded_and_not_faint),
        cmocka_unit_test(blocks_are_squares_of_one_colour),
        cmocka_unit_test(filtered_noise_has_texture_and_white_noise_has_none),
        cmocka_unit_test(autoregressive_values_follow_from_those_before),
        cmocka_unit_test(waves_obey_the_law_of_four_waves),
        cmocka_unit_test(pixels_are_one_or_two_of_an_extreme_colour),
        cmocka_unit_test(shifts_of_colour_have_no_edges),
        cmocka_unit_test(blur_is_a_convolution),
        cmocka_unit_test(shares_are_kept),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests_name("family", tests, NULL, NULL);
}
