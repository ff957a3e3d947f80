#include "bench/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/banned.h"

enum { CLAIM_BYTES_MAX = 4096 };
#define LOCK ".lock" /* no id begins with a dot */

/* ---- who ---- */

/* The time at which a process was started, in ticks since the boot; 0: there is none. */
static unsigned long long started(long pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    AUTO(file_close) FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    if (at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0))
        return 0; /* dead, and its parent has not looked yet */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* The boot and the process namespace: where a pid means the same process. */
static void place(char *out, size_t size)
{
    char boot[64] = "", space[64] = "";
    AUTO(file_close) FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || !fgets(boot, sizeof boot, f))
        snprintf(boot, sizeof boot, "?");
    boot[strcspn(boot, "\n")] = 0;
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n > 0 ? n : 0] = 0;
    snprintf(out, size, "%s %s", boot, space);
}

static char *who(const char *const needs[CLAIM_NEEDS_MAX])
{
    char host[256] = "?", where[160];
    gethostname(host, sizeof host - 1);
    place(where, sizeof where);
    return mem_printf("host %s\nplace %s\npid %ld\nstarted %llu\nneeds %s %s %s\n", host, where,
                      (long)getpid(), started(getpid()), needs[0] ? needs[0] : "-",
                      needs[1] ? needs[1] : "-", needs[2] ? needs[2] : "-");
}

/* ---- void claims ---- */

static char *read_claim(const char *path)
{
    void *text = NULL;
    size_t len;
    return io_read_file(path, CLAIM_BYTES_MAX, &text, &len, NULL) ? NULL : text;
}

/* The owner is known to be gone. */
static bool is_gone(const char *text)
{
    char where[160], here[160];
    const char *at = strstr(text, "\nplace "), *pid = strstr(text, "\npid "),
               *start = strstr(text, "\nstarted ");
    if (!at || !pid || !start)
        return false;
    snprintf(where, sizeof where, "%.*s", (int)strcspn(at + 7, "\n"), at + 7);
    place(here, sizeof here);
    if (strcmp(where, here) != 0)
        return false;
    unsigned long long now = started(strtol(pid + 5, NULL, 10));
    return now != strtoull(start + 9, NULL, 10);
}

/* The file system's own time: another host's clock may be another. */
static bool folder_time(const char *dir, time_t *out)
{
    AUTO(mem_free) char *path = mem_printf("%s/" LOCK, dir);
    AUTO(fd_close) int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    struct stat sb;
    if (fd < 0 || futimens(fd, NULL) < 0 || fstat(fd, &sb) < 0)
        return false;
    *out = sb.st_mtime;
    return true;
}

static bool is_void(const char *dir, const char *path, const char *text, int stale_s)
{
    struct stat sb;
    time_t now;
    if (is_gone(text))
        return true;
    return stat(path, &sb) == 0 && folder_time(dir, &now) && now - sb.st_mtime > stale_s;
}

/* Under the lock: replaces a claim that is void. BUSY: it is not, or is gone. */
static status replace(const char *dir, const char *path, const char *text, int stale_s,
                      struct errmsg *e)
{
    AUTO(mem_free) char *lock = mem_printf("%s/" LOCK, dir);
    AUTO(fd_close) int fd = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (fd < 0)
        return lock ? status_from_errno(errno) : STATUS_NOMEM;
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return STATUS_BUSY; /* a file system without locks: void claims stay */
    AUTO(mem_free) char *there = read_claim(path);
    if (!there || !is_void(dir, path, there, stale_s))
        return STATUS_BUSY;
    return io_write_file(path, text, strlen(text), e);
}

/* ---- */

static status create(const char *dir, const char *path, const char *text, int stale_s,
                     struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd);
    if (st == STATUS_EXISTS) {
        AUTO(mem_free) char *there = read_claim(path);
        if (!there || !is_void(dir, path, there, stale_s))
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
    struct claim c = {mem_printf("%s/%s", dir, id), who(needs)};
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
    AUTO(mem_free) char *there = read_claim(c->path);
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
    AUTO(mem_free) char *there = path ? read_claim(path) : NULL;
    return there && !is_void(dir, path, there, stale_s);
}

static bool names(const char *dir, const char *id, const char *tree, int stale_s)
{
    AUTO(mem_free) char *path = mem_printf("%s/%s", dir, id);
    AUTO(mem_free) char *there = path ? read_claim(path) : NULL;
    const char *needs = there ? strstr(there, "\nneeds ") : NULL;
    return needs && strstr(needs, tree) && !is_void(dir, path, there, stale_s);
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
