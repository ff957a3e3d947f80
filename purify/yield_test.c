/* When a thread that is in others' way pauses, and for how long. */
#include "yield.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MS = 1000000 };

/* The pause after so many milliseconds by each clock, on two CPUs. */
static uint64_t after(struct yield *y, uint64_t wall, uint64_t thread, uint64_t process)
{
    struct yield_clock now = y->last;
    now.wall += wall * MS;
    now.thread += thread * MS;
    now.process += process * MS;
    uint64_t pause = yield_pause(y, &now);
    now.wall += pause;
    yield_restart(y, &now);
    return pause / MS;
}

static void test_free_machine(void **state)
{
    (void)state;
    struct yield y;
    yield_init(&y, 2);
    assert_int_equal(after(&y, 20, 20, 20), 0);
    assert_int_equal(after(&y, 20, 20, 40), 0);
    assert_int_equal(after(&y, 22, 20, 30), 0); /* a moment's wait is nothing */
}

/* Threads of one process compete for the CPUs, and no other process uses them. */
static void test_own_process(void **state)
{
    (void)state;
    struct yield y;
    yield_init(&y, 2);
    for (int i = 0; i < 10; i++)
        assert_int_equal(after(&y, 40, 20, 78), 0);
}

static void test_others(void **state)
{
    (void)state;
    struct yield y;
    yield_init(&y, 2);
    assert_int_equal(after(&y, 40, 20, 40), 32 * 20);
    assert_int_equal(after(&y, 40, 20, 40), 3 * 32 * 20); /* longer while it lasts */
    assert_int_equal(after(&y, 40, 20, 40), 4000);
    assert_int_equal(after(&y, 40, 20, 40), 4000); /* to a limit */
    assert_int_equal(after(&y, 20, 20, 20), 0);    /* free for a moment */
    assert_int_equal(after(&y, 20, 20, 20), 0);
    assert_int_equal(after(&y, 20, 20, 20), 0);
    assert_int_equal(after(&y, 20, 20, 20), 0);
    assert_int_equal(after(&y, 20, 20, 20), 0);
    assert_int_equal(after(&y, 40, 20, 40), 640 + 2 * 4000 / 32);
    assert_int_equal(after(&y, 900, 300, 600), 32 * 300); /* never more than 3 % of the time */
}

/* Hardly scheduled at all, as at idle priority; and on many CPUs. */
static void test_starved(void **state)
{
    (void)state;
    struct yield y;
    yield_init(&y, 64);
    assert_int_equal(after(&y, 6000, 20, 6000), 640);
}

/* Too little time to tell anything: it counts with what follows. */
static void test_short(void **state)
{
    (void)state;
    struct yield y;
    yield_init(&y, 2);
    struct yield_clock now = y.last;
    now.wall += MS / 2;
    assert_int_equal(yield_pause(&y, &now), 0);
    now.wall += 40 * MS;
    now.thread += 20 * MS;
    now.process += 20 * MS;
    assert_int_equal(yield_pause(&y, &now), 640 * MS);
}

static void test_clocks(void **state)
{
    (void)state;
    struct yield_clock a, b;
    yield_now(&a);
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 1000000; i++)
        sum += i;
    yield_now(&b);
    assert_true(sum > 0);
    assert_true(b.wall > a.wall && b.thread > a.thread);
    /* This thread is most of the process; the two clocks are not read at one instant. */
    assert_true(2 * (b.process - a.process) >= b.thread - a.thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_machine), cmocka_unit_test(test_own_process),
        cmocka_unit_test(test_others),       cmocka_unit_test(test_starved),
        cmocka_unit_test(test_short),        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests_name("purify/yield", tests, NULL, NULL);
}
