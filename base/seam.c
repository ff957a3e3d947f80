#include "seam.h"

#include "banned.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

/* ---- fault injection ---- */

struct fault {
    atomic_ulong calls;
    atomic_ulong at; /* the call number that fails next; 0: off */
    atomic_ulong every;
    atomic_int err;
};
static struct fault faults[FAULT_COUNT];
static atomic_int env_read;

static void fault_from_env(void)
{
    static const char *const names[FAULT_COUNT] = {"mem",  "open",   "read", "write",
                                                   "sync", "rename", "crash"};
    const char *spec = getenv("RELEARN_FAULT");
    if (!spec)
        return;
    for (int k = 0; k < FAULT_COUNT; k++) {
        size_t len = strlen(names[k]);
        if (strncmp(spec, names[k], len) != 0 || spec[len] != ':')
            continue;
        char *end;
        unsigned long n = strtoul(spec + len + 1, &end, 10);
        unsigned long every = *end == ':' ? strtoul(end + 1, NULL, 10) : 0;
        fault_set((enum fault_kind)k, n, every, 0);
    }
}

static atomic_ullong asked_bytes;

uint64_t fault_mem_bytes(void)
{
    return atomic_load(&asked_bytes);
}

/* True when this call must fail. */
static int fault_hit(enum fault_kind kind)
{
    if (!atomic_exchange_explicit(&env_read, 1, memory_order_relaxed))
        fault_from_env();
    struct fault *f = &faults[kind];
    unsigned long call = atomic_fetch_add_explicit(&f->calls, 1, memory_order_relaxed) + 1;
    unsigned long at = atomic_load_explicit(&f->at, memory_order_relaxed);
    if (at == 0 || call != at)
        return 0;
    unsigned long every = atomic_load_explicit(&f->every, memory_order_relaxed);
    atomic_store_explicit(&f->at, every ? at + every : 0, memory_order_relaxed);
    return 1;
}

static int mem_hit(size_t bytes)
{
    atomic_fetch_add_explicit(&asked_bytes, bytes, memory_order_relaxed);
    return fault_hit(FAULT_MEM);
}

static status fault_status(enum fault_kind kind)
{
    int err = atomic_load_explicit(&faults[kind].err, memory_order_relaxed);
    return err ? status_from_errno(err) : STATUS_IO;
}

void fault_set(enum fault_kind kind, unsigned long n, unsigned long every, int err)
{
    struct fault *f = &faults[kind];
    atomic_store(&env_read, 1);
    atomic_store(&f->every, every);
    atomic_store(&f->err, err);
    atomic_store(&f->at, n ? atomic_load(&f->calls) + n : 0);
}

void fault_clear(void)
{
    for (int k = 0; k < FAULT_COUNT; k++)
        fault_set((enum fault_kind)k, 0, 0, 0);
}

unsigned long fault_calls(enum fault_kind kind)
{
    return atomic_load(&faults[kind].calls);
}

/* ---- memory ---- */

void *mem_alloc(size_t size)
{
    if (size > PTRDIFF_MAX || mem_hit(size))
        return NULL;
    return malloc(size ? size : 1);
}

void *mem_zalloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX || mem_hit(bytes))
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *mem_alloc_aligned(size_t size)
{
    enum { HUGE_PAGE = 2 << 20 };
    if (size > PTRDIFF_MAX - HUGE_PAGE || mem_hit(size))
        return NULL;
    size_t align = size < HUGE_PAGE ? 64 : HUGE_PAGE;
    size_t whole = size ? (size + align - 1) / align * align : align;
    void *p = aligned_alloc(align, whole);
    if (p && align == HUGE_PAGE)
        (void)madvise(p, whole, MADV_HUGEPAGE); /* without it the memory is only slower */
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    return mem_hit(size) ? NULL : realloc(p, size ? size : 1);
}

char *mem_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *p = mem_alloc(len);
    if (p)
        memcpy(p, s, len);
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *p = len < 0 ? NULL : mem_alloc((size_t)len + 1);
    if (p)
        vsnprintf(p, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

void mem_free(void *p)
{
    free(p);
}

/* ---- durable I/O ---- */

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
    AUTO(mem_free) char *data = mem_alloc((size_t)sb.st_size + 1);
    if (!data)
        return errmsg_set(e, STATUS_NOMEM, "out of memory for %s", path);
    size_t n = 0;
    st = io_pread(fd, data, (size_t)sb.st_size, 0, &n);
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
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd);
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

/* ---- time ---- */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t time_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t time_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}
