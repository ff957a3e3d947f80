/* The commands' side of a mount: starting, asking, ending it. */
#include "control.h"
#include "fused.h"
#include "jname.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/banned.h"

extern char **environ;

static const int exit_wait_ms = 60000; /* a full cache queue on a slow disk */
static const size_t batch_bytes_max =
    512u << 10; /* of names in one request, far below CONTROL_LINE_MAX */

/* ---- asking ---- */

/* The absolute path and the id of a mount of ours. */
static status require_mount(const char *mountpoint, char **out_path, int *out_id, struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    struct mount_top top;
    status st = mount_path(mountpoint, &path, e);
    if (st)
        return st;
    st = mount_top(path, &top);
    if (st)
        return errmsg_set(e, st, "the list of mounts cannot be read");
    if (!top.ours)
        st =
            top.found && mount_id_at(path) >= 0
                ? errmsg_set(
                      e, STATUS_EXISTS,
                      "%s: something else is mounted over the relearnfs there (%s, type %s): "
                      "unmount that first",
                      path, top.source, top.type)
                : errmsg_set(e, STATUS_NOT_FOUND,
                             "%s: no relearnfs is mounted there (relearn status lists them)", path);
    if (out_id)
        *out_id = top.id;
    mount_top_done(&top);
    if (!st)
        *out_path = TAKE(path);
    return st;
}

static status read_status(const char *path, struct buf *out, struct errmsg *e)
{
    AUTO(mem_free) char *file = mem_printf("%s/.relearn/status.json", path);
    if (!file)
        return STATUS_NOMEM;
    AUTO(fd_close) int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errmsg_set(
            e, status_from_errno(errno), "%s: %s%s", path, strerror(errno),
            errno == ENOTCONN ? ": its daemon is gone (relearn umount, then mount again)"
            : errno == EACCES ? ": another user's mount, whose status names that user's files"
                              : "");
    char chunk[16384];
    for (;;) {
        size_t n;
        status st = io_read(fd, chunk, sizeof chunk, &n);
        if (!st && n)
            st = buf_add(out, chunk, n);
        if (st)
            return errmsg_set(e, st, "%s: %s", file, status_text(st));
        if (n < sizeof chunk)
            return STATUS_OK;
    }
}

status fused_status(const char *mountpoint, struct buf *out, struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    status st = require_mount(mountpoint, &path, NULL, e);
    return st ? st : read_status(path, out, e);
}

static status status_object(const char *path, json_t **out, struct errmsg *e)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64u << 20);
    status st = read_status(path, &text, e);
    if (st)
        return st;
    json_error_t jerr;
    *out = json_loadb(text.data, text.len, 0, &jerr);
    return *out ? STATUS_OK : errmsg_set(e, STATUS_CORRUPT, "%s: its status is not JSON", path);
}

static status connect_to(const char *socket_path, int *out_fd, struct errmsg *e)
{
    const char *slash = strrchr(socket_path, '/');
    AUTO(mem_free)
    char *dir = slash ? mem_printf("%.*s", (int)(slash - socket_path), socket_path) : NULL;
    if (!dir)
        return errmsg_set(e, STATUS_NOT_FOUND, "the mount has no control socket");
    AUTO(fd_close) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d%s", dir_fd, slash);
    if (dir_fd < 0 || fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return errmsg_set(e, status_from_errno(errno), "%s: %s", socket_path, strerror(errno));
    *out_fd = TAKE_FD(fd);
    return STATUS_OK;
}

/* One answer line. */
static status receive(int fd, json_t **out, struct errmsg *e)
{
    AUTO(buf_done) struct buf in = BUF_INIT(64u << 20);
    char chunk[16384];
    while (!in.len || in.data[in.len - 1] != '\n') {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n < 0 && errno == EINTR && stop_requested())
            return errmsg_set(e, STATUS_CANCELLED, "not waiting any longer; the mount goes on");
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return errmsg_set(e, STATUS_IO, "the daemon closed the connection");
        status st = buf_add(&in, chunk, (size_t)n);
        if (st)
            return st;
    }
    json_error_t jerr;
    AUTO(json_decref) json_t *answer = json_loadb(in.data, in.len, 0, &jerr);
    if (!json_is_object(answer))
        return errmsg_set(e, STATUS_CORRUPT, "the daemon's answer is not JSON");
    if (json_is_false(json_object_get(answer, "ok")))
        return errmsg_set(e, STATUS_IO, "the daemon refused: %s",
                          json_string_value(json_object_get(answer, "error")));
    *out = TAKE(answer);
    return STATUS_OK;
}

/* Sends one request (taken over) and gives the answer. */
static status ask(const char *mountpoint, json_t *request_, json_t **out, struct errmsg *e)
{
    AUTO(json_decref) json_t *request = request_, *info = NULL;
    AUTO(mem_free) char *path = NULL;
    status st = request ? require_mount(mountpoint, &path, NULL, e) : STATUS_NOMEM;
    if (!st)
        st = status_object(path, &info, e);
    if (st)
        return st;
    AUTO(mem_free) char *socket_path = NULL;
    AUTO(fd_close) int fd = -1;
    st = jname_get(info, "socket", &socket_path);
    if (!st)
        st = connect_to(socket_path, &fd, e);
    if (st)
        return st;
    char *line = json_dumps(request, JSON_COMPACT);
    AUTO(mem_free) char *with_end = line ? mem_printf("%s\n", line) : NULL;
    free(line);
    if (!with_end)
        return STATUS_NOMEM;
    for (size_t at = 0, len = strlen(with_end); at < len;) {
        ssize_t n = send(fd, with_end + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR && stop_requested())
            return errmsg_set(e, STATUS_CANCELLED, "not waiting any longer; the mount goes on");
        if (n < 0 && errno != EINTR)
            return errmsg_set(e, status_from_errno(errno), "%s: %s", path, strerror(errno));
        at += n > 0 ? (size_t)n : 0;
    }
    return receive(fd, out, e);
}

/* ---- warm ---- */

/* What follows the mountpoint in an absolute name; other names as they are. */
static const char *inside(const char *mount, const char *path)
{
    size_t len = mount ? strlen(mount) : 0;
    if (len && strncmp(path, mount, len) == 0 && path[len] == '/')
        path += len;
    while (*path == '/')
        path++;
    return *path ? path : ".";
}

static json_t *request_new(const char *cmd, const char *mountpoint, const char *const *paths,
                           size_t n)
{
    json_t *j = json_pack("{s:s}", "cmd", cmd);
    if (n == 0)
        return j;
    char full[PATH_MAX];
    const char *mount = realpath(mountpoint, full);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, jname_new(inside(mount, paths[i])))) {
            json_decref(list);
            json_decref(j);
            return NULL;
        }
    json_object_set_new(j, "paths", list);
    return j;
}

static uint64_t number(const json_t *j, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(j, key));
    return v > 0 ? (uint64_t)v : 0;
}

/* Sends cmd for all paths in batches; takes each answer to fn. */
static status ask_in_batches(const char *cmd, const char *mountpoint, const char *const *paths,
                             size_t n, void (*fn)(void *arg, const json_t *answer), void *arg,
                             struct errmsg *e)
{
    size_t at = 0;
    do {
        size_t batch = 0;
        for (size_t bytes = 0;
             batch < FUSED_WARM_BATCH && at + batch < n && bytes < batch_bytes_max; batch++)
            bytes += strlen(paths[at + batch]);
        AUTO(json_decref) json_t *answer = NULL;
        json_t *request = request_new(cmd, mountpoint, paths + at, batch);
        status st = ask(mountpoint, request, &answer, e);
        if (st)
            return st;
        fn(arg, answer);
        at += batch;
    } while (at < n);
    return STATUS_OK;
}

static void ignore_answer(void *arg, const json_t *answer)
{
    (void)arg, (void)answer;
}

/* Adds the counts by group that an answer has. */
static void add_groups(uint64_t group[FUSED_GROUP_COUNT], const json_t *answer)
{
    const json_t *groups = json_object_get(answer, "group");
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        group[g] += number(groups, fused_group_name((enum fused_group)g));
}

static void add_check(void *arg, const json_t *answer)
{
    struct fused_warm_check *io = arg;
    add_groups(io->group, answer);
    io->files += number(answer, "files");
    io->cached += number(answer, "cached");
    io->absent += number(answer, "absent");
    io->missing += number(answer, "missing");
}

status fused_warm(const char *mountpoint, const char *const *paths, size_t n, struct errmsg *e)
{
    return ask_in_batches("warm", mountpoint, paths, n, ignore_answer, NULL, e);
}

status fused_warm_check(const char *mountpoint, const char *const *paths, size_t n,
                        struct fused_warm_check *io, struct errmsg *e)
{
    return ask_in_batches("warm-check", mountpoint, paths, n, add_check, io, e);
}

status fused_warm_state(const char *mountpoint, struct fused_warm_state *out, struct errmsg *e)
{
    AUTO(json_decref) json_t *answer = NULL;
    status st = ask(mountpoint, json_pack("{s:s}", "cmd", "warm-state"), &answer, e);
    if (st)
        return st;
    *out = (struct fused_warm_state){.total = number(answer, "total"),
                                     .done = number(answer, "done"),
                                     .failed = number(answer, "failed"),
                                     .not_stored = number(answer, "not_stored")};
    add_groups(out->group, answer);
    return STATUS_OK;
}

/* ---- names ---- */

/* One page; *out_n names of it were told to fn. */
static status names_page(const char *mountpoint, const char *group, uint64_t *io_after,
                         fused_names_fn *fn, void *arg, size_t *out_n, struct errmsg *e)
{
    AUTO(json_decref) json_t *answer = NULL;
    json_t *request =
        json_pack("{s:s,s:s,s:I}", "cmd", "names", "group", group, "after", (json_int_t)*io_after);
    status st = ask(mountpoint, request, &answer, e);
    if (st)
        return st;
    const json_t *names = json_object_get(answer, "names"), *entry;
    size_t i;
    json_array_foreach(names, i, entry)
    {
        AUTO(mem_free) char *name = NULL;
        AUTO(mem_free) char *why = NULL;
        st = jname_get(entry, "path", &name);
        if (!st)
            st = jname_get(entry, "why", &why);
        if (st)
            return errmsg_set(e, st, "the daemon's answer names no file");
        fn(arg, name, why);
    }
    *io_after = number(answer, "last");
    *out_n = json_array_size(names);
    return STATUS_OK;
}

status fused_names(const char *mountpoint, const char *group, fused_names_fn *fn, void *arg,
                   struct errmsg *e)
{
    uint64_t after = 0;
    size_t n = 1;
    status st = STATUS_OK;
    while (!st && n)
        st = names_page(mountpoint, group, &after, fn, arg, &n, e);
    return st;
}

/* ---- start and end ---- */

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
    if (status_object(path, &info, &e))
        return -1;
    pid_t pid = (pid_t)json_integer_value(json_object_get(info, "pid"));
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

status fused_umount(const char *mountpoint, struct errmsg *e)
{
    AUTO(mem_free) char *path = NULL;
    int id;
    status st = require_mount(mountpoint, &path, &id, e);
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
