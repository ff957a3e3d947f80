#include "bench/claim.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "toy.h"

static const char *const nothing[CLAIM_NEEDS_MAX];

static status take(const char *id, struct claim *out)
{
    struct errmsg e = {""};
    status st = claim_take(toy_path("claims"), id, nothing, CLAIM_STALE_S, out, &e);
    if (st && st != STATUS_BUSY)
        fail_msg("%s", e.text);
    return st;
}

static void a_claim_is_one_processs(void **state)
{
    (void)state;
    struct claim a, b;
    assert_false(claim_held(toy_path("claims"), "x", CLAIM_STALE_S));
    assert_int_equal(take("x", &a), STATUS_OK);
    assert_int_equal(take("x", &b), STATUS_BUSY);
    assert_true(claim_held(toy_path("claims"), "x", CLAIM_STALE_S));
    assert_int_equal(claim_refresh(&a), STATUS_OK);
    claim_release(&a);
    assert_int_equal(take("x", &b), STATUS_OK);
    claim_release(&b);
    assert_false(toy_there("claims/x"));
}

/* Of many that meet a dead one's claim, one gets it. */
static void a_dead_processs_claim_is_taken_over_once(void **state)
{
    (void)state;
    enum { RIVALS = 12 };
    struct claim c;
    pid_t owner = fork();
    if (owner == 0)
        _exit(take("y", &c) ? 1 : 0); /* without releasing it */
    int how;
    assert_int_equal(waitpid(owner, &how, 0), owner);
    assert_int_equal(how, 0);
    assert_true(toy_there("claims/y"));
    assert_false(claim_held(toy_path("claims"), "y", CLAIM_STALE_S));
    pid_t rival[RIVALS];
    for (int i = 0; i < RIVALS; i++)
        if ((rival[i] = fork()) == 0) {
            status st = take("y", &c);
            usleep(300000); /* so that nobody is dead before all have tried */
            _exit(st ? 1 : 0);
        }
    int got = 0;
    for (int i = 0; i < RIVALS; i++) {
        assert_int_equal(waitpid(rival[i], &how, 0), rival[i]);
        got += how == 0;
    }
    assert_int_equal(got, 1);
    assert_int_equal(take("y", &c), STATUS_OK);
    claim_release(&c);
}

static void age(const char *name, int seconds)
{
    const struct timespec then[2] = {{.tv_sec = time(NULL) - seconds},
                                     {.tv_sec = time(NULL) - seconds}};
    assert_int_equal(utimensat(AT_FDCWD, toy_path(name), then, 0), 0);
}

/* Of one who was killed while it wrote its claim aside nothing is left when the next one is done. */
static void a_takeover_that_was_killed_leaves_nothing(void **state)
{
    (void)state;
    static const char gone[] = "host b\nplace elsewhere\npid 1\nstarted 1\nneeds - - -\n";
    struct claim c;
    toy_write("claims/v", gone, sizeof gone - 1);
    age("claims/v", 700);
    toy_write("claims/v.aside", gone, sizeof gone / 2);
    assert_int_equal(take("v", &c), STATUS_OK);
    claim_release(&c);
    assert_false(toy_there("claims/v.aside"));
    assert_false(toy_there("claims/v"));
}

static void what_nobody_touches_becomes_void(void **state)
{
    (void)state;
    struct claim c, mine;
    static const char other[] = "host b\nplace elsewhere\npid 1\nstarted 1\nneeds t1 - -\n";
    toy_write("claims/z", other, sizeof other - 1);
    assert_int_equal(take("z", &c), STATUS_BUSY);
    assert_true(claim_needed(toy_path("claims"), "t1", CLAIM_STALE_S));
    assert_false(claim_needed(toy_path("claims"), "t2", CLAIM_STALE_S));
    age("claims/z", 700);
    assert_false(claim_needed(toy_path("claims"), "t1", CLAIM_STALE_S));
    assert_int_equal(take("z", &mine), STATUS_OK);
    /* Its first owner finds out, and leaves the new one's alone. */
    struct claim theirs = {mem_strdup(mine.path), mem_strdup(other)};
    assert_int_equal(claim_refresh(&theirs), STATUS_NOT_FOUND);
    claim_release(&theirs);
    assert_int_equal(claim_refresh(&mine), STATUS_OK);
    age("claims/z", 700);
    assert_int_equal(claim_refresh(&mine), STATUS_OK);
    assert_true(claim_held(toy_path("claims"), "z", CLAIM_STALE_S));
    claim_release(&mine);
    /* One that was never written to its end says nothing: its age decides. */
    toy_write("claims/w", "", 0);
    assert_int_equal(take("w", &c), STATUS_BUSY);
    age("claims/w", 700);
    assert_int_equal(take("w", &c), STATUS_OK);
    claim_release(&c);
}

static int setup(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_mkdir("claims");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_is_one_processs),
        cmocka_unit_test(a_dead_processs_claim_is_taken_over_once),
        cmocka_unit_test(a_takeover_that_was_killed_leaves_nothing),
        cmocka_unit_test(what_nobody_touches_becomes_void),
    };
    return cmocka_run_group_tests_name("bench claim", tests, setup, toy_teardown);
}
