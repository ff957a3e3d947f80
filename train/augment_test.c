#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "augment.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { W = 9, H = 7, N_MAX = W * H * 3 };

static void image(float *x, int c)
{
    for (int i = 0; i < W * H * c; i++)
        x[i] = (float)(nn_rng_u32(nn_rng(5, 1), (uint64_t)i) & 255) / 255;
}

/* x becomes what the list makes of it. */
static void apply(const char *list, int epoch, int sample, int c, float *x)
{
    struct augment_list l;
    struct errmsg e = {""};
    float spare[N_MAX];
    if (augment_list_parse(list, &l, &e))
        fail_msg("%s", e.text);
    assert_true(l.pixels);
    struct augment_of of = {3, (uint64_t)epoch, sample};
    struct augment_pixels p = {W, H, c, x, spare};
    assert_int_equal(augment_apply(&l, of, &p), STATUS_OK);
    augment_list_done(&l);
}

/* Every row: the same of the same sample in the same epoch, another of another, within [0,1]. */
static void rows_are_functions_of_epoch_and_sample(void **state)
{
    (void)state;
    const struct train_augment *row;
    int rows = 0, random = 0;
    for (int i = 0; (row = train_augment_at(i)); i++) {
        struct augment_list l;
        assert_int_equal(augment_list_parse(row->name, &l, NULL), STATUS_OK);
        bool pixels = l.pixels;
        augment_list_done(&l);
        for (int c = 1; c <= 3 && pixels; c += 2) {
            float was[N_MAX], a[N_MAX], b[N_MAX];
            bool differs = false, changes = false;
            image(was, c);
            size_t bytes = (size_t)(W * H * c) * sizeof *a;
            for (int k = 0; k < 20; k++) {
                memcpy(a, was, bytes);
                memcpy(b, was, bytes);
                apply(row->name, k / 5, k, c, a);
                apply(row->name, k / 5, k, c, b);
                assert_memory_equal(a, b, bytes);
                for (int p = 0; p < W * H * c; p++)
                    if (!(a[p] >= 0 && a[p] <= 1))
                        fail_msg("%s: %g", row->name, (double)a[p]);
                changes = changes || memcmp(a, was, bytes) != 0;
                memcpy(b, was, bytes);
                apply(row->name, k / 5 + 1, k, c, b);
                differs = differs || memcmp(a, b, bytes) != 0;
            }
            bool colour = !strcmp(row->name, "grey") || !strcmp(row->name, "shuffle");
            if (!changes && (c == 3 || !colour))
                fail_msg("%s changes nothing", row->name);
            random += differs;
            rows++;
        }
    }
    assert_true(rows >= 20);
    assert_true(random >= 10);
}

static void known_answers(void **state)
{
    (void)state;
    float x[N_MAX], was[N_MAX];
    image(was, 3);
    memcpy(x, was, sizeof x);
    apply("grey", 0, 0, 3, x);
    for (int i = 0; i < W * H * 3; i++) {
        const float *p = was + i / 3 * 3;
        assert_true(fabsf(x[i] - (.299f * p[0] + .587f * p[1] + .114f * p[2])) < 1e-6f);
    }
    memcpy(x, was, sizeof x);
    apply("depth:bits=2", 0, 0, 3, x); /* PIL's posterize */
    for (int i = 0; i < W * H * 3; i++)
        assert_true(x[i] == (float)((int)lrintf(was[i] * 255) & 0xc0) / 255);
    memcpy(x, was, sizeof x);
    apply("jpeg", 0, 0, 3, x);
    uint8_t pixels[N_MAX], jpeg[N_MAX];
    for (int i = 0; i < N_MAX; i++)
        pixels[i] = (uint8_t)lrintf(was[i] * 255);
    struct image img = {W, H, 3, pixels, NULL};
    assert_int_equal(image_jpeg_round_trip(&img, 10, jpeg, NULL), STATUS_OK);
    for (int i = 0; i < N_MAX; i++)
        assert_true(x[i] == (float)jpeg[i] / 255);
    /* What changes nothing. */
    static const char *const nothing[] = {"rotation:degrees=0",
                                          "resized-crop:p=0",
                                          "jpeg:p=0",
                                          "noise:sigma=0",
                                          "gaussian:side=1",
                                          "jitter:brightness=0:contrast=0:saturation=0:hue=0:p=1",
                                          "cutout:p=0",
                                          "scatter:most=0",
                                          "sharpen:centre=1:spread=0",
                                          "lowpass:part=1",
                                          "grey:p=0"};
    for (size_t k = 0; k < ARRAY_LEN(nothing); k++) {
        memcpy(x, was, sizeof x);
        apply(nothing[k], 1, 2, 3, x);
        for (int i = 0; i < W * H * 3; i++)
            if (fabsf(x[i] - was[i]) > 2e-6f)
                fail_msg("%s: %g became %g", nothing[k], (double)was[i], (double)x[i]);
    }
}

/* Holes are squares of the side, cut by the border; their centres are everywhere. */
static void cutout_cuts_a_square(void **state)
{
    (void)state;
    int inside = 0, least = W * H, most = 0;
    int hit[W * H] = {0};
    for (int sample = 0; sample < 400; sample++) {
        float x[W * H];
        int holes = 0, x0 = W, x1 = -1, y0 = H, y1 = -1;
        for (int i = 0; i < W * H; i++)
            x[i] = 1;
        apply("cutout:side=4", 0, sample, 1, x);
        for (int i = 0; i < W * H; i++)
            if (x[i] == 0) {
                holes++;
                hit[i]++;
                x0 = i % W < x0 ? i % W : x0, x1 = i % W > x1 ? i % W : x1;
                y0 = i / W < y0 ? i / W : y0, y1 = i / W > y1 ? i / W : y1;
            }
        assert_int_equal(holes, (x1 - x0 + 1) * (y1 - y0 + 1));
        inside += holes == 16;
        least = holes < least ? holes : least;
        most = holes > most ? holes : most;
    }
    assert_int_equal(most, 16);
    assert_int_equal(least, 4); /* the centre in a corner */
    assert_true(inside > 50 && inside < 350);
    for (int i = 0; i < W * H; i++)
        assert_true(hit[i] > 0);
}

/* Standard deviation of what is added, and none of it twice. */
static void noise_has_its_deviation(void **state)
{
    (void)state;
    double sum = 0, squares = 0, n = 0, both = 0;
    for (int sample = 0; sample < 200; sample++) {
        float x[N_MAX], y[N_MAX];
        for (int i = 0; i < N_MAX; i++)
            x[i] = y[i] = .5f;
        apply("noise:sigma=10", 0, sample, 3, x);
        apply("noise:sigma=10", 1, sample, 3, y);
        for (int i = 0; i < N_MAX; i++, n++) {
            double d = (double)(x[i] - .5f) * 255, f = (double)(y[i] - .5f) * 255;
            sum += d, squares += d * d, both += d * f;
        }
    }
    assert_true(fabs(sum / n) < .2);
    assert_true(fabs(sqrt(squares / n) - 10) < .2);
    assert_true(fabs(both / n) < 2);
}

/* A spot keeps its distance from the centre, and the centre its value. */
static void rotation_turns_about_the_centre(void **state)
{
    (void)state;
    const int centre = H / 2 * W + W / 2;
    int right = 0, below = 0;
    for (int sample = 0; sample < 40; sample++) {
        float x[W * H] = {0}, y[W * H] = {0};
        x[centre + 2] = y[centre] = 1;
        apply("rotation:degrees=180", 0, sample, 1, x);
        apply("rotation:degrees=180", 0, sample, 1, y);
        assert_true(fabsf(y[centre] - 1) < 1e-5f);
        double cx = 0, cy = 0, all = 0;
        for (int i = 0; i < W * H; i++) {
            cx += (double)x[i] * (i % W - W / 2);
            cy += (double)x[i] * (i / W - H / 2);
            all += (double)x[i];
        }
        if (fabs(sqrt(cx * cx + cy * cy) / all - 2) > .2)
            fail_msg("sample %d: %g away", sample, sqrt(cx * cx + cy * cy) / all);
        right += cx > 0;
        below += cy > 0;
    }
    assert_in_range(right, 8, 32);
    assert_in_range(below, 8, 32);
}

/* Filters have the answers of their definitions: a spot in the middle sharpened, a step without high
   frequencies, and a ramp whose pixels come from at most so far away. */
static void filters_have_known_answers(void **state)
{
    (void)state;
    const int centre = H / 2 * W + W / 2;
    float x[W * H];
    for (int i = 0; i < W * H; i++)
        x[i] = .2f;
    x[centre] = .4f;
    apply("sharpen:centre=2:spread=0", 0, 0, 1, x);
    for (int i = 0; i < W * H; i++) {
        int off = abs(i % W - W / 2) + abs(i / W - H / 2);
        assert_true(fabsf(x[i] - (off == 0 ? .6f : off == 1 ? .15f : .2f)) < 1e-6f);
    }
    for (int i = 0; i < W * H; i++)
        x[i] = .5f + .25f * cosf(3.14159265f * ((float)(i % W) + .5f) / W) +
               .2f * cosf(3.14159265f * ((float)(i / W) + .5f) * (H - 1) / H);
    apply("lowpass:part=.5", 0, 0, 1, x);
    for (int i = 0; i < W * H; i++)
        assert_true(fabsf(x[i] - .5f - .25f * cosf(3.14159265f * ((float)(i % W) + .5f) / W)) <
                    1e-5f);
    double sum = 0, most = 0;
    for (int sample = 0; sample < 50; sample++) {
        for (int i = 0; i < W * H; i++)
            x[i] = (float)(i % W) / W;
        apply("scatter:most=1.5", 0, sample, 1, x);
        for (int i = 0; i < W * H; i++) {
            if (i % W < 2 || i % W >= W - 3)
                continue; /* goes on at the other side */
            double by = (double)x[i] * W - i % W;
            sum += by;
            most = fabs(by) > most ? fabs(by) : most;
        }
    }
    assert_true(most > 1.4 && most < 1.5001);
    assert_true(fabs(sum / (50 * (W - 5) * H)) < .1);
}

static void lists_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *list, *says;
    } wrong[] = {{"polish", "crop, flip, grey"},
                 {"grey,depth:bits=9", "augmentation depth: bits is \"9\""},
                 {"depth:bits", "\"bits\" is not KEY=VALUE"},
                 {"noise:loud=1", "there are sigma"},
                 {":", "no name"}};
    struct augment_list l;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct errmsg e = {""};
        assert_int_equal(augment_list_parse(wrong[i].list, &l, &e), STATUS_INVALID);
        if (!strstr(e.text, wrong[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, wrong[i].says);
    }
    char many[256] = "grey";
    for (int i = 1; i <= AUGMENT_LIST_MAX; i++)
        strncat(many, ",grey", sizeof many - strlen(many) - 1);
    assert_int_equal(augment_list_parse(many, &l, NULL), STATUS_LIMIT);
    assert_int_equal(augment_list_parse("flip,crop:pad=1", &l, NULL), STATUS_OK);
    assert_int_equal(l.n, 2);
    assert_false(l.pixels);
    augment_list_done(&l);
    /* Streams are told apart by these. */
    bool used[256] = {false};
    const struct train_augment *row;
    for (int i = 0; (row = train_augment_at(i)); i++) {
        assert_int_equal(augment_list_parse(row->name, &l, NULL), STATUS_OK);
        int number = l.entry[0].ops->number;
        assert_in_range(number, 1, 255);
        assert_false(used[number]);
        used[number] = true;
        augment_list_done(&l);
    }
}

static void no_memory_leaves_nothing(void **state)
{
    (void)state;
    struct augment_list l = {.n = 7};
    for (unsigned long n = 1; n <= 3; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        status st = augment_list_parse("grey,noise", &l, NULL);
        fault_clear();
        assert_int_equal(st, STATUS_NOMEM);
        assert_int_equal(l.n, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_functions_of_epoch_and_sample),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(cutout_cuts_a_square),
        cmocka_unit_test(noise_has_its_deviation),
        cmocka_unit_test(rotation_turns_about_the_centre),
        cmocka_unit_test(filters_have_known_answers),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
