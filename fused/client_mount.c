/* Starting a mount's daemon, and ending it. */
#include "client.h"

#include "mounts.h"
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/banned.h"

extern char **environ;

static const int exit_wait_ms = 60000; /* a full cache queue on a slow disk */

/* The option's value with the separators of an -o list escaped. */
static char *option_string(const char *key, const char *value)
{
    AUTO(buf_done) struct buf b = BUF_INIT(1u << 16);
    status st = buf_addf(&b, "%s=", key);
    for (; !st && *value; value++) {
        if (*value == ',' || *value == '\\')
            st = buf_add(&b, "\\", 1);
        if (!st)
            st = buf_add(&b, value, 1);
    }
    return st ? NULL : mem_strdup(b.data);
}

static status run_daemon(const char *program, char *const *argv, bool foreground, int *out_exit,
                         struct errmsg *e)
{
    if (foreground) {
        execv(program, argv);
        return errmsg_set(e, status_from_errno(errno), "%s: %s", program, strerror(errno));
    }
    pid_t pid;
    int rc, err = posix_spawn(&pid, program, NULL, NULL, argv, environ);
    if (err)
        return errmsg_set(e, status_from_errno(err), "%s: %s", program, strerror(err));
    while (waitpid(pid, &rc, 0) < 0)
        if (errno != EINTR)
            return errmsg_set(e, STATUS_IO, "waiting for relearnfsd: %s", strerror(errno));
    *out_exit = WIFEXITED(rc) ? WEXITSTATUS(rc) : 1;
    return WIFEXITED(rc)
               ? STATUS_OK
               : errmsg_set(e, STATUS_INTERNAL, "relearnfsd was killed by signal %d", WTERMSIG(rc));
}

status fused_mount(const struct fused_mount_options *opt, int *out_exit, struct errmsg *e)
{
    AUTO(mem_free) char *program = NULL;
    AUTO(mem_free) char *profile = NULL;
    AUTO(mem_free) char *cache = NULL;
    AUTO(mem_free) const char **argv = NULL;
    status st = path_sibling("relearnfsd", &program);
    if (st)
        return st;
    argv = mem_zalloc((size_t)(2 * opt->n_options + 10), sizeof *argv);
    if (!argv)
        return STATUS_NOMEM;
    int n = 0;
    argv[n++] = "relearnfsd";
    if (opt->foreground)
        argv[n++] = "-f";
    if (opt->profile) {
        profile = option_string("profile", opt->profile);
        argv[n++] = "-o";
        argv[n++] = profile;
    }
    if (opt->cache_dir) {
        cache = option_string("cache", opt->cache_dir);
        argv[n++] = "-o";
        argv[n++] = cache;
    }
    if ((opt->profile && !profile) || (opt->cache_dir && !cache))
        return STATUS_NOMEM;
    for (int i = 0; i < opt->n_options; i++) {
        argv[n++] = "-o";
        argv[n++] = opt->options[i];
    }
    argv[n++] = "--";
    argv[n++] = opt->source;
    argv[n++] = opt->mountpoint;
    return run_daemon(program, (char *const *)argv, opt->foreground, out_exit, e);
}

/* The daemon's process, to see it end; -1 when it is not to be had. */
static int daemon_pidfd(const char *path)
{
    AUTO(json_decref) json_t *info = NULL;
    struct errmsg e;
    if (client_status(path, &info, &e))
        return -1;
    pid_t pid = (pid_t)json_integer_value(json_object_get(info, "pid"));
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

status fused_umount(const char *mountpoint, struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    int id;
    status st = client_find_mount(mountpoint, &path, &id, e);
    if (st)
        return st;
    bool dead = mount_is_dead(path);
    AUTO(fd_close) int pidfd = dead ? -1 : daemon_pidfd(path);
    st = mount_detach(path, id, dead, e);
    if (st || pidfd < 0)
        return st;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (poll(&p, 1, exit_wait_ms) == 0)
        return errmsg_set(e, STATUS_TIMEOUT,
                          "%s: unmounted, but its daemon is still writing its cache", path);
    return STATUS_OK;
}
