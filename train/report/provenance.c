/* What exactly purified, protected and trained: what a reader needs to do it again, and to cite. */
#include "report/report.h"

#include "machine.h"

#include <string.h>

static const char *said(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

/* ---- what is the same in two runs ---- */

typedef bool (*same_fn)(const struct report_run *a, const struct report_run *b);

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_purifier(const struct report_run *a, const struct report_run *b)
{
    const json_t *p = report_purified_by(a), *q = report_purified_by(b);
    return p && q && same_text(said(p, "profile_id"), said(q, "profile_id")) &&
           same_text(said(p, "version"), said(q, "version"));
}

static bool same_protection(const struct report_run *a, const struct report_run *b)
{
    static const char prefix[] = "protection ";
    const char *key;
    json_t *value;
    if (!report_protected_by(a) || !report_protected_by(b))
        return false;
    json_object_foreach(a->facts, key, value)
    {
        if (strncmp(key, prefix, strlen(prefix)) == 0 &&
            !json_equal(value, json_object_get(b->facts, key)))
            return false;
    }
    return true;
}

static bool same_machine(const struct report_run *a, const struct report_run *b)
{
    return same_text(said(a->config, "machine"), said(b->config, "machine"));
}

static bool same_version(const struct report_run *a, const struct report_run *b)
{
    return same_text(said(a->config, "version"), said(b->config, "version"));
}

/* How many runs are the same as run i; 0 where an earlier one is. */
static int count_from(const struct report *r, int i, same_fn same)
{
    int n = 0;
    for (int k = 0; k < r->n; k++) {
        bool is = same(&r->run[k], &r->run[i]);
        if (is && k < i)
            return 0;
        n += is;
    }
    return n;
}

/* ---- parts ---- */

static void put_pair(struct html *h, const char *key, const char *value)
{
    if (!value)
        return;
    train_html_raw(h, "<dt>%s</dt><dd>", key);
    train_html_text(h, value);
    train_html_raw(h, "</dd>\n");
}

/* Text of several lines, each escaped. */
static void put_lines(struct html *h, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        AUTO(mem_free) char *line = mem_printf("%.*s", (int)n, text);
        train_html_text(h, line ? line : "");
        train_html_raw(h, "\n");
        text += n + (text[n] == '\n');
    }
}

static void put_weights(struct html *h, const json_t *list)
{
    size_t i;
    const json_t *w;
    json_array_foreach((json_t *)list, i, w)
    {
        const char *key = said(w, "key"), *file = said(w, "file"), *sha = said(w, "sha256");
        train_html_raw(h, "<dt>");
        train_html_text(h, key ? key : "model");
        train_html_raw(h, "</dt><dd>");
        train_html_text(h, file ? file : "");
        train_html_raw(h, "<br/>SHA-256 <code>");
        train_html_text(h, sha ? sha : "");
        train_html_raw(h, "</code></dd>\n");
    }
}

static void put_purifier(struct html *h, const struct report *r, int i, int n)
{
    const json_t *by = report_purified_by(&r->run[i]);
    const char *name = said(by, "profile"), *id = said(by, "profile_id"),
               *version = said(by, "version"), *text = said(by, "profile_text");
    train_html_raw(h, "<h3>What purified: ");
    train_html_text(h, name ? name : "a mount");
    train_html_raw(h, "</h3>\n<dl>");
    if (id) {
        train_html_raw(h, "<dt>profile id</dt><dd><code>");
        train_html_text(h, id);
        train_html_raw(h, "</code></dd>\n");
    }
    put_pair(h, "chain", said(by, "chain"));
    put_weights(h, json_object_get(by, "weights"));
    if (version) {
        train_html_raw(h, "<dt>version</dt><dd>relearnfs ");
        train_html_text(h, version);
        train_html_raw(h, "</dd>\n");
    }
    put_pair(h, "source", said(by, "source"));
    train_html_raw(h, "<dt>runs on it</dt><dd>%d</dd></dl>\n", n);
    if (text) {
        train_html_raw(h, "<details><summary>the whole profile</summary><pre>");
        put_lines(h, text);
        train_html_raw(h, "</pre></details>\n");
    }
}

static void put_protection(struct html *h, const struct report *r, int i, int n)
{
    const json_t *by = report_protected_by(&r->run[i]);
    const char *key;
    json_t *value;
    train_html_raw(h, "<h3>What protected: ");
    train_html_text(h, said(by, "method"));
    train_html_raw(h, "</h3>\n<dl>");
    json_object_foreach((json_t *)by, key, value)
    {
        char *text = json_is_string(value)
                         ? NULL
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        train_html_raw(h, "<dt>");
        train_html_text(h, key);
        train_html_raw(h, "</dt><dd>");
        train_html_text(h, text ? text : json_is_string(value) ? json_string_value(value) : "");
        train_html_raw(h, "</dd>\n");
        free(text);
    }
    train_html_raw(h, "<dt>runs on it</dt><dd>%d</dd></dl>\n", n);
}

static void put_distinct(struct html *h, const struct report *r, const char *key, same_fn same)
{
    for (int i = 0; i < r->n; i++) {
        int n = count_from(r, i, same);
        const char *text = said(r->run[i].config, key);
        if (!n || !text)
            continue;
        train_html_raw(h, "<dt>%s</dt><dd>", key);
        train_html_text(h, text);
        if (n < r->n)
            train_html_raw(h, " <small>%d of %d runs</small>", n, r->n);
        train_html_raw(h, "</dd>\n");
    }
}

static void put_training(struct html *h, const struct report *r)
{
    const char *first = NULL, *last = NULL;
    for (int i = 0; i < r->n; i++) {
        const char *at = r->run[i].ended;
        first = at && (!first || strcmp(at, first) < 0) ? at : first;
        last = at && (!last || strcmp(at, last) > 0) ? at : last;
    }
    train_html_raw(h, "<h3>What trained</h3>\n<dl>");
    put_distinct(h, r, "version", same_version);
    put_distinct(h, r, "machine", same_machine);
    put_pair(h, r->n > 1 ? "first run ended" : "ended", first);
    put_pair(h, "last run ended", r->n > 1 ? last : NULL);
    train_html_raw(h, "</dl>\n<p class=\"note\">runs.csv has version, machine, date and the digest "
                      "of the images of each run.</p>\n");
}

void report_provenance(struct html *h, const struct report *r)
{
    char now[TRAIN_DATE_LEN + 1];
    int n;
    train_date(now);
    train_html_raw(h, "<section id=\"provenance\"><h2>What exactly was done</h2>\n");
    for (int i = 0; i < r->n; i++)
        if ((n = count_from(r, i, same_purifier)))
            put_purifier(h, r, i, n);
    for (int i = 0; i < r->n; i++)
        if ((n = count_from(r, i, same_protection)))
            put_protection(h, r, i, n);
    if (r->n)
        put_training(h, r);
    train_html_raw(h, "<p class=\"note\">Written %s by relearnfs %s.</p></section>\n", now,
                   RELEARN_VERSION);
}
