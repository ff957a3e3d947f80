#include "bench/claim_void.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/banned.h"

/* Under the lock: replaces a claim that is void. BUSY: it is not, or is gone. */
static status replace(const char *dir, const char *path, const char *text, int stale_s,
                      struct errmsg *e)
{
    AUTO(mem_free) char *lock = mem_printf("%s/" CLAIM_LOCK, dir);
    AUTO(fd_close) int fd = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (fd < 0)
        return lock ? status_from_errno(errno) : STATUS_NOMEM;
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return STATUS_BUSY; /* a file system without locks: void claims stay */
    AUTO(mem_free) char *there = claim_read(path);
    if (!there || !claim_is_void(dir, path, there, stale_s))
        return STATUS_BUSY;
    return io_write_file(path, text, strlen(text), e);
}

static status create(const char *dir, const char *path, const char *text, int stale_s,
                     struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd);
    if (st == STATUS_EXISTS) {
        AUTO(mem_free) char *there = claim_read(path);
        if (!there || !claim_is_void(dir, path, there, stale_s))
            return STATUS_BUSY;
        return replace(dir, path, text, stale_s, e);
    }
    if (!st)
        st = io_write(fd, text, strlen(text));
    if (st && fd >= 0)
        (void)unlink(path);
    return st ? errmsg_set(e, st, "cannot write %s: %s", path, status_text(st)) : STATUS_OK;
}

status claim_take(const char *dir, const char *id, const char *const needs[CLAIM_NEEDS_MAX],
                  int stale_s, struct claim *out, struct errmsg *e)
{
    struct claim c = {mem_printf("%s/%s", dir, id), claim_text(needs)};
    status st = c.path && c.text ? create(dir, c.path, c.text, stale_s, e) : STATUS_NOMEM;
    if (!st) {
        *out = c;
        return STATUS_OK;
    }
    mem_free(c.path);
    mem_free(c.text);
    return st;
}

static bool is_ours(const struct claim *c)
{
    AUTO(mem_free) char *there = claim_read(c->path);
    return there && strcmp(there, c->text) == 0;
}

status claim_refresh(const struct claim *c)
{
    if (!is_ours(c))
        return STATUS_NOT_FOUND;
    return utimensat(AT_FDCWD, c->path, NULL, 0) < 0 ? status_from_errno(errno) : STATUS_OK;
}

void claim_release(struct claim *c)
{
    if (c->path && is_ours(c))
        (void)unlink(c->path);
    mem_free(c->path);
    mem_free(c->text);
    *c = (struct claim){NULL, NULL};
}

bool claim_held(const char *dir, const char *id, int stale_s)
{
    AUTO(mem_free) char *path = mem_printf("%s/%s", dir, id);
    AUTO(mem_free) char *there = path ? claim_read(path) : NULL;
    return there && !claim_is_void(dir, path, there, stale_s);
}

static bool names(const char *dir, const char *id, const char *tree, int stale_s)
{
    AUTO(mem_free) char *path = mem_printf("%s/%s", dir, id);
    AUTO(mem_free) char *there = path ? claim_read(path) : NULL;
    const char *needs = there ? strstr(there, "\nneeds ") : NULL;
    return needs && strstr(needs, tree) && !claim_is_void(dir, path, there, stale_s);
}

bool claim_needed(const char *dir, const char *tree, int stale_s)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    bool found = false;
    while (d && !found && (entry = readdir(d)))
        found = entry->d_name[0] != '.' && names(dir, entry->d_name, tree, stale_s);
    if (d)
        closedir(d);
    return found;
}
