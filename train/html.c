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

enum { CHART_W = 640, CHART_H = 320, LEFT = 52, RIGHT = 16, TOP = 12, BOTTOM = 40, COLOURS = 8 };

/* Distinguishable also with the common kinds of colour blindness (Okabe & Ito); the two that are
   none of their own follow the page, which may be light or dark. */
const char train_html_chart_style[] =
    "svg{max-width:100%;height:auto}svg text{font-size:12px;fill:currentColor;opacity:.75}"
    "svg .g{stroke:currentColor;opacity:.15}svg polyline{fill:none;stroke-width:2}"
    ".c0{color:#0072b2}.c1{color:#d55e00}.c2{color:#009e73}.c3{color:#cc79a7}"
    ".c4{color:#e69f00}.c5{color:#56b4e9}.c6{color:inherit}.c7{color:#888}"
    "polyline,circle{stroke:currentColor}circle{fill:currentColor}"
    "figure{margin:1.5em 0}figcaption{font-weight:600}.key{list-style:none;padding:0}"
    ".key li{display:inline-block;margin-right:1.2em}.key i{display:inline-block;width:1em;"
    "height:.3em;margin-right:.4em;vertical-align:middle;background:currentColor}";

struct axis {
    double lo, hi, step; /* a mark at lo, lo + step, ... */
};

/* 1, 2 or 5 times a power of ten, so that at most `marks` of them cover the span. */
static double nice_step(double span, int marks)
{
    double raw = span / marks, power = pow(10, floor(log10(raw))), part = raw / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static struct axis axis_over(double lo, double hi, int marks, bool whole)
{
    if (!(hi > lo))
        hi = lo + 1;
    double step = nice_step(hi - lo, marks);
    step = whole && step < 1 ? 1 : step;
    double from = floor(lo / step) * step;
    /* The last epoch ends the axis, marked or not; other axes end with a mark. */
    return (struct axis){from, whole ? hi : ceil(hi / step - 1e-9) * step, step};
}

static double across(struct axis x, double v)
{
    return LEFT + (v - x.lo) / (x.hi - x.lo) * (CHART_W - LEFT - RIGHT);
}

static double down(struct axis y, double v)
{
    return CHART_H - BOTTOM - (v - y.lo) / (y.hi - y.lo) * (CHART_H - TOP - BOTTOM);
}

static int marks_on(struct axis a)
{
    return (int)floor((a.hi - a.lo) / a.step + 1e-9) + 1;
}

static void draw_axes(struct html *h, struct axis x, struct axis y, const struct chart *c)
{
    for (int i = 0; i < marks_on(y); i++) {
        double v = y.lo + i * y.step;
        train_html_raw(h,
                       "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g%s</text>\n",
                       LEFT, CHART_W - RIGHT, down(y, v), down(y, v), LEFT - 6, down(y, v) + 4,
                       c->percent ? 100 * v : v, c->percent ? " %" : "");
    }
    for (int i = 0; i < marks_on(x); i++) {
        double v = x.lo + i * x.step;
        train_html_raw(h, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
                       across(x, v), CHART_H - BOTTOM + 18, v);
    }
    train_html_raw(h, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                   (CHART_W - RIGHT + LEFT) / 2, CHART_H - 4);
    train_html_text(h, c->x_label);
    train_html_raw(h, "</text>\n");
}

static int count_finite(const struct chart_line *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++)
        n += isfinite(l->y[i]);
    return n;
}

/* Where there are few points, dots mark them: a single one is seen, and where measurements were. */
static void draw_line(struct html *h, struct axis x, struct axis y, const struct chart_line *l,
                      int colour)
{
    enum { DOTS_MAX = 20 };
    int n = count_finite(l);
    train_html_raw(h, "<g class=\"c%d\">", colour);
    if (n > 1)
        train_html_raw(h, "<polyline points=\"");
    for (int i = 0; i < l->n && n > 1; i++)
        if (isfinite(l->y[i]))
            train_html_raw(h, "%.1f,%.1f ", across(x, l->x[i]), down(y, l->y[i]));
    if (n > 1)
        train_html_raw(h, "\"/>");
    for (int i = 0; i < l->n && n <= DOTS_MAX; i++)
        if (isfinite(l->y[i]))
            train_html_raw(h, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"/>", across(x, l->x[i]),
                           down(y, l->y[i]), n == 1 ? 4 : 2);
    train_html_raw(h, "</g>\n");
}

static void fit(const struct chart *c, struct axis *out_x, struct axis *out_y)
{
    enum { MARKS_X = 10, MARKS_Y = 5 };
    double last = 1, lo = 0, hi = -INFINITY;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->line[i].n; k++) {
            /* An epoch that measured nothing is one all the same. */
            last = c->line[i].x[k] > last ? c->line[i].x[k] : last;
            if (!isfinite(c->line[i].y[k]))
                continue;
            lo = c->line[i].y[k] < lo ? c->line[i].y[k] : lo;
            hi = c->line[i].y[k] > hi ? c->line[i].y[k] : hi;
        }
    *out_x = axis_over(0, last, MARKS_X, true);
    *out_y = c->percent ? (struct axis){0, 1, .2} : axis_over(lo, hi, MARKS_Y, false);
}

void train_html_chart(struct html *h, const struct chart *c)
{
    struct axis x, y;
    fit(c, &x, &y);
    train_html_raw(h, "<figure><figcaption>");
    train_html_text(h, c->title);
    train_html_raw(
        h,
        "</figcaption><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
        "aria-label=\"",
        CHART_W, CHART_H, CHART_W, CHART_H);
    train_html_text(h, c->title);
    train_html_raw(h, "\">\n");
    draw_axes(h, x, y, c);
    for (int i = 0; i < c->n; i++)
        draw_line(h, x, y, &c->line[i], i % COLOURS);
    train_html_raw(h, "</svg><ul class=\"key\">");
    for (int i = 0; i < c->n; i++) {
        if (!count_finite(&c->line[i]))
            continue;
        train_html_raw(h, "<li><i class=\"c%d\"></i>", i % COLOURS);
        train_html_text(h, c->line[i].name);
        train_html_raw(h, "</li>");
    }
    train_html_raw(h, "</ul></figure>\n");
}
