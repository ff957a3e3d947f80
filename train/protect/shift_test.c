#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/shift.h"
#include "stream.h"

#include <math.h>

enum { W = 4, H = 3, C = 2, VALUES = W * H * C };
static const struct shift_frame frame = {W, H, C};

static void noise(float *v, uint64_t number)
{
    for (size_t i = 0; i < VALUES; i++)
        v[i] = stream_uniform(nn_rng(2, number), i, -1, 1);
}

static void assert_value(const float *v, int y, int x, int c, float want)
{
    float got = v[(y * W + x) * C + c];
    if (fabsf(got - want) > 1e-6f)
        fail_msg("(%d,%d,%d) is %g, not %g", y, x, c, (double)got, (double)want);
}

static void whole_and_half_pixels_have_known_answers(void **state)
{
    (void)state;
    float in[VALUES], out[VALUES];
    noise(in, 0);
    for (int mirror = 0; mirror < 2; mirror++) {
        shift_image((struct shift){1, -1, mirror}, frame, in, out);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < C; c++) {
                    int sy = y - 1, sx = (mirror ? W - 1 - x : x) + 1;
                    assert_value(out, y, x, c, sy < 0 || sx >= W ? 0 : in[(sy * W + sx) * C + c]);
                }
    }
    shift_image((struct shift){-.5f, 0, false}, frame, in, out);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            float left = x ? in[(y * W + x - 1) * C] : 0;
            assert_value(out, y, x, 0, (left + in[(y * W + x) * C]) / 2);
        }
}

/* <moved(a), b> = <a, gradient(b)> for any a and b. */
static void the_gradient_is_the_transpose(void **state)
{
    (void)state;
    float a[VALUES], b[VALUES], moved[VALUES], back[VALUES];
    int mirrored = 0;
    for (uint64_t i = 0; i < 40; i++) {
        struct shift s = shift_draw(nn_rng(3, 1), 3 * i, 2.5f);
        double left = 0, right = 0;
        assert_true(fabsf(s.x) <= 2.5f && fabsf(s.y) <= 2.5f);
        mirrored += s.mirror;
        noise(a, 2 * i);
        noise(b, 2 * i + 1);
        shift_image(s, frame, a, moved);
        shift_gradient(s, frame, b, back);
        for (int p = 0; p < VALUES; p++) {
            left += (double)moved[p] * (double)b[p];
            right += (double)a[p] * (double)back[p];
        }
        if (fabs(left - right) > 1e-5)
            fail_msg("shift %g,%g: %g, not %g", (double)s.x, (double)s.y, right, left);
    }
    assert_in_range(mirrored, 8, 32);
}

static void draws_cover_what_they_may(void **state)
{
    (void)state;
    int count[5][5] = {{0}};
    for (uint64_t i = 0; i < 500; i++) {
        struct shift s = shift_draw_whole(nn_rng(4, 1), 3 * i, 2);
        int x = (int)s.x + 2, y = (int)s.y + 2;
        assert_true(s.x == (float)(x - 2) && s.y == (float)(y - 2));
        assert_true(x >= 0 && x < 5 && y >= 0 && y < 5);
        count[y][x]++;
    }
    for (int i = 0; i < 25; i++)
        assert_in_range(count[i / 5][i % 5], 5, 40); /* 20 each on average */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_and_half_pixels_have_known_answers),
        cmocka_unit_test(the_gradient_is_the_transpose),
        cmocka_unit_test(draws_cover_what_they_may),
    };
    return cmocka_run_group_tests_name("shift", tests, NULL, NULL);
}
