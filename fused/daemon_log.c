/* The log file, and leaving the terminal. */
#include "daemon_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

static const uint64_t log_bytes_max = 8u << 20;

/* For appending. A link is not followed, and a file that is not ours not written: the directory may
   be one in which others can make names. */
static int open_log(const char *path)
{
    AUTO(fd_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat sb;
    if (fd < 0 || fstat(fd, &sb) < 0)
        return -1;
    if (S_ISCHR(sb.st_mode))
        return TAKE_FD(fd);
    if (!S_ISREG(sb.st_mode) || sb.st_uid != geteuid() || sb.st_nlink != 1) {
        errno = EPERM;
        return -1;
    }
    if ((uint64_t)sb.st_size > log_bytes_max && ftruncate(fd, 0) < 0)
        return -1;
    return TAKE_FD(fd);
}

static status name_log(struct daemon *d)
{
    struct fs *fs = &d->fs;
    const char *slash = strrchr(fs->path.socket, '/');
    fs->path.log = d->opt->log_path
                       ? mem_strdup(d->opt->log_path)
                       : mem_printf("%s/relearnfsd-%.16s.log", fs->stack.cache_dir, slash + 1);
    return fs->path.log ? STATUS_OK : STATUS_NOMEM;
}

void daemon_leave_terminal(struct daemon *d)
{
    struct fs *fs = &d->fs;
    AUTO(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO(fd_close) int log = name_log(d) ? -1 : open_log(fs->path.log);
    if (log < 0)
        log_warn("%s: no log file: %s; nothing will be logged (-o log=FILE names another)",
                 fs->path.log ? fs->path.log : "?", strerror(errno));
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(log >= 0 ? log : null, STDERR_FILENO);
    }
    log_init("relearnfsd");
    if (chdir("/") < 0)
        log_warn("chdir: %s", strerror(errno));
}
