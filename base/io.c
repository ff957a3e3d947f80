/* The seam's durable I/O. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "banned.h"

status io_open(int dirfd, const char *path, int flags, mode_t mode, int *out_fd)
{
    if (fault_hit(FAULT_OPEN))
        return fault_status(FAULT_OPEN);
    int fd;
    do
        fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return status_from_errno(errno);
    *out_fd = fd;
    return STATUS_OK;
}

/* off < 0 reads at the file position. */
static status read_all(int fd, char *buf, size_t len, off_t off, size_t *out_n)
{
    if (fault_hit(FAULT_READ))
        return fault_status(FAULT_READ);
    size_t done = 0;
    while (done < len) {
        ssize_t n = off < 0 ? read(fd, buf + done, len - done)
                            : pread(fd, buf + done, len - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *out_n = done;
    return STATUS_OK;
}

static status write_all(int fd, const char *buf, size_t len, off_t off)
{
    size_t done = 0;
    int torn = fault_hit(FAULT_WRITE);
    if (torn)
        len /= 2; /* a failing write may have written a part */
    while (done < len) {
        ssize_t n = off < 0 ? write(fd, buf + done, len - done)
                            : pwrite(fd, buf + done, len - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        done += (size_t)n;
    }
    return torn ? fault_status(FAULT_WRITE) : STATUS_OK;
}

status io_read(int fd, void *buf, size_t len, size_t *out_n)
{
    return read_all(fd, buf, len, -1, out_n);
}

status io_pread(int fd, void *buf, size_t len, off_t off, size_t *out_n)
{
    return off < 0 ? STATUS_INVALID : read_all(fd, buf, len, off, out_n);
}

status io_write(int fd, const void *buf, size_t len)
{
    return write_all(fd, buf, len, -1);
}

status io_pwrite(int fd, const void *buf, size_t len, off_t off)
{
    return off < 0 ? STATUS_INVALID : write_all(fd, buf, len, off);
}

status io_sync(int fd)
{
    if (fault_hit(FAULT_CRASH))
        _exit(99);
    if (fault_hit(FAULT_SYNC))
        return fault_status(FAULT_SYNC);
    int rc;
    do
        rc = fdatasync(fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? status_from_errno(errno) : STATUS_OK;
}

status io_rename(int dirfd, const char *from, const char *to)
{
    if (fault_hit(FAULT_RENAME))
        return fault_status(FAULT_RENAME);
    return renameat(dirfd, from, dirfd, to) < 0 ? status_from_errno(errno) : STATUS_OK;
}

status io_sync_dir(const char *dir)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, *dir ? dir : "/", O_RDONLY | O_DIRECTORY, 0, &fd);
    if (st)
        return st;
    if (fault_hit(FAULT_CRASH))
        _exit(99);
    if (fault_hit(FAULT_SYNC))
        return fault_status(FAULT_SYNC);
    /* EINVAL: a file system that cannot sync directories; nothing more can be done there. */
    return fsync(fd) < 0 && errno != EINVAL ? status_from_errno(errno) : STATUS_OK;
}

/* To the end, of a file that says no size: those of /proc, and of a mount's .relearn. */
static status read_unsized(int fd, size_t max, char **out, size_t *out_n)
{
    enum { FIRST_BYTES = 1 << 16 };
    AUTO(mem_free) char *data = NULL;
    size_t n = 0, cap = 0;
    while (n == cap) {
        cap = cap ? 2 * cap : FIRST_BYTES;
        char *more = mem_realloc(data, cap + 1);
        if (!more)
            return STATUS_NOMEM;
        data = more;
        size_t got = 0;
        status st = io_pread(fd, data + n, cap - n, (off_t)n, &got);
        n += got;
        if (st || n > max)
            return st ? st : STATUS_LIMIT;
    }
    *out = TAKE(data);
    *out_n = n;
    return STATUS_OK;
}

status io_read_file_at(int dirfd, const char *path, size_t max, void **out_data, size_t *out_len,
                       struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(dirfd, path, O_RDONLY, 0, &fd);
    if (st)
        return errmsg_set(e, st, "cannot open %s: %s", path, strerror(errno));
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return errmsg_set(e, STATUS_IO, "cannot stat %s: %s", path, strerror(errno));
    if (!S_ISREG(sb.st_mode))
        return errmsg_set(e, STATUS_INVALID, "%s is not a regular file", path);
    if ((uint64_t)sb.st_size > max)
        return errmsg_set(e, STATUS_LIMIT, "%s is %lld bytes, more than the limit of %zu", path,
                          (long long)sb.st_size, max);
    size_t n = 0;
    AUTO(mem_free) char *data = sb.st_size ? mem_alloc((size_t)sb.st_size + 1) : NULL;
    if (sb.st_size && !data)
        return errmsg_set(e, STATUS_NOMEM, "out of memory for %s", path);
    st = sb.st_size ? io_pread(fd, data, (size_t)sb.st_size, 0, &n)
                    : read_unsized(fd, max, &data, &n);
    if (st)
        return errmsg_set(e, st, "cannot read %s: %s", path, status_text(st));
    data[n] = 0;
    *out_data = TAKE(data);
    *out_len = n;
    return STATUS_OK;
}

status io_read_file(const char *path, size_t max, void **out_data, size_t *out_len,
                    struct errmsg *e)
{
    return io_read_file_at(AT_FDCWD, path, max, out_data, out_len, e);
}

static status write_aside(const char *tmp, const char *path, const void *data, size_t len)
{
    AUTO(fd_close) int fd = -1;
    unlink(tmp); /* of a process that ended; O_EXCL: no link that somebody puts there is followed */
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666, &fd);
    if (!st)
        st = io_write(fd, data, len);
    if (!st)
        st = io_sync(fd);
    if (!st)
        st = io_rename(AT_FDCWD, tmp, path);
    return st;
}

status io_write_file(const char *path, const void *data, size_t len, struct errmsg *e)
{
    AUTO(mem_free) char *tmp = mem_printf("%s.tmp.%ld", path, (long)getpid());
    AUTO(mem_free) char *dir = mem_strdup(path);
    if (!tmp || !dir)
        return errmsg_set(e, STATUS_NOMEM, "cannot write %s: out of memory", path);
    status st = write_aside(tmp, path, data, len);
    if (st) {
        unlink(tmp);
        return errmsg_set(e, st, "cannot write %s: %s", path, status_text(st));
    }
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    st = io_sync_dir(slash ? dir : ".");
    return st ? errmsg_set(e, st, "cannot sync the directory of %s: %s", path, status_text(st))
              : STATUS_OK;
}

status io_mkdirs(const char *path, int is_private, struct errmsg *e)
{
    if (!*path)
        return errmsg_set(e, STATUS_INVALID, "cannot create a directory without a name");
    AUTO(mem_free) char *p = mem_strdup(path);
    if (!p)
        return errmsg_set(e, STATUS_NOMEM, "cannot create %s: out of memory", path);
    size_t len = strlen(p);
    while (len > 1 && p[len - 1] == '/')
        p[--len] = 0;
    for (char *s = p + 1;; s++) {
        if (*s && *s != '/')
            continue;
        char keep = *s;
        *s = 0;
        if (mkdir(p, !keep && is_private ? 0700 : 0777) < 0 && errno != EEXIST)
            return errmsg_set(e, status_from_errno(errno), "cannot create directory %s: %s", p,
                              strerror(errno));
        *s = keep;
        if (!keep)
            break;
    }
    struct stat sb;
    if (stat(p, &sb) < 0 || !S_ISDIR(sb.st_mode))
        return errmsg_set(e, STATUS_EXISTS, "%s exists and is not a directory", path);
    return STATUS_OK;
}
