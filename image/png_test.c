/* PNG: every kind of source, and what is written. */
#include "test_images.h"

static const struct {
    int color, depths[5];
} types[] = {
    {PNG_COLOR_TYPE_GRAY, {1, 2, 4, 8, 16}}, {PNG_COLOR_TYPE_RGB, {8, 16}},
    {PNG_COLOR_TYPE_PALETTE, {1, 2, 4, 8}},  {PNG_COLOR_TYPE_GRAY_ALPHA, {8, 16}},
    {PNG_COLOR_TYPE_RGB_ALPHA, {8, 16}},
};

static void check_source(const struct png_kind *k, int w, int h, struct rng *r)
{
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT, back = IMAGE_INIT;
    struct image_info info, probed;
    struct errmsg e = {""};
    uint16_t *samples = random_samples(k, w, h, r);
    struct buf file = write_png(k, w, h, samples);
    struct image want = expected_png(k, w, h, samples);
    status st = image_decode(file.data, file.len, &lim, &img, &info, &e);
    if (st)
        fail_msg("color %d depth %d trns %d interlaced %d %dx%d: %s", k->color, k->depth, k->trns,
                 k->interlaced, w, h, e.text);
    assert_same_image(&img, &want);
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &probed, &e), STATUS_OK);
    assert_memory_equal(&probed, &info, sizeof info);
    assert_int_equal(info.source_bits, k->depth);
    struct buf out = recode(&file);
    assert_int_equal(image_decode(out.data, out.len, &lim, &back, NULL, &e), STATUS_OK);
    assert_same_image(&back, &want); /* lossless */
    image_done(&img);
    image_done(&back);
    image_done(&want);
    buf_done(&out);
    buf_done(&file);
    free(samples);
}

static void test_every_kind(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 9}, {13, 1}, {8, 8}, {33, 17}};
    struct rng r = {7};
    for (size_t t = 0; t < ARRAY_LEN(types); t++)
        for (int d = 0; d < 5 && types[t].depths[d]; d++)
            for (int flags = 0; flags < 4; flags++)
                for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
                    struct png_kind k = {.color = types[t].color,
                                         .depth = types[t].depths[d],
                                         .interlaced = flags & 1,
                                         .trns = flags & 2};
                    if (k.trns && k.color & PNG_COLOR_MASK_ALPHA)
                        continue;
                    check_source(&k, sizes[s][0], sizes[s][1], &r);
                }
}

static void test_random_sizes(void **state)
{
    (void)state;
    struct rng r = {8};
    for (int i = 0; i < 40; i++) {
        size_t t = rng_below(&r, ARRAY_LEN(types));
        struct png_kind k = {
            .color = types[t].color, .depth = 8, .interlaced = rng_next(&r) & 1, .text = true};
        check_source(&k, 1 + (int)rng_below(&r, 300), 1 + (int)rng_below(&r, 300), &r);
    }
}

/* Sizes at which the number of stored blocks changes, and what each content makes of them. */
static void test_size_is_reached_by_any_content(void **state)
{
    (void)state;
    static const int sizes[][2] = {{65534, 1}, {65535, 1}, {65536, 1}, {131069, 1}, {1, 32767},
                                   {1, 32768}, {254, 257}, {640, 427}, {1024, 1024}};
    struct errmsg e = {""};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (int kind = 0; kind < CONTENT_COUNT; kind++) {
            bool alpha = kind & 1;
            struct image img = make_image((enum content)kind, sizes[s][0], sizes[s][1],
                                          kind & 2 ? 3 : 1, alpha, s);
            struct image_info info;
            struct image back = IMAGE_INIT;
            struct image_limits lim = image_limits_default();
            assert_int_equal(image_info_new(IMAGE_PNG, &img, &info, &e), STATUS_OK);
            uint8_t *out = malloc(info.encoded_size);
            assert_int_equal(image_encode(&img, &info, NULL, 0, out, (size_t)info.encoded_size, &e),
                             STATUS_OK);
            judge_png(out, info.encoded_size);
            assert_int_equal(image_decode(out, info.encoded_size, &lim, &back, NULL, &e),
                             STATUS_OK);
            assert_same_image(&img, &back);
            image_done(&img);
            image_done(&back);
            free(out);
        }
}

/* A golden size, so that a change of the layout is noticed: it would change every mounted file. */
static void test_sizes_are_pinned(void **state)
{
    (void)state;
    struct image img = make_image(CONTENT_FLAT, 32, 32, 3, false, 0);
    struct image_info info;
    assert_int_equal(image_info_new(IMAGE_PNG, &img, &info, NULL), STATUS_OK);
    assert_int_equal(info.encoded_size, 8 + 25 + 12 + (2 + 32 * 97 + 5 + 4) + 12);
    image_done(&img);
}

/* Real profiles are checked in depth by libpng; this one has just the head it wants to see. */
static size_t make_profile(uint8_t *p, size_t len, const char *space)
{
    struct rng r = {len};
    memset(p, 0, len);
    for (size_t i = 132; i < len; i++) /* libpng reads no short compressed profiles */
        p[i] = (uint8_t)rng_next(&r);
    p[2] = (uint8_t)(len >> 8);
    p[3] = (uint8_t)len;
    memcpy(p + 12, "mntr", 4);
    memcpy(p + 16, space, 4);
    memcpy(p + 20, "XYZ ", 4);
    memcpy(p + 36, "acsp", 4);
    memcpy(p + 68, "\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d", 12);
    return len;
}

enum { SLOT = 112 }; /* for an orientation that stands behind the image data */

static void test_metadata_is_kept(void **state)
{
    (void)state;
    uint8_t icc[400], exif[26];
    struct image_limits lim = image_limits_default();
    struct image_info info;
    for (int orientation = 0; orientation <= 9; orientation++) {
        struct png_kind k = {.color = PNG_COLOR_TYPE_RGB, .depth = 8, .text = true, .icc = icc};
        struct rng r = {3};
        k.icc_len = make_profile(icc, sizeof icc, "RGB ");
        k.exif = exif;
        k.exif_len = make_exif(exif, orientation & 1, orientation);
        uint16_t *samples = random_samples(&k, 5, 4, &r);
        struct buf file = write_png(&k, 5, 4, samples);
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, NULL), STATUS_OK);
        assert_int_equal(info.orientation, orientation >= 1 && orientation <= 8 ? orientation : 1);
        assert_true(info.metadata_bytes > 12 + 26 + 12 + SLOT);
        struct buf out = recode(&file);
        assert_non_null(memmem(out.data, out.len, exif, 26));
        assert_non_null(memmem(out.data, out.len, "iCCPtest", 9));
        assert_null(memmem(out.data, out.len, "tEXt", 4));
        /* what does not fit is left out, and EXIF last */
        struct image_info less;
        lim.max_metadata_bytes = 12 + 26;
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &less, NULL), STATUS_OK);
        assert_int_equal(less.metadata_bytes, 12 + 26 + SLOT);
        lim.max_metadata_bytes--;
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &less, NULL), STATUS_OK);
        assert_int_equal(less.metadata_bytes, SLOT);
        lim = image_limits_default();
        buf_done(&out);
        buf_done(&file);
        free(samples);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_size_is_reached_by_any_content),
        cmocka_unit_test(test_sizes_are_pinned),
        cmocka_unit_test(test_metadata_is_kept),
    };
    return cmocka_run_group_tests_name("png", tests, NULL, NULL);
}
