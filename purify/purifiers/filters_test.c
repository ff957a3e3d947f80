/* Purifiers that look at neighbourhoods, against their definitions in plain loops. */
#include "test_engines.h"
#include "window.h"

static const int shapes[][2] = {{1, 1}, {2, 1}, {1, 5}, {3, 2}, {9, 40}, {40, 9}, {31, 33}};

static void make_image(int w, int h, int channels, struct image *out)
{
    struct nn_rng rng = nn_rng(5, (uint64_t)(w * 100 + h));
    assert_int_equal(image_alloc(w, h, channels, false, out), STATUS_OK);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                size_t at = ((size_t)y * (size_t)w + (size_t)x) * (size_t)channels + (size_t)c;
                double v = 128 + 90 * sin(0.3 * x + c) * cos(0.2 * y) +
                           (double)(nn_rng_u32(rng, at) % 41) - 20;
                out->pixels[at] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
}

/* n "KEY=VALUE" after the chain. */
static struct purify_model *model_of(const char *chain, const char *const *set)
{
    struct purify_profile p;
    struct errmsg e = {""};
    purify_profile_init(&p);
    status st = purify_profile_set(&p, "chain", chain, &e);
    for (; !st && *set; set += 2)
        st = purify_profile_set(&p, set[0], set[1], &e);
    if (st)
        fail_msg("%s: %s", chain, errmsg_text(&e, st));
    return load(&p);
}

static int clamped(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static int sample(const struct image *img, int x, int y, int c)
{
    return img
        ->pixels[((size_t)y * (size_t)img->width + (size_t)x) * (size_t)img->channels + (size_t)c];
}

/* ---- the definitions ---- */

typedef double define_fn(const struct image *img, int x, int y, int c);

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static double median_5(const struct image *img, int x, int y, int c)
{
    int v[25], n = 0;
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++)
            v[n++] = sample(img, clamped(x + dx, img->width), clamped(y + dy, img->height), c);
    qsort(v, 25, sizeof *v, by_value);
    return v[12];
}

static double outlier_30(const struct image *img, int x, int y, int c)
{
    bool far = false;
    for (int k = 0; k < img->channels; k++)
        far |= fabs(sample(img, x, y, k) - median_5(img, x, y, k)) > 30;
    return far ? median_5(img, x, y, c) : sample(img, x, y, c);
}

static double gaussian_08(const struct image *img, int x, int y, int c)
{
    double sum = 0, weights = 0;
    for (int dy = -3; dy <= 3; dy++)
        for (int dx = -3; dx <= 3; dx++) {
            double w = exp(-(dx * dx + dy * dy) / (2 * 0.8 * 0.8));
            weights += w;
            sum += w * sample(img, window_mirror(x + dx, img->width),
                              window_mirror(y + dy, img->height), c);
        }
    return sum / weights;
}

static double bilateral_5(const struct image *img, int x, int y, int c)
{
    double sum = 0, weights = 0;
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++) {
            int x2 = window_mirror(x + dx, img->width), y2 = window_mirror(y + dy, img->height);
            double space = sqrt(dx * dx + dy * dy), colour = 0;
            for (int k = 0; k < img->channels; k++)
                colour += abs(sample(img, x2, y2, k) - sample(img, x, y, k));
            if (space > 2)
                continue;
            double w = exp(-space * space / (2 * 1.5 * 1.5) - colour * colour / (2 * 20. * 20.));
            weights += w;
            sum += w * sample(img, x2, y2, c);
        }
    return sum / weights;
}

static int mirror_edge(int i, int n)
{
    while (i < 0 || i >= n)
        i = i < 0 ? -i - 1 : 2 * n - 1 - i;
    return i;
}

/* The linear function that fits channel c over the window around (x,y) best, with a ridge of 50 on
   its slopes, at the colour of pixel (x2,y2): the normal equations, by elimination. */
static double fitted(const struct image *img, int x, int y, int c, int x2, int y2)
{
    int n = img->channels;
    double m[4][5] = {{0}}, v = 0;
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++) {
            int at_x = mirror_edge(x + dx, img->width), at_y = mirror_edge(y + dy, img->height);
            double term[4] = {0};
            for (int k = 0; k < n; k++)
                term[k] = sample(img, at_x, at_y, k);
            term[n] = 1;
            for (int i = 0; i <= n; i++) {
                for (int j = 0; j <= n; j++)
                    m[i][j] += term[i] * term[j];
                m[i][4] += term[i] * sample(img, at_x, at_y, c);
            }
        }
    for (int i = 0; i < n; i++)
        m[i][i] += 25 * 50;
    for (int i = 0; i <= n; i++)
        for (int k = 0; k <= n; k++) {
            double f = k == i ? 0 : m[k][i] / m[i][i];
            for (int j = 0; j < 5 && k != i; j++)
                m[k][j] -= f * m[i][j];
        }
    for (int i = 0; i <= n; i++)
        v += m[i][4] / m[i][i] * (i < n ? sample(img, x2, y2, i) : 1);
    return v;
}

static double guided_2(const struct image *img, int x, int y, int c)
{
    double sum = 0;
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++)
            sum += fitted(img, mirror_edge(x + dx, img->width), mirror_edge(y + dy, img->height), c,
                          x, y);
    return sum / 25;
}

/* A value that is a hair from half may be rounded either way. */
static void check(const char *chain, const char *const *set, define_fn *define)
{
    struct purify_model *m = model_of(chain, set);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int channels = 1; channels <= 3; channels += 2) {
            struct image before, after;
            make_image(shapes[i][0], shapes[i][1], channels, &before);
            make_image(shapes[i][0], shapes[i][1], channels, &after);
            run_once(m, &after);
            for (int y = 0; y < before.height; y++)
                for (int x = 0; x < before.width; x++)
                    for (int c = 0; c < channels; c++) {
                        double want = define(&before, x, y, c);
                        if (fabs(want - sample(&after, x, y, c)) > 0.5 + 1e-2)
                            fail_msg("%s, %dx%d: (%d,%d,%d) is %d, not %g", chain, before.width,
                                     before.height, x, y, c, sample(&after, x, y, c), want);
                    }
            image_done(&before);
            image_done(&after);
        }
    purify_model_free(m);
}

static void test_definitions(void **state)
{
    (void)state;
    check("median", (const char *[]){"side", "5", NULL}, median_5);
    check("outlier", (const char *[]){"side", "5", "threshold", "30", NULL}, outlier_30);
    check("gaussian", (const char *[]){"sigma", "0.8", NULL}, gaussian_08);
    check("bilateral", (const char *[]){"sigma_colour", "20", "sigma_space", "1.5", NULL},
          bilateral_5);
    check("guided", (const char *[]){"radius", "2", "eps", "50", NULL}, guided_2);
}

/* The cuts between blocks have no effect: a wide image gives what its parts give, with enough
   around them. And the guide is the image before the chain. */
static void test_guide(void **state)
{
    (void)state;
    struct purify_model *twice = model_of("guided", (const char *[]){"times", "2", NULL});
    struct image wide, part;
    make_image(200, 20, 3, &wide);
    assert_int_equal(image_alloc(110, 20, 3, false, &part), STATUS_OK);
    for (int y = 0; y < 20; y++)
        memcpy(part.pixels + y * 110 * 3, wide.pixels + (y * 200 + 30) * 3, 110 * 3);
    run_once(twice, &wide);
    run_once(twice, &part);
    for (int y = 0; y < 20; y++)
        for (int x = 20; x < 90; x++)
            for (int c = 0; c < 3; c++)
                assert_in_range(sample(&part, x, y, c) - sample(&wide, x + 30, y, c) + 1, 0, 2);
    purify_model_free(twice);
    image_done(&wide);
    image_done(&part);
    static const char *const guide[] = {"original", "input"};
    struct image made[2];
    for (int k = 0; k < 2; k++) {
        struct purify_model *m =
            model_of("grey, guided", (const char *[]){"guide", guide[k], NULL});
        make_image(31, 33, 3, &made[k]);
        run_once(m, &made[k]);
        for (size_t at = 0; at < image_pixel_bytes(&made[k]); at += 3) /* fitted to equal values */
            assert_int_equal(made[k].pixels[at], made[k].pixels[at + 1]);
        purify_model_free(m);
    }
    assert_memory_not_equal(made[0].pixels, made[1].pixels, image_pixel_bytes(&made[0]));
    image_done(&made[0]);
    image_done(&made[1]);
}

/* What outlier is for: one pixel of a smooth image is set to an extreme, and nothing else is to
   change. */
static void test_one_pixel(void **state)
{
    (void)state;
    struct purify_model *m = model_of("outlier", (const char *[]){NULL});
    for (int y = 0; y < 16; y += 5)
        for (int x = 0; x < 16; x += 5) {
            struct image clean, img;
            assert_int_equal(image_alloc(16, 16, 3, false, &clean), STATUS_OK);
            for (int k = 0; k < 16 * 16 * 3; k++)
                clean.pixels[k] = (uint8_t)(60 + 4 * (k / 3 % 16) + 3 * (k / 48));
            assert_int_equal(image_copy(&clean, &img), STATUS_OK);
            uint8_t *p = img.pixels + (y * 16 + x) * 3;
            p[0] = p[2] = 255;
            p[1] = 0;
            run_once(m, &img);
            for (int k = 0; k < 16 * 16 * 3; k++) {
                bool there = k / 3 == y * 16 + x;
                int off = abs(img.pixels[k] - clean.pixels[k]);
                if (off > (there ? 8 : 0))
                    fail_msg("pixel (%d,%d): sample %d is off by %d", x, y, k, off);
            }
            image_done(&clean);
            image_done(&img);
        }
    purify_model_free(m);
}

/* What equalise is for: a filter that all images of a class went through leaves little behind. */
static void test_class_filter(void **state)
{
    (void)state;
    enum { SIDE = 48 };
    static const double kernel[3][3] = {{.05, .25, .1}, {.15, 1, .15}, {.1, .25, .05}};
    struct purify_model *m = model_of("equalise", (const char *[]){NULL});
    struct image plain, filtered;
    double before = 0, after = 0;
    make_image(SIDE, SIDE, 3, &plain);
    assert_int_equal(image_copy(&plain, &filtered), STATUS_OK);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++) {
                double v = 0;
                for (int k = 0; k < 9; k++)
                    v += kernel[k / 3][k % 3] * sample(&plain, window_mirror(x + k % 3 - 1, SIDE),
                                                       window_mirror(y + k / 3 - 1, SIDE), c);
                filtered.pixels[(y * SIDE + x) * 3 + c] = (uint8_t)rint(v / 2.1);
            }
    for (size_t k = 0; k < image_pixel_bytes(&plain); k++)
        before += pow(plain.pixels[k] - filtered.pixels[k], 2);
    run_once(m, &plain);
    run_once(m, &filtered);
    for (size_t k = 0; k < image_pixel_bytes(&plain); k++)
        after += pow(plain.pixels[k] - filtered.pixels[k], 2);
    if (!(after < before / 16))
        fail_msg("squared differences %g, and %g equalised", before, after);
    image_done(&plain);
    image_done(&filtered);
    purify_model_free(m);
}

/* Several times at once is what so many models do one after the other, but for the rounding. */
static void test_times(void **state)
{
    (void)state;
    struct purify_model *three = model_of("bilateral", (const char *[]){"times", "3", NULL});
    struct purify_model *one = model_of("bilateral", (const char *[]){NULL});
    struct image a, b;
    make_image(31, 33, 3, &a);
    make_image(31, 33, 3, &b);
    run_once(three, &a);
    for (int k = 0; k < 3; k++)
        run_once(one, &b);
    int most = 0, differ = 0;
    for (size_t k = 0; k < image_pixel_bytes(&a); k++) {
        int off = abs(a.pixels[k] - b.pixels[k]);
        most = off > most ? off : most;
        differ += off > 0;
    }
    assert_in_range(most, 0, 2);
    assert_in_range(differ, 1, image_pixel_bytes(&a) / 2);
    image_done(&a);
    image_done(&b);
    purify_model_free(three);
    purify_model_free(one);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const odd[] = {"median", "outlier", "bilateral"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct purify_profile p;
        struct errmsg e = {""};
        purify_profile_init(&p);
        assert_int_equal(purify_profile_set(&p, "chain", odd[i], NULL), STATUS_OK);
        assert_int_equal(purify_profile_set(&p, "side", "4", NULL), STATUS_OK);
        assert_int_equal(purify_profile_finish(&p, &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, "side is 4, not an odd number"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions),  cmocka_unit_test(test_guide),
        cmocka_unit_test(test_one_pixel),    cmocka_unit_test(test_times),
        cmocka_unit_test(test_class_filter), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("purify/filters", tests, NULL, NULL);
}
