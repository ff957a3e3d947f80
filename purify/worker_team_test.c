/* The turns of an urgent image are shared by workers that have nothing else to do. */
#include "test_service.h"

#include <time.h>

static void submit(struct purify_service *s, struct task *t, int width, int height,
                   enum purify_priority prio)
{
    task_init(t, width, height);
    assert_int_equal(purify_submit(s, &t->job, prio), STATUS_OK);
}

static int standing(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    int n = f->standing;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* A service whose workers have all been seen at work, with the gate closed. shares: first turns. */
static struct purify_service *start_all(struct fake *f, int threads, bool shares)
{
    fake_init(f);
    f->shares = shares;
    struct purify_service *s = start(f, threads, 0);
    struct task t[4];
    set_gate(f, 1);
    for (int i = 0; i < threads; i++)
        submit(s, &t[i], 1, 1, PURIFY_URGENT);
    wait_standing(f, threads);
    set_gate(f, 0);
    purify_wait_idle(s);
    f->n = f->turns = 0;
    set_gate(f, 1);
    return s;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Lets turns pass, slowly, until so many workers are at one: they have to come back from what they
   did before. */
static void pass_until_standing(struct fake *f, int n)
{
    for (; standing(f) < n; rest())
        step_gate(f);
}

static bool helped(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    bool any = f->helped > 0;
    pthread_mutex_unlock(&f->lock);
    return any;
}

static void finish(struct purify_service *s, struct fake *f)
{
    set_gate(f, 0);
    purify_wait_idle(s);
    assert_int_equal(f->runs, 0);
}

/* Three tiles of one image stand at once; all are counted. */
static void test_shared(void **state)
{
    (void)state;
    struct fake f;
    struct purify_service *s = start_all(&f, 3, true);
    struct task t;
    submit(s, &t, 3000, 17, PURIFY_URGENT);
    pass_until_standing(&f, 3);
    finish(s, &f);
    assert_answered(&t, STATUS_OK);
    assert_true(f.turns < 3000);
    assert_int_equal(stats(s).evaluations, 2 * (3000 + 3));
    purify_service_free(s);
    assert_int_equal(f.open, 0);
}

/* Nobody helps with the sweep, nor where the purifier at work has no use for it: the other workers
   are there for what comes. */
static void test_not_shared(void **state)
{
    (void)state;
    for (int sweep = 0; sweep < 2; sweep++) {
        struct fake f;
        struct purify_service *s = start_all(&f, 3, sweep);
        struct task large, other;
        submit(s, &large, 500, sweep ? 17 : 1, sweep ? PURIFY_SWEEP : PURIFY_URGENT);
        wait_standing(&f, 1);
        submit(s, &other, 500, 1, PURIFY_SWEEP);
        wait_standing(&f, 2);
        for (int i = 0; i < 100; i++) {
            step_gate(&f);
            wait_standing(&f, 2);
            assert_int_equal(standing(&f), 2);
        }
        finish(s, &f);
        assert_answered(&large, STATUS_OK);
        assert_answered(&other, STATUS_OK);
        purify_service_free(s);
    }
}

/* A job that comes while all workers are at one image has its turn when that one's is over. */
static void test_next_turn(void **state)
{
    (void)state;
    struct fake f;
    struct purify_service *s = start_all(&f, 2, true);
    struct task large, reader;
    submit(s, &large, 1000, 17, PURIFY_URGENT);
    pass_until_standing(&f, 2);
    int before = f.turns; /* nothing runs: both wait at the gate */
    submit(s, &reader, 1, 1, PURIFY_URGENT);
    finish(s, &f);
    assert_true(f.turn[before] == 1 || f.turn[before + 1] == 1);
    assert_int_equal(f.order[0], 1);
    assert_answered(&large, STATUS_OK);
    assert_answered(&reader, STATUS_OK);
    purify_service_free(s);
}

/* While an urgent image has turns to share, no turn of the sweep begins. */
static void test_before_the_sweep(void **state)
{
    (void)state;
    enum { SWEEP = 6, TILES = 1000 };
    struct fake f;
    struct purify_service *s = start_all(&f, 2, true);
    struct task sweep[SWEEP], large;
    for (int i = 0; i < SWEEP; i++)
        submit(s, &sweep[i], 9, 1, PURIFY_SWEEP);
    wait_standing(&f, 2);
    submit(s, &large, TILES, 17, PURIFY_URGENT);
    for (; !helped(&f); rest())
        step_gate(&f);
    pthread_mutex_lock(&f.lock);
    int from = f.turns;
    pthread_mutex_unlock(&f.lock);
    for (int i = 0; i < 60; i++)
        step_gate(&f);
    pthread_mutex_lock(&f.lock);
    assert_true(f.turns > from);
    for (int i = from; i < f.turns; i++)
        assert_int_equal(f.turn[i], TILES);
    pthread_mutex_unlock(&f.lock);
    finish(s, &f);
    assert_answered(&large, STATUS_OK);
    for (int i = 0; i < SWEEP; i++)
        assert_answered(&sweep[i], STATUS_OK);
    purify_service_free(s);
}

/* Cancelled, and freed, in the midst of a shared turn. */
static void test_ended(void **state)
{
    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        struct fake f;
        struct purify_service *s = start_all(&f, 3, true);
        struct task t;
        submit(s, &t, 1000, 17, PURIFY_URGENT);
        pass_until_standing(&f, 3);
        if (!freed)
            purify_cancel(s, &t.job);
        set_gate(&f, 0);
        if (!freed)
            purify_wait_idle(s);
        purify_service_free(s);
        assert_answered(&t, freed ? STATUS_OK : STATUS_CANCELLED);
        assert_int_equal(f.runs, 0);
        assert_int_equal(f.open, 0);
    }
}

static void *free_service(void *s)
{
    purify_service_free(s);
    return NULL;
}

/* A worker that waits to help, while there is only a begun image of the sweep, ends with the
   service, also when what it waits for is cancelled. */
static void test_freed_beside_the_sweep(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct fake f;
        struct purify_service *s = start_all(&f, 2, true);
        struct task sweep, large;
        submit(s, &sweep, 100, 1, PURIFY_SWEEP);
        wait_standing(&f, 1);
        submit(s, &large, 1000, 17, PURIFY_URGENT);
        wait_standing(&f, 2);
        step_gate(&f);
        step_gate(&f); /* the turn of the sweep is over, or both go on */
        purify_cancel(s, &large.job);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_service, s), 0);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* it has begun to stop */
        set_gate(&f, 0);
        pthread_join(thread, NULL);
        assert_answered(&large, STATUS_CANCELLED);
        assert_answered(&sweep, STATUS_OK);
        assert_int_equal(f.runs, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed_beside_the_sweep),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_not_shared),
        cmocka_unit_test(test_next_turn),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_before_the_sweep),
    };
    return cmocka_run_group_tests_name("purify/worker_team", tests, NULL, NULL);
}
