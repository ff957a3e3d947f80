#include "shown.h"

#include "seam.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "banned.h"

size_t text_utf8_len(const char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)s;
    size_t len = u[0] < 0x80       ? 1
                 : u[0] >> 5 == 6  ? 2
                 : u[0] >> 4 == 14 ? 3
                 : u[0] >> 3 == 30 ? 4
                                   : 0;
    if (len <= 1)
        return len;
    uint32_t c = u[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static uint32_t code_point(const char *s, size_t len)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t c = len == 1 ? u[0] : u[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (u[i] & 0x3f);
    return c;
}

/* Controls (Cc), line ends, and what changes the direction of writing or is not seen (but for
   the joiners that some scripts are written with). */
static int is_harmless(uint32_t c)
{
    return !(c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200b || c == 0x200e ||
             c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
             c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb));
}

const char *text_shown(const char *text, char *out, size_t size)
{
    size_t at = 0;
    while (*text) {
        char piece[4 * 4 + 1];
        size_t len = text_utf8_len(text), n = len;
        if (len && is_harmless(code_point(text, len))) {
            memcpy(piece, text, len);
        } else {
            len = len ? len : 1;
            n = 0;
            for (size_t i = 0; i < len; i++)
                n += (size_t)snprintf(piece + n, sizeof piece - n, "\\x%02x",
                                      (unsigned)(unsigned char)text[i]);
        }
        if (at + n + 1 > size)
            break;
        memcpy(out + at, piece, n);
        at += n;
        text += len;
    }
    if (size)
        out[at] = 0;
    return out;
}

char *text_shown_new(const char *text)
{
    size_t size = 4 * strlen(text) + 1;
    char *out = mem_alloc(size);
    if (out)
        text_shown(text, out, size);
    return out;
}

const char *text_bytes(uint64_t n, char out[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < ARRAY_LEN(unit); u++)
        v /= 1024;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return out;
}
