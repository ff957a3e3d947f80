#include "verbatim.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

enum { TRIES = 6, CHUNK = 1 << 16 };
/* How long a file has to rest. Linux stamps files with a clock that stands still for up to ten
   milliseconds, and stamps a write when it begins: one that is under way may have been stamped some
   time ago. Who copies a tree waits this long once, since all of it gets older meanwhile. */
static const int64_t rest_ns = 100 * 1000000;
/* A younger one is compared with its copy, in case a write still lasted. */
static const int64_t young_ns = 10 * 1000000000ll;
static const int64_t first_wait_ns = 5 * 1000000; /* doubled at each try: a third of a second */

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void sleep_ns(int64_t ns)
{
    const struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

/* Since it was last changed, by our clock; that of another machine may be ahead by any time. */
static int64_t age_ns(const struct stat *sb)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t data = ns_of(&now) - ns_of(&sb->st_mtim), any = ns_of(&now) - ns_of(&sb->st_ctim);
    return data >= 0 && data < any ? data : any;
}

status file_settle(int fd, struct stat *out_sb)
{
    for (int i = 0; i < TRIES; i++) {
        if (fstat(fd, out_sb) < 0)
            return status_from_errno(errno);
        int64_t age = age_ns(out_sb);
        if (age >= rest_ns || age < -rest_ns)
            return STATUS_OK;
        sleep_ns(rest_ns - age + 1000000);
    }
    return STATUS_AGAIN;
}

static bool same_version(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && ns_of(&a->st_mtim) == ns_of(&b->st_mtim) &&
           ns_of(&a->st_ctim) == ns_of(&b->st_ctim);
}

/* The bytes from..to of the file; short where it ends before. */
static status copy_range(const struct verbatim *v, off_t from, off_t to, int *out_reading)
{
    char chunk[CHUNK];
    while (from < to) {
        if (v->stop && v->stop(v->arg))
            return STATUS_CANCELLED;
        size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK, n;
        *out_reading = 1;
        status st = io_pread(v->from, chunk, want, from, &n);
        if (st || n == 0)
            return st;
        *out_reading = 0;
        st = io_pwrite(v->to, chunk, n, from);
        if (st)
            return st;
        from += (off_t)n;
    }
    return STATUS_OK;
}

static status copy_data(const struct verbatim *v, const struct stat *sb, int *out_reading)
{
    bool sparse = sb->st_blocks < sb->st_size / 512;
    status st = STATUS_OK;
    for (off_t at = 0; at < sb->st_size && !st;) {
        off_t data = sparse ? lseek(v->from, at, SEEK_DATA) : at;
        off_t end = sb->st_size;
        if (data < 0 && errno == ENXIO)
            break; /* nothing but a hole is left */
        if (data < 0)
            data = at; /* a file system that does not tell */
        else if (sparse)
            end = lseek(v->from, data, SEEK_HOLE);
        if (end < data || end > sb->st_size)
            end = sb->st_size;
        st = copy_range(v, data, end, out_reading);
        at = end;
    }
    return st;
}

static status pad(const struct verbatim *v, off_t from)
{
    char chunk[4096];
    memset(chunk, 0xff, sizeof chunk);
    while ((uint64_t)from < v->padded_size) {
        uint64_t left = v->padded_size - (uint64_t)from;
        size_t n = left < sizeof chunk ? (size_t)left : sizeof chunk;
        status st = io_pwrite(v->to, chunk, n, from);
        if (st)
            return st;
        from += (off_t)n;
    }
    return STATUS_OK;
}

/* AGAIN: they differ. Holes read as zeros on both sides. */
static status compare(const struct verbatim *v, off_t size)
{
    char a[CHUNK / 2], b[CHUNK / 2];
    for (off_t at = 0; at < size; at += (off_t)sizeof a) {
        size_t n, m;
        if (v->stop && v->stop(v->arg))
            return STATUS_CANCELLED;
        status st = io_pread(v->from, a, sizeof a, at, &n);
        if (!st)
            st = io_pread(v->to, b, sizeof b, at, &m);
        if (st)
            return st;
        size_t own = (off_t)n > size - at ? (size_t)(size - at) : n;
        if (m < own || memcmp(a, b, own) != 0)
            return STATUS_AGAIN;
    }
    return STATUS_OK;
}

/* AGAIN: torn. */
static status copy_once(const struct verbatim *v, const struct stat *at_first, struct stat *out_sb,
                        int *out_reading)
{
    const struct stat before = *at_first;
    struct stat after;
    *out_reading = 0;
    /* The length first: what is not written of it is a hole. */
    if (ftruncate(v->to, 0) < 0 || ftruncate(v->to, before.st_size) < 0)
        return status_from_errno(errno);
    status st = copy_data(v, &before, out_reading);
    if (!st) {
        *out_reading = 0;
        st = pad(v, before.st_size);
    }
    if (st)
        return st;
    *out_reading = 1;
    bool sparse = before.st_blocks < before.st_size / 512;
    if (before.st_size > CHUNK && !sparse && age_ns(&before) < young_ns)
        st = compare(v, before.st_size);
    if (st)
        return st;
    if (fstat(v->from, &after) < 0)
        return status_from_errno(errno);
    if (!same_version(&before, &after))
        return STATUS_AGAIN;
    *out_sb = after;
    return STATUS_OK;
}

status verbatim_copy(const struct verbatim *v, struct stat *out_sb, int *out_reading)
{
    int64_t wait = first_wait_ns;
    for (int i = 1;; i++) {
        struct stat before;
        *out_reading = 1;
        status st = file_settle(v->from, &before);
        if (st)
            return st; /* also AGAIN: that was waited for */
        st = copy_once(v, &before, out_sb, out_reading);
        if (st != STATUS_AGAIN || i == TRIES)
            return st;
        if (v->stop && v->stop(v->arg))
            return STATUS_CANCELLED;
        sleep_ns(wait);
        wait *= 2;
    }
}
