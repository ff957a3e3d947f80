#ifndef TRAIN_HTML_H
#define TRAIN_HTML_H
/* Writing HTML into a buf that remembers its first failure, and line charts as inline SVG. */
#include "base/base.h"

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
/* Axes fit the data; at most eight lines have colours of their own. */
void train_html_chart(struct html *h, const char *title, const char *x_label,
                      const struct chart_line *line, int n);

#endif
