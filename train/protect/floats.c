#include "protect/floats.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* A file that has no name, or has none any more. */
static status open_nameless(const char *folder, int *out_fd)
{
    status st = io_open(AT_FDCWD, folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600, out_fd);
    if (st != STATUS_UNSUPPORTED && st != STATUS_INVALID && st != STATUS_IO)
        return st;
    AUTO(mem_free) char *name = mem_printf("%s/.relearn-XXXXXX", folder);
    if (!name)
        return STATUS_NOMEM;
    *out_fd = mkostemp(name, O_CLOEXEC);
    if (*out_fd < 0)
        return status_from_errno(errno);
    (void)unlink(name);
    return STATUS_OK;
}

static status map_file(struct floats *f, size_t bytes, const char *folder)
{
    AUTO(fd_close) int fd = -1;
    status st = open_nameless(folder, &fd);
    if (st)
        return st;
    int err = posix_fallocate(fd, 0, (off_t)bytes);
    if (err)
        return status_from_errno(err);
    void *v = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (v == MAP_FAILED)
        return status_from_errno(errno);
    *f = (struct floats){v, bytes, true};
    return STATUS_OK;
}

status floats_init(struct floats *f, size_t n, size_t memory_max, const char *folder,
                   struct errmsg *e)
{
    *f = (struct floats){NULL, 0, false};
    if (n > (size_t)INT64_MAX / sizeof *f->v)
        return errmsg_set(e, STATUS_LIMIT, "%zu values are too many", n);
    size_t bytes = n * sizeof *f->v;
    if (bytes > memory_max) {
        status st = map_file(f, bytes, folder);
        return st ? errmsg_set(e, st, "no room for %zu MiB in %s: %s", bytes >> 20, folder,
                               status_text(st))
                  : STATUS_OK;
    }
    f->v = mem_zalloc(n, sizeof *f->v);
    f->bytes = bytes;
    return f->v ? STATUS_OK : STATUS_NOMEM;
}

void floats_done(struct floats *f)
{
    if (f->mapped)
        munmap(f->v, f->bytes);
    else
        mem_free(f->v);
    *f = (struct floats){NULL, 0, false};
}
