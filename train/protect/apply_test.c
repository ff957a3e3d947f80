#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { SIDE = 8, CLASSES = 3, EACH = 4, N = CLASSES * EACH, C = 3, VALUES = SIDE * SIDE * C };
static const int one_size[1][2] = {{SIDE, SIDE}};

/* dir/a/0.png, dir/b/1.png, dir/c/2.png, dir/a/3.png ...: as an archive is unpacked */
static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    for (int i = 0; i < N; i++) {
        char name[64];
        uint8_t pixels[VALUES];
        struct nn_rng r = nn_rng(4, (uint64_t)i);
        for (int p = 0; p < VALUES; p++)
            pixels[p] = (uint8_t)stream_below(nn_rng_u32(r, (uint64_t)p), 256);
        snprintf(name, sizeof name, "src/%c", 'a' + i % CLASSES);
        toy_mkdir(name);
        snprintf(name, sizeof name, "src/%c/%02d.png", 'a' + i % CLASSES, i);
        toy_image(name, SIDE, SIDE, C, pixels);
    }
    return 0;
}

static struct train_protect_options apply(const char *file, const char *src, const char *dst)
{
    struct train_protect_options o = options("apply", src, dst);
    o.delta_file = toy_path(file);
    return o;
}

/* A number of -8/255 to 8/255 that says its place. */
static float value(int row, int y, int x, int c)
{
    return (float)((row * 7 + y * 5 + x * 3 + c) % 17 - 8) / 255;
}

/* Image i of the tree is its source with the values of row(i). */
static void assert_applied(const char *dst, int (*row)(const char *path, int label))
{
    struct train_set *a = open_set("src"), *b = open_set(dst);
    for (int i = 0; i < N; i++) {
        uint8_t x[VALUES], y[VALUES];
        assert_int_equal(train_set_pixels(a, i, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, i, y, NULL), STATUS_OK);
        int r = row(train_set_path(a, i), train_set_label(a, i));
        for (int p = 0; p < VALUES; p++) {
            float d = value(r, p / C / SIDE, p / C % SIDE, p % C);
            int want = protect_quantise(x[p], d, TRAIN_ROUND);
            if (y[p] != want)
                fail_msg("%s, image %d, value %d: %d, not %d", dst, i, p, y[p], want);
        }
    }
    train_set_free(a);
    train_set_free(b);
}

static int row_of_class(const char *path, int label)
{
    (void)path;
    return label;
}

static int row_of_number(const char *path, int label)
{
    (void)label;
    return (int)strtol(strrchr(path, '/') + 1, NULL, 10);
}

static int calls;
static int row_of_tree(const char *path, int label)
{
    (void)path;
    (void)label;
    return calls++;
}

/* rows x H x W x C, or rows x C x H x W, times `scale`, plus `zero` */
static void fill(float *v, int rows, bool chw, float scale, float zero)
{
    for (int r = 0; r < rows; r++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int c = 0; c < C; c++)
                    v[r * VALUES + (chw ? (c * SIDE + y) * SIDE + x : (y * SIDE + x) * C + c)] =
                        value(r, y, x, c) * scale + zero;
}

static void floats_of_classes_in_either_layout(void **state)
{
    (void)state;
    static float v[CLASSES * VALUES];
    fill(v, CLASSES, false, 1, 0);
    toy_npy("hwc.npy", "<f4", "(3, 8, 8, 3)", v, sizeof v);
    protect_ok(apply("hwc.npy", "src", "hwc"));
    assert_applied("hwc", row_of_class);
    fill(v, CLASSES, true, 255, 0);
    toy_npy("chw.npy", "<f4", "(3, 3, 8, 8)", v, sizeof v);
    protect_ok(apply("chw.npy", "src", "chw"));
    assert_applied("chw", row_of_class);
    json_t *r = read_record("chw");
    assert_string_equal(json_string_value(json_object_get(r, "units")), "byte");
    assert_string_equal(json_string_value(json_object_get(r, "layout")), "chw");
    assert_string_equal(json_string_value(json_object_get(r, "index")), "class");
    assert_string_equal(json_string_value(json_object_get(r, "sign")), "signed");
    json_decref(r);
    /* the perturbation is kept in our own form, which applies as well */
    protect_ok(apply("chw.perturbation.safetensors", "src", "again"));
    assert_applied("again", row_of_class);
}

static void bytes_of_samples_by_number_or_in_the_trees_order(void **state)
{
    (void)state;
    static float v[N * VALUES];
    static int8_t s[N * VALUES];
    static uint8_t u[N * VALUES];
    fill(v, N, false, 255, 0);
    for (int i = 0; i < N * VALUES; i++) {
        s[i] = (int8_t)lrintf(v[i]);
        u[i] = (uint8_t)(128 + s[i]);
    }
    toy_npy("i8.npy", "|i1", "(12, 8, 8, 3)", s, sizeof s);
    protect_ok(apply("i8.npy", "src", "i8"));
    assert_applied("i8", row_of_number);
    struct train_protect_options o = apply("i8.npy", "src", "tree");
    set(&o, "order", "tree");
    protect_ok(o);
    calls = 0;
    assert_applied("tree", row_of_tree);
    toy_npy("u8.npy", "|u1", "(12, 8, 8, 3)", u, sizeof u);
    protect_ok(apply("u8.npy", "src", "u8")); /* 128 stands for no change: it is recognised */
    assert_applied("u8", row_of_number);
    json_t *r = read_record("u8");
    assert_string_equal(json_string_value(json_object_get(r, "sign")), "unsigned");
    assert_string_equal(json_string_value(json_object_get(r, "order")), "number");
    json_decref(r);
}

static void what_we_wrote_applies_as_it_was(void **state)
{
    (void)state;
    static const int sizes[2][2] = {{12, 10}, {9, 14}};
    noise_tree("mixed", 2, 4, sizes, 2, C);
    struct train_protect_options o = options("lsp", "mixed", "lsp");
    set(&o, "patch", "4");
    protect_ok(o);
    o = apply("lsp.perturbation.safetensors", "mixed", "applied");
    o.quantise = TRAIN_TRUNCATE;
    protect_ok(o);
    toy_assert_same_file(toy_path("lsp/a/0.png"), toy_path("applied/a/0.png"));
    toy_assert_same_file(toy_path("lsp/b/3.png"), toy_path("applied/b/3.png"));
}

/* From 2 to 4 values a line: the outer ones, and a quarter of the way between them. */
static void it_is_resized_when_asked(void **state)
{
    (void)state;
    static const float v[2 * 2 * 2] = {0, 40, 0, 40, 8, 8, 8, 8};
    static const int size[2][2] = {{4, 2}, {2, 4}};
    uint8_t grey[8];
    toy_npy("small.npy", "<f4", "(2, 2, 2)", v, sizeof v);
    toy_mkdir("grey/a");
    toy_mkdir("grey/b");
    for (int i = 0; i < 8; i++)
        grey[i] = 100;
    toy_image("grey/a/x.png", size[0][0], size[0][1], 1, grey);
    toy_image("grey/a/y.png", size[1][0], size[1][1], 1, grey);
    toy_image("grey/b/z.png", size[0][0], size[0][1], 1, grey);
    struct train_protect_options o = apply("small.npy", "grey", "large");
    protect_fails(o, "--resize");
    set(&o, "resize", "yes");
    protect_ok(o);
    struct train_set *s = open_set("large");
    static const uint8_t want[3][8] = {{100, 110, 130, 140, 100, 110, 130, 140},
                                       {100, 140, 100, 140, 100, 140, 100, 140},
                                       {108, 108, 108, 108, 108, 108, 108, 108}};
    for (int i = 0; i < 3; i++) {
        struct set_view view;
        assert_int_equal(train_set_view(s, i, &view, NULL), STATUS_OK);
        assert_memory_equal(view.pixels, want[i], 8);
        train_set_view_done(&view);
    }
    train_set_free(s);
}

static void what_is_unclear_is_asked(void **state)
{
    (void)state;
    static float v[N * VALUES];
    toy_npy("many.npy", "<f4", "(5, 8, 8, 3)", v, 5 * VALUES * sizeof *v);
    protect_fails(apply("many.npy", "src", "x"), "fits neither 3 classes nor 12 images");
    toy_npy("wide.npy", "<f4", "(3, 8, 4, 3)", v, 3 * VALUES / 2 * sizeof *v);
    protect_fails(apply("wide.npy", "src", "x"), "8x8");
    toy_npy("three.npy", "<f4", "(3, 3, 3, 3)", v, 81 * sizeof *v);
    protect_fails(apply("three.npy", "src", "x"), "--layout");
    toy_npy("five.npy", "<f4", "(3, 8, 8, 5)", v, 3 * SIDE * SIDE * 5 * sizeof *v);
    protect_fails(apply("five.npy", "src", "x"), "3 channels");
    toy_npy("list.npy", "<f4", "(3,)", v, 3 * sizeof *v);
    protect_fails(apply("list.npy", "src", "x"), "--tensor");
    v[100] = NAN;
    toy_npy("nan.npy", "<f4", "(3, 8, 8, 3)", v, 3 * VALUES * sizeof *v);
    assert_int_equal(protect_fails(apply("nan.npy", "src", "x"), "no number"), STATUS_CORRUPT);
    v[100] = 0;
    struct train_protect_options o = apply("hwc.npy", "src", "x");
    set(&o, "tensor", "other");
    protect_fails(o, "no tensor \"other\"");
    o = apply("hwc.npy", "src", "x");
    o.eps = 8;
    protect_fails(o, "--eps");
    o = apply("hwc.npy", "src", "x");
    o.delta_file = NULL;
    protect_fails(o, "--apply");
    assert_int_equal(protect_fails(apply("absent.npy", "src", "x"), "absent"), STATUS_NOT_FOUND);
    noise_tree("pair", 2, 1, one_size, 1, C);
    toy_npy("one.npy", "<f4", "(2, 8, 8, 3)", v, 2 * VALUES * sizeof *v);
    protect_fails(apply("one.npy", "pair", "x"), "--index");
    assert_false(toy_there("x"));
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    unsigned long n = 1;
    for (bool failed = true; failed; n++) {
        struct train_protect_options o = apply("hwc.npy", "src", "short");
        struct train_protect_result r;
        struct errmsg e = {""};
        o.threads = 1;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_protect(&o, &r, &e);
        fault_clear();
        failed = st != STATUS_OK;
        if (failed && (st != STATUS_NOMEM || toy_there("short")))
            fail_msg("allocation %lu: %s, %s", n, status_text(st), e.text);
    }
    assert_in_range(n, 20, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_of_classes_in_either_layout),
        cmocka_unit_test(bytes_of_samples_by_number_or_in_the_trees_order),
        cmocka_unit_test(what_we_wrote_applies_as_it_was),
        cmocka_unit_test(it_is_resized_when_asked),
        cmocka_unit_test(what_is_unclear_is_asked),
        cmocka_unit_test(short_memory_leaves_nothing),
    };
    return cmocka_run_group_tests_name("apply", tests, make_data, toy_teardown);
}
