/* What is not a whole, sound, reasonable image: cut files, flipped bits, bombs, no memory, bad
 * calls. */
#include "test_images.h"

#include <fcntl.h>
#include <zlib.h>

static struct buf sample_png(int color, int depth, bool interlaced, bool stored)
{
    uint8_t exif[26];
    struct png_kind k = {.color = color,
                         .depth = depth,
                         .interlaced = interlaced,
                         .stored = stored,
                         .trns = !(color & PNG_COLOR_MASK_ALPHA),
                         .text = true,
                         .exif = exif};
    struct rng r = {21};
    k.exif_len = make_exif(exif, true, 6);
    uint16_t *samples = random_samples(&k, 11, 9, &r);
    struct buf file = write_png(&k, 11, 9, samples);
    free(samples);
    return file;
}

static struct buf sample_jpeg(const struct jpeg_kind *like)
{
    uint8_t exif[26];
    struct jpeg_kind k = *like;
    k.exif = exif;
    k.exif_len = make_exif(exif, false, 6);
    struct image img =
        make_image(CONTENT_SCENE, 19, 17, k.stored == JCS_GRAYSCALE ? 1 : 3, false, 4);
    struct buf file = write_jpeg(&k, img.width, img.height, img.pixels);
    image_done(&img);
    return file;
}

enum { SAMPLES = 8, PROGRESSIVE = 6 };

static struct buf sample(int i)
{
    static const struct jpeg_kind jpegs[] = {
        {.quality = 80, .stored = JCS_GRAYSCALE},
        {.quality = 80, .stored = JCS_YCbCr, .h_samp = 2, .v_samp = 2},
        {.quality = 80, .stored = JCS_YCbCr, .progressive = true},
        {.quality = 80, .stored = JCS_YCbCr, .restart = 1},
    };
    switch (i) {
    case 0:
        return sample_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    case 1:
        return sample_png(PNG_COLOR_TYPE_PALETTE, 4, true, false);
    case 2:
        return sample_png(PNG_COLOR_TYPE_GRAY, 16, false, true);
    case 3:
        return sample_png(PNG_COLOR_TYPE_RGB_ALPHA, 8, true, true);
    default:
        return sample_jpeg(&jpegs[i - 4]);
    }
}

/* The file on a heap block of exactly its size, so that a sanitizer sees reads past it. */
static status decode_exact(const void *data, size_t len, struct image *img, struct image_info *info)
{
    struct image_limits lim = image_limits_default();
    struct errmsg e = {""};
    void *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    status st = image_decode(copy, len, &lim, img, info, &e);
    if (st)
        assert_true(e.text[0] != 0); /* every refusal is explained */
    free(copy);
    return st;
}

/* Where the bytes end that pixels need: a PNG's but for the checksum of the compressed data (and up
   to two bytes of the last block's end), a JPEG's but for the end mark. */
static size_t needed(const struct buf *file)
{
    uint8_t *idat = memmem(file->data, file->len, "IDAT", 4);
    if (!idat)
        return file->len - 2;
    uint32_t len =
        (uint32_t)idat[-4] << 24 | (uint32_t)idat[-3] << 16 | (uint32_t)idat[-2] << 8 | idat[-1];
    return (size_t)((char *)idat - file->data) + 4 + len - 6;
}

/* Whether a JPEG is cut behind its first scan and not within the data of another: a progressive one
   then has all its pixels, if not at their best. */
static bool between_scans(const struct buf *file, size_t len)
{
    const uint8_t *p = (uint8_t *)file->data;
    size_t at = 2, start = 0;
    int scans = 0;
    while (at < len) {
        bool sos = p[at + 1] == 0xda;
        at += 2 + (size_t)(p[at + 2] << 8 | p[at + 3]);
        if (!sos)
            continue;
        start = at;
        while (p[at] != 0xff || p[at + 1] == 0)
            at++;
        if (len > start && len < at)
            return false;
        scans += len >= at;
    }
    return scans > 0;
}

/* A cut file is refused, or shows what the whole one does: its end is missing, but no pixel. */
static void test_cut_at_every_length(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        struct buf file = sample(i);
        struct image whole = IMAGE_INIT;
        assert_int_equal(decode_exact(file.data, file.len, &whole, NULL), STATUS_OK);
        for (size_t len = 0; len < file.len; len++) {
            struct image img = IMAGE_INIT;
            status st = decode_exact(file.data, len, &img, NULL);
            if (st)
                assert_null(img.pixels);
            else if (len >= needed(&file))
                assert_same_image(&whole, &img);
            else if (i != PROGRESSIVE || !between_scans(&file, len))
                fail_msg("sample %d decodes when cut to %zu of %zu bytes", i, len, file.len);
            image_done(&img);
        }
        image_done(&whole);
        buf_done(&file);
    }
}

static void check_recode(const struct buf *file, const struct image *img,
                         const struct image_info *info)
{
    uint8_t *out = malloc(info->encoded_size);
    uint8_t *meta = metadata_of(file->data, file->len, info);
    assert_int_equal(
        image_encode(img, info, meta, info->metadata_bytes, out, info->encoded_size, NULL),
        STATUS_OK);
    free(meta);
    free(out);
}

/* A flip must never do harm, whether it is noticed or not. */
static void test_flipped_bits(void **state)
{
    (void)state;
    struct rng r = {99};
    for (int i = 0; i < SAMPLES; i++) {
        struct buf file = sample(i);
        struct image whole = IMAGE_INIT;
        struct image_info info;
        assert_int_equal(decode_exact(file.data, file.len, &whole, &info), STATUS_OK);
        for (int n = 0; n < 700; n++) {
            struct image img = IMAGE_INIT;
            uint32_t at = rng_below(&r, (uint32_t)file.len);
            char bit = (char)(1 << rng_below(&r, 8));
            file.data[at] ^= bit;
            if (decode_exact(file.data, file.len, &img, &info) == STATUS_OK)
                check_recode(&file, &img, &info);
            image_done(&img);
            file.data[at] ^= bit;
        }
        image_done(&whole);
        buf_done(&file);
    }
}

/* Runs of bytes overwritten, cut out, doubled. */
static void test_mangled(void **state)
{
    (void)state;
    struct rng r = {123};
    for (int n = 0; n < 4000; n++) {
        struct buf file = sample(n % SAMPLES);
        struct image img = IMAGE_INIT;
        struct image_info info;
        size_t at = rng_below(&r, (uint32_t)file.len);
        size_t len = 1 + rng_below(&r, 40);
        if (len > file.len - at)
            len = file.len - at;
        switch (rng_below(&r, 3)) {
        case 0:
            for (size_t i = 0; i < len; i++)
                file.data[at + i] = (char)(rng_next(&r) & 1 ? 0xff : rng_next(&r));
            break;
        case 1:
            memmove(file.data + at, file.data + at + len, file.len - at - len);
            file.len -= len;
            break;
        default:
            assert_int_equal(buf_reserve(&file, len), STATUS_OK);
            memmove(file.data + at + len, file.data + at, file.len - at);
            file.len += len;
        }
        if (decode_exact(file.data, file.len, &img, &info) == STATUS_OK)
            check_recode(&file, &img, &info);
        image_done(&img);
        buf_done(&file);
    }
}

static void patch_ihdr(struct buf *png, uint32_t w, uint32_t h)
{
    uint8_t *p = (uint8_t *)png->data + 16;
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(w >> (24 - 8 * i));
        p[4 + i] = (uint8_t)(h >> (24 - 8 * i));
    }
    uint32_t crc = (uint32_t)crc32(0, p - 4, 17);
    for (int i = 0; i < 4; i++)
        p[13 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void patch_sof(struct buf *jpeg, unsigned w, unsigned h)
{
    uint8_t *p = memmem(jpeg->data, jpeg->len, "\xff\xc0\0\x11", 4);
    assert_non_null(p);
    p[5] = (uint8_t)(h >> 8);
    p[6] = (uint8_t)h;
    p[7] = (uint8_t)(w >> 8);
    p[8] = (uint8_t)w;
}

static status decode_status(const struct buf *file, const struct image_limits *lim)
{
    struct image img = IMAGE_INIT;
    status st = image_decode(file->data, file->len, lim, &img, NULL, NULL);
    image_done(&img);
    return st;
}

/* No allocation may happen for any of these: the next one would fail with NOMEM. */
static void test_bombs(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default(), wide = lim;
    wide.max_pixels = UINT64_MAX;
    struct buf png = sample(0), jpeg = sample(5);
    fault_set(FAULT_MEM, 1, 1, 0);
    patch_ihdr(&png, 0, 5);
    assert_int_equal(decode_status(&png, &lim), STATUS_CORRUPT);
    patch_ihdr(&png, 5, 0);
    assert_int_equal(decode_status(&png, &lim), STATUS_CORRUPT);
    patch_ihdr(&png, 0x80000000u, 1);
    assert_int_equal(decode_status(&png, &lim), STATUS_CORRUPT);
    patch_ihdr(&png, 0x7fffffff, 0x7fffffff);
    assert_int_equal(decode_status(&png, &lim), STATUS_LIMIT);
    assert_int_equal(decode_status(&png, &wide), STATUS_LIMIT);
    patch_ihdr(&png, 8192, 8193);
    assert_int_equal(decode_status(&png, &lim), STATUS_LIMIT);
    patch_ihdr(&png, 8192, 8192); /* within the limit, but not with so few bytes */
    assert_int_equal(decode_status(&png, &lim), STATUS_CORRUPT);
    patch_sof(&jpeg, 65535, 65535);
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_LIMIT);
    patch_sof(&jpeg, 8192, 8192);
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_CORRUPT);
    patch_sof(&jpeg, 0, 5);
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_CORRUPT);
    patch_sof(&jpeg, 5, 0);
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_UNSUPPORTED);
    patch_sof(&jpeg, 19, 17);
    lim.max_file_bytes = jpeg.len - 1;
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_LIMIT);
    fault_clear();
    lim.max_file_bytes++;
    assert_int_equal(decode_status(&jpeg, &lim), STATUS_OK);
    buf_done(&png);
    buf_done(&jpeg);
}

/* A progressive file with its last scan repeated n times. */
static struct buf repeat_scan(int w, int h, int n)
{
    struct jpeg_kind k = {.quality = 50, .stored = JCS_GRAYSCALE, .progressive = true};
    struct image img = make_image(CONTENT_FLAT, w, h, 1, false, 4);
    struct buf file = write_jpeg(&k, w, h, img.pixels), bomb = BUF_INIT(1 << 26);
    const char *end = file.data + file.len - 2, *last = NULL;
    for (const char *p = file.data; p < end; p++)
        if ((uint8_t)p[0] == 0xff && (uint8_t)p[1] == 0xda)
            last = p;
    assert_non_null(last);
    assert_int_equal(buf_add(&bomb, file.data, (size_t)(end - file.data)), STATUS_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(buf_add(&bomb, last, (size_t)(end - last)), STATUS_OK);
    assert_int_equal(buf_add(&bomb, "\xff\xd9", 2), STATUS_OK);
    buf_done(&file);
    image_done(&img);
    return bomb;
}

/* Scans are bounded by the work they make: a hundred over a large image, more over a small one. */
static void test_many_scans(void **state)
{
    (void)state;
    static const struct {
        int w, h, scans;
        status want;
    } cases[] = {
        {1024, 1024, 80, STATUS_OK}, {1024, 1024, 110, STATUS_LIMIT},
        {2000, 2000, 80, STATUS_OK}, {2000, 2000, 110, STATUS_LIMIT},
        {512, 512, 350, STATUS_OK},  {512, 512, 410, STATUS_LIMIT},
        {64, 64, 1000, STATUS_OK},
    };
    struct image_limits lim = image_limits_default();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf bomb = repeat_scan(cases[i].w, cases[i].h, cases[i].scans);
        assert_int_equal(decode_status(&bomb, &lim), cases[i].want);
        buf_done(&bomb);
    }
}

static void test_not_images(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default();
    struct image_info info;
    struct errmsg e = {""};
    static const char *const texts[] = {"",
                                        "x",
                                        "GIF88a..........",
                                        "\x89PNG\r\n",
                                        "\xff\xd8",
                                        "RIFF....WAVE",
                                        "BM..............................................."};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        status st = image_probe(texts[i], strlen(texts[i]), strlen(texts[i]), &lim, &info, &e);
        assert_int_equal(st, STATUS_UNSUPPORTED);
    }
    /* lossless (SOF3), twelve bits, two components */
    struct buf file = sample(5);
    uint8_t *sof = memmem(file.data, file.len, "\xff\xc0\0\x11", 4);
    sof[1] = 0xc3;
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, &e),
                     STATUS_UNSUPPORTED);
    sof[1] = 0xc0;
    sof[4] = 12;
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, &e),
                     STATUS_UNSUPPORTED);
    sof[4] = 8;
    sof[9] = 2;
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, &e), STATUS_CORRUPT);
    buf_done(&file);
}

/* Whichever allocation fails, the answer is NOMEM, nothing leaks, and the next try succeeds. */
static void test_no_memory(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        struct buf file = sample(i);
        struct image_limits lim = image_limits_default();
        struct image img = IMAGE_INIT;
        struct image_info info;
        status st = STATUS_NOMEM;
        for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
            assert_true(n < 100);
            fault_set(FAULT_MEM, n, 0, 0);
            st = image_decode(file.data, file.len, &lim, &img, &info, NULL);
        }
        fault_clear();
        assert_int_equal(st, STATUS_OK);
        uint8_t *out = malloc(info.encoded_size);
        uint8_t *meta = metadata_of(file.data, file.len, &info);
        fault_set(FAULT_MEM, 1, 0, 0);
        st = image_encode(&img, &info, meta, info.metadata_bytes, out, info.encoded_size, NULL);
        fault_clear();
        assert_int_equal(st, info.format == IMAGE_JPEG ? STATUS_NOMEM : STATUS_OK);
        free(meta);
        free(out);
        image_done(&img);
        buf_done(&file);
    }
}

static void test_bad_encode_calls(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default();
    struct buf file = sample(5), other = sample(4);
    struct image img = IMAGE_INIT;
    struct image_info info;
    assert_int_equal(image_decode(file.data, file.len, &lim, &img, &info, NULL), STATUS_OK);
    size_t size = (size_t)info.encoded_size;
    size_t n = info.metadata_bytes;
    uint8_t *out = malloc(size + 1), *meta = metadata_of(file.data, file.len, &info);
    assert_int_equal(image_encode(&img, &info, NULL, 0, out, size, NULL), STATUS_INVALID);
    assert_int_equal(image_encode(&img, &info, NULL, n, out, size, NULL), STATUS_INVALID);
    assert_int_equal(image_encode(&img, &info, meta, n - 1, out, size, NULL), STATUS_INVALID);
    assert_int_equal(image_encode(&img, &info, meta, n, out, size + 1, NULL), STATUS_INVALID);
    struct image_info wrong = info;
    wrong.width++;
    assert_int_equal(image_encode(&img, &wrong, meta, n, out, size, NULL), STATUS_INVALID);
    wrong = info;
    wrong.format = IMAGE_FORMAT_COUNT;
    assert_int_equal(image_encode(&img, &wrong, meta, n, out, size, NULL), STATUS_INVALID);
    assert_int_equal(image_info_new(IMAGE_FORMAT_COUNT, &img, &wrong, NULL), STATUS_INVALID);
    assert_int_equal(image_encode(&img, &info, meta, n, out, size, NULL), STATUS_OK);
    assert_int_equal(image_metadata(other.data, other.len, &info, &lim, meta, NULL), STATUS_AGAIN);
    assert_int_equal(image_metadata(file.data, 50, &info, &lim, meta, NULL), STATUS_AGAIN);
    free(meta);
    free(out);
    image_done(&img);
    buf_done(&file);
    buf_done(&other);
}

/* ---- through a descriptor ---- */

static int temp_file(const void *data, size_t len)
{
    char path[] = "/tmp/relearn-image-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(io_write(fd, data, len), STATUS_OK);
    return fd;
}

/* The descriptor gives what memory gives, at every length, also behind metadata larger than a read.
 */
static void test_probe_fd_equals_probe(void **state)
{
    (void)state;
    static uint8_t icc[60000];
    struct image_limits lim = image_limits_default();
    for (int i = 0; i <= SAMPLES; i++) {
        struct image src = make_image(CONTENT_SCENE, 30, 20, 3, false, 1);
        struct jpeg_kind big = {.quality = 90, .stored = JCS_YCbCr, .icc = icc, .icc_len = 60000};
        struct buf file = i < SAMPLES ? sample(i) : write_jpeg(&big, 30, 20, src.pixels);
        int fd = temp_file(file.data, file.len);
        for (size_t len = 0; len <= file.len; len += i < SAMPLES ? 1 : 997) {
            struct image_info a = {0}, b = {0};
            status sa = image_probe(file.data, len, len, &lim, &a, NULL);
            status sb = image_probe_fd(fd, len, &lim, &b, NULL);
            if (sa != sb)
                fail_msg("sample %d, %zu bytes: %s in memory, %s in a file", i, len,
                         status_text(sa), status_text(sb));
            assert_memory_equal(&a, &b, sizeof a);
        }
        close(fd);
        buf_done(&file);
        image_done(&src);
    }
}

static void test_probe_fd_failures(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default();
    struct buf file = sample(0);
    struct image_info info;
    struct errmsg e = {""};
    int fd = temp_file(file.data, file.len);
    fault_set(FAULT_READ, 1, 0, 0);
    assert_int_equal(image_probe_fd(fd, file.len, &lim, &info, &e), STATUS_IO);
    fault_clear();
    assert_int_equal(ftruncate(fd, 20), 0); /* shorter than the size that was given */
    assert_int_equal(image_probe_fd(fd, file.len, &lim, &info, &e), STATUS_CORRUPT);
    close(fd);
    assert_int_equal(image_probe_fd(-1, file.len, &lim, &info, &e), STATUS_IO);
    buf_done(&file);
}

static void test_load(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default();
    struct buf file = sample(5);
    struct image img = IMAGE_INIT;
    struct image_info info;
    struct errmsg e = {""};
    char path[] = "/tmp/relearn-image-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(io_write(fd, file.data, file.len), STATUS_OK);
    assert_int_equal(image_load_at(AT_FDCWD, path, &lim, &img, &info, &e), STATUS_OK);
    assert_int_equal(img.width, 19);
    assert_int_equal(info.orientation, 6);
    image_done(&img);
    assert_int_equal(ftruncate(fd, (off_t)file.len / 2), 0);
    assert_int_equal(image_load_at(AT_FDCWD, path, &lim, &img, &info, &e), STATUS_CORRUPT);
    assert_non_null(strstr(e.text, path));
    unlink(path);
    assert_int_equal(image_load_at(AT_FDCWD, path, &lim, &img, &info, &e), STATUS_NOT_FOUND);
    assert_null(img.pixels);
    close(fd);
    buf_done(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_mangled),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_many_scans),
        cmocka_unit_test(test_not_images),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bad_encode_calls),
        cmocka_unit_test(test_probe_fd_equals_probe),
        cmocka_unit_test(test_probe_fd_failures),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
