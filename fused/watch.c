/*
 * One thread starts the child, reads its two pipes, and starts it again when it ended after it had
 * worked. Events come as
 *
 *     EVENT[,EVENT...]/./path NUL
 */
#include "watch_parts.h"

#include "changes.h"
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>

#include "base/banned.h"

enum { LINE_MAX_BYTES = 2 * PATH_MAX, RESTART_MS = 10000 };
/* A new directory is watched a moment after it appears, a large tree that is moved in later still. */
static const uint64_t settle_ns = 5 * 1000000000ull;

struct stream {
    int fd;
    char line[LINE_MAX_BYTES];
    size_t len;
    bool skipping; /* the line did not fit */
};

/* ---- what the child says ---- */

static void on_event(struct watch *w, char *line)
{
    char *slash = strchr(line, '/');
    if (strstr(line, "Q_OVERFLOW") || !slash) {
        w->lost = true;
        return;
    }
    *slash = 0;
    char *path = slash + 1;
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    struct change c = {
        .names = strstr(line, "CREATE") || strstr(line, "DELETE") || strstr(line, "MOVED"),
        .content = strstr(line, "CLOSE_WRITE") || strstr(line, "MOVED_TO"),
        .directory = strstr(line, "ISDIR"),
        .path = path,
    };
    if (c.directory && (strstr(line, "CREATE") || strstr(line, "MOVED_TO"))) {
        w->settled_ns = time_mono_ns() + settle_ns;
        atomic_store(&w->fs->watching.all, false);
    }
    changes_apply(w->fs, &c);
}

static void on_message(struct watch *w, const char *line)
{
    if (strncmp(line, "Setting up watches", 18) == 0)
        return;
    if (strcmp(line, "Watches established.") == 0) {
        w->established = true;
        return;
    }
    if (strstr(line, "No such file or directory"))
        return; /* a directory that is gone already */
    if (strstr(line, strerror(ENAMETOOLONG))) {
        w->too_deep = w->lost = true;
        return;
    }
    log_warn("inotifywait: %s%s", line,
             strstr(line, "upper limit") ? " (sysctl fs.inotify.max_user_watches raises it)" : "");
    w->lost = true;
}

/* Reads what is there and gives complete lines to fn. False at the end of the stream. */
static bool pump(struct watch *w, struct stream *s, char end, void (*fn)(struct watch *, char *))
{
    ssize_t n = read(s->fd, s->line + s->len, sizeof s->line - s->len);
    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    s->len += (size_t)n;
    char *at = s->line, *stop;
    while ((stop = memchr(at, end, s->len - (size_t)(at - s->line)))) {
        *stop = 0;
        if (!s->skipping)
            fn(w, at);
        s->skipping = false;
        at = stop + 1;
    }
    s->len -= (size_t)(at - s->line);
    memmove(s->line, at, s->len);
    if (s->len == sizeof s->line) {
        s->len = 0;
        s->skipping = true;
        w->lost = true; /* nothing that has a name is that long */
    }
    return true;
}

static void message_line(struct watch *w, char *line)
{
    on_message(w, line);
}

static bool stop_asked(struct watch *w, int wait_ms)
{
    struct pollfd p = {.fd = w->stop_fd, .events = POLLIN};
    return poll(&p, 1, wait_ms) > 0;
}

/* Until the child ends, loses something, or we are to stop. */
static void follow(struct watch *w, int out_fd, int err_fd)
{
    struct stream events = {.fd = out_fd}, messages = {.fd = err_fd};
    bool open = true;
    while (open && !w->lost) {
        struct pollfd p[] = {{.fd = w->stop_fd, .events = POLLIN},
                             {.fd = out_fd, .events = POLLIN},
                             {.fd = err_fd, .events = POLLIN}};
        if (poll(p, ARRAY_LEN(p), 1000) < 0 && errno != EINTR)
            return;
        if (p[0].revents)
            return;
        if (p[2].revents)
            open = pump(w, &messages, '\n', message_line);
        if (p[1].revents)
            open = pump(w, &events, 0, on_event);
        if (w->established && !w->lost && time_mono_ns() >= w->settled_ns)
            atomic_store(&w->fs->watching.all, true);
    }
}

/* ---- the thread ---- */

static void *watch_main(void *arg)
{
    struct watch *w = arg;
    bool again = false; /* at once, with other directories left out */
    pthread_setname_np(pthread_self(), "watch");
    do {
        int out_fd = -1, err_fd = -1;
        w->established = w->lost = w->too_deep = false;
        if (watch_child_start(w, &out_fd, &err_fd))
            break;
        follow(w, out_fd, err_fd);
        close(out_fd);
        close(err_fd);
        watch_child_end(w);
        bool was_true = atomic_exchange(&w->fs->watching.all, false) || w->established;
        if (stop_asked(w, 0))
            return NULL;
        if (was_true)
            changes_lost(w->fs);
        bool twice = again && !was_true;
        again = w->too_deep && !twice && watch_find_deep(w);
        if (again)
            continue;
        if (!was_true || w->too_deep)
            break;
        log_warn("changes in %s may have been missed: starting inotifywait again",
                 w->fs->path.source);
    } while (!stop_asked(w, again ? 0 : RESTART_MS));
    if (!stop_asked(w, 0))
        log_warn(
            "%s is not watched: changes are seen after a second, and every name is looked up again "
            "as often",
            w->fs->path.source);
    return NULL;
}

/* ---- start and stop ---- */

/* Others change these without telling our kernel. */
static const char *remote_name(const struct fs *fs)
{
    struct statfs sf;
    if (fstatfs(fs->root_fd, &sf) < 0)
        return "unknown";
    switch ((unsigned long)sf.f_type) {
    case NFS_SUPER_MAGIC:
        return "NFS";
    case SMB_SUPER_MAGIC:
    case 0xff534d42ul: /* CIFS */
    case 0xfe534d42ul: /* SMB2 */
        return "SMB";
    case V9FS_MAGIC:
        return "9P";
    case CEPH_SUPER_MAGIC:
        return "Ceph";
    case 0x0bd00bd0ul:
        return "Lustre";
    case 0x65735546ul:
        return "FUSE";
    default:
        return NULL;
    }
}

static bool find_program(char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    AUTO(mem_free) char *dirs = mem_strdup(path && *path ? path : "/usr/bin:/bin");
    for (char *save = NULL, *dir = dirs ? strtok_r(dirs, ":", &save) : NULL; dir;
         dir = strtok_r(NULL, ":", &save)) {
        int n = snprintf(out, PATH_MAX, "%s/inotifywait", dir);
        if (n > 0 && n < PATH_MAX && dir[0] == '/' && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

status watch_start(struct fs *fs, struct watch **out, struct errmsg *e)
{
    const char *remote = remote_name(fs);
    if (remote)
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s does not report changes made elsewhere",
                          remote);
    struct watch *w = mem_zalloc(1, sizeof *w);
    if (!w)
        return STATUS_NOMEM;
    w->fs = fs;
    w->stop_fd = -1;
    status st = STATUS_OK;
    if (!find_program(w->program))
        st = errmsg_set(e, STATUS_UNSUPPORTED, "inotifywait was not found (install inotify-tools)");
    if (!st && (w->stop_fd = eventfd(0, EFD_CLOEXEC)) < 0)
        st = status_from_errno(errno);
    int err = st ? 0 : pthread_create(&w->thread, NULL, watch_main, w);
    if (err)
        st = status_from_errno(err);
    if (st) {
        if (w->stop_fd >= 0)
            close(w->stop_fd);
        mem_free(w);
        return st;
    }
    *out = w;
    return STATUS_OK;
}

void watch_stop(struct watch *w)
{
    if (!w)
        return;
    eventfd_write(w->stop_fd, 1);
    pthread_join(w->thread, NULL);
    close(w->stop_fd);
    watch_forget_deep(w);
    mem_free(w);
}
