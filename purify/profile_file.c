/* Profiles on disk: where they are, writing and removing them. What is in one: profile_read.c. */
#include "profile.h"

#include <errno.h>
#include <string.h>

enum { FILE_MAX = 64 << 10, NAMES_TEXT_MAX = 1024 }; /* bytes */

/* ---- where ---- */

bool profile_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool profile_is_path(const char *value)
{
    return strchr(value, '/') || profile_ends_with(value, ".safetensors");
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

void profile_name_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base) - (profile_ends_with(base, ".ini") ? 4 : 0);
    n = n < size ? n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = name_char(base[i]) ? base[i] : '_';
    out[n] = 0;
    if (!n)
        snprintf(out, size, "unnamed");
}

status profile_dir(int which, char **out)
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
        st = profile_dir(which, &dir);
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
    AUTO(buf_done) struct buf names = BUF_INIT(NAMES_TEXT_MAX);
    status_ignore(purify_profile_list(add_name, &names), "as many as there are");
    return errmsg_set(e, STATUS_NOT_FOUND,
                      "no profile is named \"%.64s\"; there are %.300s (relearn profile ls)", name,
                      names.len ? names.data : "none");
}

static status read_profile(const char *name_or_path, char **out_path, void **out_data,
                           size_t *out_len, struct errmsg *e)
{
    if (!strchr(name_or_path, '/') && !profile_ends_with(name_or_path, ".ini"))
        return read_named(name_or_path, out_path, out_data, out_len, e);
    AUTO(mem_free) char *path = mem_strdup(name_or_path);
    status st = path ? io_read_file(path, FILE_MAX, out_data, out_len, e) : STATUS_NOMEM;
    if (!st)
        *out_path = TAKE(path);
    return st;
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
    profile_name_of(path, p.name, sizeof p.name);
    st = profile_read(path, data, len, &p, e);
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
        st = profile_anchor(&named, ".", &fault, e);
    if (!st)
        st = profile_dir(0, &dir);
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
    status st = profile_dir(1, &shipped);
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
        st = profile_dir(0, &dir);
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
