/* The kernel's list of mounts, and what is mounted at a path. */
#include "mounts.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/banned.h"

status mount_path(const char *path, char **out, struct errmsg *e)
{
    char full[PATH_MAX], parent[PATH_MAX];
    if (realpath(path, full)) {
        *out = mem_strdup(full);
        return *out ? STATUS_OK : STATUS_NOMEM;
    }
    if (errno != ENOTCONN && errno != ECONNABORTED && errno != EACCES && errno != EIO)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", path, strerror(errno));
    /* The last component cannot be asked for; those before it can. */
    snprintf(parent, sizeof parent, "%s", path);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        parent[--len] = 0;
    char *slash = strrchr(parent, '/');
    const char *name = slash ? slash + 1 : parent;
    AUTO(mem_free) char *last = mem_strdup(name);
    if (slash)
        slash[slash == parent] = 0;
    if (!last || !realpath(slash ? parent : ".", full))
        return errmsg_set(e, STATUS_NOT_FOUND, "%s: not found", path);
    *out = mem_printf("%s/%s", strcmp(full, "/") == 0 ? "" : full, last);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

/* ---- the list ---- */

/* MOUNTINFO writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS" */
static bool parse_line(char *line, struct mount_line *out)
{
    char *save = NULL, *word = strtok_r(line, " \n", &save);
    char *root = NULL, *point = NULL, *type, *source;
    unsigned major = 0, minor = 0;
    bool device = false;
    out->id = -1;
    for (int i = 0; word; i++, word = strtok_r(NULL, " \n", &save)) {
        if (i == 0)
            out->id = (int)strtol(word, NULL, 10);
        if (i == 2)
            device = sscanf(word, "%u:%u", &major, &minor) == 2;
        if (i == 3)
            root = word;
        if (i == 4)
            point = word;
        if (i > 5 && strcmp(word, "-") == 0)
            break;
    }
    type = strtok_r(NULL, " \n", &save);
    source = strtok_r(NULL, " \n", &save);
    if (!device || !root || !point || !type || !source)
        return false;
    unescape(root);
    unescape(point);
    unescape(source);
    out->device = makedev(major, minor);
    out->root = root;
    out->point = point;
    out->type = type;
    out->source = source;
    return true;
}

status mount_each(mount_line_fn *fn, void *arg)
{
    AUTO(file_close) FILE *f = fopen(MOUNTINFO, "re");
    if (!f)
        return STATUS_IO;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0) {
        struct mount_line m;
        if (parse_line(line, &m))
            fn(arg, &m);
    }
    free(line);
    return STATUS_OK;
}

bool mount_line_is_ours(const struct mount_line *m)
{
    return strcmp(m->type, MOUNT_TYPE) == 0;
}

struct list {
    fused_mounts_fn *fn;
    void *arg;
};

static void list_line(void *arg, const struct mount_line *m)
{
    const struct list *l = arg;
    if (mount_line_is_ours(m))
        l->fn(l->arg, m->point, m->source);
}

status fused_mounts(fused_mounts_fn *fn, void *arg)
{
    struct list l = {fn, arg};
    return mount_each(list_line, &l);
}

/* ---- one mountpoint ---- */

void mount_top_done(struct mount_top *t)
{
    mem_free(t->type);
    mem_free(t->source);
    *t = (struct mount_top){.id = -1};
}

struct find {
    const char *path;
    struct mount_top top;
    int ours_id;
    bool nomem;
};

static void find_line(void *arg, const struct mount_line *m)
{
    struct find *f = arg;
    if (strcmp(m->point, f->path) != 0)
        return;
    mount_top_done(&f->top);
    f->top = (struct mount_top){.found = true,
                                .ours = mount_line_is_ours(m),
                                .id = m->id,
                                .type = mem_strdup(m->type),
                                .source = mem_strdup(m->source)};
    f->nomem = !f->top.type || !f->top.source;
    if (f->top.ours)
        f->ours_id = m->id;
}

static status find(const char *path, struct find *out)
{
    *out = (struct find){.path = path, .top.id = -1, .ours_id = -1};
    status st = mount_each(find_line, out);
    if (!st && out->nomem)
        st = STATUS_NOMEM;
    if (st)
        mount_top_done(&out->top);
    return st;
}

status mount_top(const char *path, struct mount_top *out)
{
    struct find f;
    status st = find(path, &f);
    if (!st)
        *out = f.top;
    return st;
}

status mount_find(const char *path, bool *out_ours, char **out_source)
{
    struct mount_top top;
    status st = mount_top(path, &top);
    if (st)
        return st;
    *out_ours = top.ours;
    if (out_source)
        *out_source = TAKE(top.source);
    mount_top_done(&top);
    return STATUS_OK;
}

int mount_id_at(const char *path)
{
    struct find f;
    if (find(path, &f))
        return -1;
    mount_top_done(&f.top);
    return f.ours_id;
}

/* Not stat: the kernel may still have the attributes. */
bool mount_is_dead(const char *path)
{
    struct statfs sf;
    return statfs(path, &sf) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}
