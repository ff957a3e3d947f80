#ifndef TRAIN_REPORT_CHART_H
#define TRAIN_REPORT_CHART_H
/*
 * Line charts as inline SVG, in a figure. Lines carry their values (data-v, "x,y x,y ..."), and the
 * chart its axes, from which the page's script says what lies under the pointer; without a script
 * the chart is all there.
 */
#include "report/html.h"

#include <stdbool.h>

struct chart_line {
    const char *name;
    const double *x, *y; /* (n); y NAN: not drawn */
    int n;
    int key; /* the row of the legend, which says colour and dashes */
};
/*
 * A line of one point is drawn as a dot. x values are whole numbers, and the x axis begins at 0.
 * With CHART_PERCENT, y is 0 to 1 and its axis runs from 0 to 100 %; with CHART_LOG it runs over
 * whole decades, and values that are not positive are not drawn; otherwise from 0 (or the least
 * value, if that is lower) to the largest. Keys are told apart by eight colours, then by how lines
 * are dashed. The page's style must hold train_chart_style.
 */
enum chart_scale { CHART_LINEAR, CHART_PERCENT, CHART_LOG };
struct chart {
    const char *title, *x_label;
    enum chart_scale scale;
    const struct chart_line *line;
    int n;
};
void train_chart(struct html *h, const struct chart *c);
/* Classes of what has the colour and the dashes of a key: "c0 d0". */
void train_chart_key(struct html *h, int key);
extern const char train_chart_style[];

#endif
