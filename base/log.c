#include "log.h"

#include "shown.h"

#include "banned.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *log_prog = "relearn";
static atomic_int log_level_now = LOG_INFO;
static atomic_int to_journal;

static const struct {
    const char *name;
    int priority; /* syslog's, for the journal */
} levels[] = {
    [LOG_ERROR] = {"error", 3},
    [LOG_WARN] = {"warn", 4},
    [LOG_INFO] = {"info", 6},
    [LOG_DEBUG] = {"debug", 7},
};
_Static_assert(sizeof levels / sizeof *levels == LOG_COUNT, "a row for every level");

/* The journal names the device and inode of the stream it reads; only then do prefixes help. */
static int stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat sb;
    char *end;
    if (!stream || fstat(STDERR_FILENO, &sb) < 0)
        return 0;
    unsigned long long dev = strtoull(stream, &end, 10);
    if (*end != ':')
        return 0;
    return dev == sb.st_dev && strtoull(end + 1, NULL, 10) == sb.st_ino;
}

void log_init(const char *prog)
{
    log_prog = prog;
    atomic_store(&to_journal, stderr_is_journal());
    const char *wish = getenv("RELEARN_LOG");
    for (int i = 0; wish && i < LOG_COUNT; i++)
        if (strcasecmp(wish, levels[i].name) == 0)
            log_set_level((enum log_level)i);
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_level_now, (int)level);
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if ((int)level > atomic_load_explicit(&log_level_now, memory_order_relaxed))
        return;
    char line[1024], text[1024];
    int n = atomic_load(&to_journal) ? snprintf(line, sizeof line, "<%d>", levels[level].priority)
                                     : snprintf(line, sizeof line, "%s: %s%s", log_prog,
                                                level == LOG_ERROR ? "" : levels[level].name,
                                                level == LOG_ERROR ? "" : ": ");
    va_list args;
    va_start(args, fmt);
    int m = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (m < 0)
        return;
    text_shown(text, line + n, sizeof line - (size_t)n - 1);
    size_t len = strlen(line);
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nowhere left to report it */
}

int log_gate_pass(struct log_gate *g, uint64_t period_ns, unsigned *out_dropped)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    uint64_t next = __atomic_load_n(&g->next_ns, __ATOMIC_RELAXED);
    if (now < next || !__atomic_compare_exchange_n(&g->next_ns, &next, now + period_ns, 0,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&g->dropped, 1, __ATOMIC_RELAXED);
        return 0;
    }
    *out_dropped = __atomic_exchange_n(&g->dropped, 0, __ATOMIC_RELAXED);
    return 1;
}
