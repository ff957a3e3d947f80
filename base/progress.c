#include "progress.h"

#include "seam.h"
#include <string.h>

#include "banned.h"

enum { BAR_WIDTH = 24 };
static const uint64_t tty_period_ns = 100 * 1000000ull;     /* ten redraws a second look smooth */
static const uint64_t plain_period_ns = 10 * 1000000000ull; /* logs stay short */

void progress_init(struct progress *p, const char *label, uint64_t first, uint64_t total, int quiet)
{
    memset(p, 0, sizeof *p);
    snprintf(p->label, sizeof p->label, "%s", label);
    p->total = total;
    p->first = first;
    p->quiet = quiet;
    p->tty = isatty(STDERR_FILENO);
    p->start_ns = time_mono_ns();
    p->next_ns = p->start_ns + (p->tty ? 0 : plain_period_ns);
}

static void duration(char *out, size_t size, double seconds)
{
    long s = seconds > 1e8 ? 100000000 : (long)(seconds + .5);
    if (s >= 3600)
        snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
}

/* < 0: nothing is known yet. */
static double seconds_left(const struct progress *p, uint64_t at, double seconds)
{
    double done = p->work_total ? (double)p->work : (double)(at - p->first);
    double all = p->work_total ? (double)p->work_total : (double)(p->total - p->first);
    if ((!p->work_total && !p->total) || done <= 0 || seconds <= 0)
        return -1;
    return done < all ? (all - done) / done * seconds : 0;
}

static void draw(struct progress *p, uint64_t at, const char *extra, int final)
{
    double seconds = (double)(time_mono_ns() - p->start_ns) * 1e-9;
    double rate = seconds > 0 ? (double)(at - p->first) / seconds : 0;
    char line[256], bar[BAR_WIDTH + 3] = "", left[32] = "";
    if (p->total && p->tty) {
        int full = (int)(at >= p->total ? BAR_WIDTH : at * BAR_WIDTH / p->total);
        memset(bar, '-', BAR_WIDTH + 2);
        memset(bar + 1, '#', (size_t)full);
        bar[0] = '[';
        bar[BAR_WIDTH + 1] = ']';
        bar[BAR_WIDTH + 2] = 0;
    }
    if (final)
        duration(left, sizeof left, seconds);
    else if (seconds_left(p, at, seconds) >= 0)
        duration(left, sizeof left, seconds_left(p, at, seconds));
    int n = p->total ? snprintf(line, sizeof line, "%s %s %llu/%llu", p->label, bar,
                                (unsigned long long)at, (unsigned long long)p->total)
                     : snprintf(line, sizeof line, "%s %llu", p->label, (unsigned long long)at);
    snprintf(line + n, sizeof line - (size_t)n, "  %.4g/s  %s%s%s%s", rate, left,
             final ? "" : " left", extra && *extra ? "  " : "", extra ? extra : "");
    if (p->tty)
        fprintf(stderr, "\r\033[K%s%s", line, final ? "\n" : "");
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->drawn = 1;
}

void progress_update(struct progress *p, uint64_t now, const char *extra)
{
    if (p->quiet)
        return;
    uint64_t t = time_mono_ns();
    if (t < p->next_ns)
        return;
    p->next_ns = t + (p->tty ? tty_period_ns : plain_period_ns);
    draw(p, now, extra, 0);
}

void progress_update_work(struct progress *p, uint64_t now, uint64_t work, uint64_t work_total,
                          const char *extra)
{
    p->work = work;
    p->work_total = work_total;
    progress_update(p, now, extra);
}

void progress_done(struct progress *p, uint64_t now, const char *extra)
{
    if (!p->quiet)
        draw(p, now, extra, 1);
}
