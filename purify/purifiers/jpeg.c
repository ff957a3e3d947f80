/*
 * jpeg: what saving as a JPEG and reading it again leaves, as PIL does both (ISS's JPEG).
 *
 * A block is a band of rows over the whole width, encoded and decoded with at least sixteen more
 * rows above and below (image_jpeg_round_trip_rows). A band is high enough for these not to cost
 * much.
 */
#include "blocks.h"

enum { BAND_PIXELS = 1 << 19, BAND_ROWS_MIN = 64 };

struct jpeg {
    int quality;
};

static int band_rows(int width)
{
    int rows = BAND_PIXELS / width / 16 * 16;
    return rows < BAND_ROWS_MIN ? BAND_ROWS_MIN : rows;
}

static int64_t bands(int width, int height)
{
    int64_t rows = band_rows(width);
    return (height + rows - 1) / rows;
}

static status band(const struct blocks *b, struct errmsg *e)
{
    const struct jpeg *j = b->values;
    const struct image *img = b->job.in;
    int rows = band_rows(img->width), y = (int)b->index * rows;
    if (rows > img->height - y)
        rows = img->height - y;
    return image_jpeg_round_trip_rows(img, j->quality, y, rows, b->job.out, e);
}

static const struct param rows[] = {
    {"quality", PARAM_INT, offsetof(struct jpeg, quality), .lo = 1, .hi = 100, .standard = "10",
     .about = "of the JPEG"},
};

const struct purifier_ops purifier_jpeg = {
    .name = "jpeg",
    .summary = "saved as a JPEG and read again (ISS's JPEG)",
    .version = 1,
    .params = PARAM_TABLE(rows, struct jpeg),
    .kind = &purifier_blocks,
    .pixel_ns = 15,
    .blocks = bands,
    .block = band,
};
