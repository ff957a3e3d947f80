/* JPEG: every kind of source, and what is written. */
#include "test_images.h"

static const struct jpeg_kind kinds[] = {
    {.quality = 97, .stored = JCS_GRAYSCALE},
    {.quality = 97, .stored = JCS_GRAYSCALE, .progressive = true},
    {.quality = 97, .stored = JCS_YCbCr},
    {.quality = 97, .stored = JCS_YCbCr, .progressive = true},
    {.quality = 97, .stored = JCS_YCbCr, .restart = 2},
    {.quality = 97, .stored = JCS_YCbCr, .arithmetic = true},
    {.quality = 97, .stored = JCS_RGB},
    {.quality = 97, .stored = JCS_CMYK},
    {.quality = 97, .stored = JCS_YCCK, .progressive = true},
    {.quality = 97, .stored = JCS_YCbCr, .h_samp = 2, .v_samp = 2},
    {.quality = 97, .stored = JCS_YCbCr, .h_samp = 2, .v_samp = 1},
    {.quality = 97, .stored = JCS_YCbCr, .h_samp = 4, .v_samp = 1},
    {.quality = 97, .stored = JCS_YCCK, .h_samp = 2, .v_samp = 2},
};
static const int sizes[][2] = {{1, 1}, {1, 31}, {29, 1}, {8, 8}, {16, 16}, {41, 23}, {130, 97}};

static double mean_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a[i] - b[i]);
    return sum / (double)n;
}

/* Inks for an RGB image, as Adobe stores them (255: none), with all black in K. */
static uint8_t *to_inks(const struct image *rgb)
{
    size_t n = (size_t)rgb->width * (size_t)rgb->height;
    uint8_t *out = malloc(n * 4);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = rgb->pixels + 3 * i;
        unsigned k = p[0] > p[1] ? p[0] : p[1];
        k = k > p[2] ? k : p[2];
        for (int c = 0; c < 3; c++)
            out[4 * i + (size_t)c] = (uint8_t)(k ? (p[c] * 255u + k / 2) / k : 255);
        out[4 * i + 3] = (uint8_t)k;
    }
    return out;
}

static struct buf write_source(const struct jpeg_kind *k, const struct image *img)
{
    if (k->stored != JCS_CMYK && k->stored != JCS_YCCK)
        return write_jpeg(k, img->width, img->height, img->pixels);
    uint8_t *inks = to_inks(img);
    struct buf file = write_jpeg(k, img->width, img->height, inks);
    free(inks);
    return file;
}

static void check_source(const struct jpeg_kind *k, int w, int h)
{
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT, back = IMAGE_INIT;
    struct image_info info, probed;
    struct errmsg e = {""};
    bool fine = k->h_samp <= 1;
    struct image src =
        make_image(CONTENT_SCENE, w, h, k->stored == JCS_GRAYSCALE ? 1 : 3, false, 5);
    struct buf file = write_source(k, &src);
    status st = image_decode(file.data, file.len, &lim, &img, &info, &e);
    if (st)
        fail_msg("stored %d %dx%d: %s", k->stored, w, h, e.text);
    assert_int_equal(img.channels, src.channels);
    double diff = mean_difference(img.pixels, src.pixels, image_pixel_bytes(&src));
    if (diff > (fine ? 3 : 25))
        fail_msg("stored %d %dx%d: decoded pixels are off by %.2f", k->stored, w, h, diff);
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &probed, &e), STATUS_OK);
    assert_memory_equal(&probed, &info, sizeof info);
    struct buf out = recode(&file);
    assert_int_equal(image_decode(out.data, out.len, &lim, &back, NULL, &e), STATUS_OK);
    diff = mean_difference(img.pixels, back.pixels, image_pixel_bytes(&img));
    if (diff > 3)
        fail_msg("stored %d %dx%d: recoded pixels are off by %.2f", k->stored, w, h, diff);
    image_done(&img);
    image_done(&back);
    image_done(&src);
    buf_done(&out);
    buf_done(&file);
}

static void test_every_kind(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            check_source(&kinds[k], sizes[s][0], sizes[s][1]);
}

/* Inks are taken as Adobe stores them, whether its mark is there or not, as PIL and OpenCV do; the
   numbers are PIL's. */
static void test_inks(void **state)
{
    (void)state;
    static const struct {
        uint8_t inks[4], rgb[3];
    } cases[] = {{{255, 255, 255, 255}, {255, 255, 255}},
                 {{255, 255, 255, 0}, {0, 0, 0}},
                 {{0, 255, 255, 255}, {0, 255, 255}},
                 {{255, 100, 0, 200}, {200, 78, 0}},
                 {{17, 99, 201, 77}, {5, 30, 61}}};
    struct jpeg_kind k = {.quality = 100, .stored = JCS_CMYK};
    struct image_limits lim = image_limits_default();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image img = IMAGE_INIT;
        struct buf file = write_jpeg(&k, 1, 1, cases[i].inks);
        char *adobe = memmem(file.data, file.len, "Adobe", 5);
        assert_non_null(adobe);
        for (int marked = 1; marked >= 0; marked--) {
            adobe[0] = marked ? 'A' : 'X';
            assert_int_equal(image_decode(file.data, file.len, &lim, &img, NULL, NULL), STATUS_OK);
            assert_memory_equal(img.pixels, cases[i].rgb, 3);
            image_done(&img);
        }
        buf_done(&file);
    }
}

/* Samples in which each DCT coefficient of each block is about +-amplitude: what the proof in
   jpeg_encode.c calls the worst case. */
static void fill_coefficients(struct image *img, double amplitude, struct rng *r)
{
    size_t stride = (size_t)img->width * (size_t)img->channels;
    for (int by = 0; by < img->height; by += 8)
        for (int bx = 0; bx < img->width * img->channels; bx += 8 * img->channels)
            for (int c = 0; c < img->channels; c++) {
                double coef[8][8];
                for (int i = 0; i < 64; i++)
                    coef[i / 8][i % 8] = rng_next(r) & 1 ? amplitude : -amplitude;
                for (int y = 0; y < 8 && by + y < img->height; y++)
                    for (int x = 0; x < 8 && bx / img->channels + x < img->width; x++) {
                        double v = 128;
                        for (int i = 0; i < 64; i++) {
                            double cv = i / 8 ? 0.5 : 0.3535533906, cu = i % 8 ? 0.5 : 0.3535533906;
                            v += coef[i / 8][i % 8] * cv * cu *
                                 cos((2 * y + 1) * (i / 8) * M_PI / 16) *
                                 cos((2 * x + 1) * (i % 8) * M_PI / 16);
                        }
                        img->pixels[(size_t)(by + y) * stride + (size_t)bx +
                                    (size_t)(x * img->channels + c)] =
                            (uint8_t)(v < 0     ? 0
                                      : v > 255 ? 255
                                                : v + 0.5);
                    }
            }
}

static void encode_new(const struct image *img)
{
    struct image_info info;
    struct errmsg e = {""};
    assert_int_equal(image_info_new(IMAGE_JPEG, img, &info, &e), STATUS_OK);
    uint8_t *out = malloc(info.encoded_size);
    status st = image_encode(img, &info, NULL, 0, out, info.encoded_size, &e);
    if (st)
        fail_msg("%dx%dx%d: %s", img->width, img->height, img->channels, e.text);
    judge_jpeg(out, info.encoded_size);
    free(out);
}

static void test_size_is_reached_by_any_content(void **state)
{
    (void)state;
    static const int big[][2] = {{1, 1}, {1, 300}, {300, 1}, {32, 32}, {33, 47}, {500, 375}};
    for (size_t s = 0; s < ARRAY_LEN(big); s++)
        for (int kind = 0; kind < CONTENT_COUNT; kind++)
            for (int channels = 1; channels <= 3; channels += 2) {
                struct image img =
                    make_image((enum content)kind, big[s][0], big[s][1], channels, false, s);
                encode_new(&img);
                image_done(&img);
            }
}

static void test_size_is_reached_by_the_worst(void **state)
{
    (void)state;
    struct rng r = {11};
    for (int amplitude = 100; amplitude <= 260; amplitude += 10)
        for (int channels = 1; channels <= 3; channels += 2) {
            struct image img = make_image(CONTENT_FLAT, 64, 48, channels, false, 0);
            fill_coefficients(&img, amplitude, &r);
            encode_new(&img);
            image_done(&img);
        }
}

/* Padding that needs several segments, and ends with a short one. */
static void test_padding_over_a_segment(void **state)
{
    (void)state;
    for (int w = 4000; w < 4100; w += 7) {
        struct image img = make_image(CONTENT_FLAT, w, 64, 3, false, 0);
        encode_new(&img);
        image_done(&img);
    }
}

static void test_sizes_are_pinned(void **state)
{
    (void)state;
    struct image_info info;
    struct image img = make_image(CONTENT_FLAT, 33, 32, 3, true, 0);
    assert_int_equal(image_info_new(IMAGE_JPEG, &img, &info, NULL), STATUS_INVALID);
    mem_free(img.alpha);
    img.alpha = NULL;
    assert_int_equal(image_info_new(IMAGE_JPEG, &img, &info, NULL), STATUS_OK);
    assert_int_equal(info.encoded_size, 640 + 80 * 5 * 4);
    image_done(&img);
    img = make_image(CONTENT_FLAT, 8, 9, 1, false, 0);
    assert_int_equal(image_info_new(IMAGE_JPEG, &img, &info, NULL), STATUS_OK);
    assert_int_equal(info.encoded_size, 352 + 56 * 2);
    image_done(&img);
}

static void test_metadata_is_kept(void **state)
{
    (void)state;
    static uint8_t icc[60000];
    uint8_t exif[26];
    struct image_limits lim = image_limits_default();
    struct image_info info;
    for (int orientation = 0; orientation <= 9; orientation++) {
        bool inks = orientation == 5;
        struct jpeg_kind k = {.quality = 90, .stored = inks ? JCS_CMYK : JCS_YCbCr, .exif = exif};
        struct rng r = {3};
        for (size_t i = 0; i < sizeof icc; i++)
            icc[i] = (uint8_t)rng_next(&r);
        k.icc = icc;
        k.icc_len = sizeof icc;
        k.exif_len = make_exif(exif, orientation & 1, orientation);
        struct image img = make_image(CONTENT_SCENE, 20, 20, 3, false, 5);
        struct buf file = write_source(&k, &img);
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, NULL), STATUS_OK);
        assert_int_equal(info.orientation, orientation >= 1 && orientation <= 8 ? orientation : 1);
        assert_int_equal(info.metadata_bytes, 4 + 6 + 26 + (inks ? 0 : 4 + 14 + sizeof icc));
        struct buf out = recode(&file);
        assert_non_null(memmem(out.data, out.len, exif, 26));
        assert_int_equal(memmem(out.data, out.len, icc, sizeof icc) != NULL, !inks);
        buf_done(&out);
        buf_done(&file);
        image_done(&img);
    }
}

/* Pixels that libjpeg was given here, in a file of its defaults, as any reader sees them. */
static void test_round_trip(void **state)
{
    (void)state;
    static const int qualities[] = {1, 10, 50, 100};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t q = 0; q < ARRAY_LEN(qualities); q++)
            for (int channels = 1; channels <= 3; channels += 2) {
                struct jpeg_kind kind = {.quality = qualities[q],
                                         .stored = channels == 3 ? JCS_YCbCr : JCS_GRAYSCALE,
                                         .h_samp = channels == 3 ? 2 : 0,
                                         .v_samp = channels == 3 ? 2 : 0};
                struct image img = make_image(CONTENT_SCENE, sizes[i][0], sizes[i][1], channels,
                                              false, 5),
                             want;
                struct buf file = write_jpeg(&kind, img.width, img.height, img.pixels);
                const struct image_limits lim = image_limits_default();
                assert_int_equal(image_decode(file.data, file.len, &lim, &want, NULL, NULL),
                                 STATUS_OK);
                uint8_t *out = malloc(image_pixel_bytes(&img));
                assert_int_equal(image_jpeg_round_trip(&img, qualities[q], out, NULL), STATUS_OK);
                assert_memory_equal(out, want.pixels, image_pixel_bytes(&img));
                free(out);
                buf_done(&file);
                image_done(&img);
                image_done(&want);
            }
}

/* Cut anywhere, rows are what they are in the whole image. */
static void test_round_trip_of_rows(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 5, 16, 33, 70}, heights[] = {1, 15, 16, 17, 48, 81};
    static const int qualities[] = {1, 10, 95};
    for (size_t i = 0; i < ARRAY_LEN(widths) * ARRAY_LEN(heights); i++)
        for (int channels = 1; channels <= 3; channels += 2) {
            int w = widths[i % ARRAY_LEN(widths)], h = heights[i / ARRAY_LEN(widths)];
            int quality = qualities[i % ARRAY_LEN(qualities)];
            struct image img = make_image(CONTENT_NOISE, w, h, channels, false, i);
            size_t row = (size_t)w * (size_t)channels;
            uint8_t *want = malloc((size_t)h * row), *out = malloc((size_t)h * row);
            assert_int_equal(image_jpeg_round_trip(&img, quality, want, NULL), STATUS_OK);
            for (int rows = 1; rows <= h; rows += 1 + rows / 2) {
                memset(out, 0, (size_t)h * row);
                for (int y = 0; y < h; y += rows)
                    assert_int_equal(image_jpeg_round_trip_rows(
                                         &img, quality, y, h - y < rows ? h - y : rows, out, NULL),
                                     STATUS_OK);
                if (memcmp(out, want, (size_t)h * row) != 0)
                    fail_msg("%dx%dx%d at quality %d by %d rows", w, h, channels, quality, rows);
            }
            free(want);
            free(out);
            image_done(&img);
        }
}

/* Longer than a JPEG can be: each part is as it would be alone. */
static void test_round_trip_of_parts(void **state)
{
    (void)state;
    enum { PART = 65488, REST = 40 };
    struct image img = make_image(CONTENT_SCENE, PART + REST, 2, 3, false, 5), rest, tall;
    uint8_t *out = malloc(image_pixel_bytes(&img)), *part = malloc((size_t)REST * 2 * 3);
    assert_int_equal(image_alloc(REST, 2, 3, false, &rest), STATUS_OK);
    for (size_t y = 0; y < 2; y++)
        memcpy(rest.pixels + y * REST * 3, img.pixels + (y * (PART + REST) + PART) * 3, REST * 3);
    assert_int_equal(image_jpeg_round_trip(&img, 10, out, NULL), STATUS_OK);
    assert_int_equal(image_jpeg_round_trip(&rest, 10, part, NULL), STATUS_OK);
    for (size_t y = 0; y < 2; y++)
        assert_memory_equal(out + (y * (PART + REST) + PART) * 3, part + y * REST * 3, REST * 3);
    tall = img;
    tall.width = 2;
    tall.height = PART + REST;
    assert_int_equal(image_jpeg_round_trip(&tall, 10, out, NULL), STATUS_OK);
    uint8_t *rows = malloc(image_pixel_bytes(&tall)); /* over the cut: nothing is seen across it */
    assert_int_equal(image_jpeg_round_trip_rows(&tall, 10, PART - 9, 20, rows, NULL), STATUS_OK);
    assert_memory_equal(rows + (PART - 9) * 6, out + (PART - 9) * 6, 20 * 6);
    free(rows);
    assert_int_equal(image_jpeg_round_trip(&img, 0, out, NULL), STATUS_INVALID);
    assert_int_equal(image_jpeg_round_trip(&img, 101, out, NULL), STATUS_INVALID);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = image_jpeg_round_trip(&img, 10, out, NULL);
        fault_clear();
        assert_true(n < 100);
    }
    assert_int_equal(st, STATUS_OK);
    free(out);
    free(part);
    image_done(&img);
    image_done(&rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_inks),
        cmocka_unit_test(test_size_is_reached_by_any_content),
        cmocka_unit_test(test_size_is_reached_by_the_worst),
        cmocka_unit_test(test_padding_over_a_segment),
        cmocka_unit_test(test_sizes_are_pinned),
        cmocka_unit_test(test_metadata_is_kept),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_rows),
        cmocka_unit_test(test_round_trip_of_parts),
    };
    return cmocka_run_group_tests_name("jpeg", tests, NULL, NULL);
}
