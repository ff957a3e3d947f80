/* What is not purified is known for what it is, and what is no image is left alone. */
#include "test_images.h"

static const char *kind(const void *bytes, size_t len, const char *name)
{
    uint8_t head[IMAGE_SNIFF_BYTES] = {0};
    memcpy(head, bytes, len);
    return image_kind_of_unsupported(head, len < 64 ? 64 : len, name);
}

#define BYTES(s) s, sizeof(s) - 1

static void test_known_by_content(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } cases[] = {
        {BYTES("\0\0\0\x0cjP  \r\n\x87\n"), "a JPEG 2000 image"},
        {BYTES("\0\0\0\x20"
               "ftypavif\0\0\0\0"),
         "an AVIF image"},
        {BYTES("\0\0\0\x20"
               "ftypheic\0\0\0\0"),
         "a HEIF image"},
        {BYTES("\0\0\0\x20"
               "ftypisom\0\0\0\0"),
         "a video"},
        {BYTES("\xff\x0a\x10\x20"), "a JPEG XL image"},
        {BYTES("\x76\x2f\x31\x01\x02\0\0\0"), "an OpenEXR image"},
        {BYTES("8BPS\0\1\0\0\0\0\0\0"), "a Photoshop image"},
        {BYTES("P6\n640 480\n255\n"), "a PNM image"},
        {BYTES("P2\n# by a program\n64 48\n"), "a PNM image"},
        {BYTES("\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0"), "an icon"},
        {BYTES("\x93NUMPY\1\0v\0{'descr'"), "a NumPy array"},
        {BYTES("\x89HDF\r\n\x1a\n\0\0"), "an HDF5 file"},
        {BYTES("PAR1\x15\4"), "a Parquet file"},
        {BYTES("\0\0\x08\3\0\0\xea\x60\0\0\0\x1c\0\0\0\x1c"), "an IDX array"},
        {BYTES("\x80\2}q\1(U\x0b"
               "batch_label"),
         "a pickle"},
        {BYTES("\x80\4\x95\x20\0\0\0\0\0\0\0}"), "a pickle"},
        {BYTES("PK\3\4\x14\0\0\0"), "a zip archive"},
        {BYTES("\x1f\x8b\x08\0\0\0\0\0"), "a compressed file"},
        {BYTES("BZh91AY&SY"), "a compressed file"},
        {BYTES("Rar!\x1a\7\1\0"), "a RAR archive"},
        {BYTES("MM\0\x2b\0\x08\0\0"), "a BigTIFF image"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = kind(cases[i].bytes, cases[i].len, "some/file");
        assert_non_null(got);
        assert_string_equal(got, cases[i].want);
        assert_string_equal(kind(cases[i].bytes, cases[i].len, NULL), cases[i].want);
    }
}

static void test_signatures_that_stand_later(void **state)
{
    (void)state;
    uint8_t head[IMAGE_SNIFF_BYTES] = {0};
    memcpy(head, "cat/1.png", 9);
    memcpy(head + 257, "ustar", 6);
    assert_string_equal(image_kind_of_unsupported(head, sizeof head, "x"), "a tar archive");
    assert_null(image_kind_of_unsupported(head, 261, "x"));
    memset(head, 0, sizeof head);
    memcpy(head + 128, "DICM", 4);
    assert_string_equal(image_kind_of_unsupported(head, sizeof head, "x"), "a DICOM image");
    memset(head, 0, sizeof head);
    memcpy(head + 16, "\xde\xc0\xef\xbe\1\0\0\0", 8);
    assert_string_equal(image_kind_of_unsupported(head, sizeof head, "data"), "an LMDB database");
}

/* The head of a record of 17 bytes. */
static void test_tfrecord(void **state)
{
    (void)state;
    const uint8_t record[] = {0x11, 0, 0, 0, 0, 0, 0, 0, 0x9d, 0x6d, 0xb5, 0x2e, 0x0a, 0x0f};
    uint8_t changed[sizeof record];
    memcpy(changed, record, sizeof record);
    assert_string_equal(kind(record, sizeof record, "train-00000-of-01024"), "a TFRecord file");
    changed[8] ^= 1;
    assert_null(kind(changed, sizeof changed, "train-00000-of-01024"));
}

static void test_known_by_name(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"a/b.tga", "a TGA image"},
        {"x.TFRecord", "a TFRecord file"},
        {"x.pkl", "a pickle"},
        {"x.mdb", "an LMDB database"},
        {"d/data_batch_1.bin", "a CIFAR array"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_string_equal(kind(BYTES("\1\2\3\4\5\6\7"), names[i][0]), names[i][1]);
        assert_null(
            image_kind_of_unsupported("", 0, names[i][0])); /* an empty file holds nothing */
    }
    assert_string_equal(kind(BYTES("PK\3\4"), "a/x.npz"), "a NumPy archive");
    assert_string_equal(kind(BYTES("PK\3\4"), "a/x.pt"), "a PyTorch file");
    assert_string_equal(kind(BYTES("\x1f\x8b\x08\0"), "a/x.tar.gz"), "a tar archive");
    assert_null(kind(BYTES("PK\3\4"), "a/x.xlsx"));
    assert_null(kind(BYTES("\x1f\x8b\x08\0"), "labels.json.gz"));
    assert_null(kind(BYTES("\x1f\x8b\x08\0"), "labels.CSV.gz"));
}

static void test_no_images(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *name;
    } cases[] = {
        {BYTES("{\"images\": []}"), "instances.json"},
        {BYTES("id,label\n1,cat\n"), "labels.csv"},
        {BYTES("P1 is a point of the map"), "notes.txt"},
        {BYTES("PK is short for kill\n"), "notes"},
        {BYTES("<?xml version=\"1.0\"?><annotation>"), "a.xml"},
        {BYTES("MATLAB 5.0 MAT-file, Platform: GLNXA64"), "annotations.mat"},
        {BYTES("\0\0\x08\1\0\0\xea\x60\5\0"), "labels-idx1-ubyte"},
        {BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "zeros"},
        {BYTES("\x80\2\1\1\1\1"), "raw"},
        {BYTES("\0\0\1\0\1\0\1\0\1\1"), "raw"},
        {BYTES("%PDF-1.7"), "paper.pdf"},
        {BYTES("#!/bin/sh"), "run.sh"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (kind(cases[i].bytes, cases[i].len, cases[i].name))
            fail_msg("%s is taken for %s", cases[i].name,
                     kind(cases[i].bytes, cases[i].len, cases[i].name));
    for (size_t len = 0; len < 16; len++) /* on a block of its own, for the sanitizer */
        for (size_t c = 0; c < 256; c++) {
            uint8_t *p = malloc(len ? len : 1);
            memset(p, (int)c, len);
            (void)image_kind_of_unsupported(p, len, "");
            free(p);
        }
}

static void test_supported(void **state)
{
    (void)state;
    assert_int_equal(image_sniff(BYTES("\x89PNG\r\n\x1a\n...")), IMAGE_PNG);
    assert_int_equal(image_sniff(BYTES("\xff\xd8\xff\xe0")), IMAGE_JPEG);
    assert_int_equal(image_sniff(BYTES("\xff\xd8")), IMAGE_FORMAT_COUNT);
    assert_int_equal(image_sniff("", 0), IMAGE_FORMAT_COUNT);
    assert_null(kind(BYTES("\x89PNG\r\n\x1a\n"), "x.tga"));
    assert_null(kind(BYTES("\xff\xd8\xff\xe0"), "x.pkl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_by_content), cmocka_unit_test(test_signatures_that_stand_later),
        cmocka_unit_test(test_tfrecord),         cmocka_unit_test(test_known_by_name),
        cmocka_unit_test(test_no_images),        cmocka_unit_test(test_supported),
    };
    return cmocka_run_group_tests_name("sniff", tests, NULL, NULL);
}
