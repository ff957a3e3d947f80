/* IDX and CIFAR files: real shapes, and every contradiction a file can hold. */
#include "test_trees.h"

#include <zlib.h>

/* An IDX file of these sizes, its data counting up. */
static struct buf idx(int dims, const uint32_t *size)
{
    struct buf b = BUF_INIT(1 << 24);
    char head[4] = {0, 0, 8, (char)dims};
    size_t total = 1;
    assert_int_equal(buf_add(&b, head, 4), STATUS_OK);
    for (int i = 0; i < dims; i++) {
        char be[4] = {(char)(size[i] >> 24), (char)(size[i] >> 16), (char)(size[i] >> 8),
                      (char)size[i]};
        assert_int_equal(buf_add(&b, be, 4), STATUS_OK);
        total *= size[i];
    }
    for (size_t i = 0; i < total; i++) {
        char v = (char)i;
        assert_int_equal(buf_add(&b, &v, 1), STATUS_OK);
    }
    return b;
}

static void put_buf(const struct scratch *s, const char *name, struct buf *b)
{
    put_file(s, name, b->data, b->len);
    buf_done(b);
}

static void put_gz(const struct scratch *s, const char *name, struct buf *b)
{
    gzFile gz = gzopen(in_scratch(s, name), "wb");
    assert_int_equal(gzwrite(gz, b->data, (unsigned)b->len), b->len);
    assert_int_equal(gzclose(gz), Z_OK);
    buf_done(b);
}

static struct image_array *open_ok(const struct scratch *s, const char *name, const char *labels)
{
    struct image_array *a = NULL;
    struct errmsg e = {""};
    status st = image_array_open(in_scratch(s, name), labels ? in_scratch(s, labels) : NULL,
                                 IMAGE_ARRAY_ALL, &a, &e);
    if (st)
        fail_msg("%s", e.text);
    return a;
}

static void open_fails(const struct scratch *s, const char *name, const char *labels, status want)
{
    struct image_array *a = NULL;
    struct errmsg e = {""};
    status st = image_array_open(in_scratch(s, name), labels ? in_scratch(s, labels) : NULL,
                                 IMAGE_ARRAY_ALL, &a, &e);
    if (st != want)
        fail_msg("%s: %s instead of %s: %s", name, status_text(st), status_text(want), e.text);
    assert_true(e.text[0] != 0);
    assert_null(a);
}

static void test_idx(void **state)
{
    struct scratch *s = *state;
    struct buf images = idx(3, (uint32_t[]){4, 3, 5}), labels = idx(1, (uint32_t[]){4});
    put_gz(s, "images.gz", &images);
    put_buf(s, "labels", &labels);
    struct image_array *a = open_ok(s, "images.gz", "labels");
    assert_int_equal(image_array_format(a), IMAGE_ARRAY_IDX);
    assert_int_equal(image_array_count(a), 4);
    assert_int_equal(image_array_height(a), 3);
    assert_int_equal(image_array_width(a), 5);
    assert_int_equal(image_array_channels(a), 1);
    assert_true(image_array_has_labels(a));
    for (size_t i = 0; i < 4; i++) {
        struct image img = IMAGE_INIT;
        assert_int_equal(image_array_label(a, i), i);
        assert_int_equal(image_array_coarse_label(a, i), -1);
        assert_int_equal(image_array_get(a, i, &img), STATUS_OK);
        assert_int_equal(img.width, 5);
        for (size_t p = 0; p < 15; p++)
            assert_int_equal(img.pixels[p], i * 15 + p);
        image_done(&img);
    }
    struct image img = IMAGE_INIT;
    assert_int_equal(image_array_get(a, 4, &img), STATUS_INVALID);
    image_array_close(a);
    image_array_close(NULL);
}

static void test_idx_in_colour_without_labels(void **state)
{
    struct scratch *s = *state;
    struct buf images = idx(4, (uint32_t[]){2, 3, 4, 3});
    put_buf(s, "images", &images);
    struct image_array *a = open_ok(s, "images", NULL);
    struct image img = IMAGE_INIT;
    assert_int_equal(image_array_channels(a), 3);
    assert_false(image_array_has_labels(a));
    assert_int_equal(image_array_label(a, 1), -1);
    assert_int_equal(image_array_get(a, 1, &img), STATUS_OK);
    assert_int_equal(img.pixels[35], 71);
    image_done(&img);
    image_array_close(a);
}

static void put_cifar(const struct scratch *s, const char *name, int label_bytes, int n)
{
    struct buf b = BUF_INIT(1 << 24);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < label_bytes + 3072; k++) {
            char v =
                (char)(k < label_bytes ? (k + 1) * (i % 10) : (k - label_bytes) / 1024 * 80 + i);
            assert_int_equal(buf_add(&b, &v, 1), STATUS_OK);
        }
    put_buf(s, name, &b);
}

static void test_cifar(void **state)
{
    struct scratch *s = *state;
    for (int label_bytes = 1; label_bytes <= 2; label_bytes++) {
        put_cifar(s, "batch.bin", label_bytes, 12);
        struct image_array *a = open_ok(s, "batch.bin", NULL);
        assert_int_equal(image_array_format(a),
                         label_bytes == 1 ? IMAGE_ARRAY_CIFAR10 : IMAGE_ARRAY_CIFAR100);
        assert_int_equal(image_array_count(a), 12);
        for (size_t i = 0; i < 12; i++) {
            struct image img = IMAGE_INIT;
            assert_int_equal(image_array_label(a, i), (size_t)label_bytes * (i % 10));
            assert_int_equal(image_array_coarse_label(a, i), label_bytes == 2 ? (int)(i % 10) : -1);
            assert_int_equal(image_array_get(a, i, &img), STATUS_OK);
            for (size_t p = 0; p < 3072; p++)
                assert_int_equal(img.pixels[p], p % 3 * 80 + i);
            image_done(&img);
        }
        image_array_close(a);
    }
}

static void test_contradictions(void **state)
{
    struct scratch *s = *state;
    struct buf images = idx(3, (uint32_t[]){4, 3, 5}), labels = idx(1, (uint32_t[]){3});
    struct buf whole = idx(3, (uint32_t[]){4, 3, 5});
    put_buf(s, "images", &images);
    put_buf(s, "three", &labels);
    open_fails(s, "images", "three", STATUS_CORRUPT); /* another number of labels */
    open_fails(s, "images", "images", STATUS_UNSUPPORTED);
    open_fails(s, "three", NULL, STATUS_UNSUPPORTED); /* labels are no images */
    open_fails(s, "images", "none", STATUS_NOT_FOUND);
    open_fails(s, "none", NULL, STATUS_NOT_FOUND);
    open_fails(s, ".", NULL, STATUS_IO);
    put_file(s, "empty", "", 0);
    open_fails(s, "empty", NULL, STATUS_UNSUPPORTED);
    for (size_t len = 4; len < whole.len; len++) {
        put_file(s, "cut", whole.data, len);
        open_fails(s, "cut", NULL, STATUS_CORRUPT);
    }
    assert_int_equal(buf_add(&whole, "x", 1), STATUS_OK);
    put_buf(s, "long", &whole);
    open_fails(s, "long", NULL, STATUS_CORRUPT);
    put_cifar(s, "c10", 1, 3);
    open_fails(s, "c10", "three", STATUS_INVALID);
}

static void test_impossible_sizes(void **state)
{
    struct scratch *s = *state;
    static const uint8_t huge[] = {0,    0,    8,    3,    0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t none[] = {0, 0, 8, 3, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9};
    static const uint8_t dims[] = {0, 0, 8, 9, 0, 0, 0, 0};
    static const uint8_t kind[] = {0, 0, 0xd, 1, 0, 0, 0, 0};
    put_file(s, "huge", huge, sizeof huge);
    open_fails(s, "huge", NULL, STATUS_CORRUPT);
    put_file(s, "zero", none, sizeof none);
    open_fails(s, "zero", NULL, STATUS_CORRUPT);
    put_file(s, "dims", dims, sizeof dims);
    open_fails(s, "dims", NULL, STATUS_UNSUPPORTED);
    put_file(s, "floats", kind, sizeof kind);
    open_fails(s, "floats", NULL, STATUS_UNSUPPORTED);
    struct buf two = idx(4, (uint32_t[]){2, 2, 2, 2});
    put_buf(s, "two channels", &two);
    open_fails(s, "two channels", NULL, STATUS_UNSUPPORTED);
}

static void test_cifar_with_impossible_labels(void **state)
{
    struct scratch *s = *state;
    static uint8_t records[3 * 3074];
    records[3073] = 10;
    put_file(s, "c10", records, 3 * 3073);
    open_fails(s, "c10", NULL, STATUS_UNSUPPORTED);
    records[3073] = 0;
    records[3074] = 20;
    put_file(s, "c100", records, sizeof records);
    open_fails(s, "c100", NULL, STATUS_UNSUPPORTED);
}

static void test_damaged_gzip(void **state)
{
    struct scratch *s = *state;
    struct buf images = idx(3, (uint32_t[]){4, 3, 5});
    put_gz(s, "whole.gz", &images);
    uint8_t data[4096];
    int fd = open(in_scratch(s, "whole.gz"), O_RDONLY);
    ssize_t len = read(fd, data, sizeof data);
    close(fd);
    assert_true(len > 30);
    for (ssize_t cut = 11; cut < len; cut++) {
        put_file(s, "cut.gz", data, (size_t)cut);
        open_fails(s, "cut.gz", NULL, STATUS_CORRUPT);
    }
    data[len - 6] ^= 1; /* the checksum */
    put_file(s, "bad.gz", data, (size_t)len);
    open_fails(s, "bad.gz", NULL, STATUS_CORRUPT);
}

static void test_no_memory(void **state)
{
    struct scratch *s = *state;
    struct buf images = idx(3, (uint32_t[]){4, 3, 5}), labels = idx(1, (uint32_t[]){4});
    put_buf(s, "images", &images);
    put_buf(s, "labels", &labels);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct image_array *a = NULL;
        assert_true(n < 20);
        fault_set(FAULT_MEM, n, 0, 0);
        st = image_array_open(in_scratch(s, "images"), in_scratch(s, "labels"), IMAGE_ARRAY_ALL, &a,
                              NULL);
        fault_clear();
        if (!st) {
            struct image img = IMAGE_INIT;
            fault_set(FAULT_MEM, 1, 0, 0);
            assert_int_equal(image_array_get(a, 0, &img), STATUS_NOMEM);
        }
        image_array_close(a);
    }
    assert_int_equal(st, STATUS_OK);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_idx),
        SCRATCH_TEST(test_idx_in_colour_without_labels),
        SCRATCH_TEST(test_cifar),
        SCRATCH_TEST(test_contradictions),
        SCRATCH_TEST(test_impossible_sizes),
        SCRATCH_TEST(test_cifar_with_impossible_labels),
        SCRATCH_TEST(test_damaged_gzip),
        SCRATCH_TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("arrays", tests, NULL, NULL);
}
