#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

enum { SIDE = 8, EACH = 21, CLASSES = 3, SAMPLES = EACH * CLASSES, ROW = SIDE * SIDE };

static struct train_set *open_tree(const char *name, size_t memory)
{
    struct train_set *s = NULL;
    struct train_data_options o = {.dir = toy_path(name), .memory_bytes = memory};
    assert_int_equal(train_set_open(&o, &s, NULL), STATUS_OK);
    return s;
}

static struct train_loader *new_loader(struct train_set *s, struct train_loader_options o)
{
    struct train_loader *l = NULL;
    struct errmsg e = {""};
    if (train_loader_new(s, &o, &l, &e))
        fail_msg("%s", e.text);
    return l;
}

/* Appends two epochs' worth of everything a loader gives. */
static size_t record(struct train_loader *l, int batch, float *x, int32_t *label)
{
    size_t rows = 0;
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        const struct train_batch *b;
        assert_int_equal(train_loader_start(l, epoch, 0), STATUS_OK);
        for (;;) {
            assert_int_equal(train_loader_next(l, &b, NULL), STATUS_OK);
            if (!b)
                break;
            memcpy(x + rows * ROW, b->x, (size_t)batch * ROW * sizeof *x);
            memcpy(label + rows, b->label, (size_t)batch * sizeof *label);
            rows += (size_t)batch;
        }
    }
    return rows;
}

static void threads_and_memory_change_nothing_with(const char *augment)
{
    enum { BATCH = 16, ROWS_MAX = 2 * (SAMPLES + BATCH) };
    static float x[4][ROWS_MAX * ROW];
    static int32_t label[4][ROWS_MAX];
    static const struct {
        int threads, ahead;
        size_t memory;
    } way[] = {{1, 2, 1}, {2, 4, 1}, {4, 3, 0}, {4, 8, 20 * ROW}};
    size_t rows[4];
    toy_tree("load", CLASSES, EACH, SIDE, 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(way); i++) {
        struct train_set *s = open_tree("load", way[i].memory);
        struct train_loader *l =
            new_loader(s, (struct train_loader_options){.batch = BATCH,
                                                        .shuffle = true,
                                                        .pad = 2,
                                                        .flip = true,
                                                        .augment = augment,
                                                        .seed = 5,
                                                        .mean = {.25f},
                                                        .std = {.5f},
                                                        .threads = way[i].threads,
                                                        .ahead = way[i].ahead});
        rows[i] = record(l, BATCH, x[i], label[i]);
        assert_int_equal(rows[i], rows[0]);
        assert_memory_equal(label[i], label[0], rows[0] * sizeof label[0][0]);
        assert_memory_equal(x[i], x[0], rows[0] * ROW * sizeof x[0][0]);
        train_loader_free(l);
        train_set_free(s);
    }
    assert_int_equal(rows[0], 2 * 4 * BATCH);
    assert_memory_not_equal(label[0], label[0] + 4 * BATCH, SAMPLES * sizeof label[0][0]);
}

static void threads_and_memory_change_nothing(void **state)
{
    (void)state;
    threads_and_memory_change_nothing_with(NULL);
    threads_and_memory_change_nothing_with("gaussian,noise:sigma=20,cutout:side=3");
}

/* Rows that work on pixels see [0,1], whatever the network sees. */
static void augmented_pixels_are_scaled_for_the_network(void **state)
{
    (void)state;
    struct train_set *s = open_tree("load", 0);
    struct train_loader_options o = {.batch = SAMPLES, .mean = {.25f}, .std = {.5f}};
    struct train_loader *plain = new_loader(s, o);
    o.augment = "depth:bits=3";
    struct train_loader *augmented = new_loader(s, o);
    const struct train_batch *a, *b;
    assert_int_equal(train_loader_start(plain, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_start(augmented, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_next(plain, &a, NULL), STATUS_OK);
    assert_int_equal(train_loader_next(augmented, &b, NULL), STATUS_OK);
    for (int i = 0; i < SAMPLES * ROW; i++) {
        int v = (int)((a->x[i] * .5f + .25f) * 255 + .5f);
        assert_true(b->x[i] == ((float)(v & 0xe0) / 255 - .25f) / .5f);
    }
    train_loader_free(plain);
    train_loader_free(augmented);
    struct errmsg e = {""};
    o.augment = "polish";
    toy_bad(train_loader_new(s, &o, &plain, &e), &e, "polish");
    train_set_free(s);
}

/* Writes where each value stands in the set, from 1 on. */
static void number_values(const void *arg, int sample, float *x)
{
    int row = *(const int *)arg;
    for (int i = 0; i < row; i++)
        x[i] = (float)(sample * row + i + 1);
}

/* The toy's images have no zeros of their own. */
static void whole_images_are_changed_before_they_are_cropped(void **state)
{
    (void)state;
    static const int row = ROW;
    struct train_set *s = open_tree("load", 0);
    struct train_loader_options o = {
        .batch = SAMPLES, .shuffle = true, .pad = 3, .flip = true, .seed = 5};
    struct train_loader *plain = new_loader(s, o);
    o.image = number_values;
    o.image_arg = &row;
    struct train_loader *changed = new_loader(s, o);
    const struct train_batch *a, *b;
    assert_int_equal(train_loader_start(plain, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_start(changed, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_next(plain, &a, NULL), STATUS_OK);
    assert_int_equal(train_loader_next(changed, &b, NULL), STATUS_OK);
    for (int i = 0; i < SAMPLES; i++) {
        uint8_t image[ROW];
        assert_int_equal(train_set_pixels(s, b->index[i], image, NULL), STATUS_OK);
        for (int p = 0; p < ROW; p++) {
            float was = a->x[i * ROW + p];
            int at = (int)b->x[i * ROW + p];
            assert_true(at == 0 || (at - 1) / ROW == b->index[i]);
            assert_true(at == 0 ? was == 0 : was == (float)image[(at - 1) % ROW] / 255);
        }
    }
    train_loader_free(plain);
    train_loader_free(changed);
    o.augment = "grey:p=0";
    o.image_arg = &row;
    changed = new_loader(s, o);
    assert_int_equal(train_loader_start(changed, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_next(changed, &b, NULL), STATUS_OK);
    for (int p = 0; p < SAMPLES * ROW; p++)
        assert_true(b->x[p] == 0 || b->x[p] == 1);
    train_loader_free(changed);
    train_set_free(s);
}

static void an_epoch_holds_every_sample_once(void **state)
{
    (void)state;
    struct train_set *s = open_tree("load", 0);
    struct train_loader *l =
        new_loader(s, (struct train_loader_options){.batch = 10, .shuffle = true, .seed = 1});
    assert_int_equal(train_loader_batches(l), 7);
    assert_int_equal(train_loader_start(l, 3, 0), STATUS_OK);
    int seen[SAMPLES] = {0}, last = 0;
    const struct train_batch *b;
    while (!train_loader_next(l, &b, NULL) && b) {
        for (int i = 0; i < b->n; i++)
            seen[b->index[i]]++;
        last = b->n;
        for (int i = b->n; i < 10; i++) {
            assert_int_equal(b->label[i], -1);
            assert_true(b->x[i * ROW] == 0);
        }
    }
    for (int i = 0; i < SAMPLES; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(last, 3);
    train_loader_free(l);
    l = new_loader(s, (struct train_loader_options){.batch = 10, .drop_last = true});
    assert_int_equal(train_loader_batches(l), 6);
    train_loader_free(l);
    train_set_free(s);
}

static void an_epoch_can_begin_anywhere(void **state)
{
    (void)state;
    struct train_set *s = open_tree("load", 0);
    struct train_loader_options o = {
        .batch = 8, .shuffle = true, .pad = 1, .flip = true, .seed = 9};
    struct train_loader *a = new_loader(s, o), *b = new_loader(s, o);
    const struct train_batch *x, *y;
    assert_int_equal(train_loader_start(a, 2, 0), STATUS_OK);
    assert_int_equal(train_loader_start(b, 1, 0), STATUS_OK); /* abandoned */
    assert_int_equal(train_loader_next(b, &y, NULL), STATUS_OK);
    assert_int_equal(train_loader_start(b, 2, 5), STATUS_OK);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(train_loader_next(a, &x, NULL), STATUS_OK);
        if (i < 5)
            continue;
        assert_int_equal(train_loader_next(b, &y, NULL), STATUS_OK);
        assert_int_equal(x->n, y->n);
        assert_memory_equal(x->x, y->x, 8 * ROW * sizeof(float));
    }
    assert_int_equal(train_loader_next(b, &y, NULL), STATUS_OK);
    assert_null(y);
    assert_int_equal(train_loader_start(b, 2, 9), STATUS_INVALID);
    train_loader_free(a);
    train_loader_free(b);
    train_set_free(s);
}

/* What a crop at (dx,dy) and a flip make of an image, straight from the definition. */
static void expected(const uint8_t *img, int dx, int dy, int flip, float *out)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int sx = dx + (flip ? SIDE - 1 - x : x), sy = dy + y;
            int in = sx >= 0 && sx < SIDE && sy >= 0 && sy < SIDE;
            out[y * SIDE + x] = in ? (float)img[sy * SIDE + sx] / 255 : 0;
        }
}

static void augmentation_is_a_crop_and_a_flip(void **state)
{
    (void)state;
    enum { PAD = 2, EPOCHS = 60 };
    uint8_t img[ROW];
    for (int i = 0; i < ROW; i++)
        img[i] = (uint8_t)(3 * i + 1);
    toy_mkdir("aug/a");
    toy_mkdir("aug/b");
    toy_image("aug/a/0.png", SIDE, SIDE, 1, img);
    toy_image("aug/b/0.png", SIDE, SIDE, 1, img);
    struct train_set *s = open_tree("aug", 0);
    struct train_loader *l = new_loader(
        s, (struct train_loader_options){.batch = 1, .pad = PAD, .flip = true, .seed = 3});
    int seen_x[2 * PAD + 1] = {0}, seen_y[2 * PAD + 1] = {0}, seen_flip[2] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        const struct train_batch *b;
        assert_int_equal(train_loader_start(l, epoch, 0), STATUS_OK);
        assert_int_equal(train_loader_next(l, &b, NULL), STATUS_OK);
        int found = 0;
        for (int k = 0; k < 2 * (2 * PAD + 1) * (2 * PAD + 1); k++) {
            float want[ROW];
            int flip = k & 1, dx = (k >> 1) % (2 * PAD + 1), dy = (k >> 1) / (2 * PAD + 1);
            expected(img, dx - PAD, dy - PAD, flip, want);
            if (memcmp(want, b->x, sizeof want) != 0)
                continue;
            found++;
            seen_x[dx]++;
            seen_y[dy]++;
            seen_flip[flip]++;
        }
        assert_int_equal(found, 1);
    }
    for (int i = 0; i < 2 * PAD + 1; i++) {
        assert_int_not_equal(seen_x[i], 0);
        assert_int_not_equal(seen_y[i], 0);
    }
    assert_in_range(seen_flip[0], EPOCHS / 4, 3 * EPOCHS / 4);
    train_loader_free(l);
    train_set_free(s);
}

static void crops_of_larger_images(void **state)
{
    (void)state;
    toy_tree("large", 2, 3, 12, 3, 2);
    struct train_set *s = NULL;
    struct train_data_options d = {.dir = toy_path("large"), .flat = true, .min_side = SIDE};
    assert_int_equal(train_set_open(&d, &s, NULL), STATUS_OK);
    struct train_loader *l = new_loader(
        s, (struct train_loader_options){.batch = 6, .crop = SIDE}); /* not shuffled: centred */
    const struct train_batch *b;
    uint8_t *png;
    size_t len;
    struct image img = IMAGE_INIT;
    struct image_limits lim = image_limits_default();
    png = toy_read(toy_path("large/a/000.png"), &len);
    assert_int_equal(image_decode(png, len, &lim, &img, NULL, NULL), STATUS_OK);
    assert_int_equal(train_loader_start(l, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_next(l, &b, NULL), STATUS_OK);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE * 3; x++)
            assert_true(b->x[y * SIDE * 3 + x] == (float)img.pixels[(y + 2) * 36 + 6 + x] / 255);
    mem_free(png);
    image_done(&img);
    train_loader_free(l);
    struct errmsg e = {""};
    assert_int_equal(
        train_loader_new(s, &(struct train_loader_options){.batch = 1, .crop = 9}, &l, &e),
        STATUS_INVALID);
    train_set_free(s);
}

static void a_damaged_file_is_named(void **state)
{
    (void)state;
    toy_tree("harm", 2, 8, SIDE, 1, 3);
    toy_write("harm/b/003.png", "nothing", 7);
    struct train_set *s = open_tree("harm", 1);
    struct train_loader *l = new_loader(s, (struct train_loader_options){.batch = 4, .threads = 2});
    const struct train_batch *b;
    struct errmsg e = {""};
    assert_int_equal(train_loader_start(l, 0, 0), STATUS_OK);
    assert_int_equal(train_loader_next(l, &b, &e), STATUS_OK);
    assert_int_equal(train_loader_next(l, &b, &e), STATUS_OK);
    assert_int_not_equal(train_loader_next(l, &b, &e), STATUS_OK);
    assert_non_null(strstr(e.text, "b/003.png"));
    train_loader_free(l); /* with batches in flight */
    train_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_memory_change_nothing),
        cmocka_unit_test(augmented_pixels_are_scaled_for_the_network),
        cmocka_unit_test(whole_images_are_changed_before_they_are_cropped),
        cmocka_unit_test(an_epoch_holds_every_sample_once),
        cmocka_unit_test(an_epoch_can_begin_anywhere),
        cmocka_unit_test(augmentation_is_a_crop_and_a_flip),
        cmocka_unit_test(crops_of_larger_images),
        cmocka_unit_test(a_damaged_file_is_named),
    };
    return cmocka_run_group_tests_name("loader", tests, toy_setup, toy_teardown);
}
