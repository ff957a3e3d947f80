/* One -o list: a row for each option, by which it is read and named in errors. */
#include "options.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/banned.h"

/* What fstab lines carry that is mount(8)'s or the kernel's business, or the case anyway. */
static const char *const ignored[] = {
    "defaults",      "ro",       "rw",         "auto",     "noauto",     "user",
    "nouser",        "users",    "owner",      "group",    "nofail",     "_netdev",
    "x-*",           "X-*",      "comment=*",  "exec",     "suid",       "nosuid",
    "dev",           "nodev",    "sync",       "async",    "dirsync",    "atime",
    "noatime",       "diratime", "nodiratime", "relatime", "norelatime", "strictatime",
    "nostrictatime", "lazytime", "nolazytime", "silent",   "loud",       "default_permissions",
    "sloppy",
};

static bool is_ignored(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        if (fnmatch(ignored[i], word, 0) == 0)
            return true;
    return false;
}

/* ---- values ---- */

status options_take_string(char **to, const char *value)
{
    char *copy = mem_strdup(value);
    if (!copy)
        return STATUS_NOMEM;
    mem_free(*to);
    *to = copy;
    return STATUS_OK;
}

static status take_size(uint64_t *to, const char *value)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (*value < '0' || *value > '9' || errno || (*end && (!unit || end[1])) ||
        v > UINT64_MAX >> shift || v == 0)
        return STATUS_INVALID;
    *to = v << shift;
    return STATUS_OK;
}

static status take_number(double *to, const char *value, double max)
{
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !(v >= 0 && v <= max))
        return STATUS_INVALID;
    *to = v;
    return STATUS_OK;
}

static status take_count(uint64_t *to, const char *value, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || v > max)
        return STATUS_INVALID;
    *to = v;
    return STATUS_OK;
}

/* Each kind, and what it is called in a list of options and in an error. */
enum value_kind {
    FLAG_ON,
    FLAG_OFF,
    TEXT,
    SIZE,
    LIMIT,
    THREADS,
    PIXELS,
    SECONDS,
    GLOBS_IN,
    GLOBS_OUT
};
enum { THREADS_MAX = 1024 };
static const uint64_t pixels_max = 1ull << 32;
static const double seconds_max = 1e8;
static const struct {
    const char *name; /* behind the '='; NULL: no value */
    const char *what;
} kinds[] = {
    [FLAG_ON] = {NULL, "no value"},
    [FLAG_OFF] = {NULL, "no value"},
    [TEXT] = {"TEXT", "a text"},
    [SIZE] = {"SIZE", "a size such as 512M or 50G"},
    [LIMIT] = {"SIZE", "a size such as 512M or 50G, or none"},
    [THREADS] = {"N", "a whole number from 0 (one per CPU) to 1024"},
    [PIXELS] = {"N", "a number of pixels from 1 to 4294967296, such as 50000000"},
    [SECONDS] = {"SECONDS", "seconds from 0 to 100000000"},
    [GLOBS_IN] = {"GLOBS", "patterns of names, with ':' between them"},
    [GLOBS_OUT] = {"GLOBS", "patterns of names, with ':' between them"},
};

struct option_row {
    const char *name;
    enum value_kind kind;
    void *value;
};

static status take_limit(struct daemon_options *o, const char *value)
{
    if (strcmp(value, "none") != 0)
        return take_size(&o->cache_bytes, value);
    o->cache_bytes = CACHE_NO_LIMIT;
    return STATUS_OK;
}

static status take_value(struct daemon_options *o, const struct option_row *row, const char *value,
                         struct errmsg *e)
{
    uint64_t n;
    status st = STATUS_INTERNAL;
    if (!kinds[row->kind].name) {
        *(bool *)row->value = row->kind == FLAG_ON;
        return value ? STATUS_INVALID : STATUS_OK;
    }
    if (!value || !*value)
        return STATUS_INVALID;
    switch (row->kind) {
    case FLAG_ON:
    case FLAG_OFF:
        break;
    case TEXT:
        return options_take_string(row->value, value);
    case SIZE:
        return take_size(row->value, value);
    case LIMIT:
        return take_limit(o, value);
    case THREADS:
        st = take_count(&n, value, THREADS_MAX);
        if (!st)
            *(int *)row->value = (int)n;
        return st;
    case PIXELS:
        st = take_count(&n, value, pixels_max);
        if (!st && n == 0)
            st = STATUS_INVALID;
        if (!st)
            *(uint64_t *)row->value = n;
        return st;
    case SECONDS:
        return take_number(row->value, value, seconds_max);
    case GLOBS_IN:
    case GLOBS_OUT:
        return fused_rules_add(row->value, row->kind == GLOBS_IN, value, e);
    }
    return st;
}

/* ---- the list ---- */

/* "a, b=SIZE, ..." */
static void list_options(const struct option_row *rows, size_t n, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < n && at < size; i++) {
        const char *value = kinds[rows[i].kind].name;
        at += (size_t)snprintf(out + at, size - at, "%s%s%s%s", i ? ", " : "", rows[i].name,
                               value ? "=" : "", value ? value : "");
    }
}

static status take_word(struct daemon_options *o, char *word, struct errmsg *e)
{
    const struct option_row rows[] = {
        {"profile", TEXT, &o->profile},
        {"cache", TEXT, &o->cache_dir},
        {"cache_size", LIMIT, &o->cache_bytes},
        {"min_free", SIZE, &o->min_free_bytes},
        {"memory", SIZE, &o->encoded_bytes},
        {"max_pixels", PIXELS, &o->max_pixels},
        {"threads", THREADS, &o->threads},
        {"include", GLOBS_IN, &o->rules},
        {"exclude", GLOBS_OUT, &o->rules},
        {"strict", FLAG_ON, &o->strict},
        {"follow", FLAG_ON, &o->follow},
        {"immutable", FLAG_ON, &o->immutable},
        {"frozen", FLAG_ON, &o->frozen},
        {"sweep", FLAG_ON, &o->sweep},
        {"nosweep", FLAG_OFF, &o->sweep},
        {"watch", FLAG_ON, &o->watch},
        {"nowatch", FLAG_OFF, &o->watch},
        {"timeout", SECONDS, &o->timeout},
        {"allow_other", FLAG_ON, &o->allow_other},
        {"nonempty", FLAG_ON, &o->nonempty},
        {"noexec", FLAG_ON, &o->noexec},
        {"log", TEXT, &o->log_path},
        {"debug", FLAG_ON, &o->debug},
    };
    if (!*word || is_ignored(word))
        return STATUS_OK;
    char *value = strchr(word, '=');
    if (value)
        *value++ = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, word) != 0)
            continue;
        struct errmsg why = {""};
        status st = take_value(o, &rows[i], value, &why);
        if (st != STATUS_INVALID)
            return st;
        return errmsg_set(e, st, "option %s must be %s, not '%s'%s%s", word,
                          kinds[rows[i].kind].what, value ? value : "", why.text[0] ? ": " : "",
                          why.text);
    }
    char all[ERRMSG_MAX];
    list_options(rows, ARRAY_LEN(rows), all, sizeof all);
    return errmsg_set(e, STATUS_INVALID, "unknown option '%.40s'; there are: %s", word, all);
}

status options_list(struct daemon_options *o, const char *list, struct errmsg *e)
{
    AUTO(mem_free) char *word = mem_alloc(strlen(list) + 1);
    if (!word)
        return STATUS_NOMEM;
    size_t n = 0;
    for (;; list++) {
        if (*list == '\\' && list[1]) {
            word[n++] = *++list;
            continue;
        }
        if (*list && *list != ',') {
            word[n++] = *list;
            continue;
        }
        word[n] = 0;
        n = 0;
        status st = take_word(o, word, e);
        if (st || !*list)
            return st;
    }
}

status options_check(const struct daemon_options *o, struct errmsg *e)
{
    if (o->frozen && !o->sweep)
        return errmsg_set(
            e, STATUS_INVALID,
            "frozen wants everything purified: it needs the sweep (leave one of frozen "
            "and nosweep away)");
    if (o->follow && o->allow_other)
        return errmsg_set(
            e, STATUS_INVALID,
            "follow and allow_other: others would read through your links what you may "
            "read (leave one of them away)");
    return STATUS_OK;
}

void options_done(struct daemon_options *o)
{
    mem_free(o->source);
    mem_free(o->mountpoint);
    mem_free(o->profile);
    mem_free(o->cache_dir);
    mem_free(o->log_path);
    fused_rules_done(&o->rules);
    memset(o, 0, sizeof *o);
}
