#include "beneath.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/banned.h"

static atomic_int no_openat2;

void beneath_force_fallback(int on)
{
    atomic_store(&no_openat2, on);
}

/* openat2 may say EAGAIN when something is renamed meanwhile. */
enum { RENAME_RETRIES = 16 };

static int open_beneath(int root_fd, const char *path, int flags, uint64_t resolve, int *out_fd)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
    };
    for (int i = 0; i < RENAME_RETRIES; i++) {
        int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0) {
            *out_fd = fd;
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR)
            return errno;
    }
    return EAGAIN;
}

/* Steps into one directory after the other; the last component is opened with the caller's
   flags. */
static int open_by_steps(int root_fd, const char *path, int flags, int *out_fd)
{
    int at = root_fd;
    for (;;) {
        size_t len = strcspn(path, "/");
        char part[NAME_MAX + 1];
        if (len > NAME_MAX)
            return ENAMETOOLONG;
        memcpy(part, path, len);
        part[len] = 0;
        bool last = path[len] == 0;
        int how = last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW;
        int fd = strcmp(part, "..") == 0 ? -1 : openat(at, part, how | O_CLOEXEC);
        int err = fd < 0 ? (strcmp(part, "..") == 0 ? EXDEV : errno) : 0;
        if (at != root_fd)
            close(at);
        if (err)
            return err;
        if (last) {
            *out_fd = fd;
            return 0;
        }
        at = fd;
        path += len + 1;
    }
}

static int open_any(int root_fd, const char *path, int flags, uint64_t resolve, int *out_fd)
{
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed)) {
        int err = open_beneath(root_fd, path, flags, resolve, out_fd);
        if (err != ENOSYS)
            return err;
        atomic_store(&no_openat2, 1);
    }
    return open_by_steps(root_fd, path, flags, out_fd);
}

int beneath_open(int root_fd, const char *path, int flags, int *out_fd)
{
    return open_any(root_fd, path, flags | O_NOFOLLOW, RESOLVE_NO_SYMLINKS, out_fd);
}

int beneath_open_same_mount(int root_fd, const char *path, int flags, int *out_fd)
{
    return open_any(root_fd, path, flags | O_NOFOLLOW, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
                    out_fd);
}

/* O_NOATIME is for the owner (and root) only. */
int beneath_open_data(int root_fd, const char *path, int extra_flags, int *out_fd)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | extra_flags;
    int err = beneath_open(root_fd, path, flags | O_NOATIME, out_fd);
    return err == EPERM ? beneath_open(root_fd, path, flags, out_fd) : err;
}

int beneath_open_following(int base_fd, const char *path, int flags, int *out_fd)
{
    int err = open_any(base_fd, path, flags | O_NOATIME, 0, out_fd);
    return err == EPERM ? open_any(base_fd, path, flags, 0, out_fd) : err;
}

int beneath_reaches(int root_fd, const char *path, int *out_fd)
{
    if (atomic_load_explicit(&no_openat2, memory_order_relaxed))
        return ENOSYS;
    return open_beneath(root_fd, path, O_PATH, RESOLVE_NO_XDEV, out_fd);
}

int beneath_open_linked(int dir_fd, const char *name, int *out_fd)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dir_fd, name, flags);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return 0;
}
