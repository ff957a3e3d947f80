#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"
#include "set.h"

#include <errno.h>

#include <math.h>

enum { SIDE = 12, CLASSES = 4, EACH = 15 };

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("src", CLASSES, EACH, SIDE, 3, 1);
    struct train_protect_options o = options("lsp", "src", "lsp4");
    set(&o, "patch", "4");
    protect_ok(o);
    return 0;
}

static void quantisation_has_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint8_t pixel;
        float delta;
        uint8_t round, truncate, positive;
    } want[] = {
        {100, 0, 100, 100, 100},          {100, 1.6f / 255, 102, 101, 101},
        {100, -1.6f / 255, 98, 98, 100},  {100, -1.4f / 255, 99, 98, 100},
        {250, 8.0f / 255, 255, 255, 255}, {3, -8.0f / 255, 0, 0, 3},
        {0, .4f / 255, 0, 0, 0},          {255, -.4f / 255, 255, 254, 255},
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(protect_quantise(want[i].pixel, want[i].delta, TRAIN_ROUND),
                         want[i].round);
        assert_int_equal(protect_quantise(want[i].pixel, want[i].delta, TRAIN_TRUNCATE),
                         want[i].truncate);
        assert_int_equal(protect_quantise(want[i].pixel, want[i].delta, TRAIN_POSITIVE_HALF),
                         want[i].positive);
    }
    enum train_quantise q;
    assert_int_equal(train_quantise_parse("positive-half", &q), STATUS_OK);
    assert_int_equal(q, TRAIN_POSITIVE_HALF);
    assert_int_equal(train_quantise_parse("up", &q), STATUS_NOT_FOUND);
}

static void images_are_source_plus_delta(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("lsp4.perturbation.safetensors", &s, &patch);
    struct train_set *a = NULL, *b = NULL;
    assert_int_equal(train_set_open(&(struct train_data_options){.dir = toy_path("src")}, &a, NULL),
                     0);
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("lsp4")}, &b, NULL), 0);
    assert_int_equal(train_set_info(b).samples, CLASSES * EACH);
    for (int i = 0; i < CLASSES * EACH; i++) {
        uint8_t x[SIDE * SIDE * 3], y[SIDE * SIDE * 3];
        assert_string_equal(train_set_path(a, i), train_set_path(b, i));
        assert_int_equal(train_set_pixels(a, i, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, i, y, NULL), STATUS_OK);
        for (int p = 0; p < SIDE * SIDE * 3; p++) {
            int c = p % 3, col = p / 3 % SIDE, row = p / 3 / SIDE;
            float v = d[((i * 3 + row / 4) * 3 + col / 4) * 3 + c];
            assert_int_equal(y[p], protect_quantise(x[p], v, TRAIN_TRUNCATE));
        }
    }
    train_set_free(a);
    train_set_free(b);
    mem_free(d);
}

static void a_seed_is_a_perturbation(void **state)
{
    (void)state;
    struct train_protect_options o = options("lsp", "src", "same");
    set(&o, "patch", "4");
    o.threads = 1;
    protect_ok(o);
    toy_assert_same_file(toy_path("lsp4.perturbation.safetensors"),
                         toy_path("same.perturbation.safetensors"));
    toy_assert_same_file(toy_path("lsp4/c/004.png"), toy_path("same/c/004.png"));
    toy_assert_same_file(toy_path("lsp4/protection.json"), toy_path("same/protection.json"));
    o.dst_dir = toy_path("different");
    o.seed = 4;
    protect_ok(o);
    size_t na, nb;
    void *a = toy_read(toy_path("same/c/004.png"), &na),
         *b = toy_read(toy_path("different/c/004.png"), &nb);
    assert_int_equal(na, nb);
    assert_memory_not_equal(a, b, na);
    mem_free(a);
    mem_free(b);
}

/* ---- the driver ---- */

static void refuses_to_overwrite_or_write_into_the_source(void **state)
{
    (void)state;
    assert_int_equal(protect_fails(options("lsp", "src", "lsp4"), "--force"), STATUS_EXISTS);
    assert_int_equal(protect_fails(options("lsp", "src", "src/a/below"), "never written"),
                     STATUS_INVALID);
    struct stat sb;
    assert_int_not_equal(stat(toy_path("src/a/below"), &sb), 0);
    struct train_protect_options o = options("lsp", "src", "src");
    o.force = true;
    assert_int_equal(protect_fails(o, "never written"), STATUS_INVALID);
    o = options("lsp", "src", "lsp4");
    o.force = true;
    set(&o, "patch", "4");
    protect_ok(o);
    protect_fails(options("magic", "src", "y"), "magic");
    o = options("lsp", "src", "y");
    o.eps = -1;
    protect_fails(o, "eps");
    o = options("lsp", "src", "y");
    set(&o, "rounds", "3");
    assert_int_equal(protect_fails(o, "there are patch"), STATUS_INVALID);
    o.param = NULL;
    o.n_params = 0;
    set(&o, "patch", "0");
    assert_int_equal(protect_fails(o, "not a whole number from 1"), STATUS_INVALID);
}

static void every_method_says_what_it_takes(void **state)
{
    (void)state;
    int i = 0;
    for (; train_protect_method(i, NULL); i++) {
        const struct param_table *t = train_protect_params(i);
        assert_non_null(t);
        AUTO(mem_free) void *values = mem_zalloc(1, t->size + 1);
        assert_non_null(values);
        param_defaults(t, values); /* ends the program where a row's default is wrong */
        for (int k = 0; k < t->n; k++)
            assert_true(t->row[k].about[0] != 0);
    }
    assert_in_range(i, 2, 100);
    assert_null(train_protect_params(i));
    assert_null(train_protect_params(-1));
}

/* What is added need not be kept, and a file of an earlier call is not left to tell of it. */
static void the_perturbation_need_not_be_kept(void **state)
{
    (void)state;
    struct train_protect_options o = options("lsp", "src", "bare");
    set(&o, "patch", "4");
    protect_ok(o);
    assert_true(toy_there("bare.perturbation.safetensors"));
    o.discard = o.force = true;
    protect_ok(o);
    assert_false(toy_there("bare.perturbation.safetensors"));
    toy_assert_same_file(toy_path("lsp4/c/004.png"), toy_path("bare/c/004.png"));
}

/* However many images there are, what is added goes to disk a row at a time. */
static void rows_are_written_one_by_one(void **state)
{
    (void)state;
    unsigned long calls[2];
    for (int kept = 0; kept < 2; kept++) {
        struct train_protect_options o = options("lsp", "src", kept ? "rows" : "no-rows");
        set(&o, "patch", "4");
        o.discard = !kept;
        unsigned long before = fault_calls(FAULT_WRITE);
        protect_ok(o);
        calls[kept] = fault_calls(FAULT_WRITE) - before;
    }
    enum { HEADER_MAX = 4 };
    assert_in_range(calls[1] - calls[0], CLASSES * EACH, CLASSES * EACH + HEADER_MAX);
}

static void files_that_would_collide_are_refused(void **state)
{
    (void)state;
    toy_tree("twins", 2, 2, SIDE, 1, 3);
    size_t len;
    void *png = toy_read(toy_path("twins/a/000.png"), &len);
    toy_write("twins/a/000.PNG", png, len);
    mem_free(png);
    protect_fails(options("lsp", "twins", "twins-out"), "would both become");
}

static void jpeg_becomes_png(void **state)
{
    (void)state;
    toy_tree("mixed", 2, 2, SIDE, 3, 4);
    uint8_t pixels[SIDE * SIDE * 3] = {0};
    struct image img = {SIDE, SIDE, 3, pixels, NULL};
    struct image_info info;
    assert_int_equal(image_info_new(IMAGE_JPEG, &img, &info, NULL), STATUS_OK);
    uint8_t *jpeg = mem_alloc((size_t)info.encoded_size);
    assert_int_equal(image_encode(&img, &info, NULL, 0, jpeg, (size_t)info.encoded_size, NULL),
                     STATUS_OK);
    toy_write("mixed/b/photo.v2.JPG", jpeg, (size_t)info.encoded_size);
    mem_free(jpeg);
    protect_ok(options("lsp", "mixed", "mixed-out"));
    size_t len;
    uint8_t *png = toy_read(toy_path("mixed-out/b/photo.v2.png"), &len);
    assert_memory_equal(png, "\x89PNG", 4);
    mem_free(png);
}

/* ---- sizes ---- */

enum { KINDS = 3 };
static const int kind_size[KINDS][2] = {{12, 12}, {20, 13}, {9, 30}}; /* width, height */

static void make_mixed_tree(const char *dir)
{
    for (int k = 0; k < CLASSES; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < 2 * KINDS; i++) {
            uint8_t pixels[30 * 20 * 3];
            int w = kind_size[i % KINDS][0], h = kind_size[i % KINDS][1];
            struct nn_rng r = nn_rng(9, (uint64_t)(k * 100 + i));
            for (int p = 0; p < w * h * 3; p++)
                pixels[p] = (uint8_t)(100 + stream_below(nn_rng_u32(r, (uint64_t)p), 40));
            snprintf(name, sizeof name, "%s/%c/%d.png", dir, 'a' + k, i);
            toy_image(name, w, h, 3, pixels);
        }
    }
}

/* Rows and columns of blocks of the stored perturbation that lie over an image. */
static int blocks_of(int side, int patch)
{
    return (side + patch - 1) / patch;
}

static void lsp_takes_images_of_any_size(void **state)
{
    (void)state;
    make_mixed_tree("sizes");
    struct train_protect_options o = options("lsp", "sizes", "sizes-lsp");
    set(&o, "patch", "4");
    struct train_protect_result r = protect_ok(o);
    assert_int_equal(r.images, CLASSES * 2 * KINDS);
    struct nn_shape s;
    int patch;
    float *d = read_delta("sizes-lsp.perturbation.safetensors", &s, &patch);
    int rows = blocks_of(30, patch), columns = blocks_of(20, patch);
    assert_true(nn_shape_equal(s, nn_shape4(CLASSES * 2 * KINDS, rows, columns, 3)));
    struct train_set *a = NULL, *b = NULL;
    struct train_data_options any = {.dir = toy_path("sizes"), .any_size = true};
    assert_int_equal(train_set_open(&any, &a, NULL), STATUS_OK);
    any.dir = toy_path("sizes-lsp");
    assert_int_equal(train_set_open(&any, &b, NULL), STATUS_OK);
    for (int i = 0; i < s.dim[0]; i++) {
        struct set_view x, y;
        int w = kind_size[i % KINDS][0], h = kind_size[i % KINDS][1];
        const float *block = d + (size_t)i * (size_t)(rows * columns * 3);
        double sum = 0;
        assert_int_equal(train_set_view(a, i, &x, NULL), STATUS_OK);
        assert_int_equal(train_set_view(b, i, &y, NULL), STATUS_OK);
        assert_int_equal(y.width, w);
        assert_int_equal(y.height, h);
        for (int p = 0; p < w * h * 3; p++) {
            float v = block[(p / 3 / w / patch * columns + p / 3 % w / patch) * 3 + p % 3];
            sum += (double)v * v;
            assert_int_equal(y.pixels[p], protect_quantise(x.pixels[p], v, TRAIN_TRUNCATE));
        }
        double budget = 6.0 / 255 * sqrt(w * h * 3);
        if (fabs(sqrt(sum) / budget - 1) > 1e-5)
            fail_msg("image %d: %g, budget %g", i, sqrt(sum), budget);
        for (int f = 0; f < rows * columns * 3; f++)
            if (f / 3 / columns >= blocks_of(h, patch) || f / 3 % columns >= blocks_of(w, patch))
                assert_true(block[f] == 0);
        train_set_view_done(&x);
        train_set_view_done(&y);
    }
    train_set_free(a);
    train_set_free(b);
    mem_free(d);
}

static void other_methods_take_a_size(void **state)
{
    (void)state;
    struct train_protect_options o = options("emn-class", "sizes", "sizes-emn");
    set(&o, "surrogate", "resnet8");
    set(&o, "rounds", "1");
    assert_int_equal(protect_fails(o, "--size"), STATUS_INVALID);
    assert_false(toy_there("sizes-emn"));
    o.size = 12;
    protect_ok(o);
    struct train_set *s = NULL;
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("sizes-emn")}, &s, NULL),
        STATUS_OK);
    assert_int_equal(train_set_info(s).height, 12);
    train_set_free(s);
}

/* ---- failing ---- */

static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    toy_tree("late", CLASSES, EACH, SIDE, 3, 1);
    toy_write("late/d/014.png", "no image", 8);
    struct train_protect_options o = options("lsp", "late", "deep/late-out");
    protect_fails(o, "014.png");
    assert_false(toy_there("deep"));
    toy_mkdir("deep/late-out"); /* an empty directory is not ours to remove */
    protect_fails(o, "014.png");
    assert_int_equal(rmdir(toy_path("deep/late-out")), 0);

    o = options("lsp", "src", "full/out");
    o.threads = 1;
    unsigned long before = fault_calls(FAULT_WRITE);
    protect_ok(o);
    unsigned long writes = fault_calls(FAULT_WRITE) - before;
    for (unsigned long n = 1; n <= writes; n += n < writes - 3 && n > 2 ? writes - 3 - n : 1) {
        o.dst_dir = toy_path("disk/out");
        fault_set(FAULT_WRITE, n, 1, ENOSPC);
        status st = protect_fails(o, "no space left");
        fault_clear();
        assert_int_equal(st, STATUS_NO_SPACE);
        if (toy_there("disk") || toy_there("disk/out.perturbation.safetensors"))
            fail_msg("something is left after write %lu of %lu failed", n, writes);
    }
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    static const char *const quick[] = {"lsp", "ops", "ar", "cuda", "pil"};
    toy_tree("tiny", 2, 2, 8, 3, 7);
    for (size_t m = 0; m < ARRAY_LEN(quick); m++) {
        struct train_protect_options o = options(quick[m], "tiny", "short/out");
        set(&o, "patch", "4");
        o.n_params = m == 0;
        o.threads = 1;
        unsigned long n = 1;
        for (bool failed = true; failed; n++) {
            o.src_dir = toy_path("tiny"); /* the names are good for 64 calls */
            o.dst_dir = toy_path("short/out");
            struct train_protect_result r;
            struct errmsg e = {""};
            fault_set(FAULT_MEM, n, 0, 0);
            status st = train_protect(&o, &r, &e);
            fault_clear();
            failed = st != STATUS_OK;
            if (failed && (st != STATUS_NOMEM || toy_there("short")))
                fail_msg("%s, allocation %lu: %s, %s", quick[m], n, status_text(st), e.text);
        }
        assert_in_range(n, 20, 2000);
        assert_true(toy_there("short/out/protection.json"));
        assert_int_equal(nftw(toy_path("short"), toy_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
}

static void a_link_in_the_way_is_replaced(void **state)
{
    (void)state;
    toy_mkdir("linked/a");
    toy_write("victim", "victim", 6);
    assert_int_equal(symlink(toy_path("victim"), toy_path("linked/a/000.png")), 0);
    struct train_protect_options o = options("lsp", "src", "linked");
    o.force = true;
    protect_ok(o);
    size_t len;
    void *kept = toy_read(toy_path("victim"), &len);
    assert_int_equal(len, 6);
    mem_free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantisation_has_known_answers),
        cmocka_unit_test(images_are_source_plus_delta),
        cmocka_unit_test(a_seed_is_a_perturbation),
        cmocka_unit_test(refuses_to_overwrite_or_write_into_the_source),
        cmocka_unit_test(every_method_says_what_it_takes),
        cmocka_unit_test(the_perturbation_need_not_be_kept),
        cmocka_unit_test(rows_are_written_one_by_one),
        cmocka_unit_test(files_that_would_collide_are_refused),
        cmocka_unit_test(jpeg_becomes_png),
        cmocka_unit_test(lsp_takes_images_of_any_size),
        cmocka_unit_test(other_methods_take_a_size),
        cmocka_unit_test(what_fails_leaves_nothing),
        cmocka_unit_test(short_memory_leaves_nothing),
        cmocka_unit_test(a_link_in_the_way_is_replaced),
    };
    return cmocka_run_group_tests_name("protect", tests, make_data, toy_teardown);
}
