#include "bench/claim_void.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/banned.h"

static status write_new(const char *path, const char *text)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd);
    if (!st)
        st = io_write(fd, text, strlen(text));
    if (st && fd >= 0)
        (void)unlink(path);
    return st;
}

/*
 * Under the lock: replaces a claim that is void. BUSY: it is not, or is gone. All who do that write the
 * same file aside: what one left who was killed here goes when the claim, void as before, is taken.
 */
static status replace(const char *dir, const char *path, const char *text, int stale_s)
{
    AUTO(mem_free) char *lock = mem_printf("%s/" CLAIM_LOCK, dir);
    AUTO(mem_free) char *aside = mem_printf("%s.aside", path);
    AUTO(fd_close) int fd = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (!lock || !aside)
        return STATUS_NOMEM;
    if (fd < 0)
        return status_from_errno(errno);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return STATUS_BUSY; /* a file system without locks: void claims stay */
    AUTO(mem_free) char *there = claim_read(path);
    if (!there || !claim_is_void(dir, path, there, stale_s))
        return STATUS_BUSY;
    (void)unlink(aside);
    status st = write_new(aside, text);
    return st ? st : io_rename(AT_FDCWD, aside, path);
}

static status create(const char *dir, const char *path, const char *text, int stale_s,
                     struct errmsg *e)
{
    status st = write_new(path, text);
    if (st == STATUS_EXISTS) {
        AUTO(mem_free) char *there = claim_read(path);
        st = there && claim_is_void(dir, path, there, stale_s) ? replace(dir, path, text, stale_s)
                                                               : STATUS_BUSY;
    }
    return st && st != STATUS_BUSY ? errmsg_set(e, st, "cannot write %s: %s", path, status_text(st))
                                   : st;
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
