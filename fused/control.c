/* A thread that accepts, and one for each connection, since some requests walk the whole tree. */
#include "control.h"

#include "fs.h"
#include "locks.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/banned.h"

static const int idle_seconds = 30;

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

/* ---- connections ---- */

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

/* ---- life ---- */

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
        st = control_listen(fs->path.socket, &c->listen_fd, e);
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
