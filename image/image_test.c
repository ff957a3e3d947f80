/* Pixel buffers, conversions, names. */
#include "test_images.h"

static void test_alloc_refuses(void **state)
{
    (void)state;
    struct image img = IMAGE_INIT;
    assert_int_equal(image_alloc(0, 1, 3, false, &img), STATUS_INVALID);
    assert_int_equal(image_alloc(1, -1, 3, false, &img), STATUS_INVALID);
    assert_int_equal(image_alloc(1, 1, 2, false, &img), STATUS_INVALID);
    assert_int_equal(image_alloc(INT32_MAX, INT32_MAX, 3, true, &img), STATUS_LIMIT);
    assert_null(img.pixels);
    image_done(&img);
    image_done(NULL);
}

static void test_copy_is_deep(void **state)
{
    (void)state;
    struct image a = make_image(CONTENT_NOISE, 7, 5, 3, true, 1), b = IMAGE_INIT;
    assert_int_equal(image_copy(&a, &b), STATUS_OK);
    assert_same_image(&a, &b);
    b.pixels[0] ^= 1;
    assert_int_not_equal(a.pixels[0], b.pixels[0]);
    assert_int_equal(image_pixel_bytes(&a), 105);
    image_done(&a);
    image_done(&b);
}

static void test_copy_without_memory(void **state)
{
    (void)state;
    struct image a = make_image(CONTENT_NOISE, 7, 5, 3, true, 1), b = IMAGE_INIT;
    for (unsigned long n = 1; n <= 2; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        assert_int_equal(image_copy(&a, &b), STATUS_NOMEM);
        assert_null(b.pixels);
    }
    fault_clear();
    image_done(&a);
}

static void test_f32_and_back_is_identity(void **state)
{
    (void)state;
    uint8_t in[256], out[256];
    float f[256];
    for (int i = 0; i < 256; i++)
        in[i] = (uint8_t)i;
    image_to_f32(in, 256, f);
    assert_true(f[0] == -1.0f && f[255] == 1.0f);
    image_from_f32(f, 256, out);
    assert_memory_equal(in, out, 256);
}

static void test_from_f32_clips_and_rounds(void **state)
{
    (void)state;
    /* (v + 1) * 127.5: 0.5 and 2.5 round to even, 1.5 up; then what is out of range, and no number
     */
    const float in[] = {0.5f / 127.5f - 1, 1.5f / 127.5f - 1, -7.0f, 7.0f,
                        INFINITY,          -INFINITY,         NAN,   0.0f};
    uint8_t out[ARRAY_LEN(in)];
    image_from_f32(in, ARRAY_LEN(in), out);
    assert_int_equal(out[2], 0);
    assert_int_equal(out[3], 255);
    assert_int_equal(out[4], 255);
    assert_int_equal(out[5], 0);
    assert_int_equal(out[6], 0);
    assert_int_equal(out[7], 128); /* 127.5 */
    assert_true(out[0] <= 1 && out[1] >= 1 && out[1] <= 2);
}

static void test_grey(void **state)
{
    (void)state;
    const uint8_t rgb[] = {0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30};
    const uint8_t want[] = {0, 255, 76, 150, 29, 18}; /* PIL 9.4's convert("L") */
    uint8_t got[6], back[18];
    image_rgb_to_grey(rgb, 6, got);
    assert_memory_equal(got, want, 6);
    image_grey_to_rgb(got, 6, back);
    for (int i = 0; i < 18; i++)
        assert_int_equal(back[i], want[i / 3]);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const yes[] = {"a.jpg",  "a.JPEG", "b.Png",  "c.ppm", "d.bmp",  "e.pgm",
                                      "f.tiff", "g.tif",  "h.webp", ".png",  "a.b.jpg"};
    static const char *const no[] = {"", "jpg", "a.jpg.txt", "a.gif", "a.jp", "apng", "x.json"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(image_name_is_image(yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(image_name_is_image(no[i]));
    assert_string_equal(image_format_name(IMAGE_PNG), "PNG");
    assert_string_equal(image_format_name(IMAGE_JPEG), "JPEG");
    assert_string_equal(image_format_name(IMAGE_FORMAT_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_refuses),
        cmocka_unit_test(test_copy_is_deep),
        cmocka_unit_test(test_copy_without_memory),
        cmocka_unit_test(test_f32_and_back_is_identity),
        cmocka_unit_test(test_from_f32_clips_and_rounds),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
