#include "testing.h"

#include "db.h"

#include <unistd.h>

enum { APP = 0x1234 };
static const char *const sql[] = {"SELECT a FROM t", "INSERT INTO t (a) VALUES (?1)",
                                  "SELECT a, b FROM t"};

static const struct db_migration steps[] = {
    {1, "CREATE TABLE t (a BLOB) STRICT; INSERT INTO t VALUES (x'01')"},
    {2, "ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 5"},
    {3, "CREATE TABLE u (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1)"},
};

static struct db *open_db(const char *path)
{
    struct db *d = NULL;
    assert_ok(db_open(path, DB_CREATE, sql, (int)ARRAY_LEN(sql), &d, NULL));
    return d;
}

static void migrate_step_by_step(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path);
    assert_status(STATUS_NOT_FOUND, db_check_version(d, APP, 1)); /* empty: older */
    assert_ok(db_migrate(d, APP, steps, 1, NULL));
    assert_ok(db_check_version(d, APP, 1));
    assert_status(STATUS_NOT_FOUND, db_check_version(d, APP, 2));
    assert_status(STATUS_CORRUPT, db_prepare_all(d)); /* b is not there yet */
    assert_ok(db_migrate(d, APP, steps, 1, NULL));    /* nothing to do */
    db_close(d);
    d = open_db(path);
    assert_ok(db_migrate(d, APP, steps, 2, NULL));
    assert_ok(db_check_version(d, APP, 2));
    assert_ok(db_prepare_all(d));
    uint8_t blob;
    assert_ok(db_start(d, 2, ""));
    assert_ok(db_step(d, 2));
    assert_ok(db_blob(d, 2, 0, &blob, 1));
    assert_int_equal(1, blob); /* what was there before is kept */
    assert_status(STATUS_CORRUPT, db_blob(d, 2, 0, &blob, 2));
    assert_int_equal(5, db_int(d, 2, 1));
    assert_status(STATUS_NOT_FOUND, db_step(d, 2));
    db_close(d);
    remove_dir(dir);
}

static void failed_step_changes_nothing(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path);
    struct errmsg e = {""};
    assert_true(db_migrate(d, APP, steps, 3, &e) != STATUS_OK);
    assert_non_null(strstr(e.text, "version 3"));
    assert_ok(db_check_version(d, APP, 2));
    assert_status(STATUS_CORRUPT, db_exec(d, "SELECT * FROM u")); /* rolled back */
    db_close(d);
    remove_dir(dir);
}

static void refuses_later_and_foreign(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path);
    struct errmsg e = {""};
    assert_ok(db_migrate(d, APP, steps, 2, NULL));
    assert_status(STATUS_BAD_VERSION, db_migrate(d, APP, steps, 1, &e));
    assert_non_null(strstr(e.text, "version 2"));
    assert_status(STATUS_BAD_VERSION, db_check_version(d, APP, 1));
    assert_status(STATUS_CORRUPT, db_migrate(d, APP + 1, steps, 2, NULL));
    db_close(d);
    unlink(path);
    d = open_db(path);
    assert_ok(db_exec(d, "CREATE TABLE somebody_elses (x)"));
    assert_status(STATUS_CORRUPT, db_migrate(d, APP, steps, 2, NULL));
    db_close(d);
    remove_dir(dir);
}

static void transactions(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path);
    assert_ok(db_migrate(d, APP, steps, 1, NULL));
    assert_ok(db_begin(d));
    assert_ok(db_run(d, 1, "b", "abc", (size_t)3));
    assert_int_equal(1, db_changes(d));
    db_rollback(d);
    db_rollback(d);
    assert_ok(db_start(d, 0, ""));
    assert_ok(db_step(d, 0));
    assert_status(STATUS_NOT_FOUND, db_step(d, 0));
    assert_false(db_moved(d));
    unlink(path);
    assert_true(db_moved(d));
    db_close(d);
    remove_dir(dir);
}

static void open_modes(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = NULL;
    assert_status(STATUS_NOT_FOUND, db_open(path, DB_WRITE, sql, 1, &d, NULL));
    assert_status(STATUS_NOT_FOUND, db_open(path, DB_READ, sql, 1, &d, NULL));
    save_file(dir, "x.sqlite",
              "this is not a database, but long enough to be taken for one....."
              "................................................................",
              128);
    struct errmsg e = {""};
    assert_status(STATUS_CORRUPT, db_open(path, DB_CREATE, sql, 1, &d, &e));
    assert_non_null(strstr(e.text, "x.sqlite"));
    assert_null(d);
    remove_dir(dir);
}

/* Opening writes nothing into a file that is there: a full disk has no space for that. */
static void opening_writes_nothing(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path);
    assert_ok(db_migrate(d, APP, steps, 2, NULL));
    assert_ok(db_short_log(d)); /* the log is empty now */
    for (int mode = DB_CREATE; mode <= DB_READ; mode++) {
        struct db *other = NULL;
        assert_ok(db_open(path, (enum db_mode)mode, sql, 1, &other, NULL));
        assert_ok(db_check_version(other, APP, 2));
        db_close(other);
        size_t len;
        mem_free(load_file(dir, "x.sqlite-wal", &len));
        assert_int_equal(0, len);
    }
    db_close(d);
    remove_dir(dir);
}

static void still_reads_the_log_without_touching_anything(void **state)
{
    (void)state;
    char *dir = temp_dir(), *copy = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    struct db *d = open_db(path), *still = NULL;
    assert_ok(db_migrate(d, APP, steps, 2, NULL));
    assert_ok(db_exec(d, "INSERT INTO t VALUES (x'02', 6)"));
    copy_dir(dir, copy);
    delete_file(copy, "x.sqlite-shm");
    db_close(d);
    AUTO(mem_free) char *copied = in_dir(copy, "x.sqlite");
    assert_ok(db_open(copied, DB_STILL, sql, (int)ARRAY_LEN(sql), &still, NULL));
    unsigned rows = 0;
    assert_ok(db_start(still, 0, ""));
    while (!db_step(still, 0))
        rows++;
    assert_int_equal(2, rows);
    assert_true(db_exec(still, "INSERT INTO t VALUES (x'03', 6)") != STATUS_OK);
    db_close(still);
    assert_false(exists(copy, "x.sqlite-shm"));
    assert_true(exists(copy, "x.sqlite-wal"));
    remove_dir(dir);
    remove_dir(copy);
}

static void links_are_refused(void **state)
{
    (void)state;
    char *dir = temp_dir();
    AUTO(mem_free) char *path = in_dir(dir, "x.sqlite");
    AUTO(mem_free) char *link = in_dir(dir, "link.sqlite");
    struct db *d = open_db(path);
    db_close(d);
    assert_int_equal(0, symlink(path, link));
    for (int mode = 0; mode < DB_MODE_COUNT; mode++)
        assert_status(STATUS_DENIED, db_open(link, (enum db_mode)mode, sql, 1, &d, NULL));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrate_step_by_step),
        cmocka_unit_test(failed_step_changes_nothing),
        cmocka_unit_test(refuses_later_and_foreign),
        cmocka_unit_test(transactions),
        cmocka_unit_test(open_modes),
        cmocka_unit_test(opening_writes_nothing),
        cmocka_unit_test(still_reads_the_log_without_touching_anything),
        cmocka_unit_test(links_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
