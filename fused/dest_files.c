/* Files and links, written under temporary names and then renamed. */
#include "dest_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

/* The same in every run, so that nothing is left behind when a run that was interrupted is
   repeated; short, whatever the file is called. */
static void temp_name_of(const char *name, char out[48])
{
    snprintf(out, 48, ".relearn-part-%016llx", (unsigned long long)checksum64(name, strlen(name)));
}

enum { NEW_TRIES = 8 };

static status open_new(int at, const char *name, int *out_fd)
{
    status st = STATUS_EXISTS;
    for (int i = 0; st == STATUS_EXISTS && i < NEW_TRIES; i++) {
        unlinkat(at, name, 0);
        st = io_open(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600, out_fd);
    }
    return st;
}

status dest_file_begin(struct dest_dir *d, const char *name, struct dest_file *out)
{
    int at;
    struct dest_file f = {.fd = -1};
    status st = dest_dir_use(d, &at);
    if (st)
        return st;
    temp_name_of(name, f.temp_name);
    st = open_new(at, f.temp_name, &f.fd);
    dest_dir_release(d);
    if (!st)
        *out = f;
    return st;
}

static void unlink_in(struct dest_dir *d, const char *name)
{
    int at;
    if (dest_dir_use(d, &at))
        return;
    unlinkat(at, name, 0);
    dest_dir_release(d);
}

void dest_file_drop(struct dest_dir *d, struct dest_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    unlink_in(d, f->temp_name);
}

status dest_file_end(struct dest_dir *d, const char *name, struct dest_file *f,
                     const struct stat *source)
{
    const struct timespec times[2] = {source->st_mtim, source->st_mtim};
    status st = STATUS_OK;
    if (fchmod(f->fd, source->st_mode & DEST_MODE_MASK) < 0 || futimens(f->fd, times) < 0)
        st = status_from_errno(errno);
    if (close(f->fd) < 0 && !st)
        st = status_from_errno(errno);
    f->fd = -1;
    int at;
    if (!st)
        st = dest_dir_use(d, &at);
    if (!st) {
        st = io_rename(at, f->temp_name, name);
        dest_dir_release(d);
    }
    if (st)
        unlink_in(d, f->temp_name);
    return st;
}

static status write_symlink(int at, const char *temp_name, const char *name, const char *text,
                            const struct stat *source)
{
    unlinkat(at, temp_name, 0);
    if (symlinkat(text, at, temp_name) < 0)
        return status_from_errno(errno);
    const struct timespec times[2] = {source->st_mtim, source->st_mtim};
    if (utimensat(at, temp_name, times, AT_SYMLINK_NOFOLLOW) < 0)
        errno = 0; /* not every file system keeps a link's time */
    status st = io_rename(at, temp_name, name);
    if (st)
        unlinkat(at, temp_name, 0);
    return st;
}

status dest_symlink(struct dest_dir *d, const char *name, const char *text,
                    const struct stat *source)
{
    char temp_name[48];
    int at;
    status st = dest_dir_use(d, &at);
    if (st)
        return st;
    temp_name_of(name, temp_name);
    st = write_symlink(at, temp_name, name, text, source);
    dest_dir_release(d);
    return st;
}
