/* Strips and tiles, which libtiff unpacks, to samples of eight bits. */
#include "tiff_job.h"

#include <string.h>

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
static void stage_block(const struct tiff_job *job, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
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

static bool read_strips(struct tiff_job *job, TIFF *tif, uint32_t plane)
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

static bool read_tiles(struct tiff_job *job, TIFF *tif, uint32_t plane)
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

status tiff_samples_read(struct tiff_job *job, TIFF *tif, struct errmsg *e)
{
    const struct tiff_layout *l = job->l;
    bool tiled = l->tile_width;
    uint64_t in_block = l->separate ? 1 : l->samples;
    tmsize_t size = tiled ? TIFFTileSize(tif) : TIFFStripSize(tif);
    uint64_t width = tiled ? l->tile_width : l->width;
    uint64_t stride = (uint64_t)(tiled ? TIFFTileRowSize(tif) : TIFFScanlineSize(tif));
    if (size < 1 || size > tiff_most_memory(job) || stride < (width * in_block * l->bits + 7) / 8 ||
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
