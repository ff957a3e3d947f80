/* CIFAR's pickles: as published, and everything that a pickle can be instead. (tests/unpack.bats
   has those that Python writes today.) */
#include "base/pickle.h"
#include "test_cifar.h"

static void a_batch_is_read(void **state)
{
    struct scratch *s = *state;
    struct image_array *a = NULL;
    struct buf b = cifar_pickle(4, 3);
    put_file(s, "batch", b.data, b.len);
    assert_int_equal(open_array(s, "batch", IMAGE_ARRAY_ALL, &a, ""), STATUS_OK);
    assert_int_equal(image_array_format(a), IMAGE_ARRAY_CIFAR10);
    assert_int_equal(image_array_coarse_label(a, 0), -1);
    assert_cifar(a, 4, 3);
    image_array_close(a);
    assert_int_equal(open_array(s, "batch", IMAGE_ARRAY_TEST, &a, "only tar archives"),
                     STATUS_INVALID);
    buf_done(&b);
}

/* Two lists of labels: CIFAR-100. A dictionary's later value of a key is the one that counts. */
static void coarse_labels(void **state)
{
    struct scratch *s = *state;
    struct image_array *a = NULL;
    struct buf b = BUF_INIT(1 << 20);
    ADD(&b, "\x80\2}(U\x04"
            "dataNU\x04"
            "data");
    add_array(&b, 0, 2, "u1");
    add_labels(&b, "fine_labels", 0, 2);
    add_labels(&b, "coarse_labels", 1, 2);
    ADD(&b, "u.");
    put_file(s, "train", b.data, b.len);
    assert_int_equal(open_array(s, "train", IMAGE_ARRAY_ALL, &a, ""), STATUS_OK);
    assert_int_equal(image_array_format(a), IMAGE_ARRAY_CIFAR100);
    assert_int_equal(image_array_coarse_label(a, 1), cifar_label(2));
    assert_cifar(a, 0, 2);
    image_array_close(a);
    buf_done(&b);
}

static struct buf with_data(const char *bytes, size_t len)
{
    struct buf b = BUF_INIT(1 << 20);
    ADD(&b, "\x80\2}(U\x04"
            "data");
    add(&b, bytes, len);
    add_labels(&b, "labels", 0, 2);
    ADD(&b, "u.");
    return b;
}
#define WITH_DATA(literal) with_data(literal, sizeof(literal) - 1)

static void nothing_is_executed(void **state)
{
    struct scratch *s = *state;
    struct buf b = BUF_INIT(1 << 20);
    ADD(&b, "\x80\2"
            "cposix\nsystem\nX\4\0\0\0true\x85R.");
    refused(s, &b, STATUS_UNSUPPORTED, "posix.system");
    b = WITH_DATA("(X\7\0\0\0builtinsX\4\0\0\0exec\x93N\x85R");
    refused(s, &b, STATUS_CORRUPT, "byte");
    b = WITH_DATA("\x8c\x08"
                  "builtins\x8c\x04"
                  "exec\x93)R");
    refused(s, &b, STATUS_UNSUPPORTED, "builtins.exec");
    b = WITH_DATA("cnumpy.core.multiarray\nscalar\n)R");
    refused(s, &b, STATUS_UNSUPPORTED, "numpy.core.multiarray.scalar");
    b = WITH_DATA("(iposix\nsystem\n");
    refused(s, &b, STATUS_UNSUPPORTED, "instruction 0x69");
    b = WITH_DATA("cnumpy\nndarray\n)\x81");
    refused(s, &b, STATUS_UNSUPPORTED, "instruction 0x81");
}

/* What may be named, put together in ways that make no array. */
static void other_objects_are_refused(void **state)
{
    struct scratch *s = *state;
    static const char array[] = "cnumpy.core.multiarray\n_reconstruct\n";
    struct buf b = WITH_DATA("N");
    refused(s, &b, STATUS_UNSUPPORTED, "no array");
    b = WITH_DATA("cnumpy\nndarray\n");
    refused(s, &b, STATUS_UNSUPPORTED, "no array");
    b = with_data(array, sizeof array - 1);
    refused(s, &b, STATUS_UNSUPPORTED, "no array");
    b = WITH_DATA("cnumpy.core.multiarray\n_reconstruct\n)R");
    refused(s, &b, STATUS_UNSUPPORTED, "no array"); /* without a state */
    b = WITH_DATA("cnumpy.core.multiarray\n_reconstruct\n)R)b)b");
    refused(s, &b, STATUS_CORRUPT, "byte"); /* two states */
}

static struct buf array_state(const char *state, size_t len)
{
    struct buf b = BUF_INIT(1 << 20);
    ADD(&b, "\x80\2}(U\x04"
            "datacnumpy.core.multiarray\n_reconstruct\n)R(");
    add(&b, state, len);
    ADD(&b, "tbu.");
    return b;
}
#define STATE(literal) array_state(literal, sizeof(literal) - 1)
#define U1 "cnumpy\ndtype\nU\2u1\x85R"

static void the_array_is_bytes_in_rows(void **state)
{
    struct scratch *s = *state;
    static const struct {
        const char *state;
        size_t len;
        status want;
        const char *says;
    } row[] = {
#define ROW(literal, want, says) {literal, sizeof(literal) - 1, want, says}
        ROW("K\1K\1K\3\x86" U1 "\x89U\3abc", STATUS_OK, ""),
        ROW("K\1K\1K\3\x86"
            "cnumpy\ndtype\nU\2f4\x85R\x89U\3abc",
            STATUS_UNSUPPORTED, "another type"),
        ROW("K\1K\1K\3\x86" U1 "\x88U\3abc", STATUS_UNSUPPORTED, "columns come first"),
        ROW("K\1K\1K\3\x86" U1 "NU\3abc", STATUS_UNSUPPORTED, "columns come first"),
        ROW("K\1K\3\x85" U1 "\x89U\3abc", STATUS_UNSUPPORTED, "another shape"),
        ROW("K\1K\1K\1K\3\x87" U1 "\x89U\3abc", STATUS_UNSUPPORTED, "another shape"),
        ROW("K\1K\0K\3\x86" U1 "\x89U\0", STATUS_UNSUPPORTED, "another shape"),
        ROW("K\1J\xff\xff\xff\xffK\3\x86" U1 "\x89U\3abc", STATUS_UNSUPPORTED, "another shape"),
        ROW("K\1K\1K\4\x86" U1 "\x89U\4abcd", STATUS_UNSUPPORTED, "square images"),
        ROW("K\1K\2K\3\x86" U1 "\x89U\3abc", STATUS_CORRUPT, "holds 3 bytes for 2 rows of 3"),
        ROW("K\1J\xff\xff\xff\x7fK\3\x86" U1 "\x89U\3abc", STATUS_CORRUPT, "holds 3 bytes"),
        ROW("K\1K\1K\3\x86" U1 "\x89K\3", STATUS_UNSUPPORTED, "bytes are missing"),
        ROW("K\1K\1K\3\x86" U1 "\x89"
            "c_codecs\nencode\nX\4\0\0\0a\xc3\xa9"
            "cU\6latin1\x86R",
            STATUS_OK, ""),
        ROW("K\1K\1K\3\x86" U1 "\x89"
            "c_codecs\nencode\nX\5\0\0\0a\xe2\x82\xac"
            "cU\6latin1\x86R",
            STATUS_CORRUPT, "no bytes"),
        ROW("K\1K\1K\3\x86" U1 "\x89"
            "c_codecs\nencode\nX\3\0\0\0ab\xc3U\6latin1\x86R",
            STATUS_CORRUPT, "no bytes"),
        ROW("K\1K\1K\3\x86" U1 "\x89"
            "c_codecs\nencode\nX\3\0\0\0abcU\5utf-8\x86R",
            STATUS_UNSUPPORTED, "bytes are missing"),
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct image_array *a = NULL;
        struct buf b = array_state(row[i].state, row[i].len);
        put_file(s, "state", b.data, b.len);
        status st = open_array(s, "state", IMAGE_ARRAY_ALL, &a, row[i].says);
        if (st != row[i].want)
            fail_msg("row %zu: %s", i, status_text(st));
        image_array_close(a);
        buf_done(&b);
    }
}

static void latin1_is_decoded(void **state)
{
    struct scratch *s = *state;
    struct image_array *a = NULL;
    struct image img = IMAGE_INIT;
    struct buf b = STATE("K\1K\1K\3\x86" U1 "\x89"
                         "c_codecs\nencode\nX\5\0\0\0\x7f\xc2\x80\xc3\xbfU\6"
                         "latin1\x86R");
    put_file(s, "latin", b.data, b.len);
    assert_int_equal(open_array(s, "latin", IMAGE_ARRAY_ALL, &a, ""), STATUS_OK);
    assert_false(image_array_has_labels(a));
    assert_int_equal(image_array_get(a, 0, &img), STATUS_OK);
    assert_memory_equal(img.pixels, ((const uint8_t[]){0x7f, 0x80, 0xff}), 3);
    image_done(&img);
    image_array_close(a);
    buf_done(&b);
}

static void labels_fit_the_images(void **state)
{
    struct scratch *s = *state;
    static const struct {
        const char *labels;
        size_t len;
        status want;
        const char *says;
    } row[] = {
        ROW("U\6labels](K\1K\2e", STATUS_CORRUPT, "2 labels for 1 images"),
        ROW("U\6labels]J\xff\xff\xff\xff"
            "a",
            STATUS_CORRUPT, "label 0"),
        ROW("U\6labels]J\xff\xff\xff\x7f"
            "a",
            STATUS_CORRUPT, "label 0"),
        ROW("U\6labels]Na", STATUS_CORRUPT, "label 0"),
        ROW("U\6labelsK\1", STATUS_UNSUPPORTED, "no list"),
        ROW("U\x0b"
            "fine_labels]K\1aU\x0d"
            "coarse_labels]",
            STATUS_CORRUPT, "0 labels"),
    };
#undef ROW
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct buf b = BUF_INIT(1 << 20);
        ADD(&b, "\x80\2}(U\x04"
                "datacnumpy.core.multiarray\n_reconstruct\n)R(K\1K\1K\3\x86" U1 "\x89U\3abctb");
        add(&b, row[i].labels, row[i].len);
        ADD(&b, "u.");
        refused(s, &b, row[i].want, row[i].says);
    }
}

static void a_pickle_cut_anywhere_is_refused(void **state)
{
    struct scratch *s = *state;
    struct buf b = cifar_pickle(0, 1);
    size_t step = 1;
    for (size_t len = 2; len < b.len; len += step) {
        struct image_array *a = NULL;
        put_file(s, "cut", b.data, len);
        assert_int_not_equal(open_array(s, "cut", IMAGE_ARRAY_ALL, &a, "cut"), STATUS_OK);
        step = len > 200 && len + 200 < b.len ? 389 : 1;
    }
    ADD(&b, "x");
    refused(s, &b, STATUS_CORRUPT, "more follows");
}

/* A changed byte may go unnoticed; it must not make us read wildly. */
static void a_changed_byte_does_no_harm(void **state)
{
    struct scratch *s = *state;
    struct buf b = cifar_pickle(0, 1);
    for (size_t i = 0; i<b.len; i += i> 300 && i + 60 < b.len ? 509 : 1)
        for (int bit = 0; bit < 8; bit += 3) {
            struct image_array *a = NULL;
            struct image img = IMAGE_INIT;
            b.data[i] ^= (char)(1 << bit);
            put_file(s, "changed", b.data, b.len);
            if (!open_array(s, "changed", IMAGE_ARRAY_ALL, &a, ""))
                assert_int_equal(image_array_get(a, image_array_count(a) - 1, &img), STATUS_OK);
            image_done(&img);
            image_array_close(a);
            b.data[i] ^= (char)(1 << bit);
        }
    buf_done(&b);
}

/* `times` copies of `part` behind `begin`. */
static struct buf repeated(const char *begin, size_t len, const char *part, size_t part_len,
                           size_t times)
{
    struct buf b = BUF_INIT((size_t)1 << 26);
    assert_int_equal(buf_reserve(&b, len + times * part_len), STATUS_OK);
    add(&b, begin, len);
    for (size_t i = 0; i < times; i++)
        memcpy(b.data + b.len + i * part_len, part, part_len);
    b.len += times * part_len;
    return b;
}
#define REPEATED(begin, part, times)                                                               \
    repeated(begin, sizeof(begin) - 1, part, sizeof(part) - 1, times)

/* A file of few different bytes is small when it is compressed: what it asks for has a limit. */
static void memory_is_bounded(void **state)
{
    struct scratch *s = *state;
    enum { MANY = PICKLE_VALUES_MAX + 10, ADDED = PICKLE_ADDED_MAX + 10 };
    struct buf b = REPEATED("\x80\2(", "N", MANY);
    refused(s, &b, STATUS_LIMIT, "more values"); /* values */
    b = REPEATED("\x80\2", "(", MANY);
    refused(s, &b, STATUS_LIMIT, "more values"); /* marks */
    b = REPEATED("\x80\2Nq\0", "h\0", MANY);
    refused(s, &b, STATUS_LIMIT, "more values"); /* the stack */
    b = REPEATED("\x80\2Nq\0]",
                 "h\0"
                 "a",
                 ADDED / 2);
    refused(s, &b, STATUS_LIMIT, "more values"); /* a list */
    b = REPEATED("\x80\2Nr\xff\xff\x4f\0", "N", 6 << 20);
    refused(s, &b, STATUS_LIMIT, "more values"); /* the memo */
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(a_batch_is_read),
        SCRATCH_TEST(coarse_labels),
        SCRATCH_TEST(nothing_is_executed),
        SCRATCH_TEST(other_objects_are_refused),
        SCRATCH_TEST(the_array_is_bytes_in_rows),
        SCRATCH_TEST(latin1_is_decoded),
        SCRATCH_TEST(labels_fit_the_images),
        SCRATCH_TEST(a_pickle_cut_anywhere_is_refused),
        SCRATCH_TEST(a_changed_byte_does_no_harm),
        SCRATCH_TEST(memory_is_bounded),
    };
    return cmocka_run_group_tests_name("array_pickle", tests, NULL, NULL);
}
