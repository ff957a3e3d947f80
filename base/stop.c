#include "stop.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "banned.h"

static volatile sig_atomic_t stopped;
static const char default_what[] = "the step under way";
static const char *volatile waits_for = default_what;

static void on_signal(int sig)
{
    if (stopped) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    stopped = 1;
    alarm(1);
}

/* Only what a signal handler may call. */
static void on_alarm(int sig)
{
    static const char before[] = "\nrelearn: stopping after ",
                      after[] = " (once more, and it ends at once)\n";
    char line[160];
    (void)sig;
    const char *what = waits_for;
    size_t n = strlen(what), max = sizeof line - sizeof before - sizeof after;
    n = n < max ? n : max;
    memcpy(line, before, sizeof before - 1);
    memcpy(line + sizeof before - 1, what, n);
    memcpy(line + sizeof before - 1 + n, after, sizeof after - 1);
    ssize_t told = write(STDERR_FILENO, line, sizeof before - 1 + n + sizeof after - 1);
    (void)told; /* nothing can be done about a failure */
}

void stop_install(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_alarm;
    sa.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &sa, NULL);
    sa.sa_handler = on_signal;
    sa.sa_flags = 0;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

int stop_requested(void)
{
    return stopped;
}

void stop_waits_for(const char *what)
{
    waits_for = what ? what : default_what;
}
