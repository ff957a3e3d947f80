#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "banned.h"

/* Only what may be called between fork and exec. */
static void become(const struct child_options *o, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (o->own_group) /* ignored by what a shell without job control starts in the background */
        signal(SIGINT, SIG_DFL);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() != parent || (o->own_group && setpgid(0, 0) < 0) ||
        (o->dir_fd >= 0 && fchdir(o->dir_fd) < 0) || in < 0 || dup2(in, STDIN_FILENO) < 0 ||
        (o->out_fd >= 0 && dup2(o->out_fd, STDOUT_FILENO) < 0) ||
        (o->err_fd >= 0 && dup2(o->err_fd, STDERR_FILENO) < 0))
        _exit(127);
    execv(o->program, (char *const *)o->argv);
    _exit(127);
}

status child_start(const struct child_options *o, pid_t *out_pid)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(o, parent);
    if (pid < 0)
        return status_from_errno(errno);
    *out_pid = pid;
    return STATUS_OK;
}

bool child_ended(pid_t pid, int *out_code)
{
    int how;
    pid_t got = waitpid(pid, &how, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    if (got < 0)
        *out_code = 127;
    else
        *out_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return true;
}

void child_kill(pid_t pid)
{
    if (kill(-pid, SIGKILL) < 0) /* it leads none */
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
