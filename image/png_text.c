#include "png_text.h"

#include <ctype.h>
#include <string.h>
#include <zlib.h>

/* Decompresses text in place; false when it is damaged. */
static bool inflate_text(struct buf *text)
{
    struct buf out = BUF_INIT(PNG_TEXT_MAX);
    z_stream z = {.next_in = (Bytef *)text->data, .avail_in = (uInt)text->len};
    if (buf_reserve(&out, PNG_TEXT_MAX) || inflateInit(&z) != Z_OK) {
        buf_done(&out);
        return false;
    }
    z.next_out = (Bytef *)out.data;
    z.avail_out = PNG_TEXT_MAX;
    int code = inflate(&z, Z_FINISH);
    out.len = PNG_TEXT_MAX - z.avail_out;
    inflateEnd(&z);
    buf_done(text);
    *text = out;
    return code == Z_STREAM_END;
}

/* The number of bytes of the head that stand between a text's key (with its zero) and its value:
   per type; sets *out_packed. -1: it is malformed. */
static int text_head(const char *type, const uint8_t *p, size_t len, bool *out_packed)
{
    *out_packed = type[0] == 'z';
    if (type[0] == 't')
        return 0;
    if (type[0] == 'z')
        return len >= 1 && p[0] == 0 ? 1 : -1;
    const uint8_t *language = len >= 2 ? memchr(p + 2, 0, len - 2) : NULL;
    size_t at = language ? (size_t)(language + 1 - p) : 0;
    const uint8_t *translated = language ? memchr(language + 1, 0, len - at) : NULL;
    *out_packed = translated && p[0] != 0;
    if (!translated || (*out_packed && p[1] != 0))
        return -1;
    return (int)(translated + 1 - p);
}

status png_text_value(struct source *s, const struct png_chunk *c, size_t key_len, struct buf *out,
                      bool *out_good, struct errmsg *e)
{
    size_t len = c->len - key_len - 1;
    bool packed;
    if (len > PNG_TEXT_MAX)
        len = PNG_TEXT_MAX;
    status st = buf_reserve(out, len);
    if (!st)
        st = source_copy(s, c->off + PNG_CHUNK_HEAD + key_len + 1, len, (uint8_t *)out->data, e);
    if (st)
        return st;
    int head = len ? text_head(c->type, (uint8_t *)out->data, len, &packed) : -1;
    *out_good = head >= 0;
    if (!*out_good)
        return STATUS_OK;
    out->len = len - (size_t)head;
    memmove(out->data, out->data + head, out->len);
    if (packed)
        *out_good = inflate_text(out);
    return STATUS_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

void png_text_profile(struct buf *text)
{
    size_t from = 0, to = 0;
    for (int lines = 0; from < text->len && lines < 3; from++)
        lines += text->data[from] == '\n';
    int high = -1;
    for (; from < text->len; from++) {
        int digit = hex_digit(text->data[from]);
        if (digit < 0 && isspace((unsigned char)text->data[from]))
            continue;
        if (digit < 0)
            break;
        if (high >= 0)
            text->data[to++] = (char)(high << 4 | digit);
        high = high >= 0 ? -1 : digit;
    }
    text->len = to;
}

int png_text_orientation(const struct buf *text)
{
    static const char name[] = "tiff:Orientation";
    size_t n = sizeof name - 1;
    const char *p = text->data, *end = p + text->len;
    while (p && (size_t)(end - p) > n && (p = memmem(p, (size_t)(end - p), name, n))) {
        p += n;
        size_t skip = end - p >= 2 && memcmp(p, "=\"", 2) == 0 ? 2 : end - p >= 1 && *p == '>';
        if (skip && (size_t)(end - p) > skip && isdigit((unsigned char)p[skip]))
            return p[skip] >= '1' && p[skip] <= '8' ? p[skip] - '0' : 1;
    }
    return 0;
}
