#ifndef PURIFY_TEST_WAYS_H
#define PURIFY_TEST_WAYS_H
/* Promise 3 for whole profiles: an image comes out the same whichever way it takes. Included by
   tests only. */
#include "test_engines.h"

TEST_ONLY struct purify_model *model_of(const char *text)
{
    struct purify_profile p;
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    status st = load_text(text, &p, &e);
    if (!st)
        st = purify_model_load(&p, &m, &e);
    if (st)
        fail_msg("%s: %s", text, errmsg_text(&e, st));
    return m;
}

/* Noise, another for each seed, with alpha. */
TEST_ONLY void noisy_image(int w, int h, int channels, uint64_t seed, struct image *out)
{
    struct nn_rng rng = nn_rng(seed, 3);
    assert_int_equal(image_alloc(w, h, channels, true, out), STATUS_OK);
    for (size_t k = 0; k < image_pixel_bytes(out); k++)
        out->pixels[k] = (uint8_t)nn_rng_u32(rng, k);
    for (int k = 0; k < w * h; k++)
        out->alpha[k] = (uint8_t)(k * 7);
}

TEST_ONLY void assert_same(const char *what, const struct image *a, const struct image *b)
{
    if (!same(a, b))
        fail_msg("%s: %dx%d of %d channels differ", what, a->width, a->height, a->channels);
    assert_memory_equal(a->alpha, b->alpha, (size_t)a->width * (size_t)a->height);
}

TEST_ONLY void done_now(struct purify_job *job, status st, const struct errmsg *e)
{
    (void)e;
    *(status *)job->arg = st;
}

TEST_ONLY void by_service(const struct purify_model *m, struct image *img, int n)
{
    struct purify_service *s = NULL;
    struct purify_service_options opt = {.threads = 2};
    struct purify_job job[8];
    status st[8];
    assert_true(n <= 8);
    assert_int_equal(purify_service_new(m, &opt, &s, NULL), STATUS_OK);
    for (int k = 0; k < n; k++) {
        st[k] = STATUS_INTERNAL;
        job[k] = (struct purify_job){.img = &img[k], .done = done_now, .arg = &st[k]};
        assert_int_equal(purify_submit(s, &job[k], (enum purify_priority)(k % 2)), STATUS_OK);
    }
    purify_wait_idle(s);
    purify_service_free(s);
    for (int k = 0; k < n; k++)
        assert_int_equal(st[k], STATUS_OK);
}

/* Promise 3 for one shape: alone and at once; turn by turn through two engines; by a team of three;
   in a group; by a service. Returns the turns that it took one engine. */
TEST_ONLY int each_way(const char *what, const struct purify_model *m, int w, int h, int channels)
{
    enum { N = PURIFY_MICRO_BATCH };
    struct purify_engine *en[2] = {engine(m, PURIFY_MICRO_BATCH), engine(m, PURIFY_MICRO_BATCH)};
    struct image alone, turns, shared, group[N], served[N], other;
    noisy_image(w, h, channels, 1, &alone);
    noisy_image(w, h, channels, 1, &turns);
    noisy_image(w, h, channels, 1, &shared);
    noisy_image(w, h, channels, 2, &other);
    run(en[0], &alone);
    run(en[0], &other);
    struct engine_member member = {.img = &turns}, team = {.img = &shared}, members[N];
    int n = 1;
    while (engine_turn(en[n % 2], &member) > 0)
        n++;
    assert_int_equal(member.st, STATUS_OK);
    assert_same(what, &alone, &turns);
    assert_true(run_team(m, 3, &team) <= n);
    assert_int_equal(team.st, STATUS_OK);
    assert_same(what, &alone, &shared);
    assert_int_equal(team.evaluations, member.evaluations);
    for (int k = 0; k < N; k++) {
        noisy_image(w, h, channels, k == 2 ? 2 : 1, &group[k]);
        noisy_image(w, h, channels, k == 1 ? 2 : 1, &served[k]);
        members[k] = (struct engine_member){.img = &group[k]};
    }
    engine_run_group(en[1], members, N);
    by_service(m, served, N);
    for (int k = 0; k < N; k++) {
        assert_int_equal(members[k].st, STATUS_OK);
        assert_same(what, k == 2 ? &other : &alone, &group[k]);
        assert_same(what, k == 1 ? &other : &alone, &served[k]);
        image_done(&group[k]);
        image_done(&served[k]);
    }
    image_done(&alone);
    image_done(&turns);
    image_done(&shared);
    image_done(&other);
    purify_engine_free(en[0]);
    purify_engine_free(en[1]);
    return n;
}

/* Loading the profile, an engine and a noisy image's purification, each allocation failing in turn: the
   image stays as it was, until it all succeeds. Returns how many tries that took. */
TEST_ONLY unsigned long survive_short_memory(const char *text)
{
    struct purify_profile p;
    status st = STATUS_NOMEM;
    struct image img, before;
    unsigned long n = 0;
    assert_int_equal(load_text(text, &p, NULL), STATUS_OK);
    noisy_image(30, 20, 3, 4, &img);
    noisy_image(30, 20, 3, 4, &before);
    while (st == STATUS_NOMEM) {
        struct purify_model *m = NULL;
        struct purify_engine *en = NULL;
        assert_same(text, &before, &img);
        assert_true(++n < 1000);
        fault_set(FAULT_MEM, n, 0, 0);
        st = purify_model_load(&p, &m, NULL);
        if (!st)
            st = purify_engine_new(m, &en, NULL);
        if (!st)
            st = purify_engine_run(en, &img, NULL, NULL, NULL);
        fault_clear();
        purify_engine_free(en);
        purify_model_free(m);
    }
    assert_int_equal(st, STATUS_OK);
    image_done(&img);
    image_done(&before);
    return n;
}

#endif
