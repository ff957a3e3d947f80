#include "report/chart.h"

#include <math.h>
#include <string.h>

/* Of a size that a phone shows as it is, so that its text stays readable there. */
enum { CHART_W = 420, CHART_H = 260, LEFT = 52, RIGHT = 14, TOP = 12, BOTTOM = 40 };
enum { COLOURS = 8, DASHES = 5 };

/* Distinguishable also with the common kinds of colour blindness (after Okabe & Ito), each at
   least 3:1 against its page, which may be light or dark. */
const char train_chart_style[] =
    "svg{max-width:100%;height:auto;touch-action:pan-y}"
    "svg text{font-size:12px;fill:currentColor;opacity:.8}"
    "svg .g{stroke:currentColor;opacity:.18}svg polyline{fill:none;stroke-width:1.8}"
    "svg .cross{stroke:currentColor;opacity:.5}"
    ".c0{color:#0072b2}.c1{color:#d55e00}.c2{color:#00805c}.c3{color:#b4538a}"
    ".c4{color:#9a6a00}.c5{color:#2a85bd}.c6{color:#333}.c7{color:#7a55c7}"
    "@media(prefers-color-scheme:dark){.c0{color:#4ea3dc}.c1{color:#f28444}.c2{color:#35b88d}"
    ".c3{color:#dd92bd}.c4{color:#e6a92c}.c5{color:#8ccdf2}.c6{color:#ddd}.c7{color:#b49bf0}}"
    ".d1 polyline{stroke-dasharray:7 3}.d2 polyline{stroke-dasharray:2 3}"
    ".d3 polyline{stroke-dasharray:9 3 2 3}.d4 polyline{stroke-dasharray:14 5}"
    "svg polyline,svg circle{stroke:currentColor}svg circle{fill:currentColor}"
    "svg.some .l{opacity:.12}svg.some .l.on{opacity:1}svg .l.on polyline{stroke-width:3}";

struct axis {
    double lo, hi, step; /* a mark at lo, lo + step, ...; of a logarithm: decades */
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

static bool is_drawn(const struct chart *c, double v)
{
    return isfinite(v) && (c->scale != CHART_LOG || v > 0);
}

/* Where v lies on the y axis. */
static double level(const struct chart *c, double v)
{
    return c->scale == CHART_LOG ? log10(v) : v;
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
                       c->scale == CHART_PERCENT ? 100 * v
                       : c->scale == CHART_LOG   ? pow(10, v)
                                                 : v,
                       c->scale == CHART_PERCENT ? " %" : "");
    }
    for (int i = 0; i < marks_on(x); i++) {
        double v = x.lo + i * x.step;
        train_html_raw(h, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
                       across(x, v), CHART_H - BOTTOM + 18, v);
    }
    train_html_raw(h, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                   (CHART_W - RIGHT + LEFT) / 2, CHART_H - 5);
    train_html_text(h, c->x_label);
    train_html_raw(h, "</text>\n");
}

static int count_drawn(const struct chart *c, const struct chart_line *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++)
        n += is_drawn(c, l->y[i]);
    return n;
}

void train_chart_key(struct html *h, int key)
{
    train_html_raw(h, "c%d d%d", key % COLOURS, key / COLOURS % DASHES);
}

/* Where there are few points, dots mark them: a single one is seen, and where measurements were. */
static void draw_line(struct html *h, struct axis x, struct axis y, const struct chart *c,
                      const struct chart_line *l)
{
    enum { DOTS_MAX = 20 };
    int n = count_drawn(c, l);
    if (!n)
        return;
    train_html_raw(h, "<g class=\"l ");
    train_chart_key(h, l->key);
    train_html_raw(h, "\" data-k=\"%d\" data-n=\"", l->key);
    train_html_text(h, l->name);
    train_html_raw(h, "\" data-v=\"");
    for (int i = 0; i < l->n; i++)
        if (is_drawn(c, l->y[i]))
            train_html_raw(h, "%.6g,%.6g ", l->x[i], l->y[i]);
    train_html_raw(h, "\"><title>");
    train_html_text(h, l->name);
    train_html_raw(h, "</title>");
    if (n > 1)
        train_html_raw(h, "<polyline points=\"");
    for (int i = 0; i < l->n && n > 1; i++)
        if (is_drawn(c, l->y[i]))
            train_html_raw(h, "%.1f,%.1f ", across(x, l->x[i]), down(y, level(c, l->y[i])));
    if (n > 1)
        train_html_raw(h, "\"/>");
    for (int i = 0; i < l->n && n <= DOTS_MAX; i++)
        if (is_drawn(c, l->y[i]))
            train_html_raw(h, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"/>", across(x, l->x[i]),
                           down(y, level(c, l->y[i])), n == 1 ? 4 : 2);
    train_html_raw(h, "</g>\n");
}

static void fit(const struct chart *c, struct axis *out_x, struct axis *out_y)
{
    enum { MARKS_X = 8, MARKS_Y = 5 };
    double last = 1, lo = c->scale == CHART_LOG ? INFINITY : 0, hi = -INFINITY;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->line[i].n; k++) {
            /* An epoch that measured nothing is one all the same. */
            last = c->line[i].x[k] > last ? c->line[i].x[k] : last;
            if (!is_drawn(c, c->line[i].y[k]))
                continue;
            double v = level(c, c->line[i].y[k]);
            lo = v < lo ? v : lo;
            hi = v > hi ? v : hi;
        }
    *out_x = axis_over(0, last, MARKS_X, true);
    if (c->scale == CHART_PERCENT)
        *out_y = (struct axis){0, 1, .2};
    else if (c->scale == CHART_LOG)
        *out_y =
            hi > lo ? (struct axis){floor(lo + 1e-9), ceil(hi - 1e-9), 1} : (struct axis){-1, 0, 1};
    else
        *out_y = axis_over(lo, hi, MARKS_Y, false);
}

void train_chart(struct html *h, const struct chart *c)
{
    static const char *const scales[] = {"linear", "percent", "log"};
    struct axis x, y;
    fit(c, &x, &y);
    train_html_raw(h, "<figure class=\"chart\"><figcaption>");
    train_html_text(h, c->title);
    train_html_raw(h,
                   "</figcaption><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\""
                   " data-scale=\"%s\" data-x=\"%g,%g,%d,%d\" data-y=\"%g,%g,%d,%d\" aria-label=\"",
                   CHART_W, CHART_H, CHART_W, CHART_H, scales[c->scale], x.lo, x.hi, LEFT,
                   CHART_W - RIGHT, y.lo, y.hi, CHART_H - BOTTOM, TOP);
    train_html_text(h, c->title);
    train_html_raw(h, "\">\n");
    draw_axes(h, x, y, c);
    for (int i = 0; i < c->n; i++)
        draw_line(h, x, y, c, &c->line[i]);
    train_html_raw(h, "</svg></figure>\n");
}
