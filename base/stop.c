#include "stop.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    if (stopped) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    stopped = 1;
}

void stop_install(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

int stop_requested(void)
{
    return stopped;
}
