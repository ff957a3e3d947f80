/* What test images were taken for: accuracy by class, and confusion matrices; of runs that differ in
   the seed alone the sums. */
#include "report/matrix.h"

#include "png.h"

#include <math.h>

/* Larger matrices are pictures: nobody reads ten thousand numbers. */
enum { CELLS_SHOWN = 30 };

/* ---- accuracy by class ---- */

static void shade(struct html *h, double v)
{
    if (isfinite(v))
        train_html_raw(h, "<td%s style=\"background:rgba(0,114,178,%.2f)\">",
                       v > .85 ? " class=\"deep\"" : "", v);
    else
        train_html_raw(h, "<td>");
}

/* One table for all groups of the same classes; `first` is the first of these. */
static void put_accuracy(struct html *h, const struct report *r, const struct report_matrix *m,
                         int first)
{
    train_html_raw(h, "<div class=\"wide\"><table class=\"sort\"><caption>Accuracy by class"
                      "</caption><thead><tr><th>class</th>");
    for (int g = first; g < r->n_groups; g++)
        if (m[g].classes && report_matrix_alike(&m[first], &m[g])) {
            train_html_raw(h, "<th>");
            train_html_text(h, r->group[g].label);
            train_html_raw(h, "</th>");
        }
    train_html_raw(h, "</tr></thead><tbody>\n");
    for (int k = 0; k < m[first].classes; k++) {
        train_html_raw(h, "<tr><td>");
        report_matrix_name(h, &m[first], k);
        train_html_raw(h, "</td>");
        for (int g = first; g < r->n_groups; g++) {
            if (!m[g].classes || !report_matrix_alike(&m[first], &m[g]))
                continue;
            double v = report_matrix_share(&m[g], k, k);
            shade(h, v);
            train_html_percent(h, v, 1);
            train_html_raw(h, "</td>");
        }
        train_html_raw(h, "</tr>\n");
    }
    train_html_raw(h, "</tbody></table></div>\n");
}

/* ---- matrices ---- */

static void put_numbers(struct html *h, const struct report_matrix *m)
{
    train_html_raw(h, "<div class=\"wide\"><table class=\"matrix\"><tr><th>is \\ taken for</th>");
    for (int j = 0; j < m->classes; j++) {
        train_html_raw(h, "<th>");
        report_matrix_name(h, m, j);
        train_html_raw(h, "</th>");
    }
    train_html_raw(h, "</tr>\n");
    for (int k = 0; k < m->classes; k++) {
        train_html_raw(h, "<tr><th>");
        report_matrix_name(h, m, k);
        train_html_raw(h, "</th>");
        for (int j = 0; j < m->classes; j++) {
            shade(h, report_matrix_share(m, k, j));
            train_html_raw(h, "%lld</td>", (long long)report_matrix_at(m, k, j));
        }
        train_html_raw(h, "</tr>\n");
    }
    train_html_raw(h, "</table></div>\n");
}

/* A pixel a cell, from white (none of the row) to blue (all of it). */
static status put_picture(struct html *h, const struct report_matrix *m, struct errmsg *e)
{
    static const int full[3] = {0, 114, 178};
    AUTO(image_done) struct image img = IMAGE_INIT;
    AUTO(buf_done) struct buf png = BUF_INIT((size_t)1 << 28);
    status st = image_alloc(m->classes, m->classes, 3, false, &img);
    if (st)
        return st;
    for (int k = 0; k < m->classes; k++) {
        double sum = (double)report_matrix_row(m, k);
        for (int j = 0; j < m->classes; j++) {
            double v = sum > 0 ? (double)report_matrix_at(m, k, j) / sum : 0;
            for (int c = 0; c < 3; c++)
                img.pixels[((size_t)k * (size_t)m->classes + (size_t)j) * 3 + (size_t)c] =
                    (uint8_t)(255 - sqrt(v) * (255 - full[c]));
        }
    }
    st = train_png_bytes(&img, &png, e);
    if (st)
        return st;
    train_html_raw(h,
                   "<p class=\"note\">A row for each class, from the top; a column for each that "
                   "it was taken for. The deeper, the larger the part of the row (by its square "
                   "root).</p><img class=\"matrix\" alt=\"confusion matrix\" "
                   "src=\"data:image/png;base64,");
    train_html_base64(h, png.data, png.len);
    train_html_raw(h, "\"/>\n");
    return STATUS_OK;
}

static status put_matrix(struct html *h, const struct report *r, const struct report_matrix *m,
                         int g, struct errmsg *e)
{
    int64_t images = 0;
    for (int k = 0; k < m[g].classes; k++)
        images += report_matrix_row(&m[g], k);
    train_html_raw(h, "<details><summary>Confusion matrix: ");
    train_html_text(h, r->group[g].label);
    train_html_raw(h, " <small>%lld images%s</small></summary>\n", (long long)images,
                   r->group[g].n > 1 ? ", of all runs together" : "");
    status st = STATUS_OK;
    if (m[g].classes <= CELLS_SHOWN)
        put_numbers(h, &m[g]);
    else
        st = put_picture(h, &m[g], e);
    train_html_raw(h, "</details>\n");
    return st;
}

static status put_all(struct html *h, const struct report *r, const struct report_matrix *m,
                      struct errmsg *e)
{
    status st = STATUS_OK;
    train_html_raw(h, "<section id=\"classes\"><h2>Classes</h2>\n");
    for (int g = 0; g < r->n_groups; g++) {
        bool again = false;
        for (int k = 0; k < g; k++)
            again = again || (m[k].classes && report_matrix_alike(&m[k], &m[g]));
        if (m[g].classes && !again)
            put_accuracy(h, r, m, g);
    }
    for (int g = 0; g < r->n_groups && !st; g++)
        if (m[g].classes)
            st = put_matrix(h, r, m, g, e);
    train_html_raw(h, "</section>\n");
    return st;
}

status report_classes(struct html *h, const struct report *r, struct errmsg *e)
{
    AUTO(mem_free) struct report_matrix *m = mem_zalloc((size_t)r->n_groups, sizeof *m);
    status st = m ? STATUS_OK : STATUS_NOMEM;
    bool any = false;
    for (int i = 0; i < r->n && !st; i++) {
        st = report_matrix_add(&m[r->run[i].group], &r->run[i]);
        any = any || m[r->run[i].group].classes;
    }
    if (!st && any)
        st = put_all(h, r, m, e);
    for (int g = 0; g < r->n_groups && m; g++)
        mem_free(m[g].cell);
    return st;
}
