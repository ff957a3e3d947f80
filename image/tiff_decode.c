/*
 * TIFF to pixels, through libtiff, which unpacks strips and tiles to samples; what the samples mean
 * is decided here, as PIL does. Only images of luma and chroma (but JPEG's, which libjpeg turns
 * into RGB) go through libtiff's own conversion, as they do in PIL.
 */
#include "tiff_format.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

static_assert(TIFFLIB_VERSION >= 20221213, "libtiff 4.5: limits and messages of each file alone");

struct job {
    const uint8_t *data;
    uint64_t len, at;
    const struct tiff_layout *l;
    struct image *img;
    uint32_t samples; /* of a pixel in stage: those that count */
    uint8_t *stage;   /* (height, width, samples); img->pixels where nothing is left to do */
    uint8_t *block;   /* one strip or tile */
    char error[128];  /* the first that libtiff reported */
};

/* ---- libtiff's file ---- */

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t n)
{
    struct job *job = (struct job *)handle;
    if (n <= 0 || job->at >= job->len)
        return 0;
    uint64_t left = job->len - job->at;
    size_t take = (uint64_t)n < left ? (size_t)n : (size_t)left;
    memcpy(to, job->data + job->at, take);
    job->at += take;
    return (tmsize_t)take;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle;
    (void)from;
    (void)n;
    return -1;
}

static toff_t on_seek(thandle_t handle, toff_t to, int whence)
{
    struct job *job = (struct job *)handle;
    job->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? job->at + to : job->len + to;
    return job->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((struct job *)handle)->len;
}

/* Returning 1 keeps libtiff from printing. */
static int on_error(TIFF *tif, void *arg, const char *module, const char *format, va_list args)
{
    struct job *job = arg;
    (void)tif;
    (void)module;
    if (!job->error[0])
        vsnprintf(job->error, sizeof job->error, format, args);
    return 1;
}

static int on_warning(TIFF *tif, void *arg, const char *module, const char *format, va_list args)
{
    (void)tif;
    (void)arg;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

/* No single piece of memory is larger than the file, or than the samples of the image. */
static tmsize_t most_memory(const struct job *job)
{
    uint64_t samples = (uint64_t)job->l->width * job->l->height * 8;
    uint64_t most = samples > job->len ? samples : job->len;
    return (tmsize_t)(most + (64 << 20));
}

static TIFF *open_file(struct job *job)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, most_memory(job));
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, job);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, job);
    TIFF *tif = TIFFClientOpenExt("image", "rm", job, on_read, on_write, on_seek, on_close, on_size,
                                  NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    return tif;
}

/* ---- samples ---- */

static uint8_t sample_at(const struct tiff_layout *l, const uint8_t *row, size_t i)
{
    if (l->bits == 8)
        return row[i];
    if (l->bits == 16) {
        uint16_t v;
        memcpy(&v, row + 2 * i, 2); /* in the processor's order */
        return (uint8_t)(v >> 8);
    }
    size_t bit = i * l->bits;
    unsigned max = (1u << l->bits) - 1;
    unsigned v = row[bit / 8] >> (8 - l->bits - bit % 8) & max;
    return (uint8_t)(l->photometric == TIFF_PALETTE ? v : v * 255 / max);
}

/* Rows of a block to the stage. plane: the sample that it holds, when each has its own. */
static void stage_block(const struct job *job, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                        size_t stride, uint32_t plane)
{
    const struct tiff_layout *l = job->l;
    uint32_t in_block = l->separate ? 1 : l->samples;
    uint32_t n = l->separate ? 1 : job->samples;
    for (uint32_t j = 0; j < h; j++) {
        const uint8_t *row = job->block + j * stride;
        uint8_t *to = job->stage + (((size_t)y + j) * l->width + x) * job->samples + plane;
        if (l->bits == 8 && n == in_block && n == job->samples) {
            memcpy(to, row, (size_t)w * n);
            continue;
        }
        for (uint32_t i = 0; i < w; i++, to += job->samples)
            for (uint32_t c = 0; c < n; c++)
                to[c] = sample_at(l, row, (size_t)i * in_block + c);
    }
}

static bool read_strips(struct job *job, TIFF *tif, uint32_t plane)
{
    const struct tiff_layout *l = job->l;
    uint32_t rows = 0;
    size_t stride = (size_t)TIFFScanlineSize(tif);
    TIFFGetFieldDefaulted(tif, TIFFTAG_ROWSPERSTRIP, &rows);
    if (rows < 1 || !stride)
        return false;
    for (uint64_t y = 0; y < l->height; y += rows) {
        uint32_t h = l->height - y < rows ? (uint32_t)(l->height - y) : rows;
        tmsize_t want = (tmsize_t)(h * stride);
        uint32_t strip = TIFFComputeStrip(tif, (uint32_t)y, (uint16_t)plane);
        if (TIFFReadEncodedStrip(tif, strip, job->block, want) < want)
            return false;
        stage_block(job, 0, (uint32_t)y, l->width, h, stride, plane);
    }
    return true;
}

static bool read_tiles(struct job *job, TIFF *tif, uint32_t plane)
{
    const struct tiff_layout *l = job->l;
    tmsize_t size = TIFFTileSize(tif);
    size_t stride = (size_t)TIFFTileRowSize(tif);
    for (uint64_t y = 0; y < l->height; y += l->tile_height)
        for (uint64_t x = 0; x < l->width; x += l->tile_width) {
            uint64_t w = l->width - x, h = l->height - y;
            uint32_t tile = TIFFComputeTile(tif, (uint32_t)x, (uint32_t)y, 0, (uint16_t)plane);
            if (TIFFReadEncodedTile(tif, tile, job->block, size) < size)
                return false;
            stage_block(job, (uint32_t)x, (uint32_t)y,
                        w < l->tile_width ? (uint32_t)w : l->tile_width,
                        h < l->tile_height ? (uint32_t)h : l->tile_height, stride, plane);
        }
    return true;
}

static status read_samples(struct job *job, TIFF *tif, struct errmsg *e)
{
    const struct tiff_layout *l = job->l;
    bool tiled = l->tile_width;
    uint64_t in_block = l->separate ? 1 : l->samples;
    tmsize_t size = tiled ? TIFFTileSize(tif) : TIFFStripSize(tif);
    uint64_t width = tiled ? l->tile_width : l->width;
    uint64_t stride = (uint64_t)(tiled ? TIFFTileRowSize(tif) : TIFFScanlineSize(tif));
    if (size < 1 || size > most_memory(job) || stride < (width * in_block * l->bits + 7) / 8 ||
        (tiled && (uint64_t)size < stride * l->tile_height))
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: the header contradicts itself");
    job->block = mem_alloc((size_t)size);
    if (!job->block)
        return errmsg_set(e, STATUS_NOMEM, "TIFF: %s", status_text(STATUS_NOMEM));
    uint32_t planes = l->separate ? job->samples : 1;
    for (uint32_t plane = 0; plane < planes; plane++)
        if (!(tiled ? read_tiles : read_strips)(job, tif, plane))
            return errmsg_set(e, STATUS_CORRUPT, "TIFF: %s",
                              job->error[0] ? job->error : "the file is cut short");
    return STATUS_OK;
}

/* ---- pixels ---- */

static uint8_t times(unsigned a, unsigned b) /* a * b / 255, rounded */
{
    unsigned v = a * b + 128;
    return (uint8_t)(((v >> 8) + v) >> 8);
}

static void from_inks(const struct job *job)
{
    size_t n = (size_t)job->l->width * job->l->height;
    const uint8_t *from = job->stage;
    uint8_t *to = job->img->pixels;
    for (size_t i = 0; i < n; i++, from += 4)
        for (int c = 0; c < 3; c++) {
            unsigned light = 255u - from[3];
            *to++ = (uint8_t)(light - times(from[c], light));
        }
}

static status from_palette(const struct job *job, TIFF *tif, struct errmsg *e)
{
    uint16_t *map[3];
    size_t n = (size_t)job->l->width * job->l->height;
    if (TIFFGetField(tif, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]) != 1)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: palette image without a palette");
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
            job->img->pixels[3 * i + (size_t)c] = (uint8_t)(map[c][job->stage[i]] >> 8);
    return STATUS_OK;
}

static uint8_t divided(unsigned v, unsigned alpha)
{
    v = alpha ? v * 255 / alpha : 0;
    return (uint8_t)(v > 255 ? 255 : v);
}

static void from_alpha(const struct job *job)
{
    size_t n = (size_t)job->l->width * job->l->height, channels = (size_t)job->img->channels;
    const uint8_t *from = job->stage;
    uint8_t *to = job->img->pixels;
    bool premultiplied = job->l->alpha == TIFF_PREMULTIPLIED;
    for (size_t i = 0; i < n; i++, from += channels + 1) {
        for (size_t c = 0; c < channels; c++)
            *to++ = premultiplied ? divided(from[c], from[channels]) : from[c];
        job->img->alpha[i] = from[channels];
    }
}

static status make_pixels(const struct job *job, TIFF *tif, struct errmsg *e)
{
    if (job->l->photometric == TIFF_PALETTE)
        return from_palette(job, tif, e);
    if (job->l->photometric == TIFF_CMYK)
        from_inks(job);
    else if (job->img->alpha)
        from_alpha(job);
    if (job->l->photometric == TIFF_WHITE_IS_ZERO)
        for (size_t i = 0; i < image_pixel_bytes(job->img); i++)
            job->img->pixels[i] ^= 0xff;
    return STATUS_OK;
}

/* Through libtiff's own conversion; rows are taken as they are stored. */
static status read_converted(struct job *job, TIFF *tif, struct errmsg *e)
{
    TIFFRGBAImage in;
    char text[1024] = "";
    size_t n = (size_t)job->l->width * job->l->height;
    AUTO(mem_free) uint32_t *raster = mem_alloc(n * sizeof *raster);
    if (!raster)
        return errmsg_set(e, STATUS_NOMEM, "TIFF: %s", status_text(STATUS_NOMEM));
    if (!TIFFRGBAImageBegin(&in, tif, 1, text))
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: %s", text);
    in.orientation = in.req_orientation = ORIENTATION_TOPLEFT;
    int done = TIFFRGBAImageGet(&in, raster, job->l->width, job->l->height);
    TIFFRGBAImageEnd(&in);
    if (!done)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: %s",
                          job->error[0] ? job->error : "the file is cut short");
    for (size_t i = 0; i < n; i++) {
        job->img->pixels[3 * i] = (uint8_t)TIFFGetR(raster[i]);
        job->img->pixels[3 * i + 1] = (uint8_t)TIFFGetG(raster[i]);
        job->img->pixels[3 * i + 2] = (uint8_t)TIFFGetB(raster[i]);
    }
    return STATUS_OK;
}

static bool agrees(TIFF *tif, const struct tiff_layout *l)
{
    uint32_t width = 0, height = 0;
    uint16_t bits = 1, samples = 1, planar = 1, compression = 1;
    TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tif, TIFFTAG_COMPRESSION, &compression);
    if (width != l->width || height != l->height || bits != l->bits || samples != l->samples ||
        (planar == 2 && samples > 1) != l->separate || compression != l->compression ||
        !TIFFIsTiled(tif) != !l->tile_width)
        return false;
    if (!l->tile_width)
        return true;
    TIFFGetField(tif, TIFFTAG_TILEWIDTH, &width);
    TIFFGetField(tif, TIFFTAG_TILELENGTH, &height);
    return width == l->tile_width && height == l->tile_height;
}

static status read_file(struct job *job, TIFF *tif, struct errmsg *e)
{
    const struct tiff_layout *l = job->l;
    bool ycc = l->photometric == TIFF_YCC;
    if (!agrees(tif, l))
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: the header contradicts itself");
    if (!TIFFIsCODECConfigured((uint16_t)l->compression))
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: this libtiff does not read compression %u",
                          l->compression);
    if (ycc && (l->compression != TIFF_COMPRESSION_JPEG || l->separate))
        return read_converted(job, tif, e);
    if (ycc)
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    status st = read_samples(job, tif, e);
    return st ? st : make_pixels(job, tif, e);
}

status image_tiff_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e)
{
    (void)h;
    struct source s;
    struct tiff_layout l;
    uint64_t end;
    source_init_memory(&s, data, len);
    status st = image_tiff_layout(&s, &l, &end, e);
    if (st)
        return st;
    AUTO(mem_free) uint8_t *stage = NULL;
    struct job job = {.data = data, .len = len, .l = &l, .img = img, .stage = img->pixels};
    job.samples = tiff_colors(&l) + (img->alpha != NULL);
    if (job.samples != (uint32_t)img->channels) {
        stage = job.stage = mem_alloc((size_t)l.width * l.height * job.samples);
        if (!stage)
            return errmsg_set(e, STATUS_NOMEM, "TIFF: %s", status_text(STATUS_NOMEM));
    }
    TIFF *tif = open_file(&job);
    if (!tif)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: %s",
                          job.error[0] ? job.error : "the header is damaged");
    st = read_file(&job, tif, e);
    TIFFClose(tif);
    mem_free(job.block);
    return st;
}
