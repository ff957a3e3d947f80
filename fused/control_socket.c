/* Where the socket of a mount is, and listening there. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/banned.h"

/* sudo may leave us another user's. */
static bool is_ours(const char *dir)
{
    struct stat sb;
    return dir && dir[0] == '/' && stat(dir, &sb) == 0 && S_ISDIR(sb.st_mode) &&
           sb.st_uid == geteuid() && access(dir, W_OK) == 0;
}

/* A directory that is not there yet is made. */
static bool can_hold_names(const char *dir)
{
    return access(dir, W_OK) == 0 || errno == ENOENT;
}

/* Where the cache can only be read: a cache that is complete serves as it is. */
static char *dir_beside_the_cache(void)
{
    AUTO(mem_free) char *user = mem_printf("/run/user/%u", (unsigned)geteuid());
    if (is_ours(user))
        return mem_printf("%s/relearnfs", user);
    if (geteuid() == 0 && is_ours("/run"))
        return mem_strdup("/run/relearnfs");
    return mem_printf("/tmp/relearnfs-%u", (unsigned)geteuid());
}

status control_socket_dir(const char *cache_dir, char **out)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    char *dir = is_ours(run)                ? mem_printf("%s/relearnfs", run)
                : can_hold_names(cache_dir) ? mem_strdup(cache_dir)
                                            : dir_beside_the_cache();
    if (!dir)
        return STATUS_NOMEM;
    *out = dir;
    return STATUS_OK;
}

/* Who can make names in the socket's directory could put another socket in its place. Beside the
 * cache, a link that somebody else made leads where he wants (/tmp is anybody's). */
static status check_dir(const char *dir, bool is_cache, struct errmsg *e)
{
    struct stat link, sb;
    if (lstat(dir, &link) < 0 || stat(dir, &sb) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", dir, strerror(errno));
    if (S_ISDIR(sb.st_mode) && sb.st_uid == geteuid() && (is_cache || link.st_uid == geteuid()))
        return STATUS_OK;
    return errmsg_set(e, STATUS_DENIED,
                      "%s belongs to another user, who could plant links in it (%s)", dir,
                      is_cache ? "choose a directory of your own with --cache DIR"
                               : "set XDG_RUNTIME_DIR to a directory of your own");
}

status control_socket_path(const char *mountpoint, const char *cache_dir, char **out,
                           struct errmsg *e)
{
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(mem_free) char *dir = NULL;
    status st = digest_sha256(&(struct digest_part){mountpoint, strlen(mountpoint)}, 1, &d);
    if (!st)
        st = control_socket_dir(cache_dir, &dir);
    if (!st)
        st = io_mkdirs(dir, 1, e);
    if (!st)
        st = check_dir(dir, strcmp(dir, cache_dir) == 0, e);
    if (st)
        return st;
    digest_hex(&d, hex);
    char *path = mem_printf("%s/%.16s.sock", dir, hex);
    if (!path)
        return STATUS_NOMEM;
    *out = path;
    return STATUS_OK;
}

/* sun_path is short and cache directories are not: the directory goes in as a descriptor. */
status control_listen(const char *path, int *out_fd, struct errmsg *e)
{
    const char *slash = strrchr(path, '/');
    AUTO(mem_free) char *dir = mem_printf("%.*s", (int)(slash - path), path);
    if (!dir)
        return STATUS_NOMEM;
    AUTO(fd_close) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d%s", dir_fd, slash);
    if (dir_fd < 0 || fd < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", dir, strerror(errno));
    unlinkat(dir_fd, slash + 1, 0); /* of a daemon that was killed; a living one holds the mount */
    mode_t mask = umask(0177);
    int rc = bind(fd, (struct sockaddr *)&at, sizeof at);
    int err = errno;
    umask(mask);
    if (rc < 0 || listen(fd, CONTROL_CONNECTIONS) < 0)
        return errmsg_set(e, status_from_errno(rc < 0 ? err : errno), "%s: %s", path,
                          strerror(rc < 0 ? err : errno));
    *out_fd = TAKE_FD(fd);
    return STATUS_OK;
}
