/* Whole messages over a socket, with descriptors. */
#include "jail.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/banned.h"

union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(JAIL_FDS_MAX * sizeof(int))];
};

bool jail_send(int fd, const void *msg, size_t len, const int *fds, int n)
{
    union control control;
    struct iovec part = {(void *)(uintptr_t)msg, len};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (n) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE((size_t)n * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof *fds);
        memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof *fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &h, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)len;
}

bool jail_receive(int fd, void *msg, size_t len, int *fds, int n)
{
    union control control;
    struct iovec part = {msg, len};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (n) {
        h.msg_control = &control;
        h.msg_controllen = sizeof control;
    }
    for (int i = 0; i < n; i++)
        fds[i] = -1;
    ssize_t got;
    do
        got = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *c = n && got >= 0 ? CMSG_FIRSTHDR(&h) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN((size_t)n * sizeof *fds))
        memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof *fds);
    return got == (ssize_t)len;
}
