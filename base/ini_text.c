#include "ini_text.h"

#include <ini.h>
#include <string.h>

#include "banned.h"

struct reader {
    const char *path, *text;
    size_t len, at;
    int line; /* the last one handed to inih */
    bool indented;
    ini_fn *fn;
    void *arg;
    status st;
    struct errmsg *e;
};

static status fail_at(struct reader *r, int line, status st, const char *what)
{
    if (!r->st)
        r->st = errmsg_set(r->e, st, "%s:%d: %s", r->path, line, what);
    return r->st;
}

/* inih's line source: like fgets. */
static char *next_line(char *str, int num, void *stream)
{
    struct reader *r = stream;
    if (r->at >= r->len || r->st)
        return NULL;
    const char *start = r->text + r->at, *nl = memchr(start, '\n', r->len - r->at);
    size_t n = nl ? (size_t)(nl - start) + 1 : r->len - r->at;
    r->line++;
    if (num < 1 || n > (size_t)num - 1) {
        fail_at(r, r->line, STATUS_INVALID, "the line is too long");
        return NULL;
    }
    memcpy(str, start, n);
    str[n] = 0;
    r->indented = str[0] == ' ' || str[0] == '\t';
    r->at += n;
    return str;
}

/* inih's handler: 0 is an error. */
static int take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;
    if (r->st)
        return 0;
    struct errmsg why = {""};
    const struct ini_value v = {section, key, value ? value : "", r->line, r->indented};
    status st = r->fn(r->arg, &v, &why);
    if (st)
        fail_at(r, r->line, st, errmsg_text(&why, st));
    return !st;
}

status ini_text_read(const char *path, const char *text, size_t len, ini_fn *fn, void *arg,
                     struct errmsg *e)
{
    struct reader r = {.path = path, .text = text, .len = len, .fn = fn, .arg = arg, .e = e};
    size_t text_len = strlen(text);
    if (text_len < len) {
        int line = 1;
        for (size_t i = 0; i < text_len; i++)
            line += text[i] == '\n';
        return fail_at(&r, line, STATUS_INVALID, "a NUL byte: this is no text file");
    }
    int bad_line = ini_parse_stream(next_line, &r, take_value, &r);
    if (r.st)
        return r.st;
    if (bad_line > 0)
        return fail_at(&r, bad_line, STATUS_INVALID,
                       "neither [section], key = value nor # comment");
    return bad_line < 0 ? STATUS_NOMEM : STATUS_OK;
}
