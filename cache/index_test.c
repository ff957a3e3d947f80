/* The index as a file: what earlier versions of it become. */
#include "testing.h"

#include "index_file.h"

#include <unistd.h>

/* An index as the program's first version wrote it, over the packs that are there. */
static void write_version_1(const char *dir)
{
    struct db *d = NULL;
    AUTO(mem_free) char *path = in_dir(dir, "index.sqlite");
    unlink(path);
    assert_ok(db_open(path, DB_CREATE, index_sql, index_sql_count, &d, NULL));
    assert_ok(db_migrate(d, INDEX_APP_ID, index_migrations, 1, NULL));
    assert_ok(db_exec(d, "INSERT INTO memos VALUES (1, 2, 3, 4, 5, 1, 6, 7, 3, zeroblob(32), x'01',"
                         " 9);"
                         "INSERT INTO memos VALUES (1, 3, 3, 4, 5, 1, 6, 7, 3, zeroblob(32), x'01',"
                         " 9);"
                         "INSERT INTO profiles VALUES (7, zeroblob(32));"
                         "INSERT INTO pins VALUES (7, x'')"));
    db_close(d);
}

static void memos_of_version_1_are_dropped(void **state)
{
    (void)state;
    char *dir = dir_with(20);
    write_version_1(dir);
    struct cache *c = open_dir(dir);
    assert_int_equal(20, count_there(c, 0, 20));
    assert_int_equal(1, stats_of(c).pins);
    assert_int_equal(0, stats_of(c).aside_files);
    assert_int_equal(0, stats_of(c).memos);
    struct cache_memo m = {.format = 1}, got;
    struct digest source = {{1}};
    assert_ok(cache_memo_put(c, &source, &m));
    assert_ok(cache_flush(c));
    assert_ok(cache_memo_get(c, &source, &got));
    assert_int_equal(1, stats_of(c).memos);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void version_1_is_read_as_it_is(void **state)
{
    (void)state;
    char *dir = dir_with(20);
    write_version_1(dir);
    struct index *x = NULL;
    struct index_totals t;
    struct cache_memo m;
    struct digest source = {{0}};
    const struct cache_file_id id = {1, 2, 3, 4, 5};
    assert_ok(index_open(dir, DB_READ, &x, NULL));
    assert_ok(index_totals(x, &t));
    assert_int_equal(1, t.pins);
    assert_status(STATUS_NOT_FOUND, index_memo_get(x, &source, &m));
    assert_status(STATUS_NOT_FOUND, index_file_get(x, &id, &source));
    index_close(x);
    assert_status(STATUS_NOT_FOUND, index_open(dir, DB_WRITE, &x, NULL));
    remove_dir(dir);
}

static void prune_leaves_the_latest(void **state)
{
    (void)state;
    char *dir = temp_dir();
    assert_ok(cache_close(open_dir(dir)));
    struct index *x = NULL;
    assert_ok(index_open(dir, DB_WRITE, &x, NULL));
    assert_ok(index_begin(x));
    for (unsigned i = 0; i < 100; i++) {
        const struct cache_memo m = {.format = i};
        const struct cache_file_id id = {i, i, i, i, i};
        struct digest source = {{(uint8_t)i}};
        assert_ok(index_memo_put(x, &source, &m, i));
        assert_ok(index_file_put(x, &id, &source, i));
    }
    assert_ok(index_commit(x));
    uint64_t memos = 0, files = 0;
    assert_ok(index_memo_prune(x, 64, &memos));
    assert_ok(index_file_prune(x, 32, &files));
    assert_int_equal(100 - 64 + 64 / 16, memos);
    assert_int_equal(100 - 32 + 32 / 16, files);
    struct index_totals t;
    assert_ok(index_totals(x, &t));
    assert_int_equal(100 - memos, t.memos);
    assert_int_equal(100 - files, t.files);
    for (unsigned i = 0; i < 100; i++) {
        struct cache_memo m;
        const struct cache_file_id id = {i, i, i, i, i};
        struct digest source = {{(uint8_t)i}};
        assert_status(i < memos ? STATUS_NOT_FOUND : STATUS_OK, index_memo_get(x, &source, &m));
        assert_status(i < files ? STATUS_NOT_FOUND : STATUS_OK, index_file_get(x, &id, &source));
    }
    index_close(x);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memos_of_version_1_are_dropped),
        cmocka_unit_test(version_1_is_read_as_it_is),
        cmocka_unit_test(prune_leaves_the_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
