#ifndef TRAIN_HTML_H
#define TRAIN_HTML_H
/* Writing HTML into a buf that remembers its first failure, and line charts as inline SVG. */
#include "base/base.h"

#include <stdbool.h>

struct html {
    struct buf text;
    status st; /* the first failure; later calls do nothing */
};
void train_html_raw(struct html *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
void train_html_text(struct html *h, const char *text); /* escaped */
void train_html_base64(struct html *h, const void *data, size_t len);

struct chart_line {
    const char *name;
    const double *x, *y; /* (n); y NAN: not drawn */
    int n;
};
/* What there is one of is a dot. x are whole numbers, and the axis runs over all of them from 0;
   percent: y are parts of 1 and that axis runs from 0 to 100 %, else from 0 (or what is below it)
   up to the largest. A line without a point keeps its colour for itself and is not named. Eight
   lines have colours of their own. The page's style must hold train_html_chart_style. */
struct chart {
    const char *title, *x_label;
    bool percent;
    const struct chart_line *line;
    int n;
};
void train_html_chart(struct html *h, const struct chart *c);
extern const char train_html_chart_style[];

#endif
