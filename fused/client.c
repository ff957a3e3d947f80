/* Asking a mount: its status from a file in it, everything else over its control socket. */
#include "client.h"

#include "mounts.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/banned.h"

status client_find_mount(const char *mountpoint, char **out_path, int *out_id, struct errmsg *e)
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

/* ---- status ---- */

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
    status st = client_find_mount(mountpoint, &path, NULL, e);
    return st ? st : read_status(path, out, e);
}

status client_status(const char *path, json_t **out, struct errmsg *e)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64u << 20);
    status st = read_status(path, &text, e);
    if (st)
        return st;
    json_error_t jerr;
    *out = json_loadb(text.data, text.len, 0, &jerr);
    return *out ? STATUS_OK : errmsg_set(e, STATUS_CORRUPT, "%s: its status is not JSON", path);
}

/* ---- control ---- */

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

status client_ask(const char *mountpoint, json_t *request_, json_t **out, struct errmsg *e)
{
    AUTO(json_decref) json_t *request = request_, *info = NULL;
    AUTO(mem_free) char *path = NULL;
    status st = request ? client_find_mount(mountpoint, &path, NULL, e) : STATUS_NOMEM;
    if (!st)
        st = client_status(path, &info, e);
    if (st)
        return st;
    AUTO(mem_free) char *socket_path = NULL;
    AUTO(fd_close) int fd = -1;
    st = json_name_get(info, "socket", &socket_path);
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

uint64_t client_number(const json_t *j, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(j, key));
    return v > 0 ? (uint64_t)v : 0;
}

/* ---- names ---- */

/* One page; *out_n names of it were told to fn. */
static status names_page(const char *mountpoint, const char *group, uint64_t *io_after,
                         fused_names_fn *fn, void *arg, size_t *out_n, struct errmsg *e)
{
    AUTO(json_decref) json_t *answer = NULL;
    json_t *request =
        json_pack("{s:s,s:s,s:I}", "cmd", "names", "group", group, "after", (json_int_t)*io_after);
    status st = client_ask(mountpoint, request, &answer, e);
    if (st)
        return st;
    const json_t *names = json_object_get(answer, "names"), *entry;
    size_t i;
    json_array_foreach(names, i, entry)
    {
        AUTO(mem_free) char *name = NULL;
        AUTO(mem_free) char *why = NULL;
        st = json_name_get(entry, "path", &name);
        if (!st)
            st = json_name_get(entry, "why", &why);
        if (st)
            return errmsg_set(e, st, "the daemon's answer names no file");
        fn(arg, name, why);
    }
    *io_after = client_number(answer, "last");
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
