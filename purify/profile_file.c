/*
 * Profiles on disk. A file is INI with a section [purify] and, where that names a chain, one for
 * each purifier; inih parses it, our line source counts lines for the messages and refuses what
 * inih would cut (long lines, NUL bytes).
 */
#include "profile.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <string.h>

enum {
    FILE_MAX = 64 << 10,
    NAMES_MAX = 1024, /* profiles listed of one directory */
    ROWS_MAX = 32,    /* of a purifier's table */
};

/* ---- where ---- */

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool profile_is_path(const char *value)
{
    return strchr(value, '/') || ends_with(value, ".safetensors");
}

status profile_weights_path(const char *value, char **out)
{
    AUTO(mem_free) char *dir = NULL;
    status st = profile_is_path(value) ? STATUS_OK : path_data_dir(&dir);
    if (st)
        return st;
    char *path = dir ? mem_printf("%s/models/%s.safetensors", dir, value) : mem_strdup(value);
    if (!path)
        return STATUS_NOMEM;
    *out = path;
    return STATUS_OK;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("._+-", c);
}

/* The file's name without directory and ".ini", with what may not be in a name as '_'. */
static void name_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base) - (ends_with(base, ".ini") ? 4 : 0);
    n = n < size ? n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = name_char(base[i]) ? base[i] : '_';
    out[n] = 0;
    if (!n)
        snprintf(out, size, "unnamed");
}

/* The user's directory of profiles (0) or the shipped one (1). */
static status profiles_dir(int which, char **out)
{
    AUTO(mem_free) char *base = NULL;
    status st = which == 0 ? path_config_dir(&base) : path_data_dir(&base);
    if (st)
        return st;
    char *dir = mem_printf("%s/profiles", base);
    if (!dir)
        return STATUS_NOMEM;
    *out = dir;
    return STATUS_OK;
}

static status check_name(const char *name, struct errmsg *e)
{
    bool good = *name && strlen(name) < sizeof((struct purify_profile *)0)->name;
    for (const char *c = name; good && *c; c++)
        good = name_char(*c);
    return good ? STATUS_OK
                : errmsg_set(e, STATUS_INVALID,
                             "\"%.64s\" is no name of a profile (letters, digits, . _ + -)", name);
}

static void add_name(const char *name, const char *path, void *arg)
{
    struct buf *names = arg;
    (void)path;
    status_ignore(buf_addf(names, "%s%s", names->len ? ", " : "", name), "the list is cut there");
}

static status read_named(const char *name, char **out_path, void **out_data, size_t *out_len,
                         struct errmsg *e)
{
    status st = check_name(name, e);
    if (st)
        return st;
    for (int which = 0; which < 2; which++) {
        AUTO(mem_free) char *dir = NULL;
        AUTO(mem_free) char *path = NULL;
        st = profiles_dir(which, &dir);
        if (st == STATUS_NOT_FOUND)
            continue;
        if (!st && !(path = mem_printf("%s/%s.ini", dir, name)))
            st = STATUS_NOMEM;
        if (!st)
            st = io_read_file(path, FILE_MAX, out_data, out_len, e);
        if (!st)
            *out_path = TAKE(path);
        if (st != STATUS_NOT_FOUND)
            return st;
    }
    AUTO(buf_done) struct buf names = BUF_INIT(NAMES_MAX);
    status_ignore(purify_profile_list(add_name, &names), "as many as there are");
    return errmsg_set(e, STATUS_NOT_FOUND,
                      "no profile is named \"%.64s\"; there are %.300s (relearn profile ls)", name,
                      names.len ? names.data : "none");
}

static status read_profile(const char *name_or_path, char **out_path, void **out_data,
                           size_t *out_len, struct errmsg *e)
{
    if (!strchr(name_or_path, '/') && !ends_with(name_or_path, ".ini"))
        return read_named(name_or_path, out_path, out_data, out_len, e);
    AUTO(mem_free) char *path = mem_strdup(name_or_path);
    status st = path ? io_read_file(path, FILE_MAX, out_data, out_len, e) : STATUS_NOMEM;
    if (!st)
        *out_path = TAKE(path);
    return st;
}

/* ---- reading ---- */

struct reader {
    const char *path, *text;
    size_t len, at;
    int line;                                /* the last one handed to inih */
    int chain_line;                          /* where the chain was given; 0: nowhere */
    int line_of[PURIFY_CHAIN_MAX][ROWS_MAX]; /* where each value was given; 0: nowhere */
    struct purify_profile *profile;
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
    r->at += n;
    return str;
}

/* The chain, which comes before anything else. */
static status take_chain(struct reader *r, const char *value, struct errmsg *why)
{
    if (r->chain_line)
        return errmsg_set(why, STATUS_INVALID, "the chain is given twice");
    for (int i = 0; i < ROWS_MAX; i++)
        if (r->line_of[0][i])
            return errmsg_set(why, STATUS_INVALID, "the chain is to be given before its keys");
    r->chain_line = r->line;
    return profile_set_chain(r->profile, value, why);
}

/* The link that a section is about; -1, and why says so: none. */
static int link_of(const struct reader *r, const char *section, const char *key, struct errmsg *why)
{
    bool plain = strcmp(section, "purify") == 0;
    if (!r->chain_line) {
        if (plain)
            return 0;
        errmsg_set(why, STATUS_INVALID,
                   "\"%.40s\" is not under [purify], and no chain is named there", key);
        return -1;
    }
    int i = plain ? -1 : profile_find(r->profile, section);
    if (plain)
        errmsg_set(why, STATUS_INVALID,
                   "\"%.40s\" is to stand in the section of its purifier, [%s] or another", key,
                   r->profile->link[0].ops->name);
    else if (i < 0)
        errmsg_set(why, STATUS_INVALID, "[%.40s] is not in the chain", section);
    return i;
}

static status take_param(struct reader *r, int link, const char *key, const char *value,
                         struct errmsg *why)
{
    struct purify_link *l = &r->profile->link[link];
    const struct param_table *t = &l->ops->params;
    const struct param *row = param_find(t, key);
    int *line = row ? &r->line_of[link][row - t->row] : NULL;
    CHECK(t->n <= ROWS_MAX);
    if (line && *line)
        return errmsg_set(why, STATUS_INVALID,
                          "%s is given twice (an indented line continues the last)", key);
    status st = param_set(t, l->values, key, value, why);
    if (!st)
        *line = r->line;
    return st;
}

/* inih's handler: 0 is an error. */
static int take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;
    if (r->st)
        return 0;
    struct errmsg why = {""};
    status st = STATUS_INVALID;
    value = value ? value : "";
    if (strcmp(section, "purify") == 0 && strcmp(key, "chain") == 0) {
        st = take_chain(r, value, &why);
    } else {
        int link = link_of(r, section, key, &why);
        if (link >= 0)
            st = take_param(r, link, key, value, &why);
    }
    if (!st)
        return 1;
    fail_at(r, r->line, st, errmsg_text(&why, st));
    return 0;
}

static status parse(struct reader *r)
{
    size_t text_len = strlen(r->text); /* io_read_file ends it with a NUL */
    if (text_len < r->len) {
        int line = 1;
        for (size_t i = 0; i < text_len; i++)
            line += r->text[i] == '\n';
        return fail_at(r, line, STATUS_INVALID, "a NUL byte: this is no text file");
    }
    int bad_line = ini_parse_stream(next_line, r, take_value, r);
    if (r->st)
        return r->st;
    if (bad_line > 0)
        return fail_at(r, bad_line, STATUS_INVALID, "neither [section], key = value nor # comment");
    return bad_line < 0 ? STATUS_NOMEM : STATUS_OK;
}

/* value as seen from dir, as an absolute path, when it is a relative path; else *out stays NULL. */
static status absolute(const char *dir, const char *value, char **out)
{
    if (!value[0] || value[0] == '/' || !profile_is_path(value))
        return STATUS_OK;
    char *real = realpath(dir, NULL);
    if (!real)
        return status_from_errno(errno);
    *out = mem_printf("%s/%s", real, value);
    free(real);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

static status anchor_link(struct purify_link *l, const char *dir, const char **out_key,
                          struct errmsg *e)
{
    struct purify_weights w;
    for (int i = 0; l->ops->weights && l->ops->weights(l->values, i, &w); i++) {
        AUTO(mem_free) char *full = NULL;
        *out_key = w.key;
        status st = absolute(dir, w.file, &full);
        if (!st && full)
            st = param_set(&l->ops->params, l->values, w.key, full, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

/* Makes the paths of weights absolute, so that they hold wherever the program or the file is. */
static status anchor(struct purify_profile *p, const char *dir, struct profile_fault *out_fault,
                     struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < p->n && !st; i++) {
        out_fault->link = i;
        st = anchor_link(&p->link[i], dir, &out_fault->key, e);
    }
    return st;
}

static status anchor_at_file(struct purify_profile *p, const char *path,
                             struct profile_fault *out_fault, struct errmsg *e)
{
    AUTO(mem_free) char *dir = mem_strdup(path);
    if (!dir)
        return STATUS_NOMEM;
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0; /* the root keeps its slash */
    return anchor(p, slash ? dir : ".", out_fault, e);
}

/* The line on which the value at fault stands; 0: it is in no line. */
static int line_of(const struct reader *r, const struct profile_fault *f)
{
    const struct param_table *t = &r->profile->link[f->link].ops->params;
    const struct param *row = f->key ? param_find(t, f->key) : NULL;
    return row ? r->line_of[f->link][row - t->row] : 0;
}

/* An error of one value is told with the line it stands on, any other with the file. */
static status finish(struct reader *r)
{
    struct errmsg why = {""};
    struct profile_fault fault = {0, NULL};
    status st = anchor_at_file(r->profile, r->path, &fault, &why);
    if (!st)
        st = profile_finish(r->profile, &fault, &why);
    if (!st)
        return STATUS_OK;
    const char *text = errmsg_text(&why, st);
    int line = line_of(r, &fault);
    return line ? errmsg_set(r->e, st, "%s:%d: %s", r->path, line, text)
                : errmsg_set(r->e, st, "%s: %s", r->path, text);
}

status purify_profile_load(const char *name_or_path, struct purify_profile *out, struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = read_profile(name_or_path, &path, &data, &len, e);
    if (st)
        return st;
    struct purify_profile p;
    purify_profile_init(&p);
    name_of(path, p.name, sizeof p.name);
    struct reader r = {.path = path, .text = data, .len = len, .profile = &p, .e = e};
    st = parse(&r);
    if (!st)
        st = finish(&r);
    if (!st)
        *out = p;
    return st;
}

/* ---- writing ---- */

status purify_profile_create(const struct purify_profile *p, const char *name, bool replace,
                             char **out_path, struct errmsg *e)
{
    AUTO(mem_free) char *dir = NULL;
    AUTO(mem_free) char *path = NULL;
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct purify_profile named = *p;
    struct profile_fault fault;
    status st = check_name(name, e);
    if (!st)
        st = anchor(&named, ".", &fault, e);
    if (!st)
        st = profiles_dir(0, &dir);
    if (!st && !(path = mem_printf("%s/%s.ini", dir, name)))
        st = STATUS_NOMEM;
    if (!st && !replace && access(path, F_OK) == 0)
        st = errmsg_set(e, STATUS_EXISTS, "%s exists (replace it with --force)", path);
    if (st)
        return st;
    snprintf(named.name, sizeof named.name, "%s", name);
    st = purify_profile_text(&named, &text);
    if (!st)
        st = io_mkdirs(dir, 0, e);
    if (!st)
        st = io_write_file(path, text.data, text.len, e);
    if (!st)
        *out_path = TAKE(path);
    return st;
}

static status no_such_profile(const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *shipped = NULL;
    AUTO(mem_free) char *path = NULL;
    status st = profiles_dir(1, &shipped);
    if (st && st != STATUS_NOT_FOUND)
        return st;
    if (shipped && !(path = mem_printf("%s/%s.ini", shipped, name)))
        return STATUS_NOMEM;
    if (path && access(path, F_OK) == 0)
        return errmsg_set(e, STATUS_INVALID, "\"%.64s\" came with the program and stays", name);
    return errmsg_set(e, STATUS_NOT_FOUND, "no profile of yours is named \"%.64s\"", name);
}

status purify_profile_remove(const char *name, char **out_path, struct errmsg *e)
{
    AUTO(mem_free) char *dir = NULL;
    AUTO(mem_free) char *path = NULL;
    status st = check_name(name, e);
    if (!st)
        st = profiles_dir(0, &dir);
    if (!st && !(path = mem_printf("%s/%s.ini", dir, name)))
        st = STATUS_NOMEM;
    if (st)
        return st;
    if (unlink(path) < 0) {
        int err = errno;
        return err == ENOENT ? no_such_profile(name, e)
                             : errmsg_set(e, status_from_errno(err), "cannot remove %s: %s", path,
                                          strerror(err));
    }
    *out_path = TAKE(path);
    return STATUS_OK;
}

/* ---- listing ---- */

struct names {
    char *name[NAMES_MAX]; /* "x.ini", for mem_free */
    int n;
};

static void names_free(struct names *l)
{
    for (int i = 0; l && i < l->n; i++)
        mem_free(l->name[i]);
    mem_free(l);
}
DEFINE_FREEP(struct names *, names_free)

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static status names_read(const char *dir, struct names **out)
{
    AUTO(names_free) struct names *l = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    DIR *d = opendir(dir);
    const struct dirent *entry;
    status st = STATUS_OK;
    while (d && !st && l->n < NAMES_MAX && (entry = readdir(d))) {
        if (entry->d_name[0] == '.' || !ends_with(entry->d_name, ".ini"))
            continue;
        if ((l->name[l->n] = mem_strdup(entry->d_name)))
            l->n++;
        else
            st = STATUS_NOMEM;
    }
    if (d)
        closedir(d);
    if (st)
        return st;
    qsort(l->name, (size_t)l->n, sizeof *l->name, by_name);
    *out = TAKE(l);
    return STATUS_OK;
}

static bool names_has(const struct names *l, const char *name)
{
    for (int i = 0; l && i < l->n; i++)
        if (strcmp(l->name[i], name) == 0)
            return true;
    return false;
}

static status list_dir(const char *dir, const struct names *l, const struct names *hidden_by,
                       void (*fn)(const char *name, const char *path, void *arg), void *arg)
{
    for (int i = 0; i < l->n; i++) {
        if (names_has(hidden_by, l->name[i]))
            continue;
        AUTO(mem_free) char *path = mem_printf("%s/%s", dir, l->name[i]);
        if (!path)
            return STATUS_NOMEM;
        char name[sizeof((struct purify_profile *)0)->name];
        name_of(path, name, sizeof name);
        fn(name, path, arg);
    }
    return STATUS_OK;
}

status purify_profile_list(void (*fn)(const char *name, const char *path, void *arg), void *arg)
{
    AUTO(names_free) struct names *user = NULL;
    AUTO(names_free) struct names *shipped = NULL;
    struct names **lists[2] = {&user, &shipped};
    for (int which = 0; which < 2; which++) {
        AUTO(mem_free) char *dir = NULL;
        status st = profiles_dir(which, &dir);
        if (st == STATUS_NOT_FOUND)
            continue;
        if (!st)
            st = names_read(dir, lists[which]);
        if (!st)
            st = list_dir(dir, *lists[which], which == 1 ? user : NULL, fn, arg);
        if (st)
            return st;
    }
    return STATUS_OK;
}
