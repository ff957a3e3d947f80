/* Covers: every pixel once, far enough from where tiles end, in tiles that are not too large. */
#include "cover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { UNIT = 8, REACH = 96, AREA_MAX = 768 * 768 };

/* The inner regions follow each other from one end of the axis to the other. */
static void check_axis(const struct cover_axis *a, int pixels)
{
    int at = 0;
    assert_int_equal(a->length, (pixels + UNIT - 1) / UNIT * UNIT);
    assert_true(a->count >= 1 && a->tile >= 1 && a->tile <= a->length);
    for (int i = 0; i < a->count; i++) {
        int origin = cover_origin(a, i), first = cover_first(a, i), end = cover_end(a, i);
        assert_int_equal(first, at);
        assert_true(end > first);
        assert_true(origin >= 0 && origin + a->tile <= a->length);
        assert_int_equal(origin % UNIT + first % UNIT + end % UNIT + a->tile % UNIT, 0);
        assert_true(origin == 0 || first >= origin + REACH);
        assert_true(origin + a->tile == a->length || end <= origin + a->tile - REACH);
        at = end;
    }
    assert_int_equal(at, a->length);
}

static void every_pixel_is_far_from_ends(void **state)
{
    (void)state;
    static const int side[] = {1,   2,    7,    8,    9,    32,    191,     192,    193,
                               700, 1000, 1280, 1920, 4000, 20000, 1 << 17, 1 << 26};
    for (size_t i = 0; i < ARRAY_LEN(side); i++)
        for (size_t j = 0; j < ARRAY_LEN(side); j++) {
            if ((int64_t)side[i] * side[j] > 1 << 26)
                continue;
            struct cover c = cover_of(side[i], side[j], UNIT, REACH, AREA_MAX);
            check_axis(&c.x, side[i]);
            check_axis(&c.y, side[j]);
            assert_true((int64_t)c.x.tile * c.y.tile <= AREA_MAX);
            if ((int64_t)c.x.length * c.y.length <= AREA_MAX)
                assert_int_equal(cover_tiles(&c), 1);
        }
}

/* The least that is evaluated, over all numbers of columns and rows of tiles of any length. */
static int64_t least_area(int width, int height)
{
    int64_t least = INT64_MAX;
    for (int64_t w = UNIT; w <= width; w += UNIT)
        for (int64_t h = UNIT; h <= height && w * h <= AREA_MAX; h += UNIT) {
            int64_t inner_w = w - 2 * REACH, inner_h = h - 2 * REACH;
            if ((inner_w <= 0 && w < width) || (inner_h <= 0 && h < height))
                continue;
            int64_t columns = w >= width ? 1 : (width - 2 * REACH + inner_w - 1) / inner_w;
            int64_t rows = h >= height ? 1 : (height - 2 * REACH + inner_h - 1) / inner_h;
            int64_t area = columns * rows * w * h;
            least = area < least ? area : least;
        }
    return least;
}

static void margins_cost_least(void **state)
{
    (void)state;
    static const int shape[][2] = {{800, 800},   {1920, 1280}, {1280, 1920},
                                   {4000, 3000}, {4000, 160},  {8, 80000}};
    for (size_t i = 0; i < ARRAY_LEN(shape); i++) {
        struct cover c = cover_of(shape[i][0], shape[i][1], UNIT, REACH, AREA_MAX);
        int64_t area = cover_tiles(&c) * c.x.tile * c.y.tile;
        assert_int_equal(area, least_area(c.x.length, c.y.length));
    }
    struct cover c = cover_of(1920, 1280, UNIT, REACH, AREA_MAX);
    assert_int_equal(c.x.count, 3);
    assert_int_equal(c.x.tile, 768);
    assert_int_equal(c.y.count, 2);
    assert_int_equal(c.y.tile, 736);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_is_far_from_ends),
        cmocka_unit_test(margins_cost_least),
    };
    return cmocka_run_group_tests_name("purify/cover", tests, NULL, NULL);
}
