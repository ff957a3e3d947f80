#include "bench/claim_void.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

enum { CLAIM_BYTES_MAX = 4096 };

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

char *claim_text(const char *const needs[CLAIM_NEEDS_MAX])
{
    char host[256] = "?", where[160];
    gethostname(host, sizeof host - 1);
    place(where, sizeof where);
    return mem_printf("host %s\nplace %s\npid %ld\nstarted %llu\nneeds %s %s %s\n", host, where,
                      (long)getpid(), started(getpid()), needs[0] ? needs[0] : "-",
                      needs[1] ? needs[1] : "-", needs[2] ? needs[2] : "-");
}

char *claim_read(const char *path)
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
    AUTO(mem_free) char *path = mem_printf("%s/" CLAIM_LOCK, dir);
    AUTO(fd_close) int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    struct stat sb;
    if (fd < 0 || futimens(fd, NULL) < 0 || fstat(fd, &sb) < 0)
        return false;
    *out = sb.st_mtime;
    return true;
}

bool claim_is_void(const char *dir, const char *path, const char *text, int stale_s)
{
    struct stat sb;
    time_t now;
    if (is_gone(text))
        return true;
    return stat(path, &sb) == 0 && folder_time(dir, &now) && now - sb.st_mtime > stale_s;
}
