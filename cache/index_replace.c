/* Putting a damaged index aside and making a new one, under DIR/lock. Why that is safe while others
   have it open: index.c. */
#include "index_file.h"
#include "site.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char *const suffixes[] = {"-wal", "-shm", ""}; /* in the order they are renamed */

static bool aside_taken(const char *path, unsigned n)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        AUTO(mem_free) char *to = mem_printf("%s.aside-%u%s", path, n, suffixes[i]);
        if (!to || access(to, F_OK) == 0)
            return true;
    }
    return false;
}

/* The lock is held. */
static status rename_aside(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *path = index_path(dir);
    if (!path)
        return errmsg_set(e, STATUS_NOMEM, "cannot rename the index aside: out of memory");
    unsigned n = 1;
    while (n < 1000 && aside_taken(path, n))
        n++;
    if (n == 1000)
        return errmsg_set(e, STATUS_LIMIT,
                          "%s: too many damaged indexes (relearn cache gc --aside)", dir);
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < ARRAY_LEN(suffixes); i++) {
        AUTO(mem_free) char *from = mem_printf("%s%s", path, suffixes[i]);
        AUTO(mem_free) char *to = mem_printf("%s.aside-%u%s", path, n, suffixes[i]);
        st = from && to ? io_rename(AT_FDCWD, from, to) : STATUS_NOMEM;
        if (st == STATUS_NOT_FOUND)
            st = STATUS_OK;
    }
    if (!st)
        st = io_sync_dir(dir);
    return st ? errmsg_set(e, st, "cannot rename %s aside: %s", path, status_text(st)) : STATUS_OK;
}

/* Creates the file so that other users cannot open SQLite's files, and so that a log left over from
   another database is not replayed into the new one. A file with something in it is not opened
   here: closing it would drop the POSIX locks of this process's other connections to it. */
static status create_file(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *path = index_path(dir);
    AUTO(mem_free) char *wal = path ? mem_printf("%s-wal", path) : NULL;
    if (!wal)
        return errmsg_set(e, STATUS_NOMEM, "cannot create the index: out of memory");
    struct stat sb;
    if (lstat(path, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0) {
        if (sb.st_uid == geteuid() && sb.st_mode & 077)
            (void)chmod(path, SITE_FILE_MODE); /* SQLite gives its log the same */
        return STATUS_OK;
    }
    if (access(wal, F_OK) == 0) {
        status st = rename_aside(dir, e);
        if (st)
            return st;
    }
    AUTO(fd_close) int fd = -1;
    return site_open(path, O_RDWR | O_CREAT, &fd, e);
}

static status attach_locked(const char *dir, struct index **out, bool *out_fresh, struct errmsg *e)
{
    status st = create_file(dir, e);
    if (!st)
        st = index_open_locked(dir, DB_CREATE, out, e);
    if (st != STATUS_CORRUPT)
        return st;
    st = rename_aside(dir, e);
    if (!st)
        st = create_file(dir, e);
    if (!st)
        st = index_open_locked(dir, DB_CREATE, out, e);
    if (!st)
        *out_fresh = true;
    return st;
}

status index_attach(const char *dir, struct index **out, bool *out_fresh, struct errmsg *e)
{
    AUTO(fd_close) int lock = -1;
    status st = index_lock(dir, LOCK_EX, &lock, e);
    if (st)
        return st;
    *out_fresh = false;
    return attach_locked(dir, out, out_fresh, e);
}

status index_put_aside(const char *dir, struct index *x, struct errmsg *e)
{
    AUTO(fd_close) int lock = -1;
    status st = index_lock(dir, LOCK_EX, &lock, e);
    if (st)
        return st;
    return index_moved(x) ? STATUS_OK : rename_aside(dir, e);
}
