#ifndef PURIFY_TEST_ENGINES_H
#define PURIFY_TEST_ENGINES_H
/* What tests that purify images share. Included by tests only: a failure here fails the test. */
#include "engine.h"
#include "test_models.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The networks of the program's tests. */
static struct test_dir dir;

TEST_ONLY int make_dir(void **state)
{
    (void)state;
    test_dir_make(&dir);
    return 0;
}

TEST_ONLY int remove_dir(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    return 0;
}

/* Not through the seam: a test's own files do not fail. */
TEST_ONLY void write_text(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

/* In the directory, as p.ini. */
TEST_ONLY status load_text(const char *text, struct purify_profile *out, struct errmsg *e)
{
    char path[160];
    snprintf(path, sizeof path, "%s/p.ini", dir.path);
    write_text(path, text, strlen(text));
    return purify_profile_load(path, out, e);
}

/* Is refused, and the message has this in it. */
TEST_ONLY void profile_refused(const char *text, const char *what)
{
    struct purify_profile p;
    struct errmsg e = {""};
    if (load_text(text, &p, &e) == STATUS_OK)
        fail_msg("taken: %s", text);
    if (!strstr(e.text, what))
        fail_msg("%s says \"%s\", not \"%s\"", text, e.text, what);
}

/* Finishes the profile. */
TEST_ONLY struct purify_model *load(struct purify_profile *p)
{
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    status st = purify_profile_finish(p, &e);
    if (!st)
        st = purify_model_load(p, &m, &e);
    if (st)
        fail_msg("no model: %s", errmsg_text(&e, st));
    return m;
}

TEST_ONLY struct purify_engine *engine(const struct purify_model *m, int batch)
{
    struct purify_engine *en = NULL;
    struct errmsg e = {""};
    status st = engine_new(m, batch, &en, &e);
    if (st)
        fail_msg("no engine: %s", errmsg_text(&e, st));
    return en;
}

TEST_ONLY void run(struct purify_engine *en, struct image *img)
{
    struct errmsg e = {""};
    status st = purify_engine_run(en, img, NULL, NULL, &e);
    if (st)
        fail_msg("not purified: %s", errmsg_text(&e, st));
}

/* By an engine of its own. */
TEST_ONLY void run_once(const struct purify_model *m, struct image *img)
{
    struct purify_engine *en = engine(m, 1);
    run(en, img);
    purify_engine_free(en);
}

/* ---- by several threads ---- */

struct test_call {
    team_work_fn *work;
    void *arg;
    int i;
};

TEST_ONLY void *test_call_main(void *call)
{
    const struct test_call *c = call;
    c->work(c->arg, c->i);
    return NULL;
}

/* struct team's run, with threads of its own. */
TEST_ONLY void test_call_all(void *ctx, int k, team_work_fn *work, void *arg)
{
    (void)ctx;
    pthread_t thread[TEAM_MAX];
    struct test_call call[TEAM_MAX];
    for (int i = 1; i < k; i++) {
        call[i] = (struct test_call){work, arg, i};
        assert_int_equal(pthread_create(&thread[i], NULL, test_call_main, &call[i]), 0);
    }
    work(arg, 0);
    for (int i = 1; i < k; i++)
        pthread_join(thread[i], NULL);
}

/* From beginning to end by n engines; returns the turns. */
TEST_ONLY int run_team(const struct purify_model *m, int n, struct engine_member *member)
{
    const struct team team = {.n = n, .run = test_call_all};
    struct purify_engine *en[TEAM_MAX];
    int turns = 1;
    for (int i = 0; i < n; i++)
        en[i] = engine(m, PURIFY_MICRO_BATCH);
    while (engine_team_turn(en, &team, member) > 0)
        turns++;
    for (int i = 0; i < n; i++)
        purify_engine_free(en[i]);
    return turns;
}

TEST_ONLY bool same(const struct image *a, const struct image *b)
{
    return memcmp(a->pixels, b->pixels, image_pixel_bytes(a)) == 0;
}

#endif
