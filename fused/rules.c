/* include= and exclude=: globs over paths relative to the source. */
#include "fused.h"

#include <fnmatch.h>
#include <string.h>

#include "base/banned.h"

struct fused_rule_row {
    bool include;
    bool whole;  /* has a '/': about the path, not about a component */
    char glob[]; /* without slashes at its ends */
};

/* Behind the glob that begins at text. A ':' within a class such as [[:digit:]] separates nothing,
   nor does one behind a backslash. */
static const char *glob_end(const char *text)
{
    const char *p = text;
    while (*p && *p != ':') {
        if (*p == '\\' && p[1]) {
            p += 2;
        } else if (*p == '[' && p[1] == ':' && strstr(p + 2, ":]")) {
            p = strstr(p + 2, ":]") + 2;
        } else {
            p++;
        }
    }
    return p;
}

static status add_one(struct fused_rules *r, bool include, const char *glob, size_t len,
                      struct errmsg *e)
{
    bool at_root = len && *glob == '/';
    while (len && *glob == '/') {
        glob++;
        len--;
    }
    while (len && glob[len - 1] == '/')
        len--;
    if (!len)
        return errmsg_set(e, STATUS_INVALID, "%s: an empty pattern",
                          include ? "include" : "exclude");
    struct fused_rule_row **rows =
        mem_realloc(r->row, (r->n + 1) * sizeof(struct fused_rule_row *));
    if (!rows)
        return STATUS_NOMEM;
    r->row = rows;
    struct fused_rule_row *row = mem_alloc(sizeof *row + len + 1);
    if (!row)
        return STATUS_NOMEM;
    row->include = include;
    row->whole = at_root || memchr(glob, '/', len);
    memcpy(row->glob, glob, len);
    row->glob[len] = 0;
    r->row[r->n++] = row;
    return STATUS_OK;
}

status fused_rules_add(struct fused_rules *r, bool include, const char *globs, struct errmsg *e)
{
    for (;;) {
        const char *end = glob_end(globs);
        status st = add_one(r, include, globs, (size_t)(end - globs), e);
        if (st || !*end)
            return st;
        globs = end + 1;
    }
}

void fused_rules_done(struct fused_rules *r)
{
    for (size_t i = 0; i < r->n; i++)
        mem_free(r->row[i]);
    mem_free(r->row);
    *r = (struct fused_rules){NULL, 0};
}

/* Paths are bytes to the kernel: fnmatch reads them so in the C locale, which no program of ours
   leaves. */
static bool any_component(const char *glob, const char *path)
{
    char part[256]; /* NAME_MAX bytes and the end */
    for (;;) {
        size_t len = strcspn(path, "/");
        if (len < sizeof part) {
            memcpy(part, path, len);
            part[len] = 0;
            if (fnmatch(glob, part, 0) == 0)
                return true;
        }
        if (!path[len])
            return false;
        path += len + 1;
    }
}

static bool row_matches(const struct fused_rule_row *row, const char *path)
{
    return row->whole ? fnmatch(row->glob, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0
                      : any_component(row->glob, path);
}

/* Not only a folder that it is in. */
static bool names_file(const struct fused_rule_row *row, const char *path)
{
    const char *slash = strrchr(path, '/');
    return row->whole ? fnmatch(row->glob, path, FNM_PATHNAME) == 0
                      : any_component(row->glob, slash ? slash + 1 : path);
}

enum fused_rule fused_rules_match(const struct fused_rules *r, const char *path)
{
    enum fused_rule found = FUSED_RULE_NONE;
    for (size_t i = 0; r && i < r->n; i++) {
        const struct fused_rule_row *row = r->row[i];
        if ((!row->include && found != FUSED_RULE_NONE) || !row_matches(row, path))
            continue;
        if (row->include && names_file(row, path))
            return FUSED_RULE_INSIST;
        found = row->include ? FUSED_RULE_INCLUDE : FUSED_RULE_EXCLUDE;
    }
    return found;
}
