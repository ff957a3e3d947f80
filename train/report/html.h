#ifndef TRAIN_REPORT_HTML_H
#define TRAIN_REPORT_HTML_H
/* Writing HTML into a buf that remembers its first failure. */
#include "base/base.h"

struct html {
    struct buf text;
    status st; /* the first failure; later calls do nothing */
};
/* As it is: for our own tags and numbers. */
void train_html_raw(struct html *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Anybody's text, for between tags and for an attribute in quotes: escaped, and with control
   characters and bytes that are not UTF-8 as \xNN (text_shown). */
void train_html_text(struct html *h, const char *text);
void train_html_base64(struct html *h, const void *data, size_t len);
/* "84.25 %", or a dash where v is not finite. Digits behind the point. */
void train_html_percent(struct html *h, double v, int digits);

#endif
