/*
 * What other programs make of our files. Without arguments: a test that a corpus can be written.
 * For tests/image_clients.bats, which lets PIL and torchvision judge:
 *
 *     clients_test corpus DIR    src/NAME a source of each kind, out/NAME what we make of it,
 *                                pixels/NAME.png what we decoded
 *     clients_test recode DIR    for each src/NAME, what we make of it, as above; says what it
 *                                refuses. recode-odd: of files that need not be sound
 *     clients_test tree DIR      the files of image_tree_load, one "CLASS PATH" a line
 */
#include "test_images.h"

#include <fcntl.h>

static void put(const char *dir, const char *sub, const char *name, const char *ext,
                const struct buf *b)
{
    AUTO(mem_free) char *folder = mem_printf("%s/%s", dir, sub);
    AUTO(mem_free) char *path = mem_printf("%s/%s%s", folder, name, ext);
    assert_int_equal(io_mkdirs(folder, 0, NULL), STATUS_OK);
    assert_int_equal(io_write_file(path, b->data, b->len, NULL), STATUS_OK);
}

static struct buf decoded_as_png(const struct buf *file)
{
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT;
    struct image_info info;
    struct buf out = BUF_INIT(1 << 28);
    assert_int_equal(image_decode(file->data, file->len, &lim, &img, NULL, NULL), STATUS_OK);
    assert_int_equal(image_info_new(IMAGE_PNG, &img, &info, NULL), STATUS_OK);
    assert_int_equal(buf_reserve(&out, info.encoded_size), STATUS_OK);
    assert_int_equal(image_encode(&img, &info, NULL, 0, out.data, info.encoded_size, NULL),
                     STATUS_OK);
    out.len = info.encoded_size;
    image_done(&img);
    return out;
}

static void put_both(const char *dir, const char *name, struct buf *file, bool sound)
{
    struct image_info info;
    struct buf out = sound ? recode(file) : recode_odd(file, &info), pixels = decoded_as_png(file);
    put(dir, "out", name, "", &out);
    put(dir, "pixels", name, ".png", &pixels);
    buf_done(file);
    buf_done(&out);
    buf_done(&pixels);
}

static void put_source(const char *dir, const char *name, struct buf *file)
{
    put(dir, "src", name, "", file);
    put_both(dir, name, file, true);
}

static void put_pngs(const char *dir)
{
    static const struct {
        const char *name;
        struct png_kind kind;
    } pngs[] = {
        {"grey1.png", {.color = PNG_COLOR_TYPE_GRAY, .depth = 1}},
        {"grey2.png", {.color = PNG_COLOR_TYPE_GRAY, .depth = 2}},
        {"grey8.png", {.color = PNG_COLOR_TYPE_GRAY, .depth = 8, .interlaced = true}},
        {"grey16.png", {.color = PNG_COLOR_TYPE_GRAY, .depth = 16}},
        {"rgb8.png", {.color = PNG_COLOR_TYPE_RGB, .depth = 8}},
        {"rgb8key.png", {.color = PNG_COLOR_TYPE_RGB, .depth = 8, .trns = true}},
        {"rgb16.png", {.color = PNG_COLOR_TYPE_RGB, .depth = 16, .interlaced = true}},
        {"palette2.png", {.color = PNG_COLOR_TYPE_PALETTE, .depth = 2}},
        {"palette8.png", {.color = PNG_COLOR_TYPE_PALETTE, .depth = 8, .trns = true}},
        {"greyalpha.png", {.color = PNG_COLOR_TYPE_GRAY_ALPHA, .depth = 8}},
        {"rgba.png", {.color = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 8, .text = true}},
    };
    struct rng r = {17};
    uint8_t exif[26];
    for (size_t i = 0; i < ARRAY_LEN(pngs); i++) {
        struct png_kind k = pngs[i].kind;
        k.exif = exif;
        k.exif_len = make_exif(exif, i & 1, (int)(i % 8) + 1);
        int w = 60 + (int)rng_below(&r, 200), h = 60 + (int)rng_below(&r, 200);
        uint16_t *samples = random_samples(&k, w, h, &r);
        struct buf file = write_png(&k, w, h, samples);
        put_source(dir, pngs[i].name, &file);
        free(samples);
    }
}

static void put_jpegs(const char *dir)
{
    static const struct {
        const char *name;
        enum content content;
        struct jpeg_kind kind;
    } jpegs[] = {
        {"grey.jpg", CONTENT_SCENE, {.stored = JCS_GRAYSCALE}},
        {"ycc.jpg", CONTENT_SCENE, {.stored = JCS_YCbCr}},
        {"ycc420.jpg", CONTENT_SCENE, {.stored = JCS_YCbCr, .h_samp = 2, .v_samp = 2}},
        {"ycc422.jpg", CONTENT_SCENE, {.stored = JCS_YCbCr, .h_samp = 2, .v_samp = 1}},
        {"progressive.jpg", CONTENT_SCENE, {.stored = JCS_YCbCr, .progressive = true}},
        {"restart.jpg", CONTENT_SCENE, {.stored = JCS_YCbCr, .restart = 3}},
        {"adobergb.jpg", CONTENT_SCENE, {.stored = JCS_RGB}},
        {"flat.jpg", CONTENT_FLAT, {.stored = JCS_YCbCr}},
        {"noise.jpg", CONTENT_NOISE, {.stored = JCS_YCbCr}},
        {"binary.jpg", CONTENT_BINARY, {.stored = JCS_YCbCr}},
        {"cmyk.jpg", CONTENT_SCENE, {.stored = JCS_CMYK}},
        {"ycck.jpg", CONTENT_SCENE, {.stored = JCS_YCCK}},
    };
    static uint8_t icc[50000];
    uint8_t exif[26];
    for (size_t i = 0; i < ARRAY_LEN(jpegs); i++) {
        struct jpeg_kind k = jpegs[i].kind;
        int channels = k.stored == JCS_GRAYSCALE ? 1 : 3;
        bool inks = k.stored == JCS_CMYK || k.stored == JCS_YCCK;
        k.quality = 92;
        k.exif = exif;
        k.exif_len = make_exif(exif, i & 1, (int)(i % 8) + 1);
        k.icc = icc;
        k.icc_len = sizeof icc;
        /* for inks, four grey images of a quarter's width side by side stand in for the planes */
        struct image img =
            make_image(jpegs[i].content, inks ? 404 : 203, 151, inks ? 1 : channels, false, i);
        struct buf file = write_jpeg(&k, inks ? 101 : 203, 151, img.pixels);
        put_source(dir, jpegs[i].name, &file);
        image_done(&img);
    }
}

static void put_sizes(const char *dir)
{
    static const int sizes[][2] = {{1, 1}, {1, 7}, {9, 1}, {32, 32}, {224, 224}, {1500, 1000}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int format = 0; format <= IMAGE_JPEG; format++) {
            char name[32];
            int w = sizes[i][0], h = sizes[i][1];
            struct image img = make_image(CONTENT_SCENE, w, h, 3, false, i);
            struct jpeg_kind k = {.quality = 92, .stored = JCS_YCbCr};
            struct png_kind p = {.color = PNG_COLOR_TYPE_RGB, .depth = 8};
            struct rng r = {i};
            uint16_t *samples = random_samples(&p, w, h, &r);
            struct buf file = format == IMAGE_PNG ? write_png(&p, w, h, samples)
                                                  : write_jpeg(&k, w, h, img.pixels);
            snprintf(name, sizeof name, "size%dx%d.%s", w, h, format == IMAGE_PNG ? "png" : "jpg");
            put_source(dir, name, &file);
            free(samples);
            image_done(&img);
        }
}

static bool recode_sound; /* readers may not complain of what is written */

static status recode_entry(const struct image_entry *entry, void *arg)
{
    const char *dir = arg;
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT;
    struct errmsg e = {""};
    void *data = NULL;
    struct buf file = BUF_INIT(1 << 28);
    assert_int_equal(io_read_file_at(entry->dirfd, entry->name, 1 << 28, &data, &file.len, NULL),
                     STATUS_OK);
    file.data = data;
    file.cap = file.len;
    if (image_decode(file.data, file.len, &lim, &img, NULL, &e) == STATUS_OK) {
        put_both(dir, entry->name, &file, recode_sound);
    } else {
        printf("%s: %s\n", entry->name, e.text);
        buf_done(&file);
    }
    image_done(&img);
    return STATUS_OK;
}

static char *recode_dir;

static void test_recode(void **state)
{
    (void)state;
    AUTO(mem_free) char *src = mem_printf("%s/src", recode_dir);
    assert_int_equal(image_walk(src, NULL, recode_entry, recode_dir, NULL), STATUS_OK);
}

static int print_tree(const char *dir)
{
    struct image_tree t = IMAGE_TREE_INIT;
    struct errmsg e = {""};
    status st = image_tree_load(dir, &t, &e);
    if (st) {
        fprintf(stderr, "%s\n", errmsg_text(&e, st));
        return 1;
    }
    for (size_t i = 0; i < t.n_files; i++)
        printf("%d %s\n", t.files[i].class_index, t.files[i].path);
    image_tree_done(&t);
    return 0;
}

static const char *corpus_dir; /* NULL: a scratch directory that nobody looks at */

static void test_corpus(void **state)
{
    (void)state;
    char scratch[] = "/tmp/relearn-image-XXXXXX";
    const char *dir = corpus_dir ? corpus_dir : mkdtemp(scratch);
    assert_non_null(dir);
    put_pngs(dir);
    put_jpegs(dir);
    put_sizes(dir);
    if (corpus_dir)
        return;
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus)};
    const struct CMUnitTest recoding[] = {cmocka_unit_test(test_recode)};
    if (argc == 3 && strncmp(argv[1], "recode", 6) == 0) {
        recode_dir = argv[2];
        recode_sound = strcmp(argv[1], "recode-odd") != 0;
        return cmocka_run_group_tests_name("recode", recoding, NULL, NULL);
    }
    if (argc == 3 && strcmp(argv[1], "tree") == 0)
        return print_tree(argv[2]);
    if (argc == 3 && strcmp(argv[1], "corpus") == 0)
        corpus_dir = argv[2];
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
