#include "exif.h"

#include <stdbool.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12, MAX_ENTRIES = 512 };
enum { TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_SSHORT = 8, TYPE_SLONG = 9 }; /* PIL takes any of them */

struct tiff {
    struct source *src;
    uint64_t off, len;
    bool little;
};

static uint32_t get16(const struct tiff *t, const uint8_t *p)
{
    return t->little ? (uint32_t)p[1] << 8 | p[0] : read_be16(p);
}

static uint32_t get32(const struct tiff *t, const uint8_t *p)
{
    return t->little ? get16(t, p + 2) << 16 | get16(t, p) : read_be32(p);
}

/* n bytes at a place within the TIFF; *out stays NULL when that is outside of it. */
static status tiff_at(const struct tiff *t, uint64_t at, size_t n, const uint8_t **out)
{
    *out = NULL;
    if (at > t->len || n > t->len - at)
        return STATUS_OK;
    status st = source_at(t->src, t->off + at, n, out, NULL);
    return st == STATUS_CORRUPT ? STATUS_OK : st;
}

/* The entry of IFD0 at `at`: 0 when it is not the orientation; else its value, or 1 when that is
   not one of the eight. */
static status entry_orientation(const struct tiff *t, uint64_t at, int *out)
{
    const uint8_t *p;
    *out = 0;
    status st = tiff_at(t, at, ENTRY_BYTES, &p);
    if (st || !p || get16(t, p) != TAG_ORIENTATION)
        return st;
    uint32_t type = get16(t, p + 2), value = 0;
    if (type == TYPE_SHORT || type == TYPE_SSHORT)
        value = get16(t, p + 8);
    else if (type == TYPE_LONG || type == TYPE_SLONG)
        value = get32(t, p + 8);
    bool sound = get32(t, p + 4) == 1 && value >= 1 && value <= 8;
    *out = sound ? (int)value : 1;
    return STATUS_OK;
}

status exif_orientation(struct source *s, uint64_t off, uint64_t len, int *out)
{
    struct tiff t = {s, off, len, false};
    const uint8_t *p;
    *out = 0;
    status st = tiff_at(&t, 0, 8, &p);
    if (!st && p && memcmp(p, "Exif\0", 6) == 0) {
        t.off += 6;
        t.len -= 6;
        st = tiff_at(&t, 0, 8, &p);
    }
    if (st || !p)
        return st;
    if (memcmp(p, "II*\0", 4) == 0)
        t.little = true;
    else if (memcmp(p, "MM\0*", 4) != 0)
        return STATUS_OK;
    uint64_t ifd = get32(&t, p + 4);
    st = tiff_at(&t, ifd, 2, &p);
    if (st || !p)
        return st;
    uint32_t n = get16(&t, p);
    for (uint32_t i = 0; i < n && i < MAX_ENTRIES; i++) {
        int value;
        st = entry_orientation(&t, ifd + 2 + (uint64_t)i * ENTRY_BYTES, &value);
        if (st)
            return st;
        if (value) {
            *out = value;
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}
