/* Tiles: coverage, weights, seams, reflection, and the noise field that tiles share. */
#include "tiles.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    int w, h;
} sizes[] = {{1, 1}, {5, 7}, {32, 32}, {33, 32}, {100, 40}, {31, 65}, {64, 64}, {2, 300}, {257, 3}};

/* Blends what fn gives for every tile into one band as high as the image. */
static float *blend(struct tiling *t, int channels,
                    void (*fn)(const struct tiling *, int i, int j, float *tile))
{
    size_t n = (size_t)t->x.length * (size_t)t->y.length * (size_t)channels;
    float *band = mem_zalloc(n, sizeof *band), *tile = mem_zalloc(tiling_elements(t), sizeof *tile);
    assert_non_null(band);
    assert_non_null(tile);
    for (int j = 0; j < t->y.count; j++)
        for (int i = 0; i < t->x.count; i++) {
            fn(t, i, j, tile);
            tiling_add(t, i, j, tile, 1, channels, 0, band);
        }
    mem_free(tile);
    return band;
}

static void constant_tile(const struct tiling *t, int i, int j, float *tile)
{
    (void)i;
    (void)j;
    for (size_t k = 0; k < tiling_elements(t); k++)
        tile[k] = 0.75f;
}

/* x/100 - y/150, in image coordinates. */
static void ramp_tile(const struct tiling *t, int i, int j, float *tile)
{
    for (int v = 0; v < t->y.tile; v++)
        for (int u = 0; u < t->x.tile; u++)
            for (int c = 0; c < t->channels; c++)
                *tile++ = (float)(tile_origin(&t->x, i) + u) / 100 -
                          (float)(tile_origin(&t->y, j) + v) / 150;
}

static void test_blending(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (int overlap = 0; overlap < 32; overlap += 1 + overlap / 4) {
            AUTO(tiling_done) struct tiling t = {0};
            int w = sizes[s].w, h = sizes[s].h;
            assert_int_equal(tiling_init(&t, w, h, 3, 32, overlap), STATUS_OK);
            float *flat = blend(&t, 3, constant_tile), *ramp = blend(&t, 3, ramp_tile);
            float *grey = blend(&t, 1, ramp_tile);
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    size_t p = (size_t)y * (size_t)w + (size_t)x;
                    double expected = x / 100.0 - y / 150.0;
                    for (size_t c = 0; c < 3; c++)
                        if (fabs((double)flat[3 * p + c] - 0.75) > 1e-6 ||
                            fabs((double)ramp[3 * p + c] - expected) > 2e-6)
                            fail_msg("%dx%d overlap %d at (%d,%d): %g (0.75), %g (%g)", w, h,
                                     overlap, x, y, (double)flat[3 * p + c],
                                     (double)ramp[3 * p + c], expected);
                    if (fabs((double)grey[p] - expected) > 2e-6)
                        fail_msg("grey: %g, not %g", (double)grey[p], expected);
                }
            mem_free(flat);
            mem_free(ramp);
            mem_free(grey);
        }
}

static void test_placement(void **state)
{
    (void)state;
    for (int length = 1; length < 200; length++)
        for (int overlap = 0; overlap < 32; overlap += 5) {
            AUTO(tiling_done) struct tiling t = {0};
            assert_int_equal(tiling_init(&t, length, 1, 1, 32, overlap), STATUS_OK);
            const struct tile_axis *a = &t.x;
            if (length <= 32) {
                assert_int_equal(a->count, 1);
                assert_int_equal(tile_origin(a, 0), -((32 - length) / 2));
                continue;
            }
            assert_int_equal(tile_origin(a, 0), 0);
            assert_int_equal(tile_origin(a, a->count - 1), length - 32);
            for (int i = 1; i < a->count; i++)
                if (tile_origin(a, i - 1) + 32 - tile_origin(a, i) < overlap ||
                    tile_origin(a, i) <= tile_origin(a, i - 1))
                    fail_msg("length %d overlap %d: tiles at %d and %d", length, overlap,
                             tile_origin(a, i - 1), tile_origin(a, i));
            /* one tile fewer could not keep the overlap */
            assert_true((a->count - 2) * (32 - overlap) + 32 < length);
        }
}

/* No jump where a tile begins or ends: weights there are small and change slowly. */
static void test_smooth(void **state)
{
    (void)state;
    AUTO(tiling_done) struct tiling t = {0};
    assert_int_equal(tiling_init(&t, 200, 8, 1, 32, 8), STATUS_OK);
    for (int i = 0; i < t.x.count; i++) {
        float w[32];
        tile_weights(&t.x, t.window, i, w);
        if ((i > 0 && w[0] > 0.02f) || (i + 1 < t.x.count && w[31] > 0.02f))
            fail_msg("tile %d begins with weight %g, ends with %g", i, (double)w[0], (double)w[31]);
    }
}

static void test_reflection(void **state)
{
    (void)state;
    uint8_t row[] = {10, 20, 30};
    struct image img = {3, 1, 1, row, NULL};
    AUTO(tiling_done) struct tiling t = {0};
    assert_int_equal(tiling_init(&t, 3, 1, 1, 8, 2), STATUS_OK);
    float tile[64];
    tiling_load(&t, 0, 0, &img, tile);
    static const int expected[] = {30, 20, 10, 20, 30, 20, 10, 20}; /* begins at pixel -2 */
    for (int v = 0; v < 8; v++)
        for (int u = 0; u < 8; u++)
            assert_int_equal((int)lrintf((tile[v * 8 + u] + 1) * 127.5f), expected[u]);
}

/* Loading takes the pixels as image_to_f32 does; grey is replicated. */
static void test_loading(void **state)
{
    (void)state;
    AUTO(image_done) struct image img = IMAGE_INIT;
    assert_int_equal(image_alloc(16, 16, 3, false, &img), STATUS_OK);
    for (size_t k = 0; k < image_pixel_bytes(&img); k++)
        img.pixels[k] = (uint8_t)k;
    AUTO(tiling_done) struct tiling t = {0};
    assert_int_equal(tiling_init(&t, 16, 16, 3, 16, 2), STATUS_OK);
    float tile[768], whole[768];
    tiling_load(&t, 0, 0, &img, tile);
    image_to_f32(img.pixels, 768, whole);
    assert_memory_equal(tile, whole, sizeof tile);
    struct image grey = {16, 16, 1, img.pixels, NULL};
    tiling_load(&t, 0, 0, &grey, tile);
    for (int k = 0; k < 768; k++)
        assert_true(tile[k] == whole[k / 3]);
}

/* Where tiles overlap they see the same noise; a tile's noise is that of its place on the canvas.
 */
static void test_noise(void **state)
{
    (void)state;
    static const struct {
        int w, h, channels;
    } canvas[] = {{32, 32, 3}, {5, 7, 3}, {101, 40, 3}, {75, 33, 1}, {32, 77, 1}, {20, 50, 3}};
    enum { N = 32 };
    struct nn_rng rng = nn_rng(42, 7);
    float scratch[N * 3 + 2];
    for (size_t s = 0; s < ARRAY_LEN(canvas); s++) {
        int w = canvas[s].w, h = canvas[s].h, c = canvas[s].channels;
        int cw = w > N ? w : N, ch = h > N ? h : N;
        size_t n = (size_t)cw * (size_t)ch * (size_t)c;
        float *field = mem_zalloc(n, sizeof *field), *tile = mem_zalloc(N * N * 3, sizeof *tile);
        assert_non_null(field);
        assert_non_null(tile);
        nn_rng_normal(rng, 0, field, n);
        AUTO(tiling_done) struct tiling t = {0};
        assert_int_equal(tiling_init(&t, w, h, c, N, 6), STATUS_OK);
        for (int j = 0; j < t.y.count; j++)
            for (int i = 0; i < t.x.count; i++) {
                int left = tile_origin(&t.x, i) > 0 ? tile_origin(&t.x, i) : 0;
                int top = tile_origin(&t.y, j) > 0 ? tile_origin(&t.y, j) : 0;
                tiling_noise(&t, i, j, rng, scratch, tile);
                for (int v = 0; v < N; v++)
                    assert_memory_equal(tile + v * N * c, field + ((top + v) * cw + left) * c,
                                        sizeof(float) * (size_t)(N * c));
            }
        mem_free(field);
        mem_free(tile);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    struct tiling t = {0};
    fault_set(FAULT_MEM, 1, 0, 0);
    assert_int_equal(tiling_init(&t, 100, 100, 3, 32, 8), STATUS_NOMEM);
    tiling_done(&t);
    fault_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blending),  cmocka_unit_test(test_placement),
        cmocka_unit_test(test_smooth),    cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_loading),   cmocka_unit_test(test_noise),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("purify/tiles", tests, NULL, NULL);
}
