/* Every call of the seam fails once; every sync is the last thing a process does; kill -9. */
#include "testing.h"

#include <errno.h>

#include <signal.h>
#include <sys/mman.h>

enum {
    OLD = 12,   /* objects that are there before */
    FRESH = 20, /* objects [OLD, FRESH) are put by the scenario */
    MOST = 3000 /* calls of one kind; an endless loop would be a bug of the test */
};

/* Objects that were reported stored: they must be there afterwards. Shared with children. */
struct promise {
    unsigned char kept[1024];
};

static void tolerate(status st)
{
    status_ignore(st, "any failure is allowed here, wrong bytes are not");
}

static void promise_all(struct promise *p, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        p->kept[i] = 1;
}

static status nothing(void *arg, const struct cache_entry *entry)
{
    (void)arg;
    (void)entry;
    return STATUS_OK;
}

/* A bit of everything. */
static void scenario(const char *dir, struct promise *p)
{
    struct cache *c = NULL;
    struct errmsg e = {""};
    const struct cache_options opt = {
        .pack_bytes = 2048, .max_bytes = 64 * 1024, .min_free_bytes = CACHE_NO_LIMIT};
    status st = cache_open(dir, &opt, &c, &e);
    if (st) {
        assert_true(e.text[0] != 0); /* a failure to open says why */
        assert_null(c);
        return;
    }
    bool all = true;
    for (unsigned i = OLD; i < FRESH; i++)
        all &= !put(c, i);
    if (!cache_flush(c) && all)
        promise_all(p, OLD, FRESH);
    for (unsigned i = 0; i < FRESH; i++)
        tolerate(get(c, i));
    const struct cache_file_id id = {1, 2, 3, 4, 5};
    struct cache_memo memo = {.format = 1};
    struct cache_key k = key_of(1);
    tolerate(cache_memo_put(c, &k.pixels, &memo));
    tolerate(cache_file_put(c, &id, &k.pixels));
    tolerate(cache_flush(c));
    tolerate(cache_memo_get(c, &k.pixels, &memo));
    tolerate(cache_file_get(c, &id, &k.pixels));
    k = key_of(1);
    struct cache_stats s;
    struct cache_gc_result gc;
    struct cache_verify_result v;
    uint64_t n;
    p->kept[1] = 0;
    tolerate(cache_pin(c, CACHE_KEY, &k));
    tolerate(cache_unpin(c, CACHE_KEY, &k));
    tolerate(cache_remove(c, CACHE_KEY, &k, NULL));
    k = key_of(0);
    for (unsigned i = 0; i < FRESH; i += PROFILES)
        p->kept[i] = 0;
    tolerate(cache_remove(c, CACHE_PROFILE, &k, NULL));
    tolerate(cache_gc(c, NULL, &gc));
    tolerate(cache_list(c, nothing, NULL));
    tolerate(cache_stats(c, &s));
    tolerate(cache_verify(c, NULL, &v));
    tolerate(cache_rebuild(c, NULL, NULL, &n));
    tolerate(cache_close(c));
}

/* What happens while an index is made anew. */
static void just_open(const char *dir, struct promise *p)
{
    struct cache *c = NULL;
    (void)p;
    if (cache_open(dir, NULL, &c, NULL))
        return;
    tolerate(get(c, 3));
    tolerate(cache_close(c));
}

/* Opens, reads everything, stores what is missing. A failing read is allowed to forget objects. */
static void check_after(const char *dir, const struct promise *p, bool may_forget)
{
    struct cache *c = open_dir(dir);
    for (unsigned i = 0; i < sizeof p->kept; i++) {
        status st = i < FRESH || p->kept[i] ? get(c, i) : STATUS_NOT_FOUND;
        if (st && st != STATUS_NOT_FOUND)
            fail_msg("object %u: %s", i, status_text(st));
        if (st && p->kept[i] && !may_forget)
            fail_msg("object %u was stored and is gone", i);
    }
    for (unsigned i = 0; i < FRESH; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_int_equal(FRESH, count_there(c, 0, FRESH));
    struct cache_verify_result v;
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(0, v.bad);
    assert_true(v.index_ok);
    assert_ok(cache_close(c));
}

enum before { WHOLE, TORN, NO_INDEX, BAD_INDEX, BEFORE_COUNT };

static char *make_before(enum before how)
{
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 2048});
    for (unsigned i = 0; i < OLD; i++) {
        assert_ok(put(c, i));
        assert_ok(cache_flush(c)); /* so that there are several packs */
    }
    assert_true(stats_of(c).packs > 1);
    assert_ok(cache_close(c));
    size_t len;
    if (how == TORN) {
        AUTO(mem_free) uint8_t *pack = load_file(dir, "packs/00000002.pack", &len);
        AUTO(mem_free) uint8_t *more = mem_alloc(len + 300);
        memcpy(more, pack, len);
        memcpy(more + len, pack + 64, 300);
        save_file(dir, "packs/00000002.pack", more, len + 300);
    }
    if (how == NO_INDEX)
        delete_file(dir, "index.sqlite");
    if (how == BAD_INDEX)
        save_file(dir, "index.sqlite", "damaged beyond repair", 21);
    return dir;
}

typedef void scenario_fn(const char *dir, struct promise *p);

static void fail_each_with(enum fault_kind kind, int err, enum before how, scenario_fn *fn)
{
    char *before = make_before(how);
    unsigned long n = 1;
    for (bool hit = true; hit; n++) {
        struct promise p = {{0}};
        char *dir = temp_dir();
        copy_dir(before, dir);
        promise_all(&p, 0, OLD);
        unsigned long calls = fault_calls(kind);
        fault_set(kind, n, 0, err);
        fn(dir, &p);
        fault_clear();
        hit = fault_calls(kind) - calls >= n;
        check_after(dir, &p, kind == FAULT_READ || err == ENOSPC); /* it makes space */
        remove_dir(dir);
        assert_true(n < MOST);
    }
    print_message("# %lu calls failed once each\n", n - 2);
    remove_dir(before);
}

static void fail_each(enum fault_kind kind, enum before how, scenario_fn *fn)
{
    fail_each_with(kind, 0, how, fn);
}

static void fail_memory(void **state)
{
    (void)state;
    fail_each(FAULT_MEM, TORN, scenario);
}

static void fail_memory_while_rebuilding(void **state)
{
    (void)state;
    fail_each(FAULT_MEM, BAD_INDEX, just_open);
}

static void fail_open(void **state)
{
    (void)state;
    fail_each(FAULT_OPEN, WHOLE, scenario);
    fail_each(FAULT_OPEN, BAD_INDEX, just_open);
}

static void fail_read(void **state)
{
    (void)state;
    fail_each(FAULT_READ, TORN, scenario);
    fail_each(FAULT_READ, NO_INDEX, just_open);
}

static void fail_write(void **state)
{
    (void)state;
    fail_each(FAULT_WRITE, TORN, scenario);
}

static void no_space(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        fail_each_with(kinds[i], ENOSPC, TORN, scenario);
    fail_each_with(FAULT_OPEN, ENOSPC, BAD_INDEX, just_open);
}

static void fail_sync(void **state)
{
    (void)state;
    fail_each(FAULT_SYNC, TORN, scenario);
    fail_each(FAULT_SYNC, BAD_INDEX, just_open);
}

static void fail_rename(void **state)
{
    (void)state;
    fail_each(FAULT_RENAME, BAD_INDEX, just_open);
}

/* Nothing works for a while, then everything. */
static void fail_all_then_none(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_MEM};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char *dir = make_before(WHOLE);
        struct cache *c = open_dir(dir);
        fault_set(kinds[i], 1, 1, 0);
        for (unsigned n = OLD; n < FRESH; n++) {
            tolerate(put(c, n));
            tolerate(cache_flush(c));
        }
        fault_clear();
        for (unsigned n = OLD; n < FRESH; n++)
            assert_ok(put(c, n));
        assert_ok(cache_flush(c));
        assert_int_equal(FRESH, count_there(c, 0, FRESH));
        assert_ok(cache_close(c));
        remove_dir(dir);
    }
}

/* ---- processes that end without saying good-bye ---- */

struct child {
    const char *dir;
    struct promise *p;
    unsigned long crash_at;
    unsigned from;
};

static int crashing_child(void *arg)
{
    struct child *ch = arg;
    fault_set(FAULT_CRASH, ch->crash_at, 0, 0);
    scenario(ch->dir, ch->p);
    return 0;
}

static struct promise *shared_promise(void)
{
    void *p = mmap(NULL, sizeof(struct promise), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static void crash_at_each_sync(void **state)
{
    (void)state;
    struct promise *p = shared_promise();
    for (int how = 0; how < BEFORE_COUNT; how++) {
        char *before = make_before((enum before)how);
        int rc = 99;
        unsigned long n = 1;
        for (; rc == 99; n++) {
            char *dir = temp_dir();
            copy_dir(before, dir);
            memset(p, 0, sizeof *p);
            promise_all(p, 0, OLD);
            rc = child_status(in_child(crashing_child, &(struct child){dir, p, n, 0}));
            check_after(dir, p, false);
            remove_dir(dir);
            assert_true(n < MOST);
        }
        assert_int_equal(0, rc);
        assert_true(n > 2);
        remove_dir(before);
    }
    munmap(p, sizeof *p);
}

static int endless_child(void *arg)
{
    struct child *ch = arg;
    struct cache *c = NULL;
    if (cache_open(ch->dir, &(struct cache_options){.pack_bytes = 4096}, &c, NULL))
        return 1;
    for (unsigned i = ch->from; i < ch->from + 500; i++) {
        if (put(c, i))
            return 2;
        if (i % 3 == 0 && cache_flush(c))
            return 3;
        if (i % 3 == 0)
            __atomic_store_n(&ch->p->kept[i], 1, __ATOMIC_RELAXED); /* said to be stored */
    }
    for (;;)
        pause();
}

static unsigned count_kept(const struct promise *p)
{
    unsigned kept = 0;
    for (size_t i = 0; i < sizeof p->kept; i++)
        kept += __atomic_load_n(&p->kept[i], __ATOMIC_RELAXED);
    return kept;
}

static void kill_at_any_time(void **state)
{
    (void)state;
    struct promise *p = shared_promise();
    char *dir = temp_dir();
    for (unsigned round = 0; round < 15; round++) {
        pid_t pid[2];
        for (unsigned i = 0; i < 2; i++)
            pid[i] = in_child(endless_child, &(struct child){dir, p, 0, i * 500});
        unsigned before = count_kept(p);
        usleep(1000 + round * 977 % 23 * 1500);
        if (round % 5 == 0 && before < 200) /* not before something was stored */
            while (count_kept(p) == before)
                usleep(1000);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(0, kill(pid[i], SIGKILL));
            assert_int_equal(1000 + SIGKILL, child_status(pid[i]));
        }
        check_after(dir, p, false);
    }
    assert_true(count_kept(p) > 0);
    remove_dir(dir);
    munmap(p, sizeof *p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_at_each_sync), cmocka_unit_test(kill_at_any_time),
        cmocka_unit_test(fail_memory),        cmocka_unit_test(fail_memory_while_rebuilding),
        cmocka_unit_test(fail_open),          cmocka_unit_test(fail_read),
        cmocka_unit_test(fail_write),         cmocka_unit_test(fail_sync),
        cmocka_unit_test(fail_rename),        cmocka_unit_test(fail_all_then_none),
        cmocka_unit_test(no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
