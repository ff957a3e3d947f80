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
/* A line of one point is drawn as a dot. x values are whole numbers, and the x axis begins at 0.
   With percent, y is 0 to 1 and its axis runs from 0 to 100 %; otherwise it runs from 0 (or the
   least value, if that is lower) to the largest. A line without points is not in the legend, and no
   other line gets its colour. There are eight colours. The page's style must hold
   train_html_chart_style. */
struct chart {
    const char *title, *x_label;
    bool percent;
    const struct chart_line *line;
    int n;
};
void train_html_chart(struct html *h, const struct chart *c);
extern const char train_html_chart_style[];

#endif
