/* The warden and its decoders: started, lent, ended. */
#include "jail_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/banned.h"

/* ---- the warden ---- */

static bool order(struct jail *j, const struct jail_call *call, const int *fds, int n,
                  struct jail_reply *out)
{
    pthread_mutex_lock(&j->orders);
    bool ok = jail_send(j->socket, call, sizeof *call, fds, n) &&
              jail_receive(j->socket, out, sizeof *out, NULL, 0);
    pthread_mutex_unlock(&j->orders);
    return ok;
}

static void close_all(const int *fd, int n)
{
    for (int i = 0; i < n; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

status jail_start_warden(struct jail *j, struct errmsg *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return errmsg_set(e, status_from_errno(errno), "no socket for the decoders: %s",
                          strerror(errno));
    pid_t parent = getpid();
    j->warden = fork();
    if (j->warden == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
            (pair[1] != JAIL_SOCKET && dup2(pair[1], JAIL_SOCKET) < 0))
            _exit(1);
        jail_warden(j->opt.decode);
    }
    int err = errno;
    close(pair[1]);
    j->socket = pair[0];
    if (j->warden < 0)
        return errmsg_set(e, status_from_errno(err), "no process for the decoders: %s",
                          strerror(err));
    struct jail_reply r;
    if (!jail_receive(j->socket, &r, sizeof r, NULL, 0))
        return errmsg_set(e, STATUS_INTERNAL, "the process for the decoders did not start");
    if (!r.can_filter)
        return errmsg_set(e, STATUS_UNSUPPORTED, "this kernel has no seccomp");
    j->vm_bytes = r.vm_bytes;
    return STATUS_OK;
}

/* ---- a decoder's life ---- */

static void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->at)
        munmap(d->at, d->bytes);
    close_all((const int[]){d->socket, d->memory}, 2);
    mem_free(d);
}

int decoder_end(struct jail *j, struct decoder *d)
{
    struct jail_call call = {JAIL_REAP, d->pid};
    struct jail_reply r;
    kill(d->pid, SIGKILL); /* nothing, when it is dead already */
    int how = order(j, &call, NULL, 0, &r) ? r.wait_status : -1;
    decoder_free(d);
    return how;
}

static status not_started(struct errmsg *e, int err)
{
    return errmsg_set(e, STATUS_INTERNAL, "no decoder could be started: %s", strerror(err));
}

status decoder_start(struct jail *j, struct decoder **out, struct errmsg *e)
{
    int pair[2] = {-1, -1};
    struct decoder *d = mem_zalloc(1, sizeof *d);
    if (!d)
        return STATUS_NOMEM;
    d->socket = -1;
    d->memory = memfd_create("image", MFD_CLOEXEC);
    if (d->memory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        status st = not_started(e, errno);
        decoder_free(d);
        return st;
    }
    d->socket = pair[0];
    struct jail_call call = {JAIL_START, 0};
    struct jail_reply r = {.pid = -EPIPE};
    bool asked = order(j, &call, (const int[]){pair[1], d->memory}, 2, &r);
    close(pair[1]);
    if (!asked || r.pid < 0) {
        decoder_free(d);
        return not_started(e, asked ? -r.pid : EPIPE);
    }
    d->pid = r.pid;
    struct jail_answer hello;
    if (!jail_receive(d->socket, &hello, sizeof hello, NULL, 0)) {
        decoder_end(j, d);
        return errmsg_set(e, STATUS_INTERNAL, "a decoder could not be confined");
    }
    *out = d;
    return STATUS_OK;
}

/* ---- lending ---- */

static bool has_ended(const struct decoder *d)
{
    struct pollfd p = {.fd = d->socket, .events = 0};
    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

status decoder_take(struct jail *j, struct decoder **out, struct errmsg *e)
{
    pthread_mutex_lock(&j->lock);
    while (!j->idle && j->started >= j->opt.decoders)
        pthread_cond_wait(&j->freed, &j->lock);
    struct decoder *d = j->idle;
    if (d)
        j->idle = d->next;
    else
        j->started++;
    pthread_mutex_unlock(&j->lock);
    if (d && has_ended(d)) { /* between two images: not by this one */
        decoder_end(j, d);
        d = NULL;
    }
    status st = d ? STATUS_OK : decoder_start(j, &d, e);
    if (st) {
        pthread_mutex_lock(&j->lock);
        j->started--;
        pthread_cond_signal(&j->freed);
        pthread_mutex_unlock(&j->lock);
        return st;
    }
    *out = d;
    return STATUS_OK;
}

void decoder_give_back(struct jail *j, struct decoder *d)
{
    pthread_mutex_lock(&j->lock);
    if (d) {
        d->next = j->idle;
        j->idle = d;
    } else {
        j->started--;
    }
    pthread_cond_signal(&j->freed);
    pthread_mutex_unlock(&j->lock);
}
