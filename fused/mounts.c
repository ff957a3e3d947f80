#include "mounts.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/banned.h"

extern char **environ;

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

/* mountinfo writes space, tab, newline and backslash as \ooo. */
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

struct mount_line {
    char *point, *type, *source;
};

/* "ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS" */
static bool parse_line(char *line, struct mount_line *out)
{
    char *save = NULL, *word = strtok_r(line, " \n", &save);
    struct mount_line m = {NULL, NULL, NULL};
    for (int i = 0; word; i++, word = strtok_r(NULL, " \n", &save)) {
        if (i == 4)
            m.point = word;
        if (i > 5 && strcmp(word, "-") == 0)
            break;
    }
    m.type = strtok_r(NULL, " \n", &save);
    m.source = strtok_r(NULL, " \n", &save);
    if (!m.point || !m.type || !m.source)
        return false;
    unescape(m.point);
    unescape(m.source);
    *out = m;
    return true;
}

static status each_mount(void (*fn)(void *arg, const struct mount_line *m), void *arg)
{
    AUTO(file_close) FILE *f = fopen("/proc/self/mountinfo", "re");
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

struct find {
    const char *path;
    bool ours;
    char *source;
};

/* Later lines are mounted over earlier ones. */
static void find_line(void *arg, const struct mount_line *m)
{
    struct find *f = arg;
    if (strcmp(m->point, f->path) != 0)
        return;
    f->ours = strcmp(m->type, MOUNT_TYPE) == 0;
    mem_free(f->source);
    f->source = mem_strdup(m->source);
}

status mount_find(const char *path, bool *out_ours, char **out_source)
{
    struct find f = {.path = path};
    status st = each_mount(find_line, &f);
    if (!st)
        *out_ours = f.ours;
    if (!st && out_source)
        *out_source = TAKE(f.source);
    mem_free(f.source);
    return st;
}

struct list {
    fused_mounts_fn *fn;
    void *arg;
};

static void list_line(void *arg, const struct mount_line *m)
{
    const struct list *l = arg;
    if (strcmp(m->type, MOUNT_TYPE) == 0)
        l->fn(l->arg, m->point, m->source);
}

status fused_mounts(fused_mounts_fn *fn, void *arg)
{
    struct list l = {fn, arg};
    return each_mount(list_line, &l);
}

/* Not stat: the kernel may still have the attributes. */
bool mount_is_dead(const char *path)
{
    struct statfs sf;
    return statfs(path, &sf) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

static status run_fusermount(const char *path, bool lazy, struct errmsg *e)
{
    char *const argv[] = {(char *)"fusermount3", (char *)"-u", (char *)(lazy ? "-z" : "-q"),
                          (char *)"--",          (char *)path, NULL};
    pid_t pid;
    int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), rc;
    if (err)
        return errmsg_set(e, STATUS_NOT_FOUND, "fusermount3 did not start: %s (install fuse3)",
                          strerror(err));
    while (waitpid(pid, &rc, 0) < 0)
        if (errno != EINTR)
            return STATUS_IO;
    if (WIFEXITED(rc) && WEXITSTATUS(rc) == 0)
        return STATUS_OK;
    return errmsg_set(e, STATUS_BUSY,
                      "%s: not unmounted (files are open there, or it is not your mount)", path);
}

status mount_detach(const char *path, bool lazy, struct errmsg *e)
{
    if (geteuid() != 0)
        return run_fusermount(path, lazy, e);
    if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return STATUS_OK;
    return errmsg_set(e, status_from_errno(errno), "%s: not unmounted: %s%s", path, strerror(errno),
                      errno == EBUSY ? " (files are open there)" : "");
}
