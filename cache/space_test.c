#include "testing.h"

#include <errno.h>

enum { LIMIT = 256 * 1024 };

static uint64_t on_disk(const char *dir)
{
    AUTO(mem_free) char *command = mem_printf("cat '%s'/packs/*.pack 2>/dev/null | wc -c", dir);
    FILE *f = popen(command, "r");
    unsigned long n = 0;
    assert_int_equal(1, fscanf(f, "%lu", &n));
    pclose(f);
    return n;
}

static void stays_under_the_limit(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    for (unsigned i = 0; i < 3000; i++) {
        assert_ok(put(c, i));
        if (i % 100 == 99) {
            assert_ok(cache_flush(c));
            assert_in_range(on_disk(dir), 0, LIMIT);
        }
    }
    assert_ok(cache_flush(c));
    struct cache_stats s = stats_of(c);
    assert_in_range(s.disk_bytes, LIMIT / 2, LIMIT);
    assert_int_equal(on_disk(dir), s.disk_bytes);
    assert_true(s.evicted > 0);
    assert_int_equal(3000, s.evicted + s.objects);
    assert_int_equal(s.objects, count_there(c, 0, 3000));
    /* without use in between the last that came are the ones that stay */
    assert_int_equal(s.objects, count_there(c, 3000 - (unsigned)s.objects, 3000));
    assert_int_equal(0, stats_of(c).damaged);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void what_is_used_stays(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    for (unsigned i = 0; i < 2000; i++) {
        assert_ok(put(c, i));
        if (i % 20 == 0) {
            assert_ok(cache_flush(c));
            assert_int_equal(20 < i + 1 ? 20 : i + 1, count_there(c, 0, 20));
            assert_ok(cache_flush(c));
        }
    }
    assert_int_equal(20, count_there(c, 0, 20));
    assert_true(stats_of(c).evicted > 0);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void pins(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    struct cache_key k = key_of(0); /* profile 0: every third object */
    struct cache_key one = key_of(1);
    assert_ok(cache_pin(c, CACHE_PROFILE, &k)); /* before the objects are there */
    assert_ok(cache_pin(c, CACHE_PROFILE, &k));
    assert_ok(cache_pin(c, CACHE_KEY, &one));
    assert_int_equal(2, stats_of(c).pins);
    assert_status(STATUS_INVALID, cache_pin(c, CACHE_ALL, NULL));
    for (unsigned i = 0; i < 200; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_int_equal(200, count_there(c, 0, 200));
    for (unsigned i = 1000; i < 3000; i++)
        if (i % PROFILES)
            assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    unsigned pinned = 0;
    for (unsigned i = 0; i < 200; i += PROFILES)
        pinned += !get(c, i);
    assert_int_equal(67, pinned);
    assert_ok(get(c, 1));
    assert_status(STATUS_NOT_FOUND, get(c, 2));
    assert_ok(cache_close(c));

    c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    assert_int_equal(2, stats_of(c).pins);
    assert_ok(cache_unpin(c, CACHE_KEY, &one));
    assert_status(STATUS_NOT_FOUND, cache_unpin(c, CACHE_KEY, &one));
    assert_ok(cache_unpin(c, CACHE_ALL, NULL));
    assert_int_equal(0, stats_of(c).pins);
    for (unsigned i = 3000; i < 5000; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_status(STATUS_NOT_FOUND, get(c, 0));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void everything_pinned_refuses(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    for (unsigned i = 0; i < PROFILES; i++) {
        struct cache_key k = key_of(i);
        assert_ok(cache_pin(c, CACHE_PROFILE, &k));
    }
    unsigned stored = 0;
    while (!put(c, stored) && !cache_flush(c))
        stored++;
    assert_true(stored > 100);
    assert_int_equal(1, stats_of(c).no_space);
    assert_int_equal(0, stats_of(c).evicted);
    assert_status(STATUS_NOT_FOUND, get(c, stored)); /* not stored, and says so */
    assert_int_equal(stored, count_there(c, 0, stored + 10));
    struct cache_key k = key_of(0);
    struct cache_shape big = {LIMIT, 1, 1}; /* never fits */
    AUTO(mem_free) void *pixels = mem_zalloc(1, LIMIT);
    assert_ok(cache_unpin(c, CACHE_ALL, NULL));
    assert_ok(cache_put(c, &k, big, pixels, LIMIT, NULL, NULL)); /* the key is stored already */
    assert_ok(cache_flush(c));
    k = key_of(99999);
    assert_ok(cache_put(c, &k, big, pixels, LIMIT, NULL, NULL));
    assert_status(STATUS_NO_SPACE, cache_flush(c));
    assert_ok(cache_flush(c)); /* an error is told once */
    assert_int_equal(stored, count_there(c, 0, stored + 10));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void gc_compacts(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 32 * 1024});
    for (unsigned i = 0; i < 1000; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    for (unsigned i = 0; i < 1000; i++)
        if (i % 5) {
            struct cache_key k = key_of(i);
            assert_ok(cache_remove(c, CACHE_KEY, &k, NULL));
        }
    struct cache_stats before = stats_of(c);
    assert_int_equal(200, before.objects);
    struct cache_gc_result r;
    assert_ok(cache_gc(c, NULL, &r));
    struct cache_stats after = stats_of(c);
    assert_true(r.packs_compacted > 0);
    assert_int_equal(r.packs_deleted, r.packs_compacted);
    assert_int_equal(0, r.evicted);
    assert_true(after.disk_bytes < before.disk_bytes / 2);
    assert_int_equal(on_disk(dir), after.disk_bytes);
    assert_int_equal(before.live_bytes, after.live_bytes);
    unsigned there = 0;
    for (unsigned i = 0; i < 1000; i++)
        there += !get(c, i);
    assert_int_equal(200, there);
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_int_equal(200, count_there(c, 0, 1000));
    uint64_t objects = 0;
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(200, objects);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void gc_after_a_lower_limit(void **state)
{
    (void)state;
    char *dir = dir_with(1000);
    struct cache *c = open_with(dir, (struct cache_options){.max_bytes = 64 * 1024});
    assert_int_equal(1000, stats_of(c).objects);
    struct cache_gc_result r;
    assert_ok(cache_gc(c, NULL, &r));
    assert_true(r.evicted > 0);
    assert_in_range(stats_of(c).disk_bytes, 1, 64 * 1024);
    assert_int_equal(1000 - r.evicted, count_there(c, 0, 1000));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* Readers in this and another handle while packs are rewritten under them. */
static int reads_meanwhile(void *arg)
{
    struct cache *c = NULL;
    if (cache_open(arg, NULL, &c, NULL))
        return 1;
    for (int round = 0; round < 30; round++)
        for (unsigned i = 0; i < 400; i += 4)
            if (get(c, i))
                return 2;
    struct cache_stats s;
    if (cache_stats(c, &s) || s.damaged)
        return 3;
    return cache_close(c) ? 4 : 0;
}

static void readers_live_through_compaction(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 16 * 1024});
    for (unsigned i = 0; i < 400; i++)
        assert_ok(put(c, i));
    assert_ok(cache_close(c));
    pid_t pid = in_child(reads_meanwhile, dir);
    c = open_with(dir, (struct cache_options){.pack_bytes = 16 * 1024});
    for (unsigned i = 0; i < 400; i++) {
        struct cache_key k = key_of(i);
        struct cache_gc_result r;
        if (i % 4)
            assert_ok(cache_remove(c, CACHE_KEY, &k, NULL));
        if (i % 50 == 0)
            assert_ok(cache_gc(c, NULL, &r));
    }
    assert_int_equal(0, child_status(pid));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void full_disk(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 32 * 1024});
    for (unsigned i = 0; i < 500; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_true(stats_of(c).packs > 1);
    fault_set(FAULT_WRITE, 1, 0, ENOSPC); /* one failure: the oldest pack goes, then it works */
    assert_ok(put(c, 500));
    assert_ok(cache_flush(c));
    assert_ok(get(c, 500));
    unsigned left = count_there(c, 0, 500);
    assert_int_equal(500 - left, stats_of(c).evicted);
    assert_in_range(left, 100, 499); /* a pack is 32 KiB and one batch more */
    assert_status(STATUS_NOT_FOUND, get(c, 0));

    fault_set(FAULT_WRITE, 1, 1, ENOSPC); /* it stays full: nothing more is given away */
    for (unsigned i = 600; i < 620; i++) {
        assert_ok(put(c, i));
        assert_status(STATUS_NO_SPACE, cache_flush(c));
        assert_status(STATUS_NOT_FOUND, get(c, i));
    }
    assert_int_equal(left, count_there(c, 0, 500));
    assert_int_equal(20, stats_of(c).no_space);
    fault_clear();
    assert_ok(put(c, 600));
    assert_ok(cache_flush(c));
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_int_equal(left + 2, count_there(c, 0, 1000));
    struct cache_verify_result v;
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(0, v.bad);
    assert_true(v.index_ok);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void full_disk_spares_pins(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 16 * 1024});
    for (unsigned i = 0; i < PROFILES; i++) {
        struct cache_key k = key_of(i);
        assert_ok(cache_pin(c, CACHE_PROFILE, &k));
    }
    for (unsigned i = 0; i < 200; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    fault_set(FAULT_WRITE, 1, 0, ENOSPC);
    assert_ok(put(c, 200));
    assert_status(STATUS_NO_SPACE, cache_flush(c));
    fault_clear();
    assert_int_equal(200, count_there(c, 0, 201));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- the floor ---- */

/* As on a disk that others have filled. */
static const struct cache_options no_floor = {.max_bytes = LIMIT, .pack_bytes = 16 << 10};
static const struct cache_options below_the_floor = {
    .max_bytes = LIMIT, .pack_bytes = 16 << 10, .min_free_bytes = CACHE_NO_LIMIT - 1};

static void below_the_floor_nothing_begins(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, below_the_floor);
    assert_int_equal(0, stats_of(c).free_bytes);
    for (unsigned i = 0; i < 10; i++)
        assert_ok(put(c, i));
    assert_status(STATUS_NO_SPACE, cache_flush(c));
    assert_int_equal(10, stats_of(c).no_space);
    assert_int_equal(0, stats_of(c).objects);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void below_the_floor_the_new_replaces_the_old(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, no_floor);
    assert_true(stats_of(c).free_bytes <= LIMIT && stats_of(c).free_bytes > LIMIT / 2);
    for (unsigned i = 0; i < 500; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    uint64_t before = stats_of(c).disk_bytes;
    assert_int_equal(500, stats_of(c).objects);
    assert_ok(cache_close(c));
    c = open_with(dir, below_the_floor);
    assert_true(stats_of(c).free_bytes < before);
    for (unsigned i = 500; i < 900; i++) { /* each frees space, a whole pack of it */
        assert_ok(put(c, i));
        assert_ok(cache_flush(c));
    }
    assert_in_range(stats_of(c).disk_bytes, before / 2, before);
    assert_true(stats_of(c).evicted > 0);
    assert_ok(get(c, 899));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* As much as free_bytes says is stored without anything being evicted. */
static void room_is_what_it_says(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_with(dir, no_floor);
    unsigned n = 0;
    while (stats_of(c).free_bytes > 1024) {
        assert_ok(put(c, n++));
        assert_ok(cache_flush(c));
        assert_int_equal(0, stats_of(c).evicted);
        assert_int_equal(n, stats_of(c).objects);
    }
    assert_true(stats_of(c).disk_bytes > LIMIT / 2);
    for (unsigned i = 0; i < 20; i++)
        assert_ok(put(c, n + i));
    assert_ok(cache_flush(c));
    assert_true(stats_of(c).evicted > 0);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- stopping ---- */

struct stopper {
    unsigned asked, stop_at;
};

static status ask_stopper(void *arg, uint64_t done, uint64_t total)
{
    struct stopper *s = arg;
    assert_true(done <= total);
    return ++s->asked == s->stop_at ? STATUS_CANCELLED : STATUS_OK;
}

/* One large pack is long work: progress is reported within it, and it can be stopped anywhere. */
static void long_work_can_be_stopped(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    for (unsigned i = 0; i < 2000; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_int_equal(1, stats_of(c).packs);
    struct stopper s = {0};
    uint64_t objects;
    assert_ok(cache_rebuild(c, ask_stopper, &s, &objects));
    assert_true(s.asked > 8);
    for (unsigned at = 1, most = s.asked; at < most; at++) {
        s = (struct stopper){.stop_at = at};
        assert_status(STATUS_CANCELLED, cache_rebuild(c, ask_stopper, &s, &objects));
        assert_int_equal(at, s.asked);
    }
    assert_ok(cache_close(c));
    c = open_with(dir, (struct cache_options){.max_bytes = LIMIT});
    struct cache_gc_result r;
    unsigned at = 1;
    status st = STATUS_CANCELLED;
    for (; st == STATUS_CANCELLED; at++) {
        s = (struct stopper){.stop_at = at};
        st = cache_gc(c, &(struct cache_gc_options){.progress = ask_stopper, .arg = &s}, &r);
        assert_int_equal(stats_of(c).objects, count_there(c, 0, 2000));
    }
    assert_ok(st);
    assert_true(at > 3);
    assert_in_range(on_disk(dir), 1, LIMIT);
    struct cache_verify_result v;
    assert_ok(cache_verify(c, NULL, &v));
    assert_int_equal(0, v.bad);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_live_through_compaction),
        cmocka_unit_test(stays_under_the_limit),
        cmocka_unit_test(what_is_used_stays),
        cmocka_unit_test(pins),
        cmocka_unit_test(everything_pinned_refuses),
        cmocka_unit_test(gc_compacts),
        cmocka_unit_test(gc_after_a_lower_limit),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(full_disk_spares_pins),
        cmocka_unit_test(below_the_floor_nothing_begins),
        cmocka_unit_test(below_the_floor_the_new_replaces_the_old),
        cmocka_unit_test(room_is_what_it_says),
        cmocka_unit_test(long_work_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
