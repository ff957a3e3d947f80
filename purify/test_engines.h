#ifndef PURIFY_TEST_ENGINES_H
#define PURIFY_TEST_ENGINES_H
/* What tests that purify images share. Included by tests only: a failure here fails the test. */
#include "engine.h"
#include "test_models.h"

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

TEST_ONLY bool same(const struct image *a, const struct image *b)
{
    return memcmp(a->pixels, b->pixels, image_pixel_bytes(a)) == 0;
}

#endif
