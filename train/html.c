#include "html.h"

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
    for (; *text && !h->st; text++) {
        const char *name = *text == '&'   ? "&amp;"
                           : *text == '<' ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '"' ? "&quot;"
                                          : NULL;
        h->st = name ? buf_add(&h->text, name, strlen(name)) : buf_add(&h->text, text, 1);
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

/* ---- charts ---- */

enum { CHART_W = 640, CHART_H = 320, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 36, TICKS = 5 };

/* Distinguishable also with the common kinds of colour blindness (Okabe & Ito). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#999999"};

struct range {
    double lo, hi;
};

static void widen(struct range *r, double v)
{
    if (!isfinite(v))
        return;
    r->lo = v < r->lo ? v : r->lo;
    r->hi = v > r->hi ? v : r->hi;
}

static struct range fit(struct range r)
{
    if (!(r.lo <= r.hi))
        return (struct range){0, 1};
    if (r.lo == r.hi)
        return (struct range){r.lo - .5, r.hi + .5};
    return r;
}

static double across(struct range r, double v)
{
    return LEFT + (v - r.lo) / (r.hi - r.lo) * (CHART_W - LEFT - RIGHT);
}

static double down(struct range r, double v)
{
    return CHART_H - BOTTOM - (v - r.lo) / (r.hi - r.lo) * (CHART_H - TOP - BOTTOM);
}

static void axes(struct html *h, struct range x, struct range y, const char *x_label)
{
    for (int i = 0; i <= TICKS; i++) {
        double vy = y.lo + (y.hi - y.lo) * i / TICKS, vx = x.lo + (x.hi - x.lo) * i / TICKS;
        train_html_raw(h,
                       "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>"
                       "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g</text>\n",
                       LEFT, CHART_W - RIGHT, down(y, vy), down(y, vy), LEFT - 6, down(y, vy) + 4,
                       vy, across(x, vx), CHART_H - BOTTOM + 16, vx);
    }
    train_html_raw(h, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (CHART_W + LEFT) / 2,
                   CHART_H - 4);
    train_html_text(h, x_label);
    train_html_raw(h, "</text>\n");
}

static void polyline(struct html *h, struct range x, struct range y, const struct chart_line *l,
                     const char *colour)
{
    train_html_raw(h, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (int i = 0; i < l->n; i++)
        if (isfinite(l->y[i]))
            train_html_raw(h, "%.1f,%.1f ", across(x, l->x[i]), down(y, l->y[i]));
    train_html_raw(h, "\"/>\n");
}

void train_html_chart(struct html *h, const char *title, const char *x_label,
                      const struct chart_line *line, int n)
{
    struct range x = {INFINITY, -INFINITY}, y = x;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < line[i].n; k++)
            if (isfinite(line[i].y[k])) {
                widen(&x, line[i].x[k]);
                widen(&y, line[i].y[k]);
            }
    x = fit(x);
    y = fit(y);
    train_html_raw(h, "<figure><figcaption>");
    train_html_text(h, title);
    train_html_raw(
        h, "</figcaption><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n",
        CHART_W, CHART_H, CHART_W, CHART_H);
    axes(h, x, y, x_label);
    for (int i = 0; i < n; i++)
        polyline(h, x, y, &line[i], colours[(size_t)i % ARRAY_LEN(colours)]);
    train_html_raw(h, "</svg><ul class=\"key\">");
    for (int i = 0; i < n; i++) {
        train_html_raw(h, "<li><i style=\"background:%s\"></i>",
                       colours[(size_t)i % ARRAY_LEN(colours)]);
        train_html_text(h, line[i].name);
        train_html_raw(h, "</li>");
    }
    train_html_raw(h, "</ul></figure>\n");
}
