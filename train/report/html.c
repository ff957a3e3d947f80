#include "report/html.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void train_html_raw(struct html *h, const char *fmt, ...)
{
    if (h->st)
        return;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    h->st = len < 0 ? STATUS_INVALID : buf_reserve(&h->text, (size_t)len + 1);
    if (!h->st) {
        vsnprintf(h->text.data + h->text.len, (size_t)len + 1, fmt, again);
        h->text.len += (size_t)len;
    }
    va_end(again);
    va_end(ap);
}

void train_html_text(struct html *h, const char *text)
{
    AUTO(mem_free) char *shown = text_shown_new(text);
    if (!shown)
        h->st = h->st ? h->st : STATUS_NOMEM;
    for (const char *at = shown; at && *at && !h->st; at++) {
        const char *name = *at == '&'    ? "&amp;"
                           : *at == '<'  ? "&lt;"
                           : *at == '>'  ? "&gt;"
                           : *at == '"'  ? "&quot;"
                           : *at == '\'' ? "&#39;"
                                         : NULL;
        h->st = name ? buf_add(&h->text, name, strlen(name)) : buf_add(&h->text, at, 1);
    }
}

void train_html_base64(struct html *h, const void *data, size_t len)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    for (size_t i = 0; i < len && !h->st; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                     (n > 2 ? in[i + 2] : 0);
        char out[4] = {digit[v >> 18], digit[v >> 12 & 63], n > 1 ? digit[v >> 6 & 63] : '=',
                       n > 2 ? digit[v & 63] : '='};
        h->st = buf_add(&h->text, out, sizeof out);
    }
}

void train_html_percent(struct html *h, double v, int digits)
{
    if (isfinite(v))
        train_html_raw(h, "%.*f %%", digits, 100 * v);
    else
        train_html_raw(h, "\xe2\x80\x93");
}
