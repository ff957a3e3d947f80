/* What holds for the formats that are written without loss (PNG has its own tests): sizes, pixels,
   padding, and that no damage does harm. What is special to one format is in its own test. */
#include "test_images.h"

#include <gif_lib.h>
#include <sys/mman.h>
#include <tiffio.h>
#include <unistd.h>
#include <webp/encode.h>

static const struct {
    enum image_format format;
    int channels;
    bool alpha;
    unsigned pad_least, pad_unit;
} kinds[] = {
    {IMAGE_WEBP, 3, false, 8, 2}, {IMAGE_WEBP, 3, true, 8, 2},  {IMAGE_BMP, 1, false, 1, 1},
    {IMAGE_BMP, 3, false, 1, 1},  {IMAGE_BMP, 3, true, 1, 1},   {IMAGE_TIFF, 1, false, 1, 1},
    {IMAGE_TIFF, 1, true, 1, 1},  {IMAGE_TIFF, 3, false, 1, 1}, {IMAGE_TIFF, 3, true, 1, 1},
};

static struct buf encode_new(enum image_format format, const struct image *img)
{
    struct image_info info;
    struct buf out = BUF_INIT(1 << 28);
    assert_int_equal(image_info_new(format, img, &info, NULL), STATUS_OK);
    assert_int_equal(buf_reserve(&out, info.encoded_size), STATUS_OK);
    assert_int_equal(image_encode(img, &info, NULL, 0, out.data, info.encoded_size, NULL),
                     STATUS_OK);
    out.len = info.encoded_size;
    return out;
}

/* A file of our own, its pixels a pure function of seed. */
static struct buf make_file(size_t kind, int w, int h, uint64_t seed)
{
    struct image img =
        make_image(CONTENT_NOISE, w, h, kinds[kind].channels, kinds[kind].alpha, seed);
    struct buf file = encode_new(kinds[kind].format, &img);
    image_done(&img);
    return file;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {2, 1}, {3, 5}, {1, 40}, {40, 1}, {33, 17}, {300, 211}};
    struct image_limits lim = image_limits_default();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            for (int content = 0; content < CONTENT_COUNT; content++) {
                struct image img = make_image((enum content)content, sizes[s][0], sizes[s][1],
                                              kinds[k].channels, kinds[k].alpha, s);
                struct buf file = encode_new(kinds[k].format, &img);
                struct image back = IMAGE_INIT;
                struct image_info info;
                struct errmsg e = {""};
                status st = image_decode(file.data, file.len, &lim, &back, &info, &e);
                if (st)
                    fail_msg("%s: %s", image_format_name(kinds[k].format), e.text);
                assert_same_image(&img, &back);
                assert_int_equal(info.format, kinds[k].format);
                assert_int_equal(info.source_format, kinds[k].format);
                assert_int_equal(info.encoded_size, file.len);
                assert_int_equal(info.source_bits, 8);
                assert_false(info.is_label);
                struct buf again = recode(&file);
                assert_int_equal(again.len, file.len);
                assert_memory_equal(again.data, file.data, file.len);
                buf_done(&again);
                buf_done(&file);
                image_done(&img);
                image_done(&back);
            }
}

/* Bytes behind the image make the file larger, and what is shown as well. */
static void test_padding(void **state)
{
    (void)state;
    static const size_t more[] = {1, 2, 3, 7, 8, 9, 10, 1000, 70001};
    struct image_limits lim = image_limits_default();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t i = 0; i < ARRAY_LEN(more); i++) {
            struct buf file = make_file(k, 21, 13, k);
            struct image before = IMAGE_INIT, after = IMAGE_INIT;
            size_t least = file.len, pad = more[i], unit = kinds[k].pad_unit;
            assert_int_equal(image_decode(file.data, file.len, &lim, &before, NULL, NULL),
                             STATUS_OK);
            assert_int_equal(buf_reserve(&file, pad), STATUS_OK);
            memset(file.data + file.len, 'x', pad);
            file.len += pad;
            struct buf out = recode(&file);
            if (pad < kinds[k].pad_least)
                pad = kinds[k].pad_least;
            assert_int_equal(out.len, least + (pad + unit - 1) / unit * unit);
            assert_int_equal(image_decode(out.data, out.len, &lim, &after, NULL, NULL), STATUS_OK);
            assert_same_image(&before, &after);
            image_done(&before);
            image_done(&after);
            buf_done(&out);
            buf_done(&file);
        }
}

static void test_what_cannot_be_held(void **state)
{
    (void)state;
    struct image grey = make_image(CONTENT_FLAT, 3, 3, 1, false, 1);
    struct image grey_alpha = make_image(CONTENT_FLAT, 3, 3, 1, true, 1);
    struct image_info info;
    struct errmsg e = {""};
    assert_int_equal(image_info_new(IMAGE_WEBP, &grey, &info, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "grey"));
    assert_int_equal(image_info_new(IMAGE_BMP, &grey_alpha, &info, &e), STATUS_INVALID);
    assert_int_equal(image_info_new(IMAGE_GIF, &grey, &info, &e), STATUS_INVALID);
    assert_int_equal(image_info_new(IMAGE_JPEG, &grey_alpha, &info, &e), STATUS_INVALID);
    struct image wide = {.width = 16384, .height = 1, .channels = 3};
    assert_int_equal(image_info_new(IMAGE_WEBP, &wide, &info, &e), STATUS_INVALID);
    image_done(&grey);
    image_done(&grey_alpha);
}

/* ---- files of other writers ---- */

static int gif_put(GifFileType *gif, const GifByteType *data, int n)
{
    assert_int_equal(buf_add(gif->UserData, data, (size_t)n), STATUS_OK);
    return n;
}

/* 11x9 indices on a screen of 13x10, with an extension of each kind before it. */
static struct buf write_gif(bool interlaced)
{
    static const int rows[] = {0, 8, 4, 2, 6, 1, 3, 5, 7};
    struct buf out = BUF_INIT(1 << 20);
    struct rng r = {9};
    int code = 0;
    GifColorType colors[16];
    uint8_t pixels[9][11];
    for (int i = 0; i < 16; i++)
        colors[i] = (GifColorType){(uint8_t)(i * 9), (uint8_t)(200 - i), (uint8_t)(i * i)};
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 11; x++)
            pixels[y][x] = (uint8_t)rng_below(&r, 16);
    GifFileType *gif = EGifOpen(&out, gif_put, &code);
    ColorMapObject *map = GifMakeMapObject(16, colors);
    GraphicsControlBlock control = {.TransparentColor = 3};
    GifByteType packed[4];
    EGifSetGifVersion(gif, true);
    assert_int_equal(EGifPutScreenDesc(gif, 13, 10, 4, 0, map), GIF_OK);
    assert_int_equal(EGifPutComment(gif, "a comment"), GIF_OK);
    size_t n = EGifGCBToExtension(&control, packed);
    assert_int_equal(EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, (int)n, packed), GIF_OK);
    assert_int_equal(EGifPutImageDesc(gif, 1, 1, 11, 9, interlaced, NULL), GIF_OK);
    for (int y = 0; y < 9; y++)
        assert_int_equal(EGifPutLine(gif, pixels[interlaced ? rows[y] : y], 11), GIF_OK);
    GifFreeMapObject(map);
    assert_int_equal(EGifCloseFile(gif, &code), GIF_OK);
    return out;
}

struct tiff_kind {
    int compression, photometric, samples, bits, tile;
    bool planes;
};

/* 50x37; a tile or a strip is the unit that is written. */
static struct buf write_tiff(const struct tiff_kind *k)
{
    char path[] = "/tmp/relearn-tiff-XXXXXX";
    close(mkstemp(path));
    TIFF *tif = TIFFOpen(path, "w");
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, 50);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, 37);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, k->bits);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, k->samples);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, k->photometric);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, k->compression);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, k->planes ? 2 : 1);
    TIFFSetField(tif, TIFFTAG_ORIENTATION, 6);
    TIFFSetField(tif, TIFFTAG_ICCPROFILE, 9, "a profile");
    if (k->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    if (k->photometric == PHOTOMETRIC_PALETTE) {
        uint16_t map[256];
        for (int i = 0; i < 256; i++)
            map[i] = (uint16_t)(i * 201);
        TIFFSetField(tif, TIFFTAG_COLORMAP, map, map, map);
    }
    if (k->tile) {
        TIFFSetField(tif, TIFFTAG_TILEWIDTH, k->tile);
        TIFFSetField(tif, TIFFTAG_TILELENGTH, k->tile);
    } else {
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, 16);
    }
    uint8_t unit[64 * 64 * 4];
    for (size_t i = 0; i < sizeof unit; i++)
        unit[i] = (uint8_t)(i * i >> 5);
    uint32_t n = k->tile ? TIFFNumberOfTiles(tif) : TIFFNumberOfStrips(tif);
    for (uint32_t i = 0; i < n; i++) {
        tmsize_t size = k->tile ? TIFFTileSize(tif) : TIFFVStripSize(tif, i % 3 == 2 ? 5 : 16);
        assert_true((k->tile ? TIFFWriteEncodedTile(tif, i, unit, size)
                             : TIFFWriteEncodedStrip(tif, i, unit, size)) == size);
    }
    TIFFClose(tif);
    struct buf out = BUF_INIT(1 << 24);
    void *data = NULL;
    assert_int_equal(io_read_file_at(-100, path, 1 << 24, &data, &out.len, NULL), STATUS_OK);
    out.data = data;
    out.cap = out.len;
    unlink(path);
    return out;
}

static struct buf write_webp(bool alpha)
{
    struct image img = make_image(CONTENT_SCENE, 31, 22, 3, false, 5);
    uint8_t *rgba = malloc(31 * 22 * 4), *data = NULL;
    for (size_t i = 0; i < 31 * 22; i++) {
        memcpy(rgba + 4 * i, img.pixels + 3 * i, 3);
        rgba[4 * i + 3] = alpha ? (uint8_t)(i * 3) : 255;
    }
    size_t n = WebPEncodeRGBA(rgba, 31, 22, 31 * 4, 75, &data);
    struct buf out = BUF_INIT(1 << 24);
    assert_int_equal(buf_add(&out, data, n), STATUS_OK);
    WebPFree(data);
    free(rgba);
    image_done(&img);
    return out;
}

static const struct tiff_kind tiffs[] = {
    {COMPRESSION_LZW, PHOTOMETRIC_RGB, 3, 8, 0, false},
    {COMPRESSION_ADOBE_DEFLATE, PHOTOMETRIC_RGB, 3, 8, 32, true},
    {COMPRESSION_PACKBITS, PHOTOMETRIC_MINISBLACK, 1, 16, 0, false},
    {COMPRESSION_JPEG, PHOTOMETRIC_YCBCR, 3, 8, 32, false},
    {COMPRESSION_LZW, PHOTOMETRIC_PALETTE, 1, 8, 0, false},
    {COMPRESSION_CCITTFAX4, PHOTOMETRIC_MINISWHITE, 1, 1, 0, false},
    {COMPRESSION_NONE, PHOTOMETRIC_SEPARATED, 4, 8, 16, false},
};

enum { FOREIGN = 4 + ARRAY_LEN(tiffs) };

static struct buf foreign(size_t i)
{
    return i < 2 ? write_gif(i) : i < 4 ? write_webp(i == 3) : write_tiff(&tiffs[i - 4]);
}

static void test_foreign_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < FOREIGN; i++) {
        struct buf file = foreign(i), out = recode(&file);
        struct image_limits lim = image_limits_default();
        struct image_info info;
        assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &info, NULL), STATUS_OK);
        assert_int_equal(info.source_format, i < 2 ? IMAGE_GIF : i < 4 ? IMAGE_WEBP : IMAGE_TIFF);
        assert_int_equal(info.format, i < 2 ? IMAGE_PNG : info.source_format);
        if (i >= 4) {
            const struct tiff_kind *k = &tiffs[i - 4];
            assert_int_equal(info.orientation, 6);
            assert_int_equal(info.is_label, k->bits < 8 || k->photometric == PHOTOMETRIC_PALETTE);
            assert_int_equal(info.source_bits, k->bits);
            /* the profile of inks is not kept */
            assert_int_equal(info.metadata_bytes, k->photometric == PHOTOMETRIC_SEPARATED ? 0 : 9);
        }
        buf_done(&file);
        buf_done(&out);
    }
}

/* Rows come in four passes, and what is not covered is transparent. */
static void test_gif(void **state)
{
    (void)state;
    struct image_limits lim = image_limits_default();
    struct image img[2] = {IMAGE_INIT, IMAGE_INIT};
    for (int i = 0; i < 2; i++) {
        struct buf file = write_gif(i);
        assert_int_equal(image_decode(file.data, file.len, &lim, &img[i], NULL, NULL), STATUS_OK);
        buf_done(&file);
    }
    assert_same_image(&img[0], &img[1]);
    assert_int_equal(img[0].width, 13);
    assert_int_equal(img[0].height, 10);
    size_t clear = 0;
    for (int x = 0; x < 13; x++)
        clear += img[0].alpha[x] == 0;
    assert_int_equal(clear, 13);
    assert_int_equal(img[0].pixels[0], 3 * 9); /* the transparent index's colour */
    image_done(&img[0]);
    image_done(&img[1]);
}

/* ---- damage ---- */

/* The file on a block of exactly its size. Whatever the answer, memory and a descriptor agree, and
   what decodes is written at the size that was told. Returns whether it decodes. */
static bool check_bytes(const void *data, size_t len)
{
    struct image_limits lim = image_limits_default();
    lim.max_pixels = 1 << 20;
    struct image img = IMAGE_INIT;
    struct image_info told, info, in_file;
    struct errmsg e = {""};
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    int fd = memfd_create("image", MFD_CLOEXEC);
    assert_int_equal(io_write(fd, copy, len), STATUS_OK);
    status a = image_probe(copy, len, len, &lim, &told, NULL);
    status b = image_probe_fd(fd, len, &lim, &in_file, NULL);
    assert_true(a == b || (a == STATUS_OK && b == STATUS_CORRUPT));
    if (b == STATUS_OK)
        assert_memory_equal(&told, &in_file, sizeof told);
    close(fd);
    status st = image_decode(copy, len, &lim, &img, &info, &e);
    if (st)
        assert_true(e.text[0] != 0);
    if (!st) {
        assert_int_equal(b, STATUS_OK);
        assert_int_equal(info.encoded_size, told.encoded_size);
        assert_true(info.encoded_size >= len);
        assert_true(info.header_bytes <= len);
        struct image_info prefix;
        assert_int_equal(image_probe(copy, info.header_bytes, len, &lim, &prefix, NULL), STATUS_OK);
        assert_int_equal(prefix.encoded_size, info.encoded_size);
        uint8_t *out = malloc(info.encoded_size);
        uint8_t *meta = metadata_of(copy, len, &info);
        assert_int_equal(
            image_encode(&img, &info, meta, info.metadata_bytes, out, info.encoded_size, NULL),
            STATUS_OK);
        free(meta);
        free(out);
    }
    image_done(&img);
    free(copy);
    return !st;
}

static void test_cut_at_every_length(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct buf file = make_file(k, 11, 9, 4);
        assert_true(check_bytes(file.data, file.len));
        for (size_t len = 0; len < file.len; len++)
            if (check_bytes(file.data, len) && len + 4 < file.len)
                fail_msg("kind %zu decodes when cut to %zu of %zu bytes", k, len, file.len);
        buf_done(&file);
    }
}

static void mangle(struct buf *file, struct rng *r)
{
    size_t at = rng_below(r, (uint32_t)(rng_next(r) & 1 && file->len > 80 ? 80 : file->len));
    size_t len = 1 + rng_below(r, rng_next(r) & 1 ? 2 : 40);
    if (len > file->len - at)
        len = file->len - at;
    switch (rng_below(r, 4)) {
    case 0:
        for (size_t i = 0; i < len; i++)
            file->data[at + i] = (char)(rng_next(r) & 1 ? 0xff : rng_next(r));
        break;
    case 1:
        memmove(file->data + at, file->data + at + len, file->len - at - len);
        file->len -= len;
        break;
    case 2:
        file->data[at] ^= (char)(1 << rng_below(r, 8));
        break;
    default:
        assert_int_equal(buf_reserve(file, len), STATUS_OK);
        memmove(file->data + at + len, file->data + at, file->len - at);
        file->len += len;
    }
}

static void test_mangled(void **state)
{
    (void)state;
    struct rng r = {5};
    int decoded = 0;
    for (int n = 0; n < 8000; n++) {
        size_t i = (size_t)n % (ARRAY_LEN(kinds) + FOREIGN);
        struct buf file =
            i < ARRAY_LEN(kinds) ? make_file(i, 11, 9, 6) : foreign(i - ARRAY_LEN(kinds));
        for (uint32_t left = 1 + rng_below(&r, 3); left; left--)
            if (file.len)
                mangle(&file, &r);
        decoded += check_bytes(file.data, file.len);
        buf_done(&file);
    }
    assert_true(decoded > 1000); /* or nothing of what follows decoding was tried */
}

static void put_le(struct buf *file, size_t at, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        file->data[at + (size_t)i] = (char)(v >> (8 * i));
}

/* Metadata of no bytes are metadata: chunks of nothing but their heads, before and behind the image. */
static void test_empty_chunks_of_webp(void **state)
{
    (void)state;
    struct buf lossy = write_webp(false), file = BUF_INIT(1 << 20);
    static const char icc[8] = "ICCP", exif[8] = "EXIF", xmp[8] = "XMP ";
    char head[12 + 8 + 10] = "RIFF____WEBPVP8X\x0a\0\0\0";
    head[20] = 0x20 | 0x08 | 0x04; /* ICC, EXIF, XMP */
    head[24] = 31 - 1;
    head[27] = 22 - 1;
    assert_int_equal(buf_add(&file, head, sizeof head), STATUS_OK);
    assert_int_equal(buf_add(&file, icc, 8), STATUS_OK);
    assert_int_equal(buf_add(&file, lossy.data + 12, lossy.len - 12), STATUS_OK);
    assert_int_equal(buf_add(&file, xmp, 8), STATUS_OK);
    assert_int_equal(buf_add(&file, exif, 8), STATUS_OK);
    put_le(&file, 4, (uint32_t)file.len - 8, 4);
    struct image_limits lim = image_limits_default();
    struct image_info before, after;
    assert_int_equal(image_probe(file.data, file.len, file.len, &lim, &before, NULL), STATUS_OK);
    assert_int_equal(before.metadata_bytes, 3 * 8);
    struct buf out = recode(&file);
    assert_int_equal(image_probe(out.data, out.len, out.len, &lim, &after, NULL), STATUS_OK);
    assert_int_equal(after.metadata_bytes, 3 * 8);
    buf_done(&out);
    buf_done(&file);
    buf_done(&lossy);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds) + FOREIGN; k++) {
        struct buf file =
            k < ARRAY_LEN(kinds) ? make_file(k, 11, 9, 6) : foreign(k - ARRAY_LEN(kinds));
        struct image_limits lim = image_limits_default();
        struct image img = IMAGE_INIT;
        status st = STATUS_NOMEM;
        for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
            assert_true(n < 100);
            fault_set(FAULT_MEM, n, 0, 0);
            st = image_decode(file.data, file.len, &lim, &img, NULL, NULL);
        }
        fault_clear();
        assert_int_equal(st, STATUS_OK);
        image_done(&img);
        buf_done(&file);
    }
}

/* Claims that nothing in the file stands for are refused before memory is asked for. */
static void refuse(const struct buf *file, status want)
{
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT;
    struct errmsg e = {""};
    fault_set(FAULT_MEM, 1, 1, 0);
    status st = image_decode(file->data, file->len, &lim, &img, NULL, &e);
    fault_clear();
    if (st != want)
        fail_msg("%s instead of %s (%s)", status_text(st), status_text(want), e.text);
}

/* The place of a value in the first directory of a little-endian TIFF. */
static size_t tiff_value(const struct buf *file, uint32_t tag)
{
    const uint8_t *p = (const uint8_t *)file->data;
    size_t at = p[4] | (size_t)p[5] << 8 | (size_t)p[6] << 16;
    for (unsigned n = p[at] | (unsigned)p[at + 1] << 8, i = 0; i < n; i++)
        if ((p[at + 2 + 12 * i] | (uint32_t)p[at + 3 + 12 * i] << 8) == tag)
            return at + 2 + 12 * i + 8;
    fail_msg("no tag %u", tag);
    return 0;
}

static void test_bombs(void **state)
{
    (void)state;
    struct buf bmp = make_file(3, 11, 9, 1), gif = write_gif(false), webp = write_webp(false);
    put_le(&bmp, 18, 8192, 4);
    put_le(&bmp, 22, 8192, 4);
    refuse(&bmp, STATUS_CORRUPT);
    put_le(&bmp, 18, 1 << 24, 4);
    refuse(&bmp, STATUS_LIMIT);
    put_le(&bmp, 18, 0, 4);
    refuse(&bmp, STATUS_CORRUPT);
    size_t frame = (size_t)((char *)memchr(gif.data + 13 + 48, ',', gif.len) - gif.data);
    for (int side = 8192; side >= 1024; side /= 2) {
        put_le(&gif, frame + 5, (uint32_t)side - 1, 2);
        put_le(&gif, frame + 7, (uint32_t)side - 1, 2);
        refuse(&gif, STATUS_CORRUPT);
    }
    put_le(&gif, 6, 65535, 2);
    put_le(&gif, 8, 65535, 2);
    refuse(&gif, STATUS_LIMIT);
    put_le(&webp, 12 + 8 + 6, 16383, 2);
    put_le(&webp, 12 + 8 + 8, 16383, 2);
    refuse(&webp, STATUS_LIMIT);
    webp.len = 100; /* 262,144 macroblocks take at least 185 bytes */
    put_le(&webp, 12 + 8 + 6, 8192, 2);
    put_le(&webp, 12 + 8 + 8, 8192, 2);
    refuse(&webp, STATUS_CORRUPT);
    buf_done(&bmp);
    buf_done(&gif);
    buf_done(&webp);
}

static void test_tiff_bombs(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct buf file = write_tiff(&tiffs[i]);
        size_t width = tiff_value(&file, 256), height = tiff_value(&file, 257);
        put_le(&file, width, 8192, 2);
        put_le(&file, height, 8192, 2);
        refuse(&file, STATUS_CORRUPT);
        put_le(&file, width, 65535, 2);
        refuse(&file, STATUS_LIMIT);
        put_le(&file, width, 0, 2);
        refuse(&file, STATUS_CORRUPT);
        put_le(&file, width, 50, 2);
        put_le(&file, height, 37, 2);
        if (tiffs[i].tile) {
            put_le(&file, tiff_value(&file, 322), 65520, 2);
            put_le(&file, tiff_value(&file, 323), 65520, 2);
            refuse(&file, STATUS_LIMIT);
        }
        put_le(&file, tiff_value(&file, 277), 60000, 2);
        refuse(&file, STATUS_UNSUPPORTED);
        buf_done(&file);
    }
}

/* A page that says that it follows itself, and a directory that overlaps itself. */
static void test_tiff_loops(void **state)
{
    (void)state;
    struct buf file = write_tiff(&tiffs[0]);
    const uint8_t *p = (const uint8_t *)file.data;
    uint32_t at = p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16;
    uint32_t n = p[at] | (uint32_t)p[at + 1] << 8;
    put_le(&file, at + 2 + 12 * n, at, 4);
    assert_true(check_bytes(file.data, file.len));
    put_le(&file, 4, 0, 4);
    assert_false(check_bytes(file.data, file.len));
    buf_done(&file);
}

/* Raw files of cameras and samples that are no colours are named, not shown as something else. */
static void test_tiff_refusals(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag, value;
    } changes[] = {{259, 34712}, {262, 8}, {258, 32}};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct buf file = write_tiff(&tiffs[2]);
        put_le(&file, tiff_value(&file, changes[i].tag), changes[i].value, 2);
        refuse(&file, STATUS_UNSUPPORTED);
        buf_done(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_what_cannot_be_held),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_empty_chunks_of_webp),
        cmocka_unit_test(test_gif),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_tiff_bombs),
        cmocka_unit_test(test_tiff_loops),
        cmocka_unit_test(test_tiff_refusals),
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_mangled),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
