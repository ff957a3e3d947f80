#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

/* ---- whose ---- */

static bool trusted(const struct stat *sb)
{
    return sb->st_uid == geteuid() || sb->st_uid == 0;
}

static status check_owner(const char *path, const struct stat *sb, struct errmsg *e)
{
    if (trusted(sb))
        return STATUS_OK;
    return errmsg_set(e, STATUS_DENIED,
                      "%s belongs to user %u, who could change it meanwhile (run as that user, or "
                      "name a cache of your own)",
                      path, sb->st_uid);
}

static status check_dir(const char *path, struct errmsg *e)
{
    struct stat sb;
    if (lstat(path, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "cannot open %s: %s", path, strerror(errno));
    if (S_ISLNK(sb.st_mode))
        return errmsg_set(e, STATUS_DENIED,
                          "%s is a symbolic link, and a cache is one directory (name the one it "
                          "lies in)",
                          path);
    if (!S_ISDIR(sb.st_mode))
        return errmsg_set(e, STATUS_NOT_FOUND, "%s is not a directory", path);
    status st = check_owner(path, &sb, e);
    /* In a sticky directory only owners may rename and delete, and a file that another user added
       is refused when it is opened. */
    if (!st && (sb.st_mode & S_IWOTH) && !(sb.st_mode & S_ISVTX))
        st = errmsg_set(e, STATUS_DENIED,
                        "anybody may replace what is in %s (chmod o-w, or use another)", path);
    return st;
}

static status check_file(const char *path, const struct stat *sb, struct errmsg *e)
{
    if (S_ISLNK(sb->st_mode))
        return errmsg_set(e, STATUS_DENIED, "%s is a symbolic link (remove it)", path);
    if (!S_ISREG(sb->st_mode))
        return errmsg_set(e, STATUS_DENIED, "%s is not a regular file (remove it)", path);
    return check_owner(path, sb, e);
}

status site_check_file(const char *path, struct errmsg *e)
{
    struct stat sb;
    if (lstat(path, &sb) < 0)
        return errno == ENOENT ? STATUS_OK
                               : errmsg_set(e, status_from_errno(errno), "cannot open %s: %s", path,
                                            strerror(errno));
    return check_file(path, &sb, e);
}

status site_open(const char *path, int flags, int *out_fd, struct errmsg *e)
{
    AUTO(fd_close) int fd = -1;
    struct stat sb;
    /* O_NONBLOCK: a pipe is not waited for */
    status st = io_open(AT_FDCWD, path, flags | O_NOFOLLOW | O_NONBLOCK, SITE_FILE_MODE, &fd);
    if (st) {
        status why = lstat(path, &sb) < 0 ? STATUS_OK : check_file(path, &sb, e);
        return why ? why : errmsg_set(e, st, "cannot open %s: %s", path, status_text(st));
    }
    if (fstat(fd, &sb) < 0)
        return errmsg_set(e, STATUS_IO, "cannot look at %s: %s", path, strerror(errno));
    st = check_file(path, &sb, e);
    if (st)
        return st;
    if (sb.st_uid == geteuid() && sb.st_mode & 077)
        (void)fchmod(fd, SITE_FILE_MODE); /* on a read-only file system it stays as it is */
    *out_fd = TAKE_FD(fd);
    return STATUS_OK;
}

/* ---- where ---- */

/* Numbers of linux/magic.h and of the file systems' own sources. FUSE may be anything, also a mount
   of ours. */
static const struct {
    uint32_t type;
    const char *name;
} networks[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "CIFS"},     {0xfe534d42, "SMB"},
    {0x0bd00bd0, "Lustre"}, {0x01021997, "9p"},     {0x65735546, "FUSE"},     {0x00c36400, "Ceph"},
    {0x5346414f, "AFS"},    {0x6b414653, "AFS"},    {0x73757245, "Coda"},     {0x564c, "NCP"},
    {0x47504653, "GPFS"},   {0x19830326, "BeeGFS"}, {0x20030528, "OrangeFS"}, {0xaad7aaea, "PanFS"},
    {0x786f4256, "vboxsf"}, {0xbacbacbc, "vmhgfs"}, {0x01161970, "GFS2"},     {0x7461636f, "OCFS2"},
};

const char *site_network(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(networks); i++)
        if (networks[i].type == type)
            return networks[i].name;
    return NULL;
}

static status statfs_above(const char *path, struct statfs *out)
{
    AUTO(mem_free) char *p = mem_strdup(path);
    if (!p)
        return STATUS_NOMEM;
    for (;;) {
        if (statfs(*p ? p : ".", out) == 0)
            return STATUS_OK;
        if (errno != ENOENT && errno != ENOTDIR)
            return status_from_errno(errno);
        char *slash = strrchr(p, '/');
        if (!*p || (slash == p && !p[1]))
            return STATUS_NOT_FOUND;
        if (slash == p)
            p[1] = 0;
        else if (slash)
            *slash = 0;
        else
            *p = 0;
    }
}

static status site_of(const char *dir, struct site *out, struct errmsg *e)
{
    struct statfs fs;
    status st = statfs_above(dir, &fs);
    if (st)
        return errmsg_set(e, st, "cannot look at the file system of %s: %s", dir, status_text(st));
    *out = (struct site){.network = site_network((uint32_t)fs.f_type),
                         .read_only = (fs.f_flags & ST_RDONLY) != 0};
    return STATUS_OK;
}

status site_local(const char *dir, struct errmsg *e)
{
    struct site site;
    status st = site_of(dir, &site, e);
    if (st || !site.network)
        return st;
    return errmsg_set(e, STATUS_UNSUPPORTED,
                      "%s is on a network file system (%s), whose locks and shared memory an index "
                      "cannot rely on (use a cache directory on a local disk)",
                      dir, site.network);
}

status site_check(const char *dir, struct site *out, struct errmsg *e)
{
    status st = check_dir(dir, e);
    if (st)
        return st;
    AUTO(mem_free) char *packs = mem_printf("%s/packs", dir);
    if (!packs)
        return errmsg_set(e, STATUS_NOMEM, "cannot open %s: out of memory", dir);
    struct stat sb;
    if (lstat(packs, &sb) == 0 && (st = check_dir(packs, e)))
        return st;
    return site_of(dir, out, e);
}

/* ---- space ---- */

status site_space(const char *dir, uint64_t *out_free, uint64_t *out_size)
{
    struct statfs fs;
    status st = statfs_above(dir, &fs);
    if (st)
        return st;
    *out_free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    *out_size = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    return STATUS_OK;
}
