#ifndef IMAGE_TEST_IMAGES_H
#define IMAGE_TEST_IMAGES_H
/*
 * For the tests of this folder: a generator of random numbers, contents for images, writers of
 * source files of every kind through libpng and libjpeg, and judges that accept no warning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image.h"

#include <math.h>
#include <string.h>

#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

#define UNUSED __attribute__((unused))

/* ---- random numbers (splitmix64), the same on every machine ---- */
struct rng {
    uint64_t s;
};

UNUSED static uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

UNUSED static uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)(rng_next(r) >> 33) % n;
}

/* ---- contents ---- */
enum content {
    CONTENT_FLAT,
    CONTENT_SCENE,  /* smooth shading, edges and a little grain: as a photograph */
    CONTENT_NOISE,  /* uniform */
    CONTENT_BINARY, /* every sample 0 or 255 */
    CONTENT_COUNT
};

UNUSED static uint8_t content_sample(enum content kind, int x, int y, int c, struct rng *r)
{
    if (kind == CONTENT_FLAT)
        return (uint8_t)(90 + 40 * c);
    if (kind == CONTENT_NOISE)
        return (uint8_t)rng_next(r);
    if (kind == CONTENT_BINARY)
        return rng_next(r) & 1 ? 255 : 0;
    double v = 120 + 70 * sin(x * 0.11 + c) * cos(y * 0.07) + ((x / 9 + y / 13) & 1 ? 25 : -25);
    v += (double)rng_below(r, 13) - 6;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

UNUSED static struct image make_image(enum content kind, int w, int h, int channels, bool alpha,
                                      uint64_t seed)
{
    struct image img = IMAGE_INIT;
    struct rng r = {seed};
    assert_int_equal(image_alloc(w, h, channels, alpha, &img), STATUS_OK);
    uint8_t *p = img.pixels;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++)
                *p++ = content_sample(kind, x, y, c, &r);
    for (int i = 0; alpha && i < w * h; i++)
        img.alpha[i] = (uint8_t)rng_next(&r);
    return img;
}

UNUSED static void assert_same_image(const struct image *a, const struct image *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    assert_memory_equal(a->pixels, b->pixels, image_pixel_bytes(a));
    assert_int_equal(a->alpha != NULL, b->alpha != NULL);
    if (a->alpha)
        assert_memory_equal(a->alpha, b->alpha, (size_t)a->width * (size_t)a->height);
}

/* ---- PNG sources ---- */
struct png_kind {
    int color; /* PNG_COLOR_TYPE_ */
    int depth;
    bool interlaced;
    bool trns;
    const void *icc; /* (optional) profile bytes */
    size_t icc_len;
    const void *exif; /* (optional) TIFF bytes */
    size_t exif_len;
    bool text;   /* a tEXt chunk, which is not kept */
    bool stored; /* not compressed */
};

UNUSED static int png_samples(int color)
{
    return color == PNG_COLOR_TYPE_GRAY || color == PNG_COLOR_TYPE_PALETTE ? 1
           : color == PNG_COLOR_TYPE_GRAY_ALPHA                            ? 2
           : color == PNG_COLOR_TYPE_RGB                                   ? 3
                                                                           : 4;
}

UNUSED static void test_png_write(png_structp png, png_bytep data, size_t len)
{
    struct buf *b = png_get_io_ptr(png);
    assert_int_equal(buf_add(b, data, len), STATUS_OK);
}

UNUSED static void test_png_warn(png_structp png, png_const_charp text)
{
    bool *strict = png_get_error_ptr(png);
    if (strict && *strict)
        fail_msg("libpng warns: %s", text);
}

UNUSED static void test_png_error(png_structp png, png_const_charp text)
{
    (void)png;
    fail_msg("libpng: %s", text);
}

/* Palette entry i of n, as the writer defines it. */
UNUSED static png_color test_palette(int i)
{
    return (png_color){(uint8_t)(i * 7), (uint8_t)(255 - i), (uint8_t)(i * i)};
}
UNUSED static uint8_t test_palette_alpha(int i)
{
    return (uint8_t)(255 - 3 * i);
}

UNUSED static void test_png_ancillary(png_structp png, png_infop info, const struct png_kind *k)
{
    png_color palette[256];
    uint8_t alpha[256];
    int colors = 1 << (k->depth < 8 ? k->depth : 8);
    for (int i = 0; i < 256; i++) {
        palette[i] = test_palette(i);
        alpha[i] = test_palette_alpha(i);
    }
    if (k->color == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, colors);
    png_color_16 key = {.red = 1, .green = 2, .blue = 3, .gray = 1};
    if (k->trns && k->color == PNG_COLOR_TYPE_PALETTE)
        png_set_tRNS(png, info, alpha, colors, NULL);
    else if (k->trns)
        png_set_tRNS(png, info, NULL, 0, &key);
    if (k->icc)
        png_set_iCCP(png, info, "test", 0, k->icc, (png_uint_32)k->icc_len);
    if (k->exif)
        png_set_eXIf_1(png, info, (png_uint_32)k->exif_len, (png_bytep)(uintptr_t)k->exif);
    char key_text[] = "Comment", value[] = "not kept";
    png_text text = {.compression = PNG_TEXT_COMPRESSION_NONE, .key = key_text, .text = value};
    if (k->text)
        png_set_text(png, info, &text, 1);
}

/* samples: (h, w, samples per pixel), values below 2^depth. */
UNUSED static struct buf write_png(const struct png_kind *k, int w, int h, const uint16_t *samples)
{
    struct buf out = BUF_INIT(1 << 28);
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, test_png_error, test_png_warn);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, test_png_write, NULL);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, k->depth, k->color,
                 k->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (k->stored)
        png_set_compression_level(png, 0);
    test_png_ancillary(png, info, k);
    png_write_info(png, info);
    int n = w * png_samples(k->color);
    size_t stride = ((size_t)n * (size_t)k->depth + 7) / 8;
    uint8_t *rows = calloc((size_t)h, stride);
    png_bytep *row = calloc((size_t)h, sizeof *row);
    for (int y = 0; y < h; y++) {
        row[y] = rows + (size_t)y * stride;
        for (int i = 0; i < n; i++) {
            unsigned v = samples[(size_t)y * (size_t)n + (size_t)i];
            if (k->depth == 16) {
                row[y][2 * i] = (uint8_t)(v >> 8);
                row[y][2 * i + 1] = (uint8_t)v;
            } else {
                int bit = i * k->depth;
                row[y][bit / 8] |= (uint8_t)(v << (8 - k->depth - bit % 8));
            }
        }
    }
    png_write_image(png, row);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    free(rows);
    return out;
}

UNUSED static uint16_t *random_samples(const struct png_kind *k, int w, int h, struct rng *r)
{
    size_t n = (size_t)w * (size_t)h * (size_t)png_samples(k->color);
    uint16_t *s = malloc(n * sizeof *s);
    for (size_t i = 0; i < n; i++) /* small values are frequent, so that the tRNS key occurs */
        s[i] =
            (uint16_t)((rng_next(r) & 3 ? rng_next(r) : rng_below(r, 4)) & ((1u << k->depth) - 1));
    return s;
}

/* What image_decode must make of these samples. */
UNUSED static struct image expected_png(const struct png_kind *k, int w, int h, const uint16_t *s)
{
    struct image img = IMAGE_INIT;
    int n = png_samples(k->color);
    bool palette = k->color == PNG_COLOR_TYPE_PALETTE;
    bool own_alpha = n == 2 || n == 4;
    int channels = n >= 3 || palette ? 3 : 1;
    unsigned max = (1u << k->depth) - 1;
    assert_int_equal(image_alloc(w, h, channels, own_alpha || k->trns, &img), STATUS_OK);
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++, s += n) {
        uint8_t v[4];
        for (int c = 0; c < n; c++)
            v[c] = (uint8_t)(k->depth == 16 ? s[c] >> 8 : s[c] * 255u / max);
        if (palette) {
            png_color p = test_palette(s[0]);
            memcpy(img.pixels + 3 * i, (uint8_t[]){p.red, p.green, p.blue}, 3);
        } else {
            memcpy(img.pixels + i * (size_t)channels, v, (size_t)channels);
        }
        if (own_alpha)
            img.alpha[i] = v[n - 1];
        else if (k->trns && palette)
            img.alpha[i] = test_palette_alpha(s[0]);
        else if (k->trns)
            img.alpha[i] = (n == 1 ? s[0] == 1 : s[0] == 1 && s[1] == 2 && s[2] == 3) ? 0 : 255;
    }
    return img;
}

/* ---- JPEG sources ---- */
struct jpeg_kind {
    int quality;
    J_COLOR_SPACE stored; /* JCS_GRAYSCALE, _YCbCr, _RGB, _CMYK, _YCCK */
    bool progressive, arithmetic;
    int h_samp, v_samp; /* of the first component; 0: 1 */
    unsigned restart;   /* MCUs; 0: none */
    const void *exif;   /* (optional) TIFF bytes */
    size_t exif_len;
    const void *icc; /* (optional) one segment's worth of profile */
    size_t icc_len;
};

UNUSED static void test_jpeg_exit(j_common_ptr c)
{
    char text[JMSG_LENGTH_MAX];
    c->err->format_message(c, text);
    fail_msg("libjpeg: %s", text);
}

UNUSED static void test_jpeg_message(j_common_ptr c, int level)
{
    if (level < 0)
        test_jpeg_exit(c);
}

UNUSED static void write_jpeg_markers(struct jpeg_compress_struct *c, const struct jpeg_kind *k)
{
    uint8_t segment[65533];
    if (k->exif) {
        memcpy(segment, "Exif\0", 6);
        memcpy(segment + 6, k->exif, k->exif_len);
        jpeg_write_marker(c, JPEG_APP0 + 1, segment, (unsigned)(6 + k->exif_len));
    }
    if (k->icc) {
        memcpy(segment, "ICC_PROFILE", 12);
        segment[12] = segment[13] = 1;
        memcpy(segment + 14, k->icc, k->icc_len);
        jpeg_write_marker(c, JPEG_APP0 + 2, segment, (unsigned)(14 + k->icc_len));
    }
}

/* pixels: (h,w,1) grey, (h,w,3) RGB, or (h,w,4) for the ink formats, which are stored as given. */
UNUSED static struct buf write_jpeg(const struct jpeg_kind *k, int w, int h, const uint8_t *pixels)
{
    struct buf out = BUF_INIT(1 << 28);
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *mem = NULL;
    unsigned long len = 0;
    bool inks = k->stored == JCS_CMYK || k->stored == JCS_YCCK;
    c.err = jpeg_std_error(&err);
    err.error_exit = test_jpeg_exit;
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &mem, &len);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = inks ? 4 : k->stored == JCS_GRAYSCALE ? 1 : 3;
    c.in_color_space = inks ? JCS_CMYK : k->stored == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, k->stored);
    jpeg_set_quality(&c, k->quality, TRUE);
    for (int i = 0; i < c.num_components; i++)
        c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
    c.comp_info[0].h_samp_factor = k->h_samp ? k->h_samp : 1;
    c.comp_info[0].v_samp_factor = k->v_samp ? k->v_samp : 1;
    if (k->stored == JCS_YCCK) { /* the black plane is as fine as the luma */
        c.comp_info[3].h_samp_factor = c.comp_info[0].h_samp_factor;
        c.comp_info[3].v_samp_factor = c.comp_info[0].v_samp_factor;
    }
    c.restart_interval = k->restart;
    c.arith_code = k->arithmetic;
    if (k->progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    write_jpeg_markers(&c, k);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)c.next_scanline * (size_t)w *
                                                          (size_t)c.input_components);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    assert_int_equal(buf_add(&out, mem, len), STATUS_OK);
    free(mem);
    return out;
}

/* A TIFF structure of one entry: Orientation. */
UNUSED static size_t make_exif(uint8_t out[26], bool little, int orientation)
{
    static const uint8_t be[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                                   3,   0,   0, 0,  1, 0, 0, 0, 0, 0, 0, 0,    0};
    static const uint8_t le[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                   0,   1,   0,  0, 0, 0, 0, 0, 0, 0, 0,    0, 0};
    memcpy(out, little ? le : be, 26);
    out[little ? 18 : 19] = (uint8_t)orientation;
    return 26;
}

/* ---- judges ---- */

struct png_judge {
    const uint8_t *data;
    size_t len, at;
};

UNUSED static void judge_png_read(png_structp png, png_bytep to, size_t n)
{
    struct png_judge *j = png_get_io_ptr(png);
    assert_true(n <= j->len - j->at);
    memcpy(to, j->data + j->at, n);
    j->at += n;
}

/* libpng reads the file without a warning and to its last byte. */
UNUSED static void judge_png(const void *data, size_t len)
{
    bool strict = true;
    struct png_judge j = {data, len, 0};
    png_structp png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &strict, test_png_error, test_png_warn);
    png_infop info = png_create_info_struct(png);
    png_set_read_fn(png, &j, judge_png_read);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    assert_int_equal(j.at, len);
}

/* The same for libjpeg. */
UNUSED static void judge_jpeg(const void *data, size_t len)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr err;
    d.err = jpeg_std_error(&err);
    err.error_exit = test_jpeg_exit;
    err.emit_message = test_jpeg_message;
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, data, (unsigned long)len);
    jpeg_read_header(&d, TRUE);
    jpeg_start_decompress(&d);
    uint8_t *row = malloc((size_t)d.output_width * (size_t)d.output_components);
    while (d.output_scanline < d.output_height)
        jpeg_read_scanlines(&d, &row, 1);
    jpeg_finish_decompress(&d);
    assert_int_equal(d.src->bytes_in_buffer, 0);
    jpeg_destroy_decompress(&d);
    free(row);
}

UNUSED static void judge(enum image_format format, const void *data, size_t len)
{
    if (format == IMAGE_PNG)
        judge_png(data, len);
    else if (format == IMAGE_JPEG)
        judge_jpeg(data, len);
}

UNUSED static uint8_t *metadata_of(const void *data, size_t len, const struct image_info *info)
{
    struct image_limits lim = image_limits_default();
    uint8_t *meta = malloc(info->metadata_bytes + 1);
    assert_int_equal(image_metadata(data, len, info, &lim, meta, NULL), STATUS_OK);
    return meta;
}

/* Decodes the file and encodes what came out. */
UNUSED static struct buf recode_odd(const struct buf *file, struct image_info *out_info)
{
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT;
    struct image_info info;
    struct errmsg e = {""};
    struct buf out = BUF_INIT(1 << 28);
    status st = image_decode(file->data, file->len, &lim, &img, &info, &e);
    if (st)
        fail_msg("decode: %s: %s", status_text(st), e.text);
    assert_int_equal(buf_reserve(&out, info.encoded_size), STATUS_OK);
    uint8_t *meta = metadata_of(file->data, file->len, &info);
    st = image_encode(&img, &info, meta, info.metadata_bytes, out.data, info.encoded_size, &e);
    free(meta);
    if (st)
        fail_msg("encode: %s: %s", status_text(st), e.text);
    out.len = info.encoded_size;
    image_done(&img);
    *out_info = info;
    return out;
}

/* The same of a sound file: no complaint, same sizes again. */
UNUSED static struct buf recode(const struct buf *file)
{
    struct image_limits lim = image_limits_default();
    struct image_info info, again;
    struct buf out = recode_odd(file, &info);
    judge(info.format, out.data, out.len);
    assert_int_equal(image_probe(out.data, out.len, out.len, &lim, &again, NULL), STATUS_OK);
    if (info.source_format == info.format) { /* a PNG can hold what a GIF cannot */
        assert_int_equal(again.encoded_size, info.encoded_size);
        assert_int_equal(again.metadata_bytes, info.metadata_bytes);
    }
    return out;
}

#endif
