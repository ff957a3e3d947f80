/* The part of the page that shows images: contact sheets, with names of the rows and how near these
   are to the clean images. */
#include "report/report.h"
#include "report/sheet.h"

#include <math.h>
#include <string.h>

static const char *const rows[TRAIN_SHEET_ROWS] = {
    [TRAIN_SHEET_CLEAN] = "clean",
    [TRAIN_SHEET_PROTECTED] = "protected",
    [TRAIN_SHEET_PURIFIED] = "purified",
    [TRAIN_SHEET_ADDED] = "what protection added, \xc3\x97"
                          "8",
    [TRAIN_SHEET_LEFT] = "what purification left of it, \xc3\x97"
                         "8",
};

static void put_nearness(struct html *h, const struct train_sheet *s, int row)
{
    const struct train_nearness *n = &s->near[row];
    if (isinf(n->psnr_db))
        train_html_raw(h, "<small>equal to the clean images</small>");
    else
        train_html_raw(h, "<small>PSNR %.2f dB</small>", n->psnr_db);
    if (isfinite(n->ssim))
        train_html_raw(h, "<small>SSIM %.4f</small>", n->ssim);
    if (*s->distance && isfinite(n->lpips)) {
        train_html_raw(h, "<small>");
        train_html_text(h, s->distance);
        train_html_raw(h, " %.4f</small>", n->lpips);
    }
}

static void put_row(struct html *h, const struct train_sheet *s, int row)
{
    train_html_raw(h, "<tr><th>%s", rows[row]);
    if (row == TRAIN_SHEET_PROTECTED || row == TRAIN_SHEET_PURIFIED)
        put_nearness(h, s, row);
    train_html_raw(h, "</th><td><img alt=\"%s\" src=\"data:image/png;base64,", rows[row]);
    train_html_base64(h, s->png[row].data, s->png[row].len);
    train_html_raw(h, "\"/></td></tr>\n");
}

static status put_sheet(struct html *h, const struct report *r, const struct train_report_sheet *of,
                        struct errmsg *e)
{
    struct train_sheet s = {.columns = 0};
    status st = train_sheet_make(of, r->opt->sheet_columns, r->opt->lpips_file, &s, e);
    if (!st) {
        train_html_raw(h, "<div class=\"wide\"><table class=\"sheet\"><caption>");
        train_html_text(h, of->purified_dir);
        train_html_raw(h, "</caption>\n");
        for (int row = 0; row < TRAIN_SHEET_ROWS; row++)
            put_row(h, &s, row);
        train_html_raw(h,
                       "</table></div>\n<p class=\"note\">PSNR and SSIM are against the clean "
                       "row, over these %d images as they are stored. Differences are shown "
                       "around grey.</p>\n",
                       s.columns);
    }
    train_sheet_done(&s);
    return st;
}

status report_sheets(struct html *h, const struct report *r, struct errmsg *e)
{
    status st = STATUS_OK;
    if (!r->opt->n_sheets)
        return STATUS_OK;
    train_html_raw(h, "<section id=\"images\"><h2>What images look like</h2>\n");
    for (int i = 0; i < r->opt->n_sheets && !st; i++)
        st = put_sheet(h, r, &r->opt->sheets[i], e);
    train_html_raw(h, "</section>\n");
    return st;
}
