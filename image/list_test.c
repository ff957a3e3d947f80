/* Files of many images: which they are, where the images stand, and what of them is not an image. */
#include "image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int memory;

static int make_file(void **state)
{
    (void)state;
    memory = memfd_create("list-test", MFD_CLOEXEC);
    return memory < 0;
}

static int close_file(void **state)
{
    (void)state;
    return close(memory);
}

/* The file with this header and n bytes behind it; its size. */
static uint64_t put(const char *dict, uint64_t n)
{
    unsigned char head[256] = "\x93NUMPY\1\0";
    size_t len = strlen(dict);
    head[8] = (unsigned char)len;
    memcpy(head + 10, dict, len);
    assert_int_equal(ftruncate(memory, 0), 0);
    assert_int_equal(pwrite(memory, head, 10 + len, 0), 10 + len);
    assert_int_equal(ftruncate(memory, (off_t)(10 + len + n)), 0);
    return 10 + len + n;
}

#define DICT(type, fortran, shape)                                                                 \
    "{'descr': '" type "', 'fortran_order': " fortran ", 'shape': " shape ", }\n"

static status probe(uint64_t size, struct image_list *out, struct errmsg *e)
{
    struct image_limits lim = image_limits_default();
    return image_list_probe_fd(memory, size, &lim, out, e);
}

static void both_orders_of_axes_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *dict;
        int width, height, channels;
        bool planar;
    } row[] = {
        {DICT("|u1", "False", "(5, 8, 16, 3)"), 16, 8, 3, false},
        {DICT("|u1", "False", "(5, 3, 8, 16)"), 16, 8, 3, true},
        {DICT("|u1", "False", "(5, 8, 48, 1)"), 48, 8, 1, false},
        {DICT("|u1", "False", "(5, 1, 8, 48)"), 48, 8, 1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        uint64_t size = put(row[i].dict, 5 * 384);
        struct image_list l;
        assert_int_equal(probe(size, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 5);
        assert_int_equal(l.first, size - 5 * 384);
        assert_int_equal(l.step, 384);
        assert_int_equal(l.bytes, 384);
        assert_int_equal(l.width, row[i].width);
        assert_int_equal(l.height, row[i].height);
        assert_int_equal(l.channels, row[i].channels);
        assert_int_equal(l.planar, row[i].planar);
        struct image_info info = image_list_info(&l);
        assert_int_equal(info.encoded_size, 384);
        assert_int_equal(info.width, row[i].width);
    }
}

static void what_is_not_images_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *dict;
        uint64_t bytes;
        status want;
        const char *says;
    } row[] = {
        {DICT("|u1", "False", "(50,)"), 50, STATUS_OK, ""}, /* labels */
        {DICT("<i8", "False", "(50, 1)"), 400, STATUS_OK, ""},
        {DICT("|u1", "False", "(0, 8, 8, 3)"), 0, STATUS_OK, ""},
        {DICT("|u1", "False", "(2, 192)"), 384, STATUS_UNSUPPORTED, "not (N,H,W,C)"},
        {DICT("|u1", "False", "(6, 8, 8)"), 384, STATUS_UNSUPPORTED, "not (N,H,W,C)"},
        {DICT("|u1", "False", "(2, 8, 8, 4)"), 512, STATUS_UNSUPPORTED, "not (N,H,W,C)"},
        {DICT("|u1", "False", "(2, 7, 8, 3)"), 336, STATUS_UNSUPPORTED, "not (N,H,W,C)"},
        {DICT("|u1", "False", "(1, 2, 8, 8, 3)"), 384, STATUS_UNSUPPORTED, "not (N,H,W,C)"},
        {DICT("|u1", "True", "(2, 8, 8, 3)"), 384, STATUS_UNSUPPORTED, "Fortran"},
        {DICT("<f4", "False", "(2, 8, 8, 3)"), 1536, STATUS_UNSUPPORTED, "<f4"},
        {DICT("|u1", "False", "(2, 8, 8, 3)"), 383, STATUS_CORRUPT, "shorter"},
        {DICT("|u1", "False", "(2, 8, 8, 3)"), 385, STATUS_CORRUPT, "longer"},
        {DICT("|u1", "False", "(99999999999999999999, 8, 8, 3)"), 384, STATUS_CORRUPT, "shorter"},
        {DICT("|u1", "False", "(1, 8, 16777216, 1)"), 134217728, STATUS_LIMIT, "limit"},
        {"{'descr': '|u1'}", 8, STATUS_CORRUPT, "header"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct errmsg e = {""};
        struct image_list l = {.count = 9};
        struct image_limits lim = image_limits_default();
        lim.max_pixels = 1 << 20;
        uint64_t size = put(row[i].dict, row[i].bytes);
        assert_int_equal(image_list_probe_fd(memory, size, &lim, &l, &e), row[i].want);
        assert_non_null(strstr(e.text, row[i].says));
        if (!row[i].want)
            assert_int_equal(l.count, 0);
    }
    struct image_list l;
    assert_int_equal(pwrite(memory, "x", 1, 0), 1);
    assert_int_equal(probe(100, &l, NULL), STATUS_NOT_FOUND);
    assert_int_equal(ftruncate(memory, 0), 0);
    assert_int_equal(probe(0, &l, NULL), STATUS_NOT_FOUND);
}

static void images_and_gaps_make_up_the_file(void **state)
{
    (void)state;
    /* As a CIFAR file has it: a label before each image. */
    static const struct image_list lists[] = {
        {.count = 3, .first = 1, .step = 65, .bytes = 64, .width = 8, .height = 8, .channels = 1},
        {.count = 3, .first = 20, .step = 64, .bytes = 64, .width = 8, .height = 8, .channels = 1},
        {.count = 2, .first = 0, .step = 70, .bytes = 64, .width = 8, .height = 8, .channels = 1},
    };
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        const struct image_list *l = &lists[k];
        uint64_t size = l->first + l->count * l->step + 5;
        char owner[300], want[300];
        memset(owner, '?', sizeof owner);
        memset(want, '-', sizeof want);
        for (uint64_t i = 0; i < l->count; i++)
            memset(want + l->first + i * l->step, (int)('0' + i), l->bytes);
        for (uint64_t at = 0, end; image_list_gap(l, size, &at, &end); at = end)
            memset(owner + at, '-', end - at);
        for (uint64_t at = 0; at < size; at++) {
            uint64_t i = image_list_find(l, at);
            bool in = i < l->count && at >= l->first + i * l->step;
            assert_true(i == l->count || at < l->first + i * l->step + l->bytes);
            if (in)
                assert_int_equal(owner[at], '?');
            owner[at] = in ? (char)('0' + i) : owner[at];
        }
        assert_memory_equal(owner, want, size);
    }
}

static void planes_become_pixels_and_planes_again(void **state)
{
    (void)state;
    uint8_t bytes[8 * 9 * 3], back[sizeof bytes];
    struct image_list l = {
        .count = 1, .step = sizeof bytes, .bytes = sizeof bytes, .width = 9, .height = 8};
    l.channels = 3;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (int planar = 0; planar < 2; planar++) {
        AUTO(image_done) struct image img = IMAGE_INIT;
        l.planar = planar;
        assert_int_equal(image_list_decode(&l, bytes, &img), STATUS_OK);
        assert_int_equal(img.pixels[(9 * 2 + 4) * 3 + 1], planar ? 72 + 22 : 22 * 3 + 1);
        image_list_encode(&l, img.pixels, back);
        assert_memory_equal(back, bytes, sizeof bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_orders_of_axes_are_known),
        cmocka_unit_test(what_is_not_images_says_why),
        cmocka_unit_test(images_and_gaps_make_up_the_file),
        cmocka_unit_test(planes_become_pixels_and_planes_again),
    };
    return cmocka_run_group_tests_name("list", tests, make_file, close_file);
}
