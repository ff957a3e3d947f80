#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pixels.h"
#include "set.h"
#include "toy.h"

/* ---- pixels ---- */

static struct image make(int w, int h, int c, const uint8_t *values)
{
    struct image img = IMAGE_INIT;
    assert_int_equal(image_alloc(w, h, c, false, &img), STATUS_OK);
    memcpy(img.pixels, values, image_pixel_bytes(&img));
    return img;
}

static void downscale_averages_boxes(void **state)
{
    (void)state;
    struct image img = make(4, 2, 1, (const uint8_t[]){0, 2, 10, 20, 4, 6, 30, 41});
    assert_int_equal(train_pixels_downscale(&img, 2, NULL), STATUS_OK);
    assert_int_equal(img.width, 2);
    assert_int_equal(img.height, 1);
    assert_int_equal(img.pixels[0], 3);
    assert_int_equal(img.pixels[1], 25); /* 25.25 */
    struct errmsg e;
    assert_int_equal(train_pixels_downscale(&img, 2, &e), STATUS_INVALID);
    assert_int_equal(img.width, 2);
    image_done(&img);
}

static void resize_has_known_answers(void **state)
{
    (void)state;
    /* 3 -> 2 by area: (a + b/2)/1.5, (b/2 + c)/1.5; 2 -> 4 linear: a, 3a+b/4, a+3b/4, b. */
    struct image img = make(3, 1, 1, (const uint8_t[]){30, 60, 120});
    assert_int_equal(train_pixels_resize(&img, 2, 1), STATUS_OK);
    assert_int_equal(img.pixels[0], 40);
    assert_int_equal(img.pixels[1], 100);
    assert_int_equal(train_pixels_resize(&img, 4, 2), STATUS_OK);
    static const uint8_t want[] = {40, 55, 85, 100, 40, 55, 85, 100};
    assert_memory_equal(img.pixels, want, sizeof want);
    image_done(&img);
    struct image flat = make(2, 2, 3, (const uint8_t[]){9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7});
    assert_int_equal(train_pixels_resize(&flat, 7, 5), STATUS_OK);
    for (int i = 0; i < 35; i++)
        assert_memory_equal(flat.pixels + 3 * i, ((const uint8_t[]){9, 8, 7}), 3);
    image_done(&flat);
}

static void convert_goes_both_ways(void **state)
{
    (void)state;
    struct image img = make(1, 1, 3, (const uint8_t[]){255, 0, 0});
    assert_int_equal(train_pixels_convert(&img, 1), STATUS_OK);
    assert_int_equal(img.pixels[0], 76); /* .299 * 255 */
    assert_int_equal(train_pixels_convert(&img, 3), STATUS_OK);
    assert_memory_equal(img.pixels, ((const uint8_t[]){76, 76, 76}), 3);
    image_done(&img);
}

/* ---- sets ---- */

static struct train_set *open_ok(struct train_data_options o)
{
    struct train_set *s = NULL;
    struct errmsg e = {""};
    status st = train_set_open(&o, &s, &e);
    if (st)
        fail_msg("%s: %s", status_text(st), e.text);
    return s;
}

static status open_fails(struct train_data_options o, const char *says)
{
    struct train_set *s = NULL;
    struct errmsg e = {""};
    status st = train_set_open(&o, &s, &e);
    assert_int_not_equal(st, STATUS_OK);
    assert_null(s);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    return st;
}

static void lists_in_imagefolder_order(void **state)
{
    (void)state;
    toy_tree("order", 3, 2, 8, 1, 1);
    struct train_set *s = open_ok((struct train_data_options){.dir = toy_path("order")});
    struct train_set_info info = train_set_info(s);
    assert_int_equal(info.samples, 6);
    assert_int_equal(info.classes, 3);
    assert_int_equal(info.width, 8);
    assert_int_equal(info.channels, 1);
    assert_string_equal(train_set_path(s, 0), "a/000.png");
    assert_string_equal(train_set_path(s, 5), "c/001.png");
    assert_int_equal(train_set_label(s, 3), 1);
    assert_string_equal(train_set_class(s, 2), "c");
    assert_null(train_set_class(s, 3));
    train_set_free(s);
}

static void limit_is_balanced(void **state)
{
    (void)state;
    toy_tree("limit", 3, 4, 8, 1, 2);
    struct train_set *s =
        open_ok((struct train_data_options){.dir = toy_path("limit"), .limit = 7});
    int count[3] = {0};
    assert_int_equal(train_set_info(s).samples, 7);
    for (int i = 0; i < 7; i++)
        count[train_set_label(s, i)]++;
    assert_int_equal(count[0], 3);
    assert_int_equal(count[1], 2);
    assert_int_equal(count[2], 2);
    assert_string_equal(train_set_path(s, 3), "b/000.png");
    train_set_free(s);
}

/* Folders stand together in a flat list, in whatever order. */
static void limit_of_a_flat_tree_takes_from_all_of_it(void **state)
{
    (void)state;
    toy_tree("spread", 3, 4, 8, 1, 2);
    struct train_data_options d = {.dir = toy_path("spread"), .flat = true};
    struct train_set *all = open_ok(d);
    for (d.limit = 1; d.limit <= 12; d.limit++) {
        struct train_set *s = open_ok(d);
        assert_int_equal(train_set_info(s).samples, d.limit);
        for (int i = 0; i < d.limit; i++)
            assert_string_equal(train_set_path(s, i), train_set_path(all, i * 12 / d.limit));
        train_set_free(s);
    }
    train_set_free(all);
}

static void refuses_trees_that_are_no_data(void **state)
{
    (void)state;
    assert_int_equal(open_fails((struct train_data_options){.dir = toy_path("absent")}, "absent"),
                     STATUS_NOT_FOUND);
    toy_mkdir("empty");
    assert_int_equal(open_fails((struct train_data_options){.dir = toy_path("empty")}, "empty"),
                     STATUS_NOT_FOUND);
    open_fails((struct train_data_options){.dir = toy_path("empty"), .flat = true}, "no image");
    toy_tree("single", 1, 2, 8, 1, 3);
    assert_int_equal(
        open_fails((struct train_data_options){.dir = toy_path("single")}, "one class"),
        STATUS_INVALID);
}

static void names_the_image_of_another_size(void **state)
{
    (void)state;
    toy_tree("mixed", 2, 2, 8, 1, 4);
    toy_class_image("mixed/b/001.png", 10, 1, 0, 9);
    struct train_set *s = open_ok((struct train_data_options){.dir = toy_path("mixed")});
    uint8_t pixels[64];
    struct errmsg e = {""};
    assert_int_equal(train_set_pixels(s, 3, pixels, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "b/001.png is 10x10"));
    train_set_free(s);
    /* that is a mistake of the user's, not a damaged file */
    open_fails((struct train_data_options){.dir = toy_path("mixed"), .skip_bad = true},
               "b/001.png");
    s = open_ok((struct train_data_options){.dir = toy_path("mixed"), .size = 6});
    assert_int_equal(train_set_pixels(s, 3, pixels, &e), STATUS_OK);
    assert_int_equal(train_set_info(s).width, 6);
    train_set_free(s);
}

static void skips_damaged_files_only_when_told(void **state)
{
    (void)state;
    toy_tree("bad", 2, 3, 8, 1, 5);
    toy_write("bad/a/001.png", "no image", 8);
    size_t len;
    uint8_t *png = toy_read(toy_path("bad/b/000.png"), &len);
    toy_write("bad/b/002.png", png, len / 2);
    mem_free(png);
    struct train_set *s = open_ok((struct train_data_options){.dir = toy_path("bad")});
    uint8_t pixels[64];
    struct errmsg e = {""};
    assert_int_not_equal(train_set_pixels(s, 1, pixels, &e), STATUS_OK);
    assert_non_null(strstr(e.text, "a/001.png"));
    train_set_free(s);
    s = open_ok((struct train_data_options){.dir = toy_path("bad"), .skip_bad = true});
    struct train_set_info info = train_set_info(s);
    assert_int_equal(info.samples, 4);
    assert_int_equal(info.bad, 2);
    assert_non_null(strstr(info.first_bad, "a/001.png"));
    assert_string_equal(train_set_path(s, 1), "a/002.png");
    assert_int_equal(train_set_label(s, 2), 1);
    train_set_free(s);
    toy_write("bad/a/000.png", "x", 1);
    toy_write("bad/a/002.png", "x", 1);
    toy_write("bad/b/000.png", "x", 1);
    toy_write("bad/b/001.png", "x", 1);
    open_fails((struct train_data_options){.dir = toy_path("bad"), .skip_bad = true},
               "no image of");
}

static void channels_follow_the_first_image_or_the_option(void **state)
{
    (void)state;
    toy_tree("colour", 2, 1, 8, 3, 6);
    toy_class_image("colour/b/000.png", 8, 1, 0, 1);
    struct train_set *s = open_ok((struct train_data_options){.dir = toy_path("colour")});
    uint8_t pixels[192];
    struct errmsg e = {""};
    assert_int_equal(train_set_info(s).channels, 3);
    assert_int_equal(train_set_pixels(s, 1, pixels, &e), STATUS_OK);
    assert_int_equal(pixels[0], pixels[2]);
    train_set_free(s);
    toy_class_image("colour/a/000.png", 8, 1, 0, 1);
    toy_class_image("colour/b/000.png", 8, 3, 0, 1);
    s = open_ok((struct train_data_options){.dir = toy_path("colour")});
    assert_int_equal(train_set_pixels(s, 1, pixels, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "--channels"));
    train_set_free(s);
    s = open_ok((struct train_data_options){.dir = toy_path("colour"), .channels = 1});
    assert_int_equal(train_set_pixels(s, 1, pixels, &e), STATUS_OK);
    train_set_free(s);
}

static void flat_trees_have_no_labels(void **state)
{
    (void)state;
    toy_mkdir("flat/deep/er");
    toy_class_image("flat/x.png", 8, 1, 0, 1);
    toy_class_image("flat/deep/er/y.png", 12, 1, 0, 2);
    toy_write("flat/notes.txt", "x", 1);
    struct train_set *s =
        open_ok((struct train_data_options){.dir = toy_path("flat"), .flat = true, .min_side = 8});
    assert_int_equal(train_set_info(s).samples, 2);
    assert_int_equal(train_set_info(s).classes, 0);
    assert_int_equal(train_set_label(s, 0), -1);
    train_set_free(s);
    open_fails((struct train_data_options){.dir = toy_path("flat"), .flat = true, .min_side = 13},
               "smaller than 13");
}

static void folders_are_numbered(void **state)
{
    (void)state;
    static const char *const files[] = {"folders/a-b/0.png", "folders/a/0.png", "folders/a/1/0.png",
                                        "folders/a/1/1.png", "folders/a/2.png", "folders/b.png"};
    static const int want[] = {0, 1, 2, 2, 1, -1}; /* in the order of the set, as listed */
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char folder[64];
        snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(files[i], '/') - files[i]), files[i]);
        toy_mkdir(folder);
        toy_class_image(files[i], 8, 1, 0, i);
    }
    struct train_set *s =
        open_ok((struct train_data_options){.dir = toy_path("folders"), .flat = true});
    int folder[ARRAY_LEN(files)], n = 0;
    assert_int_equal(train_set_info(s).samples, ARRAY_LEN(files));
    assert_int_equal(train_set_folders(s, folder, &n), STATUS_OK);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        size_t k = 0;
        while (strcmp(train_set_path(s, (int)i), files[k] + strlen("folders/")) != 0)
            assert_true(++k < ARRAY_LEN(files));
        assert_int_equal(folder[i], want[k]);
    }
    train_set_free(s);
}

static void digest(const char *dir, size_t memory, struct digest *out)
{
    struct train_set *s =
        open_ok((struct train_data_options){.dir = toy_path(dir), .memory_bytes = memory});
    assert_int_equal(train_set_digest(s, out, NULL), STATUS_OK);
    assert_int_equal(train_set_digest(s, out, NULL), STATUS_OK); /* now of kept pixels */
    train_set_free(s);
}

static void digest_says_what_was_read(void **state)
{
    (void)state;
    toy_tree("digest", 2, 3, 8, 1, 7);
    struct digest a, b, c;
    digest("digest", 0, &a);
    digest("digest", 100, &b); /* room for one image */
    assert_int_equal(digest_equal(&a, &b), 1);
    toy_class_image("digest/b/001.png", 8, 1, 1, 1234);
    digest("digest", 0, &c);
    assert_int_equal(digest_equal(&a, &c), 0);
    /* The same bytes in another shape are other images. */
    static const uint8_t black[32];
    for (int k = 0; k < 2; k++) {
        toy_mkdir(k ? "shape/b" : "shape/a");
        toy_image(k ? "shape/b/0.png" : "shape/a/0.png", 4, 8, 1, black);
    }
    digest("shape", 0, &a);
    for (int k = 0; k < 2; k++)
        toy_image(k ? "shape/b/0.png" : "shape/a/0.png", 8, 4, 1, black);
    digest("shape", 0, &b);
    assert_int_equal(digest_equal(&a, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(downscale_averages_boxes),
        cmocka_unit_test(resize_has_known_answers),
        cmocka_unit_test(convert_goes_both_ways),
        cmocka_unit_test(lists_in_imagefolder_order),
        cmocka_unit_test(limit_is_balanced),
        cmocka_unit_test(limit_of_a_flat_tree_takes_from_all_of_it),
        cmocka_unit_test(refuses_trees_that_are_no_data),
        cmocka_unit_test(names_the_image_of_another_size),
        cmocka_unit_test(skips_damaged_files_only_when_told),
        cmocka_unit_test(channels_follow_the_first_image_or_the_option),
        cmocka_unit_test(flat_trees_have_no_labels),
        cmocka_unit_test(folders_are_numbered),
        cmocka_unit_test(digest_says_what_was_read),
    };
    return cmocka_run_group_tests_name("set", tests, toy_setup, toy_teardown);
}
