/* What holds for the formats that are written without loss (PNG has its own tests): sizes, pixels,
   padding, and that no damage does harm. What is special to one format is in its own test. */
#include "test_images.h"

#include <sys/mman.h>
#include <unistd.h>

static const struct {
    enum image_format format;
    int channels;
    bool alpha;
    unsigned pad_least, pad_unit;
} kinds[] = {
    {IMAGE_WEBP, 3, false, 8, 2}, {IMAGE_WEBP, 3, true, 8, 2},  {IMAGE_BMP, 1, false, 1, 1},
    {IMAGE_BMP, 3, false, 1, 1},  {IMAGE_BMP, 3, true, 1, 1},   {IMAGE_TIFF, 1, false, 1, 1},
    {IMAGE_TIFF, 1, true, 1, 1},  {IMAGE_TIFF, 3, false, 1, 1}, {IMAGE_TIFF, 3, true, 1, 1},
};

static struct buf encode_new(enum image_format format, const struct image *img)
{
    struct image_info info;
    struct buf out = BUF_INIT(1 << 28);
    assert_int_equal(image_info_new(format, img, &info, NULL), STATUS_OK);
    assert_int_equal(buf_reserve(&out, info.encoded_size), STATUS_OK);
    assert_int_equal(image_encode(img, &info, NULL, 0, out.data, info.encoded_size, NULL),
                     STATUS_OK);
    out.len = info.encoded_size;
    return out;
}

/* A file of our own, its pixels a pure function of seed. */
static struct buf make_file(size_t kind, int w, int h, uint64_t seed)
{
    struct image img =
        make_image(CONTENT_NOISE, w, h, kinds[kind].channels, kinds[kind].alpha, seed);
    struct buf file = encode_new(kinds[kind].format, &img);
    image_done(&img);
    return file;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {2, 1}, {3, 5}, {1, 40}, {40, 1}, {33, 17}, {300, 211}};
    struct image_limits lim = image_limits_default();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            for (int content = 0; content < CONTENT_COUNT; content++) {
                struct image img = make_image((enum content)content, sizes[s][0], sizes[s][1],
                                              kinds[k].channels, kinds[k].alpha, s);
                struct buf file = encode_new(kinds[k].format, &img);
                struct image back = IMAGE_INIT;
                struct image_info info;
                struct errmsg e = {""};
                status st = image_decode(file.data, file.len, &lim, &back, &info, &e);
                if (st)
                    fail_msg("%s: %s", image_format_name(kinds[k].format), e.text);
                assert_same_image(&img, &back);
                assert_int_equal(info.format, kinds[k].format);
                assert_int_equal(info.source_format, kinds[k].format);
                assert_int_equal(info.encoded_size, file.len);
                assert_int_equal(info.source_bits, 8);
                assert_false(info.is_label);
                struct buf again = recode(&file);
                assert_int_equal(again.len, file.len);
                assert_memory_equal(again.data, file.data, file.len);
                buf_done(&again);
                buf_done(&file);
                image_done(&img);
                image_done(&back);
            }
}

/* Bytes behind the image make the file larger, and what is shown as well. */
static void test_padding(void **state)
{
    (void)state;
    static const size_t more[] = {1, 2, 3, 7, 8, 9, 10, 1000, 70001};
    struct image_limits lim = image_limits_default();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t i = 0; i < ARRAY_LEN(more); i++) {
            struct buf file = make_file(k, 21, 13, k);
            struct image before = IMAGE_INIT, after = IMAGE_INIT;
            size_t least = file.len, pad = more[i], unit = kinds[k].pad_unit;
            assert_int_equal(image_decode(file.data, file.len, &lim, &before, NULL, NULL),
                             STATUS_OK);
            assert_int_equal(buf_reserve(&file, pad), STATUS_OK);
            memset(file.data + file.len, 'x', pad);
            file.len += pad;
            struct buf out = recode(&file);
            if (pad < kinds[k].pad_least)
                pad = kinds[k].pad_least;
            assert_int_equal(out.len, least + (pad + unit - 1) / unit * unit);
            assert_int_equal(image_decode(out.data, out.len, &lim, &after, NULL, NULL), STATUS_OK);
            assert_same_image(&before, &after);
            image_done(&before);
            image_done(&after);
            buf_done(&out);
            buf_done(&file);
        }
}

static void test_what_cannot_be_held(void **state)
{
    (void)state;
    struct image grey = make_image(CONTENT_FLAT, 3, 3, 1, false, 1);
    struct image grey_alpha = make_image(CONTENT_FLAT, 3, 3, 1, true, 1);
    struct image_info info;
    struct errmsg e = {""};
    assert_int_equal(image_info_new(IMAGE_WEBP, &grey, &info, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "grey"));
    assert_int_equal(image_info_new(IMAGE_BMP, &grey_alpha, &info, &e), STATUS_INVALID);
    assert_int_equal(image_info_new(IMAGE_GIF, &grey, &info, &e), STATUS_INVALID);
    assert_int_equal(image_info_new(IMAGE_JPEG, &grey_alpha, &info, &e), STATUS_INVALID);
    struct image wide = {.width = 16384, .height = 1, .channels = 3};
    assert_int_equal(image_info_new(IMAGE_WEBP, &wide, &info, &e), STATUS_INVALID);
    image_done(&grey);
    image_done(&grey_alpha);
}

/* ---- damage ---- */

/* The file on a block of exactly its size. Whatever the answer, memory and a descriptor agree, and
   what decodes is written at the size that was told. Returns whether it decodes. */
static bool check_bytes(const void *data, size_t len)
{
    struct image_limits lim = image_limits_default();
    lim.max_pixels = 1 << 20;
    struct image img = IMAGE_INIT;
    struct image_info told, info, in_file;
    struct errmsg e = {""};
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    int fd = memfd_create("image", MFD_CLOEXEC);
    assert_int_equal(io_write(fd, copy, len), STATUS_OK);
    status a = image_probe(copy, len, len, &lim, &told, NULL);
    status b = image_probe_fd(fd, len, &lim, &in_file, NULL);
    assert_true(a == b || (a == STATUS_OK && b == STATUS_CORRUPT));
    if (b == STATUS_OK)
        assert_memory_equal(&told, &in_file, sizeof told);
    close(fd);
    status st = image_decode(copy, len, &lim, &img, &info, &e);
    if (st)
        assert_true(e.text[0] != 0);
    if (!st) {
        assert_int_equal(b, STATUS_OK);
        assert_int_equal(info.encoded_size, told.encoded_size);
        assert_true(info.encoded_size >= len);
        assert_true(info.header_bytes <= len);
        struct image_info prefix;
        assert_int_equal(image_probe(copy, info.header_bytes, len, &lim, &prefix, NULL), STATUS_OK);
        assert_int_equal(prefix.encoded_size, info.encoded_size);
        uint8_t *out = malloc(info.encoded_size);
        uint8_t *meta = metadata_of(copy, len, &info);
        assert_int_equal(
            image_encode(&img, &info, meta, info.metadata_bytes, out, info.encoded_size, NULL),
            STATUS_OK);
        free(meta);
        free(out);
    }
    image_done(&img);
    free(copy);
    return !st;
}

static void test_cut_at_every_length(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct buf file = make_file(k, 11, 9, 4);
        assert_true(check_bytes(file.data, file.len));
        for (size_t len = 0; len < file.len; len++)
            if (check_bytes(file.data, len) && len + 4 < file.len)
                fail_msg("kind %zu decodes when cut to %zu of %zu bytes", k, len, file.len);
        buf_done(&file);
    }
}

static void mangle(struct buf *file, struct rng *r)
{
    size_t at = rng_below(r, (uint32_t)(rng_next(r) & 1 && file->len > 80 ? 80 : file->len));
    size_t len = 1 + rng_below(r, rng_next(r) & 1 ? 2 : 40);
    if (len > file->len - at)
        len = file->len - at;
    switch (rng_below(r, 4)) {
    case 0:
        for (size_t i = 0; i < len; i++)
            file->data[at + i] = (char)(rng_next(r) & 1 ? 0xff : rng_next(r));
        break;
    case 1:
        memmove(file->data + at, file->data + at + len, file->len - at - len);
        file->len -= len;
        break;
    case 2:
        file->data[at] ^= (char)(1 << rng_below(r, 8));
        break;
    default:
        assert_int_equal(buf_reserve(file, len), STATUS_OK);
        memmove(file->data + at + len, file->data + at, file->len - at);
        file->len += len;
    }
}

static void test_mangled(void **state)
{
    (void)state;
    struct rng r = {5};
    int decoded = 0;
    for (int n = 0; n < 6000; n++) {
        struct buf file = make_file((size_t)n % ARRAY_LEN(kinds), 11, 9, 6);
        for (uint32_t i = 1 + rng_below(&r, 3); i; i--)
            if (file.len)
                mangle(&file, &r);
        decoded += check_bytes(file.data, file.len);
        buf_done(&file);
    }
    assert_true(decoded > 1000); /* or nothing of what follows decoding was tried */
}

static void test_no_memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct buf file = make_file(k, 11, 9, 6);
        struct image_limits lim = image_limits_default();
        struct image img = IMAGE_INIT;
        status st = STATUS_NOMEM;
        for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
            assert_true(n < 100);
            fault_set(FAULT_MEM, n, 0, 0);
            st = image_decode(file.data, file.len, &lim, &img, NULL, NULL);
        }
        fault_clear();
        assert_int_equal(st, STATUS_OK);
        image_done(&img);
        buf_done(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_what_cannot_be_held),
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_mangled),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
