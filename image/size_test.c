/* The size that is probed: never less than the source's, reached exactly, and without effect on the
   pixels. */
#include "test_images.h"

static struct buf make_source(enum image_format format, int channels)
{
    if (format == IMAGE_JPEG) {
        struct image img = make_image(CONTENT_SCENE, 60, 41, channels, false, 3);
        struct jpeg_kind k = {.quality = 30, .stored = channels == 1 ? JCS_GRAYSCALE : JCS_YCbCr};
        struct buf file = write_jpeg(&k, 60, 41, img.pixels);
        image_done(&img);
        return file;
    }
    struct png_kind k = {.color = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB_ALPHA,
                         .depth = 8};
    struct rng r = {4};
    uint16_t *samples = random_samples(&k, 60, 41, &r);
    struct buf file = write_png(&k, 60, 41, samples);
    free(samples);
    return file;
}

/* The source with bytes after its end, so that it is `size` bytes long; what is made of it. */
static struct buf recode_grown(const struct buf *file, uint64_t size, struct image *out_img)
{
    struct buf grown = BUF_INIT(1 << 28);
    assert_int_equal(buf_add(&grown, file->data, file->len), STATUS_OK);
    assert_int_equal(buf_reserve(&grown, size - file->len), STATUS_OK);
    memset(grown.data + file->len, 'x', size - file->len);
    grown.len = size;
    struct buf out = recode(&grown);
    struct image_limits lim = image_limits_default();
    assert_int_equal(image_decode(out.data, out.len, &lim, out_img, NULL, NULL), STATUS_OK);
    buf_done(&grown);
    return out;
}

static void check_growth(enum image_format format, int channels, uint64_t pad_least)
{
    struct buf file = make_source(format, channels);
    struct image_limits lim = image_limits_default();
    struct image_info info;
    struct image plain = IMAGE_INIT, grown = IMAGE_INIT;
    /* of a prefix without a size of its own: what the codec needs */
    assert_int_equal(image_probe(file.data, file.len, 0, &lim, &info, NULL), STATUS_OK);
    uint64_t least = info.encoded_size;
    assert_true(least > file.len);
    struct buf out = recode_grown(&file, file.len, &plain);
    assert_int_equal(out.len, least);
    buf_done(&out);
    static const uint64_t more[] = {0,  1,     3,     4,     5,           11,     12,
                                    13, 65536, 65537, 65538, 1048576 + 5, 3000000};
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        uint64_t want = more[i] && more[i] < pad_least ? pad_least : more[i];
        out = recode_grown(&file, least + more[i], &grown);
        assert_int_equal(out.len, least + want);
        assert_same_image(&plain, &grown);
        image_done(&grown);
        buf_done(&out);
    }
    image_done(&plain);
    buf_done(&file);
}

static void test_no_smaller_than_the_source(void **state)
{
    (void)state;
    check_growth(IMAGE_PNG, 1, 12);
    check_growth(IMAGE_PNG, 3, 12);
    check_growth(IMAGE_JPEG, 1, 4);
    check_growth(IMAGE_JPEG, 3, 4);
}

/* The prefix that holds the header, and the file's size, tell what the whole file tells. */
static void test_prefix_tells_the_same(void **state)
{
    (void)state;
    for (int format = 0; format <= IMAGE_JPEG; format++) {
        struct buf file = make_source((enum image_format)format, 3);
        struct image_limits lim = image_limits_default();
        struct image_info whole, prefix;
        assert_int_equal(image_probe(file.data, file.len, 29999, &lim, &whole, NULL), STATUS_OK);
        assert_int_equal(image_probe(file.data, whole.header_bytes, 29999, &lim, &prefix, NULL),
                         STATUS_OK);
        assert_int_equal(whole.encoded_size, 29999);
        assert_int_equal(prefix.encoded_size, 29999);
        assert_int_equal(prefix.file_size, 29999);
        lim.max_file_bytes = 29998;
        assert_int_equal(image_probe(file.data, file.len, 29999, &lim, &whole, NULL), STATUS_LIMIT);
        buf_done(&file);
    }
}

static void test_labels(void **state)
{
    (void)state;
    static const struct {
        int color, depth;
        bool label, trns;
    } kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, true, false},       {PNG_COLOR_TYPE_GRAY, 2, true, false},
        {PNG_COLOR_TYPE_GRAY, 4, true, false},       {PNG_COLOR_TYPE_GRAY, 8, false, false},
        {PNG_COLOR_TYPE_GRAY, 16, false, false},     {PNG_COLOR_TYPE_RGB, 8, false, false},
        {PNG_COLOR_TYPE_RGB, 16, false, false},      {PNG_COLOR_TYPE_PALETTE, 1, true, false},
        {PNG_COLOR_TYPE_PALETTE, 8, true, false},    {PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false},
        {PNG_COLOR_TYPE_RGB_ALPHA, 8, false, false}, {PNG_COLOR_TYPE_PALETTE, 8, false, true},
        {PNG_COLOR_TYPE_GRAY, 2, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct png_kind k = {
            .color = kinds[i].color, .depth = kinds[i].depth, .trns = kinds[i].trns};
        struct image_limits lim = image_limits_default();
        struct image_info info;
        struct rng r = {i};
        uint16_t *samples = random_samples(&k, 9, 9, &r);
        struct buf file = write_png(&k, 9, 9, samples);
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, NULL), STATUS_OK);
        assert_int_equal(info.is_label, kinds[i].label);
        assert_int_equal(info.source_bits, kinds[i].depth);
        buf_done(&file);
        free(samples);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_smaller_than_the_source),
        cmocka_unit_test(test_prefix_tells_the_same),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}
