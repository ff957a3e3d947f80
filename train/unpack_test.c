#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

#include <errno.h>

/* Four 2x3 (HxW) images with labels 1, 0, 2, 1. */
static const uint8_t idx_images[] = {0,  0,  8,  3,  0,  0,  0,  4,  0,  0,  0,  2,  0,  0,
                                     0,  3,  1,  2,  3,  4,  5,  6,  11, 12, 13, 14, 15, 16,
                                     21, 22, 23, 24, 25, 26, 31, 32, 33, 34, 35, 36};
static const uint8_t idx_labels[] = {0, 0, 8, 1, 0, 0, 0, 4, 1, 0, 2, 1};

static struct train_unpack_options options(const char *out)
{
    toy_write("images", idx_images, sizeof idx_images);
    toy_write("labels", idx_labels, sizeof idx_labels);
    return (struct train_unpack_options){.images = toy_path("images"),
                                         .labels = toy_path("labels"),
                                         .out_dir = toy_path(out),
                                         .quiet = true};
}

static status unpack(struct train_unpack_options o, int *n, const char *says)
{
    struct errmsg e = {""};
    status st = train_unpack(&o, n, &e);
    if (says && !strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    if (!says && st)
        fail_msg("%s: %s", status_text(st), e.text);
    return st;
}

static int there(const char *name)
{
    struct stat sb;
    return stat(toy_path(name), &sb) == 0;
}

static void idx_becomes_a_tree(void **state)
{
    (void)state;
    int n = 0;
    assert_int_equal(unpack(options("plain"), &n, NULL), STATUS_OK);
    assert_int_equal(n, 4);
    struct train_set *s = NULL;
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("plain")}, &s, NULL), 0);
    assert_int_equal(train_set_info(s).classes, 3);
    assert_int_equal(train_set_info(s).width, 3);
    assert_string_equal(train_set_path(s, 2), "1/00003.png");
    uint8_t pixels[6];
    assert_int_equal(train_set_pixels(s, 2, pixels, NULL), STATUS_OK);
    assert_memory_equal(pixels, idx_images + 16 + 18, 6);
    train_set_free(s);
}

static void names_limits_and_flat(void **state)
{
    (void)state;
    int n = 0;
    struct train_unpack_options o = options("named");
    o.class_names = "cat,dog,emu";
    o.limit = 2;
    unpack(o, &n, NULL);
    assert_int_equal(n, 2);
    assert_true(there("named/dog/00000.png") && there("named/cat/00001.png"));
    assert_true(there("named/emu") && !there("named/emu/00002.png"));
    o = options("flat");
    o.labels = NULL;
    o.flat = true;
    unpack(o, &n, NULL);
    assert_true(there("flat/00003.png"));
    o.flat = false;
    assert_int_equal(unpack(o, &n, "--labels"), STATUS_INVALID);
    static const char *const bad[] = {"cat,dog",     "cat,dog,emu,fox", "cat,,emu",
                                      "cat,cat,emu", "cat,../x,emu",    "..,a,b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        o = options("bad");
        o.class_names = bad[i];
        assert_int_equal(unpack(o, &n, "class"), STATUS_INVALID);
    }
    assert_false(there("bad"));
}

static void cifar_binaries(void **state)
{
    (void)state;
    static uint8_t ten[3 * 3073], hundred[2 * 3074];
    ten[0] = 7;
    ten[3073] = 0;
    ten[2 * 3073] = 9;
    memset(ten + 1, 200, 1024); /* image 0 is red */
    hundred[1] = 42;
    hundred[3074] = 3;
    hundred[3074 + 1] = 5;
    int n = 0;
    toy_write("c10.bin", ten, sizeof ten);
    unpack((struct train_unpack_options){.images = toy_path("c10.bin"),
                                         .out_dir = toy_path("c10"),
                                         .quiet = true},
           &n, NULL);
    assert_int_equal(n, 3);
    struct train_set *s = NULL;
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("c10/7"), .flat = true}, &s,
                       NULL),
        STATUS_OK);
    uint8_t pixels[3072];
    assert_int_equal(train_set_pixels(s, 0, pixels, NULL), STATUS_OK);
    assert_memory_equal(pixels, ((const uint8_t[]){200, 0, 0, 200, 0, 0}), 6);
    train_set_free(s);
    toy_write("c100.bin", hundred, sizeof hundred);
    unpack((struct train_unpack_options){.images = toy_path("c100.bin"),
                                         .out_dir = toy_path("c100"),
                                         .quiet = true},
           &n, NULL);
    assert_true(there("c100/42/00000.png") && there("c100/05/00001.png"));
}

/* ---- numpy's ---- */

static struct train_unpack_options numpy(const char *images, const char *labels, const char *out)
{
    return (struct train_unpack_options){.images = toy_path(images),
                                         .labels = labels ? toy_path(labels) : NULL,
                                         .out_dir = toy_path(out),
                                         .quiet = true};
}

static void assert_first_pixels(const char *dir, const uint8_t want[6])
{
    struct train_data_options o = {.dir = toy_path(dir), .flat = true};
    struct train_set *s = NULL;
    struct errmsg e = {""};
    uint8_t pixels[12];
    toy_good(train_set_open(&o, &s, &e), &e);
    assert_int_equal(train_set_pixels(s, 0, pixels, &e), STATUS_OK);
    assert_memory_equal(pixels, want, 6);
    train_set_free(s);
}

static void numpy_pairs(void **state)
{
    (void)state;
    uint8_t x[3 * 12];
    static const int64_t y[3] = {1, 0, 1};
    static const int8_t bad[3] = {1, -1, 1};
    int n = 0;
    for (int i = 0; i < 36; i++)
        x[i] = (uint8_t)i;
    toy_npy("hwc.npy", "|u1", "(3, 2, 2, 3)", x, sizeof x);
    toy_npy("chw.npy", "|u1", "(3, 3, 2, 2)", x, sizeof x);
    toy_npy("grey.npy", "|u1", "(3, 2, 6)", x, sizeof x);
    toy_npy("y.npy", "<i8", "(3, 1)", y, sizeof y);
    unpack(numpy("hwc.npy", "y.npy", "n-hwc"), &n, NULL);
    assert_int_equal(n, 3);
    assert_true(there("n-hwc/1/00000.png") && there("n-hwc/0/00001.png"));
    assert_first_pixels("n-hwc/0", (const uint8_t[6]){12, 13, 14, 15, 16, 17});
    unpack(numpy("chw.npy", "y.npy", "n-chw"), &n, NULL);
    assert_first_pixels("n-chw/0", (const uint8_t[6]){12, 16, 20, 13, 17, 21});
    unpack(numpy("grey.npy", "y.npy", "n-grey"), &n, NULL);
    assert_first_pixels("n-grey/0", (const uint8_t[6]){12, 13, 14, 15, 16, 17});
    unpack(numpy("hwc.npy", NULL, "n-none"), &n, "--labels");
    toy_npy("bad.npy", "|i1", "(3,)", bad, sizeof bad);
    assert_int_equal(unpack(numpy("hwc.npy", "bad.npy", "n-bad"), &n, "label 1 is -1"),
                     STATUS_CORRUPT);
    toy_npy("two.npy", "|i1", "(2,)", bad, 2);
    assert_int_equal(unpack(numpy("hwc.npy", "two.npy", "n-bad"), &n, "2 labels for 3 images"),
                     STATUS_CORRUPT);
    assert_int_equal(unpack(numpy("y.npy", "y.npy", "n-bad"), &n, "no images"), STATUS_UNSUPPORTED);
    assert_int_equal(unpack(numpy("hwc.npy", "hwc.npy", "n-bad"), &n, "no list"),
                     STATUS_UNSUPPORTED);
    toy_npy("odd.npy", "|u1", "(3, 2, 2, 2)", x, 24);
    assert_int_equal(unpack(numpy("odd.npy", "y.npy", "n-bad"), &n, "grey or RGB"),
                     STATUS_UNSUPPORTED);
    assert_false(there("n-bad"));
}

static void damaged_archives_are_refused(void **state)
{
    (void)state;
    int n = 0;
    struct train_unpack_options o = options("hurt");
    toy_write("images", idx_images, sizeof idx_images - 1);
    assert_int_not_equal(unpack(o, &n, ""), STATUS_OK);
    uint8_t hostile[sizeof idx_images];
    memcpy(hostile, idx_images, sizeof hostile);
    memset(hostile + 4, 0xff, 12); /* counts of 2^32-1 */
    toy_write("images", hostile, sizeof hostile);
    assert_int_not_equal(unpack(o, &n, ""), STATUS_OK);
    toy_write("images", idx_images, sizeof idx_images);
    toy_write("labels", idx_labels, sizeof idx_labels - 1);
    assert_int_not_equal(unpack(o, &n, ""), STATUS_OK);
    toy_write("images", "junk", 4);
    assert_int_not_equal(unpack(o, &n, ""), STATUS_OK);
    o.images = toy_path("absent");
    assert_int_equal(unpack(o, &n, "absent"), STATUS_NOT_FOUND);
    assert_false(there("hurt"));
}

static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    int n = 0;
    for (unsigned long write = 1; write <= 4; write++) {
        struct train_unpack_options o = options("disk/full");
        fault_set(FAULT_WRITE, write, 1, ENOSPC);
        status st = unpack(o, &n, "no space left");
        fault_clear();
        assert_int_equal(st, STATUS_NO_SPACE);
        assert_false(toy_there("disk"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_becomes_a_tree),
        cmocka_unit_test(names_limits_and_flat),
        cmocka_unit_test(cifar_binaries),
        cmocka_unit_test(numpy_pairs),
        cmocka_unit_test(what_fails_leaves_nothing),
        cmocka_unit_test(damaged_archives_are_refused),
    };
    return cmocka_run_group_tests_name("unpack", tests, toy_setup, toy_teardown);
}
