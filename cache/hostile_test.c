/* Packs that were overwritten, cut or extended in place, and an index whose rows say what is not
   so: a miss or an object made again, never wrong pixels, and no more work or memory than the files
   are worth. */
#include "testing.h"

#include "index_file.h"
#include "pack.h"

#include <sys/resource.h>
#include <unistd.h>

enum { N = 40 };

/* Small packs, so that there are several. */
static char *several_packs(void)
{
    char *dir = temp_dir();
    struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 2048});
    for (unsigned i = 0; i < N; i++) {
        assert_ok(put(c, i));
        assert_ok(cache_flush(c));
    }
    assert_true(stats_of(c).packs > 3);
    assert_ok(cache_close(c));
    return dir;
}

static void run_sql(const char *dir, const char *sql)
{
    struct index *x = NULL;
    struct errmsg e = {""};
    status st = index_open(dir, DB_WRITE, &x, &e);
    if (!st)
        st = db_exec(index_db(x), sql);
    if (st)
        fail_msg("%s: %s: %s", sql, status_text(st), e.text);
    index_close(x);
}

/* ---- packs ---- */

static void packs_swapped_under_a_handle(void **state)
{
    (void)state;
    char *dir = several_packs();
    size_t len1, len2;
    AUTO(mem_free) void *one = load_file(dir, "packs/00000001.pack", &len1);
    AUTO(mem_free) void *two = load_file(dir, "packs/00000002.pack", &len2);
    struct cache *c = open_dir(dir);
    assert_int_equal(N, count_there(c, 0, N)); /* its packs are open */
    save_file(dir, "packs/00000001.pack", two, len2);
    save_file(dir, "packs/00000002.pack", one, len1);
    assert_in_range(count_there(c, 0, N), 1, N - 1);
    assert_ok(put(c, N));
    assert_ok(cache_flush(c));
    assert_ok(get(c, N));
    assert_ok(cache_close(c));
    (void)check_true(dir, N + 1);
    remove_dir(dir);
}

static void pack_cut_under_a_handle(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        char *dir = dir_with(N);
        struct cache *c = open_dir(dir);
        assert_ok(put(c, N)); /* what is cut is also appended to */
        assert_ok(cache_flush(c));
        AUTO(mem_free) char *path = in_dir(dir, first_pack);
        assert_int_equal(0, truncate(path, all ? 0 : 1000));
        assert_in_range(count_there(c, 0, N + 1), 0, N - 1);
        assert_ok(put(c, N + 1));
        assert_ok(cache_flush(c));
        assert_ok(get(c, N + 1));
        assert_ok(cache_close(c));
        (void)check_true(dir, N + 2);
        remove_dir(dir);
    }
}

/* What a pack has lost is not counted as used. */
static void cut_pack_is_counted_as_it_is(void **state)
{
    (void)state;
    char *dir = several_packs();
    AUTO(mem_free) char *path = in_dir(dir, "packs/00000002.pack");
    struct cache *c = open_dir(dir);
    uint64_t before = stats_of(c).disk_bytes;
    assert_ok(cache_close(c));
    size_t len;
    mem_free(load_file(dir, "packs/00000002.pack", &len));
    assert_int_equal(0, truncate(path, 1024));
    c = open_dir(dir);
    assert_int_equal(before - len + 1024, stats_of(c).disk_bytes);
    assert_in_range(stats_of(c).objects, 1, N - 1);
    assert_int_equal(stats_of(c).objects, count_there(c, 0, N));
    assert_ok(cache_close(c));
    (void)check_true(dir, N);
    remove_dir(dir);
}

/* A file of terabytes that holds nothing costs nothing. */
static void hole_behind_a_pack(void **state)
{
    (void)state;
    char *dir = dir_with(N);
    AUTO(mem_free) char *path = in_dir(dir, first_pack);
    AUTO(mem_free) char *stray = in_dir(dir, "packs/00000005.pack");
    assert_int_equal(0, truncate(path, (off_t)1 << 34));
    save_file(dir, "packs/00000005.pack", "", 0);
    assert_int_equal(0, truncate(stray, (off_t)1 << 34));
    unsigned long before = fault_calls(FAULT_READ);
    struct cache *c = open_dir(dir);
    assert_in_range(fault_calls(FAULT_READ) - before, 1, 1000);
    assert_int_equal(N, count_there(c, 0, N));
    assert_int_equal(1, stats_of(c).packs);
    assert_ok(cache_close(c));
    assert_int_equal(N, check_true(dir, N));
    remove_dir(dir);
}

/* Records that claim each other's bytes, so that each would be read for nothing. */
static void headers_within_records(void **state)
{
    (void)state;
    enum { HEADERS = 4096, PIXELS = 1 << 20, STEP = RECORD_HEADER_BYTES };
    char *dir = dir_with(1);
    size_t len, size = (size_t)HEADERS * STEP + PIXELS + STEP;
    uint64_t salt;
    AUTO(mem_free) uint8_t *pack = load_file(dir, first_pack, &len);
    AUTO(mem_free) uint8_t *longer = mem_zalloc(1, len + size);
    assert_ok(pack_header_decode(pack, &salt));
    memcpy(longer, pack, len);
    struct record r = {.key = key_of(7), .shape = {1024, 1024, 1}, .len = PIXELS, .checksum = 1};
    for (size_t i = 0; i < HEADERS; i++)
        record_encode(&r, salt, longer + len + i * STEP);
    save_file(dir, first_pack, longer, len + size);
    unsigned long before = fault_calls(FAULT_READ);
    struct cache *c = open_dir(dir);
    assert_in_range(fault_calls(FAULT_READ) - before, 1, 300);
    assert_ok(get(c, 0));
    assert_status(STATUS_NOT_FOUND, get(c, 7));
    assert_ok(cache_close(c));
    (void)check_true(dir, 10);
    remove_dir(dir);
}

/* The next number after the last one that there can be. */
static void last_number_is_taken(void **state)
{
    (void)state;
    char *dir = dir_with(0);
    save_file(dir, "packs/4294967295.pack", "", 0);
    AUTO(mem_free) char *subdir = in_dir(dir, "packs/00000002.pack");
    assert_int_equal(0, mkdir(subdir, 0700));
    run_sql(dir, "UPDATE meta SET value = 4294967295 WHERE name = 'last_pack'");
    for (unsigned round = 0; round < 2; round++) {
        struct cache *c = open_with(dir, (struct cache_options){.pack_bytes = 4096});
        for (unsigned i = 0; i < N; i++) {
            assert_ok(put(c, round * N + i));
            assert_ok(cache_flush(c));
        }
        assert_int_equal((round + 1) * N, count_there(c, 0, (round + 1) * N));
        assert_ok(cache_close(c));
    }
    assert_int_equal(2 * N, check_true(dir, 2 * N));
    remove_dir(dir);
}

/* ---- rows ---- */

/* What is not there can be stored again, and then all is well. */
static void stores_what_it_misses(struct cache *c, unsigned n)
{
    struct cache_verify_result v;
    (void)count_there(c, 0, n);
    assert_ok(cache_flush(c));
    (void)count_there(c, 0, n); /* an index that had to be replaced is there now */
    assert_ok(cache_flush(c));
    for (unsigned i = 0; i < n; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_int_equal(n, count_there(c, 0, n));
    status st = cache_verify(c, NULL, &v);
    if (st == STATUS_CORRUPT) { /* its sums cannot be made: it is replaced, before anything
                                 is stored */
        assert_ok(put(c, 0));
        assert_ok(cache_flush(c));
        st = cache_verify(c, NULL, &v);
    }
    assert_ok(st);
    assert_int_equal(n, v.objects);
    assert_int_equal(0, v.bad);
    assert_true(v.index_ok);
}

static void rows_that_are_wrong(void **state)
{
    (void)state;
    static const char *const sql[] = {
        "UPDATE objects SET offset = 9223372036854775744",
        "UPDATE objects SET offset = -64",
        "UPDATE objects SET offset = offset + 1",
        "UPDATE objects SET pack = 0",
        "UPDATE objects SET pack = -1",
        "UPDATE objects SET pack = pack + 4294967296",
        "UPDATE objects SET width = width + 4294967296, offset = -offset",
        "UPDATE objects SET width = 0",
        "UPDATE objects SET width = -1, height = -1",
        "UPDATE objects SET channels = 5",
        "UPDATE objects SET bytes = -1",
        "UPDATE objects SET bytes = 1152921504606846976 WHERE id = 1",
        "UPDATE objects SET used = 9223372036854775807",
        "UPDATE objects SET used = -1",
        "UPDATE objects SET id = 9223372036854775807 WHERE id = 3",
        /* each object's row names another's record of its shape */
        "UPDATE objects SET offset = COALESCE((SELECT o.offset FROM objects o WHERE o.pack = "
        "objects.pack AND o.id != objects.id ORDER BY o.id LIMIT 1), offset)",
        "UPDATE packs SET bytes = -1",
        "UPDATE packs SET bytes = 9223372036854775807 WHERE id = 2",
        "UPDATE packs SET bytes = 0",
        "UPDATE packs SET bytes = bytes - 65",
        "UPDATE packs SET live_bytes = -1, live_count = -1",
        "UPDATE packs SET live_bytes = 4611686018427387904, live_count = 1",
        "UPDATE packs SET live_bytes = 0, live_count = 0",
        "UPDATE packs SET sealed = 7",
        "DELETE FROM packs",
        "DELETE FROM packs WHERE id = 1",
        "DELETE FROM profiles",
        "INSERT INTO packs (id, bytes, sealed) VALUES (-5, 1, 0), (99, 1000000, 0), "
        "(4294967301, 9, 1)",
        "UPDATE meta SET value = 9223372036854775807 WHERE name = 'clock'",
        "UPDATE meta SET value = 9223372036854775807 WHERE name = 'last_pack'",
        "UPDATE meta SET value = -9223372036854775808",
        "DELETE FROM meta",
    };
    for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
        char *dir = several_packs();
        uint64_t objects = 0;
        print_message("# %s\n", sql[i]);
        run_sql(dir, sql[i]);
        struct cache *c = open_dir(dir);
        stores_what_it_misses(c, N);
        assert_ok(cache_close(c));
        run_sql(dir, sql[i]);
        c = open_with(dir, (struct cache_options){.max_bytes = 1 << 20});
        assert_ok(cache_gc(c, NULL, &(struct cache_gc_result){0}));
        stores_what_it_misses(c, 2 * N);
        assert_ok(cache_rebuild(c, NULL, NULL, &objects));
        assert_int_equal(objects, stats_of(c).objects);
        assert_int_equal(2 * N, count_there(c, 0, 2 * N));
        assert_int_equal(2 * N, objects);
        assert_ok(cache_close(c));
        remove_dir(dir);
    }
}

static status count_one(void *arg, const struct cache_entry *entry)
{
    (void)entry;
    ++*(unsigned *)arg;
    return STATUS_OK;
}

/* What a rebuild cannot find in a pack has no row after it. */
static void rebuild_drops_rows_of_nothing(void **state)
{
    (void)state;
    char *dir = several_packs();
    run_sql(dir, "INSERT INTO objects (profile, pixels, pack, offset, bytes, width, height, "
                 "channels, used) VALUES (1, zeroblob(32), 77, 64, 256, 4, 4, 3, 1), "
                 "(2, zeroblob(32), 1, -64, 256, 4, 4, 3, 1), "
                 "(3, zeroblob(32), 0, 64, 256, 4, 4, 3, 1), (99, zeroblob(32), 1, 64, 9, 4, 4, 3, "
                 "1)");
    struct cache *c = open_dir(dir);
    uint64_t objects = 0;
    unsigned listed = 0;
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(N, objects);
    assert_ok(cache_list(c, count_one, &listed));
    assert_int_equal(N, listed);
    assert_int_equal(N, count_there(c, 0, N));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* Memory is taken for what a record holds, not for what a row says. */
static int get_with_little_memory(void *arg)
{
    struct cache *c = open_dir(arg);
    struct rlimit limit = {256u << 20, 256u << 20};
    struct cache_object o;
    struct cache_key k = key_of(0);
    if (setrlimit(RLIMIT_AS, &limit))
        return 99;
    return (int)cache_get(c, &k, &o);
}

static void row_that_claims_much(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they reserve more address space than that */
#endif
    char *dir = dir_with(3);
    run_sql(dir, "UPDATE objects SET width = 16384, height = 16384, channels = 4");
    assert_int_equal(STATUS_NOT_FOUND, child_status(in_child(get_with_little_memory, dir)));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_swapped_under_a_handle),
        cmocka_unit_test(pack_cut_under_a_handle),
        cmocka_unit_test(cut_pack_is_counted_as_it_is),
        cmocka_unit_test(hole_behind_a_pack),
        cmocka_unit_test(headers_within_records),
        cmocka_unit_test(last_number_is_taken),
        cmocka_unit_test(rows_that_are_wrong),
        cmocka_unit_test(rebuild_drops_rows_of_nothing),
        cmocka_unit_test(row_that_claims_much),
    };
    return cmocka_run_group_tests_name("cache/hostile", tests, NULL, NULL);
}
