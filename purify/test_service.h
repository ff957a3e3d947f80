#ifndef PURIFY_TEST_SERVICE_H
#define PURIFY_TEST_SERVICE_H
/*
 * A service with engines that only stand at a gate and mark, so that its races can be looked at,
 * and jobs that count their answers. Included by tests only: a failure here fails the test.
 */
#include "service.h"
#include "test_models.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- the fake: an image of width W has W tiles of two evaluations each, and a turn is one tile;
 * height 13 fails; a run of one of height 100 or more keeps so many MiB; the tiles of one of height
 * 17 are shared ---- */

struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int gate;              /* evaluations stand while it is closed (1); guarded by lock */
    int standing;          /* evaluations that stand; guarded by lock */
    int permits;           /* evaluations that may pass the closed gate; guarded by lock */
    int order[4096], n;    /* widths in the order of finished runs; guarded by lock */
    int turn[4096], turns; /* widths in the order of begun turns; guarded by lock */
    int groups;            /* turns of several; guarded by lock */
    int helped;            /* tiles that helpers began; guarded by lock */
    int runs, bytes, most; /* begun, their MiB, and the most there were; guarded by lock */
    int open, open_fails;  /* engines; written by the making thread */
    bool shares;           /* what is said of first turns; not changed while a service is there */
};
struct fake_engine {
    struct fake *fake;
    atomic_int in_turn; /* one at a time */
};
struct engine_run {
    struct fake *fake;
    int bytes, tiles; /* tiles: done */
    bool shares;
};

TEST_ONLY status fake_open(const void *ctx, void **out_engine, struct errmsg *e)
{
    struct fake *f = *(struct fake *const *)ctx;
    if (f->open == f->open_fails - 1)
        return errmsg_set(e, STATUS_CORRUPT, "the fake fails");
    struct fake_engine *en = mem_zalloc(1, sizeof *en);
    if (!en)
        return STATUS_NOMEM;
    en->fake = f;
    f->open++;
    *out_engine = en;
    return STATUS_OK;
}

TEST_ONLY void fake_close(void *engine)
{
    struct fake_engine *en = engine;
    en->fake->open--;
    mem_free(en);
}

TEST_ONLY void fake_evaluate(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->standing++;
    pthread_cond_broadcast(&f->changed);
    while (f->gate && !f->permits)
        pthread_cond_wait(&f->changed, &f->lock);
    f->permits -= f->permits > 0;
    f->standing--;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

TEST_ONLY int64_t fake_slots(void *engine, const struct image *img)
{
    (void)engine;
    return img->width;
}

TEST_ONLY bool fake_groups(void *engine, const struct image *img)
{
    return fake_slots(engine, img) == 1;
}

TEST_ONLY size_t fake_bytes(void *engine, const struct image *img)
{
    (void)engine;
    return img->height < 100 ? 1000 : (size_t)img->height << 20;
}

/* Asks all members; true while one goes on. */
TEST_ONLY bool fake_go_on(struct engine_member *member, int n)
{
    bool any = false;
    for (int k = 0; k < n; k++) {
        struct engine_member *m = &member[k];
        if (!m->st && m->hooks.stop(m->hooks.arg))
            m->st = STATUS_CANCELLED;
        m->evaluations += !m->st;
        any |= !m->st;
    }
    return any;
}

TEST_ONLY void fake_tile(struct fake_engine *en, struct engine_member *member, int n)
{
    struct fake *f = en->fake;
    bool go_on = true;
    assert_int_equal(atomic_fetch_add(&en->in_turn, 1), 0);
    pthread_mutex_lock(&f->lock);
    if (f->turns < 4096)
        f->turn[f->turns++] = member[0].img->width;
    f->groups += n > 1;
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; i < 2 && go_on; i++) {
        go_on = fake_go_on(member, n);
        if (go_on)
            fake_evaluate(f);
    }
    atomic_fetch_sub(&en->in_turn, 1);
}

TEST_ONLY void fake_end(struct fake *f, struct engine_member *m)
{
    if (!m->st && m->img->height == 13)
        m->st = errmsg_set(&m->err, STATUS_INTERNAL, "thirteen");
    if (!m->st)
        m->img->pixels[0] = (uint8_t)(m->img->pixels[0] + 1);
    if (f->n < 4096)
        f->order[f->n++] = m->img->width;
}

TEST_ONLY struct engine_run *fake_begin(struct fake *f, const struct image *img)
{
    struct engine_run *r = mem_zalloc(1, sizeof *r);
    assert_non_null(r);
    r->fake = f;
    r->bytes = (int)(fake_bytes(NULL, img) >> 20);
    r->shares = img->height == 17;
    pthread_mutex_lock(&f->lock);
    f->runs++;
    f->bytes += r->bytes;
    f->most = f->bytes > f->most ? f->bytes : f->most;
    pthread_mutex_unlock(&f->lock);
    return r;
}

TEST_ONLY void fake_drop(struct engine_run *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->fake->lock);
    r->fake->runs--;
    r->fake->bytes -= r->bytes;
    pthread_mutex_unlock(&r->fake->lock);
    mem_free(r);
}

TEST_ONLY bool fake_shares(void *engine, const struct engine_run *r)
{
    return r ? r->shares : ((struct fake_engine *)engine)->fake->shares;
}

/* A tile of a helper, who asks nobody. */
struct fake_help {
    void *const *engine;
    struct engine_member *member;
};
TEST_ONLY void fake_shared_tile(void *arg, int i)
{
    struct fake_help *h = arg;
    struct fake_engine *en = h->engine[i];
    if (i == 0) {
        fake_tile(en, h->member, 1);
        return;
    }
    assert_int_equal(atomic_fetch_add(&en->in_turn, 1), 0);
    pthread_mutex_lock(&en->fake->lock);
    en->fake->helped++;
    pthread_mutex_unlock(&en->fake->lock);
    for (int k = 0; k < 2; k++)
        fake_evaluate(en->fake);
    atomic_fetch_sub(&en->in_turn, 1);
}

TEST_ONLY int64_t fake_turn(void *const *engine, const struct team *team, struct engine_member *m)
{
    struct fake_engine *en = engine[0];
    assert_true(!m->st && !m->evaluations && !m->err.text[0]);
    if (!m->run)
        m->run = fake_begin(en->fake, m->img);
    int left = m->img->width - m->run->tiles, n = team->n < left ? team->n : left;
    if (!m->run->shares)
        n = 1;
    team_run(team, n, fake_shared_tile, &(struct fake_help){engine, m});
    m->evaluations += m->st ? 0 : 2 * (uint64_t)(n - 1);
    m->run->tiles += n;
    if (!m->st && m->run->tiles < m->img->width)
        return m->img->width - m->run->tiles;
    fake_drop(m->run);
    m->run = NULL;
    pthread_mutex_lock(&en->fake->lock);
    fake_end(en->fake, m);
    pthread_mutex_unlock(&en->fake->lock);
    return 0;
}

TEST_ONLY void fake_group(void *engine, struct engine_member *member, int n)
{
    struct fake_engine *en = engine;
    assert_int_equal(n, PURIFY_MICRO_BATCH);
    for (int k = 0; k < n; k++) {
        assert_int_equal(member[k].img->width, 1);
        assert_true(!member[k].st && !member[k].evaluations && !member[k].err.text[0]);
    }
    fake_tile(en, member, n);
    pthread_mutex_lock(&en->fake->lock);
    for (int k = 0; k < n; k++)
        fake_end(en->fake, &member[k]);
    pthread_mutex_unlock(&en->fake->lock);
}

static const struct service_ops fake_ops = {fake_open,  fake_slots,  fake_groups,
                                            fake_bytes, fake_shares, fake_turn,
                                            fake_group, fake_drop,   fake_close};

TEST_ONLY void set_gate(struct fake *f, int closed)
{
    pthread_mutex_lock(&f->lock);
    f->gate = closed;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* Waits until n evaluations stand before the closed gate. */
TEST_ONLY void wait_standing(struct fake *f, int n)
{
    pthread_mutex_lock(&f->lock);
    while (f->standing < n)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* Lets one evaluation pass the closed gate. */
TEST_ONLY void step_gate(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->permits = 1;
    pthread_cond_broadcast(&f->changed);
    while (f->permits)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* ---- jobs ---- */

struct task {
    struct purify_job job;
    struct image img;
    uint8_t pixel;
    atomic_int answers;
    atomic_int st;
    char text[64];
};

TEST_ONLY void task_done(struct purify_job *job, status st, const struct errmsg *e)
{
    struct task *t = job->arg;
    snprintf(t->text, sizeof t->text, "%s", e->text);
    atomic_store(&t->st, (int)st);
    atomic_fetch_add(&t->answers, 1);
}

TEST_ONLY void task_init(struct task *t, int width, int height)
{
    memset(t, 0, sizeof *t);
    t->img = (struct image){width, height, 1, &t->pixel, NULL};
    t->job = (struct purify_job){.img = &t->img, .done = task_done, .arg = t};
    atomic_store(&t->st, -1);
}

TEST_ONLY void assert_answered(struct task *t, status st)
{
    assert_int_equal(atomic_load(&t->answers), 1);
    assert_int_equal(atomic_load(&t->st), st);
    assert_int_equal(t->pixel, st == STATUS_OK);
}

TEST_ONLY void fake_init(struct fake *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
}

TEST_ONLY struct purify_service *start(struct fake *f, int threads, int queue_max)
{
    struct purify_service *s = NULL;
    struct errmsg e = {""};
    struct purify_service_options opt = {threads, queue_max, false};
    assert_int_equal(service_new(&fake_ops, &f, &opt, &s, &e), STATUS_OK);
    assert_int_equal(f->open, threads);
    return s;
}

TEST_ONLY struct purify_service_stats stats(struct purify_service *s)
{
    struct purify_service_stats st;
    purify_service_stats(s, &st);
    return st;
}

#endif
