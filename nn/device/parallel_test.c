#include "device/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { ITEMS_MAX = 3000, THREADS_MAX = 100 };

/* Which thread ran which items. */
struct log {
    int64_t n, block;
    int threads;
    atomic_int times[ITEMS_MAX];
    atomic_int calls[THREADS_MAX];
    atomic_int thread_of[ITEMS_MAX];
    atomic_int bad;
};

static void note(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct log *log = (struct log *)(uintptr_t)ctx;
    if (first < 0 || first >= last || last > log->n || thread < 0 || thread >= log->threads ||
        (log->block && first % log->block)) {
        log->bad++;
        return;
    }
    log->calls[thread]++;
    for (int64_t i = first; i < last; i++) {
        log->times[i]++;
        log->thread_of[i] = thread;
    }
}

static const int64_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 63, 100, 999, 2048, ITEMS_MAX};
static const int thread_counts[] = {1, 2, 3, 7, 64, 65, THREADS_MAX};

static void once_each(const struct log *log)
{
    assert_int_equal(log->bad, 0);
    for (int64_t i = 0; i < log->n; i++)
        assert_int_equal(log->times[i], 1);
}

static void each_item_once(void **state)
{
    (void)state;
    static const int64_t blocks[] = {1, 2, 7, 16, 2048, ITEMS_MAX + 1};
    static struct log log;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t j = 0; j < ARRAY_LEN(thread_counts); j++) {
            for (size_t k = 0; k < ARRAY_LEN(blocks); k++) {
                log = (struct log){sizes[i], blocks[k], thread_counts[j], {0}, {0}, {0}, 0};
                nn_for_blocks(log.threads, log.n, log.block, note, &log);
                once_each(&log);
            }
            log = (struct log){sizes[i], 1, thread_counts[j], {0}, {0}, {0}, 0};
            nn_for_range(log.threads, log.n, note, &log);
            once_each(&log);
        }
}

static void parts_are_fixed(void **state)
{
    (void)state;
    static struct log log;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t j = 0; j < ARRAY_LEN(thread_counts); j++) {
            log = (struct log){sizes[i], 0, thread_counts[j], {0}, {0}, {0}, 0};
            nn_for_parts(log.threads, log.n, note, &log);
            once_each(&log);
            int64_t parts = log.threads < log.n ? log.threads : log.n, least = log.n, most = 0;
            for (int64_t t = 0, at = 0; t < parts; t++) {
                int64_t start = at;
                assert_int_equal(log.calls[t], 1);
                while (at < log.n && log.thread_of[at] == t)
                    at++;
                least = at - start < least ? at - start : least;
                most = at - start > most ? at - start : most;
            }
            assert_true(parts == 0 || (least > 0 && most - least <= 1));
        }
}

/* The first chunk ends only when everything outside it is done. */
struct slow {
    atomic_llong done, first_piece;
    atomic_bool alone;
};

static void slow_first(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct slow *s = (struct slow *)(uintptr_t)ctx;
    const struct timespec nap = {0, 1000000};
    (void)thread;
    if (first == 0) {
        s->first_piece = last;
        for (int naps = 0; s->done < ITEMS_MAX - last; naps++) {
            s->alone = naps > 20000;
            if (s->alone)
                break;
            nanosleep(&nap, NULL);
        }
    }
    s->done += last - first;
}

static void a_slow_thread_gets_help(void **state)
{
    (void)state;
    struct slow s = {0};
    nn_for_range(2, ITEMS_MAX, slow_first, &s);
    assert_int_equal(s.done, ITEMS_MAX);
    assert_false(s.alone);
    assert_true(s.first_piece < ITEMS_MAX / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_once),
        cmocka_unit_test(parts_are_fixed),
        cmocka_unit_test(a_slow_thread_gets_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
