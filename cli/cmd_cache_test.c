/* `relearn cache`, run in this process on a cache made here. */
#include "cache/cache.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "run_cmd.h"

enum { OBJECTS = 30 };
static char cache_dir[96];

static struct cache_key key_of(unsigned n)
{
    struct cache_key k;
    memset(&k, 0, sizeof k);
    memset(k.profile.byte, n % 2 ? 0xbb : 0xaa, sizeof k.profile.byte);
    memcpy(k.pixels.byte, &n, sizeof n);
    return k;
}

static int set_up(void **state)
{
    (void)state;
    struct cache *c = NULL;
    uint8_t pixels[8 * 8 * 3];
    memset(pixels, 7, sizeof pixels);
    if (run_set_up())
        return -1;
    snprintf(cache_dir, sizeof cache_dir, "%s/cache", run_dir);
    if (cache_open(cache_dir, NULL, &c, NULL))
        return -1;
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct cache_key k = key_of(i);
        if (cache_put(c, &k, (struct cache_shape){8, 8, 3}, pixels, sizeof pixels, NULL, NULL))
            return -1;
    }
    return cache_close(c) ? -1 : 0;
}

/* Runs `relearn cache WORDS --cache DIR`. */
static int run(const char *words, char out[RUN_OUT_MAX])
{
    char line[1024];
    snprintf(line, sizeof line, "cache %s --cache %s", words, cache_dir);
    return run_cmd(cmd_cache, line, out);
}

static json_t *run_json(const char *words)
{
    char out[RUN_OUT_MAX];
    int rc = run(words, out);
    json_error_t e;
    json_t *j = json_loads(out, 0, &e);
    if (rc || !j)
        fail_msg("%s: exit %d, %s\n%s", words, rc, e.text, out);
    return j;
}

static long long number(json_t *j, const char *key)
{
    assert_true(json_is_integer(json_object_get(j, key)));
    return json_integer_value(json_object_get(j, key));
}

static void lists(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX];
    assert_int_equal(0, run("ls", out));
    assert_has(out, "aaaaaaaaaaaa");
    assert_has(out, "15 objects");
    assert_int_equal(0, run("ls --objects", out));
    assert_has(out, "8x8x3\n");
    json_t *j = run_json("ls --json");
    assert_int_equal(2, json_array_size(j));
    assert_int_equal(15, number(json_array_get(j, 0), "objects"));
    json_decref(j);
    j = run_json("ls --objects --json");
    assert_int_equal(OBJECTS, json_array_size(j));
    assert_int_equal(129, json_string_length(json_object_get(json_array_get(j, 3), "key")));
    json_decref(j);
    j = run_json("ls --json --profile "
                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    assert_int_equal(15, json_array_size(j));
    json_decref(j);
}

static void counts(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX];
    assert_int_equal(0, run("stats", out));
    assert_has(out, "objects   30 of 2 profiles");
    json_t *j = run_json("stats --json");
    assert_int_equal(OBJECTS, number(j, "objects"));
    assert_true(number(j, "disk_bytes") >= number(j, "live_bytes"));
    json_decref(j);
}

static void verifies_and_rebuilds(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], path[128];
    assert_int_equal(0, run("verify", out));
    assert_has(out, "30 objects");
    assert_has(out, "0 damaged");
    snprintf(path, sizeof path, "%s/packs/00000001.pack", cache_dir);
    int fd = open(path, O_WRONLY);
    assert_int_equal(1, pwrite(fd, "?", 1, 64 + 128 + 5));
    close(fd);
    assert_int_equal(1, run("verify", out));
    assert_has(out, "damaged: ");
    assert_int_equal(1, run("verify --json", out));
    json_t *j = json_loads(out, 0, NULL);
    assert_int_equal(1, json_array_size(json_object_get(j, "damaged")));
    json_decref(j);
    assert_int_equal(0, run("verify --repair", out));
    assert_int_equal(0, run("verify", out));
    assert_has(out, "29 objects");
    j = run_json("rebuild --json"); /* the header of the damaged one is good */
    assert_true(number(j, "objects") >= OBJECTS - 1);
    json_decref(j);
    assert_int_equal(0, run("verify --repair", out));
    assert_int_equal(0, run("rebuild", out));
    assert_has(out, " objects\n");
    assert_int_equal(0, run("verify --repair", out));
}

static void removes_pins_and_collects(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], words[256];
    const char *profile = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const char *pixels = "0500000000000000000000000000000000000000000000000000000000000000";
    snprintf(words, sizeof words, "pin %s/%s", profile, pixels);
    assert_int_equal(0, run(words, out));
    assert_string_equal("1 pinned\n", out);
    assert_int_equal(0, run("ls --objects", out));
    assert_has(out, "8x8x3 pinned\n");
    snprintf(words, sizeof words, "unpin %s/%s", profile, pixels);
    assert_int_equal(0, run(words, out));
    assert_int_equal(1, run(words, out)); /* there is no such pin */
    assert_int_equal(0, run("unpin --all", out));
    snprintf(words, sizeof words, "rm %s/%s", profile, pixels);
    assert_int_equal(0, run(words, out));
    assert_string_equal("1 removed\n", out);
    snprintf(words, sizeof words, "rm --json --profile %s", profile);
    json_t *j = run_json(words);
    assert_int_equal(14, number(j, "removed"));
    json_decref(j);
    j = run_json("gc --json --limit 1G");
    assert_int_equal(0, number(j, "evicted"));
    json_decref(j);
    assert_int_equal(0, run("gc --aside", out));
    assert_has(out, "freed");
    assert_int_equal(0, run("rm --all", out));
    j = run_json("stats --json");
    assert_int_equal(0, number(j, "objects"));
    json_decref(j);
}

/* Whether a process that has come to `relearn cache WORDS` ends at its first SIGINT. */
static bool ends_at_once(const char *words)
{
    char out[RUN_OUT_MAX];
    int how;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        signal(SIGINT, SIG_DFL); /* who started the tests may have it ignored */
        run(words, out);
        raise(SIGINT);
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &how, 0));
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGINT;
}

/* Those that ask whether to stop take the signal; the others leave it what it was. */
static void an_interrupt_is_heard(void **state)
{
    (void)state;
    static const char *const ask[] = {"ls", "verify", "gc", "rebuild"};
    static const char *const others[] = {"stats", "unpin --all", "rm --all"};
    for (size_t i = 0; i < ARRAY_LEN(ask); i++)
        if (ends_at_once(ask[i]))
            fail_msg("%s does not take SIGINT", ask[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (!ends_at_once(others[i]))
            fail_msg("%s takes SIGINT and does not ask for it", others[i]);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int rc;
    } bad[] = {
        {"frobnicate", 2},        {"ls extra", 2},  {"rm", 2},           {"rm nonsense", 2},
        {"rm --all nonsense", 2}, {"pin --all", 2}, {"gc --limit x", 2}, {"ls --profile nobody", 1},
        {"stats --cache", 2},
    };
    char out[RUN_OUT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int rc = run(bad[i].words, out);
        if (rc != bad[i].rc)
            fail_msg("%s: exit %d, not %d", bad[i].words, rc, bad[i].rc);
    }
    static const char *const none[] = {"ls", "stats", "verify", "gc", "rebuild", "rm --all"};
    char keep[sizeof cache_dir];
    memcpy(keep, cache_dir, sizeof keep);
    snprintf(cache_dir, sizeof cache_dir, "%s/nothing", run_dir);
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(1, run(none[i], out));
    assert_int_not_equal(0, access(cache_dir, F_OK)); /* and none of them makes one */
    memcpy(cache_dir, keep, sizeof keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(counts),
        cmocka_unit_test(verifies_and_rebuilds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(removes_pins_and_collects),
        cmocka_unit_test(an_interrupt_is_heard),
    };
    return cmocka_run_group_tests_name("cli/cache", tests, set_up, run_tear_down);
}
