/* The daemon writes 'T' (test the root) or 'E', exit code, text; the other side answers a test with
 * an errno byte. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/banned.h"

static bool read_full(int fd, void *data, size_t len)
{
    size_t n;
    return io_read(fd, data, len, &n) == STATUS_OK && n == len;
}

/* The other process, to its end. */
static int attend(int from, int to, const char *mountpoint, bool print)
{
    char what;
    while (read_full(from, &what, 1) && what == 'T') {
        struct stat sb;
        uint8_t err = stat(mountpoint, &sb) < 0 ? (uint8_t)errno : 0;
        status_ignore(io_write(to, &err, 1), "a daemon that is gone is seen at the next read");
    }
    uint8_t code = 1;
    char text[ERRMSG_MAX] = "relearnfsd ended before the mount was ready";
    size_t n;
    if (what == 'E' && read_full(from, &code, 1) &&
        io_read(from, text, sizeof text - 1, &n) == STATUS_OK)
        text[n] = 0;
    if (print && code)
        fprintf(stderr, "relearnfsd: %s\n", TEXT_SHOWN(text));
    return code;
}

status launch_begin(bool foreground, const char *mountpoint, struct launch *out)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0)
        return status_from_errno(errno);
    if (pipe2(from, O_CLOEXEC) < 0) {
        close(to[0]);
        close(to[1]);
        return STATUS_LIMIT;
    }
    pid_t pid = fork();
    if (pid < 0)
        return status_from_errno(errno);
    bool daemon = foreground ? pid > 0 : pid == 0;
    close(to[!daemon ? 1 : 0]);
    close(from[!daemon ? 0 : 1]);
    if (!daemon) {
        int code = attend(to[0], from[1], mountpoint, !foreground);
        _exit(code);
    }
    if (!foreground)
        setsid();
    *out = (struct launch){.foreground = foreground,
                           .to_fd = to[1],
                           .from_fd = from[0],
                           .helper = foreground ? pid : 0};
    return STATUS_OK;
}

int launch_test_root(struct launch *l)
{
    uint8_t err = EIO;
    if (io_write(l->to_fd, "T", 1) || !read_full(l->from_fd, &err, 1))
        return EIO;
    return err;
}

void launch_end(struct launch *l, int exit_code, const char *text)
{
    if (l->to_fd < 0)
        return;
    uint8_t head[2] = {'E', (uint8_t)exit_code};
    status_ignore(io_write(l->to_fd, head, sizeof head), "the terminal may be gone");
    status_ignore(io_write(l->to_fd, text, strlen(text)), "the terminal may be gone");
    close(l->to_fd);
    close(l->from_fd);
    l->to_fd = l->from_fd = -1;
    if (l->helper)
        waitpid(l->helper, NULL, 0);
    if (l->foreground && exit_code)
        log_error("%s", text);
}
