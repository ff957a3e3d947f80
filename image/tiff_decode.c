/*
 * TIFF to pixels, through libtiff, which unpacks strips and tiles to samples; what the samples mean
 * is decided here, as PIL does. Only images of luma and chroma (but JPEG's, which libjpeg turns
 * into RGB) go through libtiff's own conversion, as they do in PIL.
 */
#include "tiff_job.h"

static uint8_t times(unsigned a, unsigned b) /* a * b / 255, rounded */
{
    unsigned v = a * b + 128;
    return (uint8_t)(((v >> 8) + v) >> 8);
}

static void from_inks(const struct tiff_job *job)
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

static status from_palette(const struct tiff_job *job, TIFF *tif, struct errmsg *e)
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

static void from_alpha(const struct tiff_job *job)
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

static status make_pixels(const struct tiff_job *job, TIFF *tif, struct errmsg *e)
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
static status read_converted(struct tiff_job *job, TIFF *tif, struct errmsg *e)
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

static status read_file(struct tiff_job *job, TIFF *tif, struct errmsg *e)
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
    status st = tiff_samples_read(job, tif, e);
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
    struct tiff_job job = {.data = data, .len = len, .l = &l, .img = img, .stage = img->pixels};
    job.samples = tiff_colors(&l) + (img->alpha != NULL);
    if (job.samples != (uint32_t)img->channels) {
        stage = job.stage = mem_alloc((size_t)l.width * l.height * job.samples);
        if (!stage)
            return errmsg_set(e, STATUS_NOMEM, "TIFF: %s", status_text(STATUS_NOMEM));
    }
    TIFF *tif = tiff_file_open(&job);
    if (!tif)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: %s",
                          job.error[0] ? job.error : "the header is damaged");
    st = read_file(&job, tif, e);
    TIFFClose(tif);
    mem_free(job.block);
    return st;
}
