/* A thread that accepts, and one for each connection, since some requests walk the whole tree. */
#include "control.h"

#include "fs.h"
#include "jname.h"
#include "locks.h"
#include "sweep.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/banned.h"

static const int idle_seconds = 30;
static const unsigned names_per_page =
    1000; /* below 64 MiB even if each is as long as a path gets */

/* ---- requests ---- */

static const char *const command_name[] = {
    [CONTROL_STATUS] = "status",         [CONTROL_WARM] = "warm",
    [CONTROL_WARM_STATE] = "warm-state", [CONTROL_WARM_CHECK] = "warm-check",
    [CONTROL_NAMES] = "names",           [CONTROL_STOP] = "stop",
};
static_assert(ARRAY_LEN(command_name) == CONTROL_COMMAND_COUNT, "a name for each");

void control_request_done(struct control_request *r)
{
    for (size_t i = 0; i < r->n; i++)
        mem_free(r->path[i]);
    mem_free(r->path);
    *r = (struct control_request){.n = 0};
}

static status parse_paths(const json_t *paths, struct control_request *r, struct errmsg *e)
{
    size_t n = json_array_size(paths);
    r->all = !paths;
    if (!paths)
        return STATUS_OK;
    if (!json_is_array(paths))
        return errmsg_set(e, STATUS_INVALID, "paths must be an array");
    r->path = mem_zalloc(n, sizeof *r->path);
    if (!r->path)
        return STATUS_NOMEM;
    for (; r->n < n; r->n++) {
        status st = jname_read(json_array_get(paths, r->n), &r->path[r->n]);
        if (st)
            return errmsg_set(e, st, "path %zu is no file name", r->n);
    }
    return STATUS_OK;
}

/* NAMES: whose, and from where on. */
static status parse_group(const json_t *j, struct control_request *r, struct errmsg *e)
{
    const char *name = json_string_value(json_object_get(j, "group"));
    json_int_t after = json_integer_value(json_object_get(j, "after"));
    if (!name || after < 0)
        return errmsg_set(e, STATUS_INVALID, "names need a group");
    r->after = (uint64_t)after;
    r->group = strcmp(name, "failures") == 0 ? FUSED_GROUP_COUNT : FUSED_GROUP_IMAGE;
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        if (strcmp(name, fused_group_name((enum fused_group)g)) == 0)
            r->group = g;
    return r->group == FUSED_GROUP_IMAGE ? errmsg_set(e, STATUS_INVALID, "no such group of names")
                                         : STATUS_OK;
}

static status parse_object(const json_t *j, struct control_request *r, struct errmsg *e)
{
    const json_t *cmd = json_object_get(j, "cmd");
    for (int i = 0; i < CONTROL_COMMAND_COUNT; i++) {
        const char *name = json_string_value(cmd);
        if (!name || strcmp(name, command_name[i]) != 0 || strlen(name) != json_string_length(cmd))
            continue;
        r->command = (enum control_command)i;
        if (i == CONTROL_NAMES)
            return parse_group(j, r, e);
        return parse_paths(json_object_get(j, "paths"), r, e);
    }
    return errmsg_set(e, STATUS_INVALID, "unknown command");
}

status control_parse(const char *line, size_t len, struct control_request *out, struct errmsg *e)
{
    struct control_request r = {.n = 0};
    json_error_t jerr;
    json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, &jerr);
    status st = j ? parse_object(j, &r, e) : errmsg_set(e, STATUS_INVALID, "not JSON");
    json_decref(j);
    if (st)
        control_request_done(&r);
    else
        *out = r;
    return st;
}

/* ---- answers ---- */

#define N(x) ((json_int_t)(x))

static json_t *groups_json(const uint64_t group[FUSED_GROUP_COUNT])
{
    json_t *j = json_object();
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        json_object_set_new(j, fused_group_name((enum fused_group)g), json_integer(N(group[g])));
    return j;
}

/* What was handed to the cache counts once it is written, or was not. */
static json_t *warm_state_json(struct fs *fs)
{
    struct fused_warm_state w;
    struct pipeline_stats ps;
    sweep_warm_state(fs->sweep, &w);
    if (w.done == w.total && fs->stack.cache)
        status_ignore(cache_flush(fs->stack.cache), "each image is counted by itself");
    pipeline_stats(fs->pipeline, &ps);
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:o}", "ok", 1, "total", N(w.total), "done", N(w.done),
                     "failed", N(w.failed), "not_stored",
                     N(w.not_stored + ps.no_space + ps.not_stored), "group", groups_json(w.group));
}

struct page {
    json_t *names;
    uint64_t last;
    bool failed;
};

static void page_add(void *arg, const struct name_list_entry *en)
{
    struct page *p = arg;
    json_t *j = json_object();
    p->failed |= jname_set(j, "path", en->name) || jname_set(j, "why", en->why) ||
                 json_array_append(p->names, j) < 0;
    p->last = en->number;
    json_decref(j);
}

static json_t *names_json(struct fs *fs, const struct control_request *r, status *st)
{
    struct page p = {.names = json_array(), .last = r->after};
    struct name_list *n =
        r->group == FUSED_GROUP_COUNT ? fs->lists.failures : fs->lists.group[r->group];
    name_list_page(n, r->after, names_per_page, page_add, &p);
    if (p.failed)
        *st = STATUS_NOMEM;
    return json_pack("{s:b,s:o,s:I}", "ok", !p.failed, "names", p.names, "last", N(p.last));
}

static status each_path(struct fs *fs, const struct control_request *r, struct fused_warm_check *io,
                        struct errmsg *e)
{
    static char root[] = ".", *whole[] = {root};
    char *const *path = r->all ? whole : r->path;
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < (r->all ? 1 : r->n); i++)
        st = io ? sweep_check(fs->sweep, path[i], io, e) : sweep_warm(fs->sweep, path[i], e);
    return st;
}

static json_t *run_command(struct fs *fs, const struct control_request *r, status *st,
                           struct errmsg *e)
{
    struct fused_warm_check c = {0};
    switch (r->command) {
    case CONTROL_WARM:
        *st = each_path(fs, r, NULL, e);
        return *st ? NULL : warm_state_json(fs);
    case CONTROL_WARM_STATE:
        return warm_state_json(fs);
    case CONTROL_WARM_CHECK:
        *st = each_path(fs, r, &c, e);
        return *st ? NULL
                   : json_pack("{s:b,s:I,s:I,s:I,s:I,s:o}", "ok", 1, "files", N(c.files), "cached",
                               N(c.cached), "absent", N(c.absent), "missing", N(c.missing), "group",
                               groups_json(c.group));
    case CONTROL_NAMES:
        return names_json(fs, r, st);
    case CONTROL_STOP:
        return json_pack("{s:b}", "ok", 1);
    default:
        *st = STATUS_INTERNAL;
        return NULL;
    }
}

static status add_json(struct buf *out, json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    status st = text ? buf_add(out, text, strlen(text)) : STATUS_NOMEM;
    free(text);
    return st;
}

static status answer_request(struct fs *fs, const struct control_request *r, struct buf *out)
{
    struct errmsg e = {""};
    status st = STATUS_OK;
    if (r->command == CONTROL_STATUS) {
        st = report_json(fs, out);
        if (!st && out->len && out->data[out->len - 1] == '\n')
            out->data[--out->len] = 0;
        return st;
    }
    json_t *answer = run_command(fs, r, &st, &e);
    if (!answer)
        answer = json_pack("{s:b,s:s}", "ok", 0, "error", TEXT_SHOWN(errmsg_text(&e, st)));
    return add_json(out, answer);
}

status control_answer(struct fs *fs, const char *line, size_t len, struct buf *out, int *out_stop)
{
    struct control_request r;
    struct errmsg e = {""};
    status st = control_parse(line, len, &r, &e);
    if (st)
        return add_json(out, json_pack("{s:b,s:s}", "ok", 0, "error", errmsg_text(&e, st)));
    *out_stop = r.command == CONTROL_STOP;
    st = answer_request(fs, &r, out);
    control_request_done(&r);
    return st;
}

/* ---- connections ---- */

struct connection {
    struct control *control;
    pthread_t thread;
    int fd;
    bool used, ended; /* guarded by control->lock */
};

struct control {
    struct fs *fs;
    void (*on_stop)(void *arg);
    void *arg;
    pthread_t acceptor;
    int listen_fd, stop_fd;
    pthread_mutex_t lock;
    struct connection conn[CONTROL_CONNECTIONS];
};

static bool send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Answers one line; false when the connection is to end. */
static bool answer_line(struct connection *c, const char *line, size_t len)
{
    AUTO(buf_done) struct buf out = BUF_INIT(64u << 20);
    int stop = 0;
    if (control_answer(c->control->fs, line, len, &out, &stop) || buf_add(&out, "\n", 1))
        return false;
    bool sent = send_all(c->fd, out.data, out.len);
    if (stop)
        c->control->on_stop(c->control->arg);
    return sent && !stop;
}

static void talk(struct connection *c)
{
    AUTO(buf_done) struct buf in = BUF_INIT(CONTROL_LINE_MAX);
    char chunk[65536];
    size_t scanned = 0;
    for (;;) {
        ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);
        if (n <= 0 || buf_add(&in, chunk, (size_t)n))
            return;
        char *end;
        while ((end = memchr(in.data + scanned, '\n', in.len - scanned))) {
            size_t used = (size_t)(end - in.data);
            if (!answer_line(c, in.data, used))
                return;
            memmove(in.data, end + 1, in.len - used - 1);
            in.len -= used + 1;
            scanned = 0;
        }
        scanned = in.len;
    }
}

static void *connection_main(void *arg)
{
    struct connection *c = arg;
    pthread_setname_np(pthread_self(), "control-conn");
    talk(c);
    shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_lock(&c->control->lock);
    c->ended = true;
    pthread_mutex_unlock(&c->control->lock);
    return NULL;
}

/* Called with c->lock held: frees the slots of connections that ended. */
static void reap(struct control *c, bool all)
{
    for (int i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *conn = &c->conn[i];
        if (!conn->used || !(all || conn->ended))
            continue;
        pthread_mutex_unlock(&c->lock);
        shutdown(conn->fd, SHUT_RDWR);
        pthread_join(conn->thread, NULL);
        pthread_mutex_lock(&c->lock);
        close(conn->fd);
        conn->used = false;
    }
}

static bool is_allowed(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == geteuid() || cred.uid == 0);
}

static void admit(struct control *c, int fd)
{
    struct timeval idle = {.tv_sec = idle_seconds};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
    struct connection *free_slot = NULL;
    pthread_mutex_lock(&c->lock);
    reap(c, false);
    for (int i = 0; i < CONTROL_CONNECTIONS; i++)
        if (!c->conn[i].used)
            free_slot = &c->conn[i];
    bool taken = false;
    if (free_slot && is_allowed(fd)) {
        *free_slot = (struct connection){.control = c, .fd = fd};
        taken = pthread_create(&free_slot->thread, NULL, connection_main, free_slot) == 0;
        free_slot->used = taken;
    }
    pthread_mutex_unlock(&c->lock);
    if (!taken) {
        static const char busy[] =
            "{\"ok\":false,\"error\":\"refused, or too many connections\"}\n";
        send_all(fd, busy, sizeof busy - 1);
        close(fd);
    }
}

static void *acceptor_main(void *arg)
{
    struct control *c = arg;
    pthread_setname_np(pthread_self(), "control");
    for (;;) {
        struct pollfd p[] = {{.fd = c->stop_fd, .events = POLLIN},
                             {.fd = c->listen_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents)
            return NULL;
        int fd = p[1].revents ? accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            admit(c, fd);
    }
}

/* ---- the socket ---- */

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
static status listen_at(const char *path, int *out_fd, struct errmsg *e)
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

static void control_free(struct control *c)
{
    if (c->listen_fd >= 0)
        close(c->listen_fd);
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

status control_start(struct fs *fs, void (*on_stop)(void *arg), void *arg, struct control **out,
                     struct errmsg *e)
{
    status st = control_socket_path(fs->path.mountpoint, fs->stack.cache_dir, &fs->path.socket, e);
    if (st)
        return st;
    struct control *c = mem_zalloc(1, sizeof *c);
    if (!c)
        return STATUS_NOMEM;
    c->fs = fs;
    c->on_stop = on_stop;
    c->arg = arg;
    c->listen_fd = -1;
    c->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&c->lock, NULL);
    if (c->stop_fd < 0)
        st = status_from_errno(errno);
    if (!st)
        st = listen_at(fs->path.socket, &c->listen_fd, e);
    if (!st) {
        int err = pthread_create(&c->acceptor, NULL, acceptor_main, c);
        st = err ? status_from_errno(err) : STATUS_OK;
    }
    if (st) {
        control_free(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void control_stop(struct control *c)
{
    if (!c)
        return;
    eventfd_write(c->stop_fd, 1);
    pthread_join(c->acceptor, NULL);
    pthread_mutex_lock(&c->lock);
    reap(c, true);
    pthread_mutex_unlock(&c->lock);
    unlink(c->fs->path.socket);
    control_free(c);
}
