#include "site.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

static char *reserve_path(const char *dir)
{
    return mem_printf("%s/reserve", dir);
}

/* Noise: zeros take no space where a file system compresses. */
static status write_reserve(const char *path)
{
    AUTO(fd_close) int fd = -1;
    uint8_t noise[4096];
    status st =
        io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, SITE_FILE_MODE, &fd);
    for (int i = 0; !st && i < (int)(RESERVE_BYTES / sizeof noise); i++) {
        if (getrandom(noise, sizeof noise, 0) != sizeof noise)
            return STATUS_IO;
        st = io_write(fd, noise, sizeof noise);
    }
    return st;
}

void reserve_keep(const char *dir, uint64_t least_free)
{
    AUTO(mem_free) char *path = reserve_path(dir);
    struct stat sb;
    uint64_t space, size;
    if (!path || site_space(dir, &space, &size))
        return;
    bool there = lstat(path, &sb) == 0;
    if (there && S_ISREG(sb.st_mode) && sb.st_size >= RESERVE_BYTES)
        return;
    if (space < least_free || (there && unlink(path) < 0))
        return;
    if (write_reserve(path) != STATUS_OK)
        unlink(path);
}

bool reserve_spend(const char *dir)
{
    AUTO(mem_free) char *path = reserve_path(dir);
    struct stat sb;
    return path && lstat(path, &sb) == 0 && unlink(path) == 0;
}
