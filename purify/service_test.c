/*
 * The service's races (also under the thread sanitiser): every accepted job is answered once,
 * whatever is cancelled, promoted or freed.
 */
#include "test_service.h"

#include <time.h>

/* ---- tests ---- */

static void test_counts(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 2, 0);
    struct task t[20];
    for (int i = 0; i < 20; i++) {
        task_init(&t[i], 1 + i % 3, i % 5 == 0 ? 13 : 1);
        assert_int_equal(purify_submit(s, &t[i].job, (enum purify_priority)(i % 2)), STATUS_OK);
    }
    purify_wait_idle(s);
    struct purify_service_stats st = stats(s);
    assert_int_equal(st.submitted, 20);
    assert_int_equal(st.done, 16);
    assert_int_equal(st.failed, 4);
    assert_int_equal(st.cancelled + st.running + st.queued[0] + st.queued[1], 0);
    assert_int_equal(st.evaluations, 2 * (7 * 1 + 7 * 2 + 6 * 3));
    assert_true(st.busy_ns > 0);
    for (int i = 0; i < 20; i++) {
        assert_answered(&t[i], i % 5 == 0 ? STATUS_INTERNAL : STATUS_OK);
        assert_string_equal(t[i].text, i % 5 == 0 ? "thirteen" : "");
    }
    purify_service_free(s);
    assert_int_equal(f.open, 0);
}

/* Urgent before sweep; of the urgent ones, promoted ones too, the shortest first; sweep jobs in
   their order. */
static void test_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task first, sweep[3], urgent[2];
    set_gate(&f, 1);
    task_init(&first, 1, 1);
    assert_int_equal(purify_submit(s, &first.job, PURIFY_URGENT), STATUS_OK);
    wait_standing(&f, 1);
    for (int i = 0; i < 3; i++) {
        task_init(&sweep[i], 10 + i, 1);
        assert_int_equal(purify_submit(s, &sweep[i].job, PURIFY_SWEEP), STATUS_OK);
    }
    for (int i = 0; i < 2; i++) {
        task_init(&urgent[i], 20 + i, 1);
        assert_int_equal(purify_submit(s, &urgent[i].job, PURIFY_URGENT), STATUS_OK);
    }
    purify_promote(s, &sweep[2].job);
    purify_promote(s, &sweep[2].job);  /* again: nothing */
    purify_promote(s, &urgent[0].job); /* nothing */
    purify_promote(s, &first.job);     /* nothing */
    assert_int_equal(stats(s).queued[PURIFY_URGENT], 3);
    assert_int_equal(stats(s).queued[PURIFY_SWEEP], 2);
    assert_int_equal(stats(s).running, 1);
    set_gate(&f, 0);
    purify_wait_idle(s);
    static const int expected[] = {1, 12, 20, 21, 10, 11};
    assert_int_equal(f.n, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(f.order[i], expected[i]);
    purify_service_free(s);
}

/* A reader does not wait for a large sweep image: it passes between two of its tiles. */
static void test_reader_passes(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task large, reader, next;
    task_init(&large, 1000, 1);
    task_init(&reader, 3, 1);
    task_init(&next, 2, 1);
    set_gate(&f, 1);
    assert_int_equal(purify_submit(s, &large.job, PURIFY_SWEEP), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &next.job, PURIFY_SWEEP), STATUS_OK);
    assert_int_equal(purify_submit(s, &reader.job, PURIFY_URGENT), STATUS_OK);
    set_gate(&f, 0);
    purify_wait_idle(s);
    assert_int_equal(f.order[0], 3);
    assert_int_equal(f.order[1], 1000);
    assert_int_equal(f.order[2], 2);
    assert_answered(&large, STATUS_OK);
    assert_answered(&reader, STATUS_OK);
    purify_service_free(s);
}

/* A job that arrives waits only for the turns under way, whatever the class of the images of many
   turns, of which there are as many as workers and more. */
static void test_waits_one_turn(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        int prio = round % 2, threads = 1 + round / 2;
        struct fake f;
        fake_init(&f);
        struct purify_service *s = start(&f, threads, 0);
        struct task large[4], small;
        set_gate(&f, 1);
        for (int i = 0; i < 4; i++) {
            task_init(&large[i], 700 + i, 200);
            assert_int_equal(purify_submit(s, &large[i].job, (enum purify_priority)prio),
                             STATUS_OK);
        }
        wait_standing(&f, threads);
        for (int i = 0; i < 40; i++) {
            step_gate(&f);
            wait_standing(&f, threads);
        }
        task_init(&small, 9, 1);
        int before = f.turns; /* nothing runs: both wait at the gate */
        assert_int_equal(purify_submit(s, &small.job, PURIFY_URGENT), STATUS_OK);
        for (int turns = before; turns == before;) { /* one worker moves at a time */
            step_gate(&f);
            wait_standing(&f, threads);
            turns = f.turns;
        }
        assert_int_equal(f.turn[before], 9);
        set_gate(&f, 0);
        purify_wait_idle(s);
        for (int i = 0; threads == 1 && i < 9; i++)
            assert_int_equal(f.turn[before + i], 9); /* and it goes on */
        assert_int_equal(f.runs, 0);
        purify_service_free(s);
    }
}

/* However many shorter ones wait, a large image has every 16th turn. */
static void test_large_is_not_starved(void **state)
{
    (void)state;
    enum { SHORT = 120 };
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task large, other, t[SHORT];
    set_gate(&f, 1);
    task_init(&large, 20, 1);
    task_init(&other, 30, 1);
    assert_int_equal(purify_submit(s, &large.job, PURIFY_URGENT), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &other.job, PURIFY_URGENT), STATUS_OK);
    for (int i = 0; i < SHORT; i++) {
        task_init(&t[i], 2, 1);
        assert_int_equal(purify_submit(s, &t[i].job, PURIFY_URGENT), STATUS_OK);
    }
    set_gate(&f, 0);
    purify_wait_idle(s);
    int passed = 0, turns = 0;
    for (int i = 0; turns < 2 * SHORT / 16; i++) {
        passed = f.turn[i] == 20 ? 0 : passed + 1;
        turns += f.turn[i] == 20;
        assert_true(passed <= 15);
    }
    assert_int_equal(f.order[SHORT], 20);
    assert_int_equal(f.order[SHORT + 1], 30);
    purify_service_free(s);
}

/* What begun images keep is bounded; they are begun in their order, so that none is passed over for
   ever by those that need less. Small ones are begun at any time. */
static void test_begun_bytes(void **state)
{
    (void)state;
    for (int prio = 0; prio < PURIFY_PRIORITY_COUNT; prio++) {
        struct fake f;
        struct task first, t[4];
        static const int width[] = {12, 20, 5, 2}, mib[] = {300, 300, 100, 1};
        static const int order[PURIFY_PRIORITY_COUNT][4] = {{2, 12, 5, 20}, {12, 20, 5, 2}};
        fake_init(&f);
        struct purify_service *s = start(&f, 1, 0);
        set_gate(&f, 1);
        task_init(&first, 100, 1);
        assert_int_equal(purify_submit(s, &first.job, PURIFY_URGENT), STATUS_OK);
        wait_standing(&f, 1);
        for (int i = 0; i < 4; i++) {
            task_init(&t[i], width[i], mib[i]);
            assert_int_equal(purify_submit(s, &t[i].job, (enum purify_priority)prio), STATUS_OK);
        }
        purify_cancel(s, &first.job);
        set_gate(&f, 0);
        purify_wait_idle(s);
        for (int i = 0; i < 4; i++)
            assert_int_equal(f.order[i + 1], order[prio][i]);
        assert_int_equal(f.most, prio == PURIFY_URGENT ? 400 : 300);
        assert_int_equal(f.bytes, 0);
        purify_service_free(s);
    }
}

/* Jobs that nobody waits for any more are behind the sweep's, begun ones too; and may come back. */
static void test_demote(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task first, urgent[3], sweep;
    set_gate(&f, 1);
    task_init(&first, 5, 1);
    task_init(&sweep, 40, 1);
    assert_int_equal(purify_submit(s, &first.job, PURIFY_URGENT), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &sweep.job, PURIFY_SWEEP), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        task_init(&urgent[i], 10 + i, 1);
        assert_int_equal(purify_submit(s, &urgent[i].job, PURIFY_URGENT), STATUS_OK);
    }
    purify_demote(s, &sweep.job); /* nothing */
    purify_demote(s, &first.job); /* runs: from its next turn on */
    purify_demote(s, &urgent[0].job);
    purify_demote(s, &urgent[0].job); /* again: nothing */
    purify_demote(s, &urgent[1].job);
    purify_promote(s, &urgent[1].job);
    assert_int_equal(stats(s).queued[PURIFY_URGENT], 2);
    assert_int_equal(stats(s).queued[PURIFY_SWEEP], 2);
    set_gate(&f, 0);
    purify_wait_idle(s);
    static const int expected[] = {11, 12, 40, 5, 10};
    for (int i = 0; i < 5; i++)
        assert_int_equal(f.order[i], expected[i]);
    assert_int_equal(f.turn[0], 5);
    assert_int_equal(f.turn[1], 11);
    purify_demote(s, &first.job); /* answered: nothing */
    purify_service_free(s);
}

/* An image that was put aside, and is cancelled then, is answered without another turn, and what it
   kept is freed. */
static void test_cancel_put_aside(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task large, reader;
    set_gate(&f, 1);
    task_init(&large, 100, 300);
    task_init(&reader, 10, 1);
    assert_int_equal(purify_submit(s, &large.job, PURIFY_URGENT), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &reader.job, PURIFY_URGENT), STATUS_OK);
    step_gate(&f);
    wait_standing(&f, 1);
    step_gate(&f);
    wait_standing(&f, 1); /* the reader's first turn */
    assert_int_equal(f.turn[1], 10);
    assert_int_equal(stats(s).running, 2);
    assert_int_equal(f.bytes, 300);
    purify_cancel(s, &large.job);
    step_gate(&f);
    wait_standing(&f, 1);
    assert_answered(&large, STATUS_CANCELLED);
    assert_int_equal(f.bytes, 0);
    assert_int_equal(stats(s).running, 1);
    set_gate(&f, 0);
    purify_wait_idle(s);
    assert_answered(&reader, STATUS_OK);
    assert_int_equal(f.turns, 1 + 10);
    assert_int_equal(stats(s).evaluations, 2 + 2 * 10);
    purify_service_free(s);
}

static void test_full(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 2);
    struct task t[6];
    for (int i = 0; i < 6; i++)
        task_init(&t[i], 1, 1);
    set_gate(&f, 1);
    assert_int_equal(purify_submit(s, &t[0].job, PURIFY_SWEEP), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &t[1].job, PURIFY_SWEEP), STATUS_OK);
    assert_int_equal(purify_submit(s, &t[2].job, PURIFY_SWEEP), STATUS_OK);
    assert_int_equal(purify_submit(s, &t[3].job, PURIFY_SWEEP), STATUS_AGAIN);
    assert_int_equal(purify_submit(s, &t[3].job, PURIFY_URGENT), STATUS_OK);
    assert_int_equal(purify_submit(s, &t[4].job, PURIFY_URGENT), STATUS_OK);
    assert_int_equal(purify_submit(s, &t[5].job, PURIFY_URGENT), STATUS_AGAIN);
    set_gate(&f, 0);
    purify_wait_idle(s);
    for (int i = 0; i < 5; i++)
        assert_answered(&t[i], STATUS_OK);
    assert_int_equal(atomic_load(&t[5].answers), 0);
    purify_service_free(s);
}

/* A cancelled job that waits is answered while the only worker is in the middle of an image. */
static void test_cancel(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 1, 0);
    struct task runs, waits;
    task_init(&runs, 100, 1);
    task_init(&waits, 1, 1);
    set_gate(&f, 1);
    assert_int_equal(purify_submit(s, &runs.job, PURIFY_URGENT), STATUS_OK);
    wait_standing(&f, 1);
    assert_int_equal(purify_submit(s, &waits.job, PURIFY_SWEEP), STATUS_OK);
    purify_cancel(s, &waits.job);
    purify_cancel(s, &waits.job); /* again: nothing */
    assert_int_equal(atomic_load(&waits.answers), 0);
    step_gate(&f);
    wait_standing(&f, 1);
    assert_answered(&waits, STATUS_CANCELLED);
    assert_int_equal(atomic_load(&runs.answers), 0);
    purify_cancel(s, &waits.job); /* answered: nothing */
    purify_cancel(s, &runs.job);
    set_gate(&f, 0);
    purify_wait_idle(s);
    assert_answered(&runs, STATUS_CANCELLED);
    assert_int_equal(stats(s).cancelled, 2);
    assert_int_equal(stats(s).evaluations, 2);
    purify_service_free(s);
}

/* n jobs of the given widths wait on one worker behind one that stands before its gate. */
static struct purify_service *line_up(struct fake *f, struct task *first, struct task *t,
                                      const int *width, int n, enum purify_priority prio)
{
    fake_init(f);
    struct purify_service *s = start(f, 1, 0);
    set_gate(f, 1);
    task_init(first, 100, 1);
    assert_int_equal(purify_submit(s, &first->job, PURIFY_URGENT), STATUS_OK);
    wait_standing(f, 1);
    for (int i = 0; i < n; i++) {
        task_init(&t[i], width[i], 1);
        assert_int_equal(purify_submit(s, &t[i].job, prio), STATUS_OK);
    }
    return s;
}

/* Four of one tile where four wait for each worker, the oldest; larger ones of a sweep stay where
   they are. */
static void test_groups(void **state)
{
    (void)state;
    static const struct {
        int n, width[8], groups, order[PURIFY_PRIORITY_COUNT][8]; /* urgent, sweep */
    } line[] = {
        {3, {1, 1, 1}, 0, {{1, 1, 1}, {1, 1, 1}}},
        {4, {1, 1, 1, 1}, 1, {{1, 1, 1, 1}, {1, 1, 1, 1}}},
        {5, {1, 1, 1, 1, 1}, 1, {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}}},
        {8, {1, 1, 1, 1, 1, 1, 1, 1}, 2, {{1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}}},
        {8, {1, 7, 1, 8, 1, 9, 1, 5}, 1, {{1, 1, 1, 1, 5, 7, 8, 9}, {1, 1, 1, 1, 7, 8, 9, 5}}},
        {8, {7, 1, 1, 8, 1, 1, 9, 1}, 1, {{1, 1, 1, 1, 1, 7, 8, 9}, {7, 1, 1, 1, 1, 8, 9, 1}}},
        {8, {1, 7, 8, 9, 1, 1, 5, 6}, 0, {{1, 1, 1, 5, 6, 7, 8, 9}, {1, 7, 8, 9, 1, 1, 5, 6}}},
    };
    for (size_t k = 0; k < ARRAY_LEN(line); k++)
        for (int prio = 0; prio < PURIFY_PRIORITY_COUNT; prio++) {
            struct fake f;
            struct task first, t[8];
            int tiles = 0;
            struct purify_service *s =
                line_up(&f, &first, t, line[k].width, line[k].n, (enum purify_priority)prio);
            purify_cancel(s, &first.job);
            set_gate(&f, 0);
            purify_wait_idle(s);
            assert_int_equal(f.groups, line[k].groups);
            assert_int_equal(f.n, line[k].n + 1);
            for (int i = 0; i < line[k].n; i++) {
                assert_answered(&t[i], STATUS_OK);
                assert_int_equal(f.order[i + 1], line[k].order[prio][i]);
                tiles += line[k].width[i];
            }
            assert_int_equal(stats(s).evaluations, 1 + 2 * tiles);
            assert_int_equal(stats(s).running, 0);
            purify_service_free(s);
        }
}

/* Urgent and sweep jobs are never of one group; two workers want eight that wait. */
static void test_groups_apart(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 2, 0);
    struct task first[2], t[14];
    assert_int_equal(purify_service_ahead(s), 16);
    set_gate(&f, 1);
    for (int i = 0; i < 2; i++) {
        task_init(&first[i], 1, 1);
        assert_int_equal(purify_submit(s, &first[i].job, PURIFY_URGENT), STATUS_OK);
    }
    wait_standing(&f, 2);
    for (int i = 0; i < 14; i++) {
        task_init(&t[i], 1, 1);
        assert_int_equal(purify_submit(s, &t[i].job, i < 7 ? PURIFY_URGENT : PURIFY_SWEEP),
                         STATUS_OK);
    }
    set_gate(&f, 0);
    purify_wait_idle(s);
    assert_int_equal(f.groups, 0);
    for (int i = 0; i < 14; i++)
        assert_answered(&t[i], STATUS_OK);
    purify_service_free(s);
}

/* Members that are cancelled leave the others; without one left the group stops. One that fails
   does so for itself. */
static void test_group_members(void **state)
{
    (void)state;
    static const int width[] = {1, 1, 1, 1};
    for (int cancel = 0; cancel < 16; cancel++) { /* bit i: member i is */
        struct fake f;
        struct task first, t[4];
        struct purify_service *s = line_up(&f, &first, t, width, 4, PURIFY_SWEEP);
        t[2].img.height = 13;
        purify_cancel(s, &first.job);
        step_gate(&f);
        wait_standing(&f, 1); /* the group's first evaluation */
        assert_int_equal(stats(s).running, 4);
        assert_int_equal(stats(s).queued[PURIFY_SWEEP], 0);
        for (int i = 0; i < 4; i++)
            if (cancel >> i & 1)
                purify_cancel(s, &t[i].job);
        step_gate(&f);
        if (cancel != 15)
            step_gate(&f);
        purify_wait_idle(s);
        int failed = cancel >> 2 & 1 ? 0 : 1, cancelled = 0;
        for (int i = 0; i < 4; i++) {
            assert_answered(&t[i], cancel >> i & 1 ? STATUS_CANCELLED
                                   : i == 2        ? STATUS_INTERNAL
                                                   : STATUS_OK);
            cancelled += cancel >> i & 1;
        }
        assert_string_equal(t[2].text, failed ? "thirteen" : "");
        assert_int_equal(stats(s).cancelled, 1 + cancelled);
        assert_int_equal(stats(s).failed, failed);
        assert_int_equal(stats(s).evaluations, 1 + 4 + (4 - cancelled));
        assert_int_equal(f.groups, 1);
        purify_service_free(s);
    }
}

struct resubmit {
    struct purify_service *s;
    struct task *again;
    atomic_int st;
};

static void submit_in_done(struct purify_job *job, status st, const struct errmsg *e)
{
    (void)st;
    (void)e;
    struct resubmit *r = job->arg;
    atomic_store(&r->st, (int)purify_submit(r->s, &r->again->job, PURIFY_URGENT));
}

/* Freed while jobs run and wait: what runs is finished, what waits is cancelled, what done()
   submits is refused; each is answered once. */
static void test_freeing(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 2, 0);
    struct task t[8], again;
    struct resubmit r = {s, &again, -1};
    task_init(&again, 1, 1);
    for (int i = 0; i < 8; i++)
        task_init(&t[i], 2, 1);
    set_gate(&f, 1);
    for (int i = 0; i < 7; i++)
        assert_int_equal(purify_submit(s, &t[i].job, PURIFY_SWEEP), STATUS_OK);
    t[7].job.done = submit_in_done;
    t[7].job.arg = &r;
    assert_int_equal(purify_submit(s, &t[7].job, PURIFY_SWEEP), STATUS_OK);
    wait_standing(&f, 2);
    purify_cancel(s, &t[6].job);
    set_gate(&f, 0);
    purify_service_free(s);
    int done = 0;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(atomic_load(&t[i].answers), 1);
        done += atomic_load(&t[i].st) == STATUS_OK;
    }
    assert_true(done >= 2);
    assert_int_equal(atomic_load(&t[6].st), STATUS_CANCELLED);
    int st = atomic_load(&r.st);
    assert_int_equal(atomic_load(&again.answers), st == STATUS_OK);
    assert_int_equal(f.open, 0);
    purify_service_free(NULL);
}

static atomic_int freed;

static void free_in_done(struct purify_job *job, status st, const struct errmsg *e)
{
    (void)e;
    struct task *t = job->arg;
    assert_true(st == STATUS_OK || st == STATUS_CANCELLED);
    memset(t, 0xee, sizeof *t);
    mem_free(t);
    atomic_fetch_add(&freed, 1);
}

/* Nothing of a job is touched after its answer: it may be gone (the sanitisers look on). */
static void test_job_freed(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    struct purify_service *s = start(&f, 3, 0);
    atomic_store(&freed, 0);
    for (int i = 0; i < 300; i++) {
        struct task *t = mem_zalloc(1, sizeof *t);
        assert_non_null(t);
        task_init(t, 1 + i % 3, 1);
        t->job.done = free_in_done;
        assert_int_equal(purify_submit(s, &t->job, (enum purify_priority)(i % 2)), STATUS_OK);
    }
    purify_service_free(s);
    assert_int_equal(atomic_load(&freed), 300);
}

/* ---- storm: threads submit, promote and cancel at random while the service is freed under them
 * ---- */

enum { STORM_THREADS = 4, STORM_TASKS = 400 };
struct storm {
    struct purify_service *s;
    struct task task[STORM_TASKS];
    int accepted[STORM_TASKS];
    uint64_t seed;
};

static void *storm_main(void *arg)
{
    struct storm *st = arg;
    struct nn_rng rng = nn_rng(st->seed, 1);
    for (uint64_t i = 0; i < STORM_TASKS; i++) {
        uint32_t r = nn_rng_u32(rng, i);
        struct task *t = &st->task[i];
        task_init(t, 1 + (int)(r % 4), r % 16 == 5 ? 13 : r % 16 == 6 ? 250 : r % 4 == 3 ? 17 : 1);
        st->accepted[i] =
            purify_submit(st->s, &t->job, (enum purify_priority)(r >> 8 & 1)) == STATUS_OK;
        struct task *other = &st->task[(r >> 16) % (i + 1)];
        if (!st->accepted[(r >> 16) % (i + 1)])
            continue;
        if ((r >> 12) % 8 == 0)
            purify_cancel(st->s, &other->job);
        else if ((r >> 12) % 4 == 1)
            purify_promote(st->s, &other->job);
        else if ((r >> 12) % 4 == 2)
            purify_demote(st->s, &other->job);
    }
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 8; round++) {
        struct fake f;
        fake_init(&f);
        f.shares = round % 2;
        struct purify_service *s = NULL;
        struct fake *ctx = &f;
        const struct purify_service_options opt = {3, round % 2 ? 16 : 0, round % 4 < 2};
        assert_int_equal(service_new(&fake_ops, &ctx, &opt, &s, NULL), STATUS_OK);
        struct storm *storm = mem_zalloc(STORM_THREADS, sizeof *storm);
        assert_non_null(storm);
        pthread_t thread[STORM_THREADS];
        for (int i = 0; i < STORM_THREADS; i++) {
            storm[i].s = s;
            storm[i].seed = round * 100 + (uint64_t)i;
            assert_int_equal(pthread_create(&thread[i], NULL, storm_main, &storm[i]), 0);
        }
        for (int i = 0; i < STORM_THREADS; i++)
            pthread_join(thread[i], NULL);
        if (round % 3 == 0)
            purify_wait_idle(s);
        purify_service_free(s);
        for (int i = 0; i < STORM_THREADS; i++)
            for (int k = 0; k < STORM_TASKS; k++) {
                struct task *t = &storm[i].task[k];
                assert_int_equal(atomic_load(&t->answers), storm[i].accepted[k]);
                if (atomic_load(&t->answers))
                    assert_int_equal(t->pixel, atomic_load(&t->st) == STATUS_OK);
            }
        assert_int_equal(f.open, 0);
        assert_int_equal(f.runs, 0);
        mem_free(storm);
    }
}

static void test_cannot_start(void **state)
{
    (void)state;
    struct fake f;
    struct purify_service *s = NULL;
    struct fake *ctx = &f;
    struct purify_service_options opt = {3, 0, true};
    for (int fails = 1; fails <= 3; fails++) {
        struct errmsg e = {""};
        fake_init(&f);
        f.open_fails = fails;
        assert_int_equal(service_new(&fake_ops, &ctx, &opt, &s, &e), STATUS_CORRUPT);
        assert_string_equal(e.text, "the fake fails");
        assert_int_equal(f.open, 0);
    }
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct errmsg e = {""};
        fake_init(&f);
        fault_set(FAULT_MEM, n, 0, 0);
        st = service_new(&fake_ops, &ctx, &opt, &s, &e);
        fault_clear();
        assert_true(n < 50);
        assert_int_equal(f.open, st ? 0 : 3);
    }
    assert_int_equal(st, STATUS_OK);
    purify_service_free(s);
    static const struct purify_service_options bad[] = {
        {-1, 0, false}, {5000, 0, false}, {1, -1, false}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(service_new(&fake_ops, &ctx, &bad[i], &s, NULL), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),           cmocka_unit_test(test_order),
        cmocka_unit_test(test_reader_passes),    cmocka_unit_test(test_full),
        cmocka_unit_test(test_cancel),           cmocka_unit_test(test_freeing),
        cmocka_unit_test(test_job_freed),        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_cannot_start),     cmocka_unit_test(test_groups),
        cmocka_unit_test(test_groups_apart),     cmocka_unit_test(test_group_members),
        cmocka_unit_test(test_waits_one_turn),   cmocka_unit_test(test_large_is_not_starved),
        cmocka_unit_test(test_begun_bytes),      cmocka_unit_test(test_demote),
        cmocka_unit_test(test_cancel_put_aside),
    };
    return cmocka_run_group_tests_name("purify/service", tests, NULL, NULL);
}
