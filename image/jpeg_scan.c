/*
 * The header of a JPEG file: the segments up to the first SOS. Each is FF, marker, length (2,
 * counts itself), content; FF may be repeated before a marker.
 */
#include "exif.h"
#include "jpeg_format.h"

#include <string.h>

static const char exif_name[5] = "Exif"; /* with one zero byte; a second one follows */
static const char xmp_name[29] = "http://ns.adobe.com/xap/1.0/"; /* with one zero byte */
static const char icc_name[12] = "ICC_PROFILE";                  /* the same */

/* Some readers read more than one segment of EXIF or XMP; no file has this many. */
enum { MAX_APP1 = 60, MAX_ICC = 255 };

struct jpeg_scan {
    struct header *h;
    bool arithmetic;
    int components; /* 0 before SOF */
    int n_app1;     /* that are kept */
    int n_icc;
};

/* Finds the next marker at or after off, and the offset behind it. Other bytes before it, also FF
   00, are skipped: libjpeg warns of them and PIL ignores them. */
static status read_marker(struct source *s, uint64_t *off, int *out, struct errmsg *e)
{
    const uint8_t *p;
    bool after_ff = false;
    for (;;) {
        status st = source_at(s, *off, 1, &p, e);
        if (st)
            return st;
        ++*off;
        if (after_ff && *p != 0xff && *p != 0)
            break;
        after_ff = *p == 0xff;
    }
    *out = *p;
    return STATUS_OK;
}

static status check_sof(int marker, int precision, struct errmsg *e)
{
    switch (marker) {
    case MARKER_SOF0:      /* baseline */
    case MARKER_SOF0 + 1:  /* extended */
    case MARKER_SOF0 + 2:  /* progressive */
    case MARKER_SOF0 + 9:  /* extended, arithmetic */
    case MARKER_SOF0 + 10: /* progressive, arithmetic */
        break;
    default:
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "JPEG: lossless and hierarchical files are not read");
    }
    if (precision != 8)
        return errmsg_set(e, STATUS_UNSUPPORTED, "JPEG: %d bits per sample are not read",
                          precision);
    return STATUS_OK;
}

/* off, len: the segment's content. */
static status scan_sof(struct source *s, int marker, uint64_t off, uint32_t len,
                       struct jpeg_scan *js, struct errmsg *e)
{
    const uint8_t *p;
    struct image_info *i = &js->h->info;
    if (len < 6 || js->components)
        return errmsg_set(e, STATUS_CORRUPT, "JPEG: a damaged frame header");
    status st = source_at(s, off, 6, &p, e);
    if (!st)
        st = check_sof(marker, p[0], e);
    if (st)
        return st;
    js->arithmetic = marker >= MARKER_SOF0 + 9;
    js->components = p[5];
    i->height = (int)read_be16(p + 1);
    i->width = (int)read_be16(p + 3);
    i->source_bits = p[0];
    i->channels = js->components == 1 ? 1 : 3;
    if (len != 6 + 3 * (uint32_t)js->components)
        return errmsg_set(e, STATUS_CORRUPT, "JPEG: a damaged frame header");
    if (js->components != 1 && js->components != 3 && js->components != 4)
        return errmsg_set(e, STATUS_UNSUPPORTED, "JPEG: %d components are not read",
                          js->components);
    if (i->height == 0)
        return errmsg_set(e, STATUS_UNSUPPORTED, "JPEG: no height in the header");
    return STATUS_OK;
}

/* Whether the content begins with name. */
static status has_name(struct source *s, uint64_t off, uint32_t len, const void *name, size_t n,
                       bool *out, struct errmsg *e)
{
    const uint8_t *p;
    *out = false;
    if (len < n)
        return STATUS_OK;
    status st = source_at(s, off, n, &p, e);
    if (!st)
        *out = memcmp(p, name, n) == 0;
    return st;
}

static status scan_app1(struct source *s, uint64_t off, uint32_t len, struct jpeg_scan *js,
                        struct errmsg *e)
{
    bool exif, xmp;
    status st = has_name(s, off, len, exif_name, sizeof exif_name, &exif, e);
    if (!st)
        st = has_name(s, off, len, xmp_name, sizeof xmp_name, &xmp, e);
    bool first = js->n_app1 == 0; /* the only one that OpenCV looks at, whatever it holds */
    if (st || !(exif || xmp || first) || js->n_app1 == MAX_APP1)
        return st;
    int *orientation = &js->h->info.orientation, found = 0;
    if (exif && *orientation == 0)
        st = exif_orientation(s, off, len, &found);
    if (found)
        *orientation = found;
    js->n_app1++;
    header_add_piece(js->h, off - 4, len + 4, PIECE_ORIENTATION);
    return st;
}

static status scan_app2(struct source *s, uint64_t off, uint32_t len, struct jpeg_scan *js,
                        struct errmsg *e)
{
    bool found;
    status st = has_name(s, off, len, icc_name, sizeof icc_name, &found, e);
    if (st || !found)
        return st;
    if (js->n_icc++ == MAX_ICC) /* more than their numbers can count */
        header_drop_color(js->h);
    header_add_piece(js->h, off - 4, len + 4, PIECE_COLOR);
    return STATUS_OK;
}

static status scan_segment(struct source *s, int marker, uint64_t *off, struct jpeg_scan *js,
                           struct errmsg *e)
{
    const uint8_t *p;
    status st = source_at(s, *off, 2, &p, e);
    if (st)
        return st;
    uint32_t len = read_be16(p);
    bool skipped = (marker >= MARKER_APP0 && marker <= MARKER_APP15) || marker == MARKER_COM;
    if (len < 2 && skipped)
        len = 2; /* as libjpeg and PIL have it */
    if (len < 2 || len > s->size - *off)
        return errmsg_set(e, STATUS_CORRUPT, "JPEG: a damaged segment length");
    uint64_t content = *off + 2;
    *off += len;
    if (marker == MARKER_APP1)
        return scan_app1(s, content, len - 2, js, e);
    if (marker == MARKER_APP2)
        return scan_app2(s, content, len - 2, js, e);
    if (marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT &&
        marker != MARKER_DAC && marker != MARKER_JPG)
        return scan_sof(s, marker, content, len - 2, js, e);
    return STATUS_OK;
}

/* Huffman codes spend at least a bit on each unit of coding, which has at most 32x32 pixels. */
static uint64_t least_bytes(const struct image_info *i)
{
    return (((uint64_t)i->width + 31) / 32) * (((uint64_t)i->height + 31) / 32) / 8;
}

uint64_t image_jpeg_max_scans(const struct image_info *info)
{
    enum { MAX_SCANS = 100 };
    uint64_t small = ((uint64_t)1 << 20) / ((uint64_t)info->width * (uint64_t)info->height);
    return MAX_SCANS * (small > 1 ? small : 1);
}

status image_jpeg_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct jpeg_scan js = {.h = out};
    uint64_t off = 2; /* behind SOI */
    int marker = 0;
    for (;;) {
        status st = read_marker(s, &off, &marker, e);
        if (st)
            return st;
        if (marker == MARKER_SOS)
            break;
        if (marker == MARKER_TEM || (marker >= MARKER_RST0 && marker <= MARKER_RST7))
            continue; /* these have no content */
        if (marker < MARKER_SOF0 || marker == MARKER_SOI || marker == MARKER_EOI ||
            marker == MARKER_JPG || marker == MARKER_DHP || marker == MARKER_EXP ||
            (marker > MARKER_APP15 && marker != MARKER_COM))
            return errmsg_set(e, STATUS_CORRUPT, "JPEG: marker %02x in the header", marker);
        st = scan_segment(s, marker, &off, &js, e);
        if (st)
            return st;
    }
    if (!js.components)
        return errmsg_set(e, STATUS_CORRUPT, "JPEG: image data without a frame header");
    if (js.components == 4) /* a profile for inks would be wrong for the RGB we write */
        header_drop_color(out);
    out->info.header_bytes = (size_t)off;
    if (!js.arithmetic)
        out->least_bytes = least_bytes(&out->info);
    return STATUS_OK;
}
