/* The warden: starts decoders when they are wanted, and reaps them. */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

static uint64_t vm_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The child of the warden; fds: its socket and its memory. */
_Noreturn static void become_decoder(jail_decode_fn *decode, const int *fds, pid_t warden)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != warden ||
        dup3(fds[1], JAIL_MEMORY + JAIL_FDS_MAX + 1, O_CLOEXEC) < 0 ||
        dup2(fds[0], JAIL_SOCKET) < 0 || dup2(JAIL_MEMORY + JAIL_FDS_MAX + 1, JAIL_MEMORY) < 0 ||
        !jail_close_others(2))
        _exit(1);
    jail_decoder(decode);
}

static void start_decoder(jail_decode_fn *decode, const int *fds, struct jail_reply *r)
{
    pid_t warden = getpid();
    r->pid = fds[0] < 0 || fds[1] < 0 ? -EBADF : fork();
    if (r->pid == 0)
        become_decoder(decode, fds, warden);
    if (r->pid == -1)
        r->pid = -errno;
    for (int i = 0; i < JAIL_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

_Noreturn void jail_warden(jail_decode_fn *decode)
{
    struct jail_call call;
    int fds[JAIL_FDS_MAX];
    prctl(PR_SET_NAME, "relearn-jail", 0, 0, 0);
    jail_ignore_signals();
    if (!jail_close_others(1))
        _exit(1);
    struct jail_reply r = {.vm_bytes = vm_bytes(),
                           .can_filter = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0};
    if (!jail_send(JAIL_SOCKET, &r, sizeof r, NULL, 0))
        _exit(0);
    while (jail_receive(JAIL_SOCKET, &call, sizeof call, fds, JAIL_FDS_MAX)) {
        r.wait_status = 0;
        if (call.order == JAIL_START)
            start_decoder(decode, fds, &r);
        else
            while (waitpid(call.pid, &r.wait_status, 0) < 0 && errno == EINTR)
                ;
        if (!jail_send(JAIL_SOCKET, &r, sizeof r, NULL, 0))
            break;
    }
    _exit(0);
}
