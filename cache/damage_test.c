/* What is left after files were damaged, lost, or swapped. */
#include "testing.h"

#include "pack.h"

static void flipped_byte_anywhere(void **state)
{
    (void)state;
    enum { N = 3 };
    char *dir = dir_with(N);
    size_t len;
    AUTO(mem_free) uint8_t *pack = load_file(dir, first_pack, &len);
    uint64_t at[N];
    struct cache *c = open_dir(dir);
    for (size_t pos = 0; pos < len; pos++) {
        uint8_t keep = pack[pos];
        pack[pos] ^= 0x10;
        /* the same file, in place: the index and the open handle go on as they are */
        save_file(dir, first_pack, pack, len);
        for (unsigned i = 0; i < N; i++)
            at[i] = get(c, i);
        pack[pos] = keep;
        save_file(dir, first_pack, pack, len);
        assert_ok(cache_flush(c));
        unsigned lost = 0;
        for (unsigned i = 0; i < N; i++) {
            lost += at[i] != STATUS_OK;
            assert_int_equal(at[i], get(c, i)); /* forgotten, although it would be right again */
        }
        assert_in_range(lost, 0, 1);
        if (pos < PACK_HEADER_BYTES)
            assert_int_equal(0, lost);
        uint64_t objects;
        if (lost) { /* begin again with all of them */
            assert_ok(cache_rebuild(c, NULL, NULL, &objects));
            assert_int_equal(N, count_there(c, 0, N));
        }
    }
    assert_ok(cache_close(c));
    remove_dir(dir);
}

static void damaged_object_is_stored_again(void **state)
{
    (void)state;
    char *dir = dir_with(10);
    size_t len;
    AUTO(mem_free) uint8_t *pack = load_file(dir, first_pack, &len);
    pack[PACK_HEADER_BYTES + RECORD_HEADER_BYTES + 2] ^= 1;
    save_file(dir, first_pack, pack, len);
    struct cache *c = open_dir(dir);
    assert_ok(has(c, 0));
    assert_status(STATUS_NOT_FOUND, get(c, 0));
    assert_ok(put(c, 0)); /* in the same batch as the drop, or after it */
    assert_ok(cache_flush(c));
    assert_ok(get(c, 0));
    assert_int_equal(1, stats_of(c).damaged);
    assert_int_equal(10, count_there(c, 0, 10));
    assert_ok(cache_close(c));
    assert_int_equal(10, check_true(dir, 10));
    remove_dir(dir);
}

struct bad {
    unsigned n;
    uint64_t offset;
};

static status note_bad(void *arg, const struct cache_entry *entry)
{
    struct bad *b = arg;
    b->n++;
    b->offset = entry->offset;
    return STATUS_OK;
}

static void verify_reports_and_repairs(void **state)
{
    (void)state;
    char *dir = dir_with(10);
    size_t len;
    AUTO(mem_free) uint8_t *pack = load_file(dir, first_pack, &len);
    pack[PACK_HEADER_BYTES + RECORD_HEADER_BYTES + 2] ^= 1;
    save_file(dir, first_pack, pack, len);
    struct cache *c = open_dir(dir);
    struct bad b = {0};
    struct cache_verify_result v;
    struct cache_verify_options opt = {.bad = note_bad, .arg = &b};
    assert_ok(cache_verify(c, &opt, &v));
    assert_int_equal(1, v.bad);
    assert_int_equal(10, v.objects);
    assert_int_equal(1, b.n);
    assert_int_equal(PACK_HEADER_BYTES, b.offset);
    assert_ok(has(c, 0)); /* looking changes nothing */
    opt.repair = true;
    assert_ok(cache_verify(c, &opt, &v));
    assert_int_equal(1, v.bad);
    assert_status(STATUS_NOT_FOUND, has(c, 0));
    assert_ok(cache_verify(c, &opt, &v));
    assert_int_equal(0, v.bad);
    assert_int_equal(9, v.objects);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* The index says nothing of the last record; the pack is cut at every length of it. */
static void torn_tail(void **state)
{
    (void)state;
    char *before = dir_with(4);
    size_t len4, len5;
    mem_free(load_file(before, first_pack, &len4));
    char *dir = temp_dir();
    copy_dir(before, dir);
    struct cache *c = open_dir(dir);
    assert_ok(put(c, 4));
    assert_ok(cache_close(c));
    AUTO(mem_free) uint8_t *pack = load_file(dir, first_pack, &len5);
    remove_dir(dir);
    assert_true(len5 > len4);
    for (size_t len = len4; len <= len5; len += len + 8 < len5 ? 7 : 1) {
        dir = temp_dir();
        copy_dir(before, dir);
        save_file(dir, first_pack, pack, len);
        c = open_dir(dir);
        struct cache_stats s = stats_of(c);
        assert_int_equal(len == len5 ? 1 : 0, s.recovered);
        assert_int_equal(len == len5 ? len5 : len4, s.disk_bytes);
        assert_int_equal(len == len5 ? 5 : 4, count_there(c, 0, 5));
        assert_ok(put(c, 6)); /* appending goes on at a whole record */
        assert_ok(cache_flush(c));
        assert_ok(get(c, 6));
        assert_int_equal(1, stats_of(c).packs);
        assert_ok(cache_close(c));
        remove_dir(dir);
    }
    remove_dir(before);
}

static void pack_cut_below_its_rows(void **state)
{
    (void)state;
    enum { N = 6 };
    char *before = dir_with(N);
    size_t len;
    AUTO(mem_free) uint8_t *pack = load_file(before, first_pack, &len);
    for (size_t cut = 0; cut < len; cut += 37) {
        char *dir = temp_dir();
        copy_dir(before, dir);
        save_file(dir, first_pack, pack, cut);
        unsigned there = check_true(dir, N);
        if (cut + RECORD_ALIGN <= len) /* else only padding is gone */
            assert_in_range(there, 0, N - 1);
        remove_dir(dir);
    }
    remove_dir(before);
}

static void missing_pack(void **state)
{
    (void)state;
    char *dir = dir_with(5);
    delete_file(dir, first_pack);
    struct cache *c = open_dir(dir);
    assert_int_equal(0, stats_of(c).objects);
    assert_ok(cache_close(c));
    assert_int_equal(0, check_true(dir, 5));
    remove_dir(dir);

    dir = dir_with(5); /* removed while it is open */
    c = open_dir(dir);
    assert_ok(put(c, 5));
    assert_ok(cache_flush(c));
    delete_file(dir, first_pack);
    (void)count_there(c, 0, 6); /* what is open may still be read */
    assert_ok(put(c, 6));
    assert_ok(cache_flush(c));
    assert_ok(get(c, 6));
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_ok(get(c, 6));
    assert_ok(cache_close(c));
    (void)check_true(dir, 7);
    remove_dir(dir);
}

static void lost_index(void **state)
{
    (void)state;
    char *dir = dir_with(300);
    delete_file(dir, "index.sqlite");
    struct cache *c = open_dir(dir);
    assert_int_equal(300, stats_of(c).recovered);
    assert_int_equal(300, count_there(c, 0, 300));
    assert_ok(cache_close(c));
    assert_int_equal(300, check_true(dir, 300));
    remove_dir(dir);
}

static void garbage_index(void **state)
{
    (void)state;
    static const char junk[5000] = "SQLite format 3";
    for (size_t len = 0; len <= sizeof junk; len += 1000) {
        char *dir = dir_with(20);
        save_file(dir, "index.sqlite", len == 1000 ? (const char *)"junk" : junk,
                  len == 1000 ? 4 : len);
        struct cache *c = open_dir(dir);
        assert_int_equal(20, count_there(c, 0, 20));
        assert_int_equal(len ? 1 : 0, stats_of(c).aside_files);
        assert_int_equal(len ? 1 : 0, stats_of(c).rebuilds);
        assert_ok(cache_close(c));
        if (len) {
            size_t kept;
            mem_free(load_file(dir, "index.sqlite.aside-1", &kept));
            assert_int_equal(len == 1000 ? 4 : len, kept);
        }
        assert_int_equal(20, check_true(dir, 20));
        c = open_dir(dir);
        struct cache_gc_result r;
        assert_ok(cache_gc(c, NULL, &r));
        assert_int_equal(len ? 1 : 0, stats_of(c).aside_files); /* never deleted unasked */
        assert_ok(cache_gc(c, &(struct cache_gc_options){.drop_aside = true}, &r));
        assert_int_equal(len ? 1 : 0, r.aside_deleted);
        assert_int_equal(0, stats_of(c).aside_files);
        assert_ok(cache_close(c));
        remove_dir(dir);
    }
}

/* Some page of the index is overwritten: found at open, or at the first use of it. */
static void damaged_page(void **state)
{
    (void)state;
    enum { N = 150 };
    char *before = dir_with(N);
    size_t len;
    AUTO(mem_free) uint8_t *index = load_file(before, "index.sqlite", &len);
    assert_true(len >= 12 * 4096);
    for (size_t page = 0; page < len; page += 4096) {
        char *dir = temp_dir();
        copy_dir(before, dir);
        uint8_t keep[4096];
        memcpy(keep, index + page, sizeof keep);
        memset(index + page, 0x5a, sizeof keep);
        save_file(dir, "index.sqlite", index, len);
        memcpy(index + page, keep, sizeof keep);
        struct cache *c = open_dir(dir);
        (void)count_there(c, 0, N);
        for (unsigned i = N; i < N + 20; i++)
            assert_ok(put(c, i));
        assert_ok(cache_flush(c));
        assert_int_equal(20, count_there(c, N, N + 20));
        assert_ok(cache_close(c));
        /* A page that nothing above needed may still be bad: the full check finds it, and then
           the index is replaced. */
        struct cache_verify_result v;
        uint64_t objects;
        c = open_dir(dir);
        status st = cache_verify(c, NULL, &v);
        if (st && st != STATUS_CORRUPT)
            fail_msg("verify with a damaged page %zu: %s", page / 4096, status_text(st));
        assert_ok(cache_rebuild(c, NULL, NULL, &objects));
        assert_int_equal(N + 20, objects);
        assert_ok(cache_close(c));
        assert_int_equal(N + 20, check_true(dir, N + 20));
        remove_dir(dir);
    }
    remove_dir(before);
}

static int leave_a_log(void *arg)
{
    struct cache *c = NULL;
    if (cache_open(arg, NULL, &c, NULL))
        return 1;
    for (unsigned i = 0; i < 60; i++)
        if (put(c, i) || (i % 6 == 5 && cache_flush(c)))
            return 2;
    return cache_flush(c) ? 3 : 0; /* not closed: the log stays */
}

static void truncated_log(void **state)
{
    (void)state;
    char *before = temp_dir();
    assert_int_equal(0, child_status(in_child(leave_a_log, before)));
    size_t len;
    AUTO(mem_free) uint8_t *log = load_file(before, "index.sqlite-wal", &len);
    assert_true(len > 40000);
    for (size_t cut = 0; cut < len; cut += len / 37) {
        char *dir = temp_dir();
        copy_dir(before, dir);
        delete_file(dir, "index.sqlite-shm");
        save_file(dir, "index.sqlite-wal", log, cut);
        struct cache *c = open_dir(dir);
        assert_int_equal(60, count_there(c, 0, 60)); /* the packs know */
        assert_ok(cache_close(c));
        assert_int_equal(60, check_true(dir, 60));
        remove_dir(dir);
    }
    remove_dir(before);
}

static void log_without_its_database(void **state)
{
    (void)state;
    char *dir = temp_dir();
    assert_int_equal(0, child_status(in_child(leave_a_log, dir)));
    delete_file(dir, "index.sqlite");
    assert_int_equal(60, check_true(dir, 60));
    assert_true(exists(dir, "index.sqlite.aside-1-wal"));
    remove_dir(dir);
}

static void index_replaced_under_a_handle(void **state)
{
    (void)state;
    char *dir = dir_with(10);
    struct cache *a = open_dir(dir);
    assert_ok(put(a, 10));
    assert_ok(cache_flush(a));
    /* another process finds it damaged, puts it aside and rebuilds */
    AUTO(mem_free) char *from = in_dir(dir, "index.sqlite");
    AUTO(mem_free) char *to = in_dir(dir, "index.sqlite.aside-1");
    AUTO(mem_free) char *wal = in_dir(dir, "index.sqlite-wal");
    AUTO(mem_free) char *wal_to = in_dir(dir, "index.sqlite.aside-1-wal");
    rename(wal, wal_to);
    assert_int_equal(0, rename(from, to));
    struct cache *b = open_dir(dir);
    assert_ok(put(b, 11));
    assert_ok(cache_flush(b));
    assert_ok(get(a, 11)); /* readers follow at once */
    assert_ok(put(a, 12));
    assert_ok(cache_flush(a));
    assert_ok(get(b, 12)); /* and so does the writer */
    assert_int_equal(13, count_there(a, 0, 13));
    assert_int_equal(13, count_there(b, 0, 13));
    assert_ok(cache_close(b));
    assert_ok(cache_close(a));
    assert_int_equal(13, check_true(dir, 13));
    remove_dir(dir);
}

static int works_on(void *arg)
{
    struct cache *c = NULL;
    if (cache_open(arg, &(struct cache_options){.pack_bytes = 8192}, &c, NULL))
        return 1;
    for (unsigned round = 0; round < 12; round++)
        for (unsigned i = 0; i < 120; i++) {
            unsigned n = (i * 7 + (unsigned)getpid()) % 120;
            status st = get(c, n);
            if (st == STATUS_NOT_FOUND)
                st = put(c, n);
            if (st && st != STATUS_CORRUPT && st != STATUS_BUSY)
                return 2;
            if (i % 40 == 0)
                status_ignore(cache_flush(c), "the index may be damaged at any time");
        }
    status_ignore(cache_close(c), "as above");
    return 0;
}

static void index_damaged_while_in_use(void **state)
{
    (void)state;
    char *dir = dir_with(120);
    pid_t pid[3];
    for (int i = 0; i < 3; i++)
        pid[i] = in_child(works_on, dir);
    AUTO(mem_free) char *path = in_dir(dir, "index.sqlite");
    uint8_t junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t page = 1; page < 12; page++) {
        usleep(5000);
        int fd = open(path, O_WRONLY);
        if (fd >= 0) {
            assert_ok(io_pwrite(fd, junk, sizeof junk, page * 4096));
            close(fd);
        }
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(0, child_status(pid[i]));
    struct cache *c = open_dir(dir);
    uint64_t objects;
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_ok(cache_close(c));
    (void)check_true(dir, 120);
    remove_dir(dir);
}

static void directory_removed_under_a_handle(void **state)
{
    (void)state;
    char *dir = dir_with(10);
    struct cache *c = open_dir(dir);
    assert_ok(put(c, 10));
    assert_ok(cache_flush(c));
    AUTO(mem_free) char *command = mem_printf("rm -rf '%s'", dir);
    assert_int_equal(0, system(command));
    assert_ok(put(c, 11));
    assert_ok(cache_flush(c));
    assert_ok(get(c, 11));
    assert_status(STATUS_NOT_FOUND, get(c, 1));
    assert_ok(cache_close(c));
    (void)check_true(dir, 12);
    remove_dir(dir);
}

static void later_index_is_refused(void **state)
{
    (void)state;
    char *dir = dir_with(5);
    AUTO(mem_free)
    char *command =
        mem_printf("sqlite3 '%s/index.sqlite' 'PRAGMA user_version=99' 2>/dev/null", dir);
    if (system(command) != 0) {
        remove_dir(dir);
        skip();
    }
    struct cache *c = NULL;
    struct errmsg e = {""};
    assert_status(STATUS_BAD_VERSION, cache_open(dir, NULL, &c, &e));
    assert_non_null(strstr(e.text, "version 99"));
    assert_true(exists(dir, "index.sqlite"));
    assert_false(exists(dir, "index.sqlite.aside-1"));
    remove_dir(dir);
}

static void rebuild_mends_wrong_rows(void **state)
{
    (void)state;
    char *dir = dir_with(50);
    AUTO(mem_free)
    char *command = mem_printf(
        "sqlite3 '%s/index.sqlite' 'UPDATE objects SET offset = offset + 64 WHERE id %% 2 = 0; "
        "DELETE FROM objects WHERE id %% 5 = 0; UPDATE objects SET width = 99 WHERE id = 7' "
        "2>/dev/null",
        dir);
    if (system(command) != 0) {
        remove_dir(dir);
        skip();
    }
    struct cache *c = open_dir(dir);
    uint64_t objects = 0;
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(50, objects);
    assert_int_equal(50, count_there(c, 0, 50));
    assert_ok(cache_close(c));
    assert_int_equal(50, check_true(dir, 50));
    remove_dir(dir);
}

static void strange_files_in_packs(void **state)
{
    (void)state;
    char *dir = dir_with(5);
    save_file(dir, "packs/00000007.pack", "", 0);
    save_file(dir, "packs/00000008.pack",
              "not a pack at all, but somebody named it so....."
              "................................................",
              90);
    save_file(dir, "packs/readme", "x", 1);
    AUTO(mem_free) char *subdir = in_dir(dir, "packs/00000009.pack");
    assert_int_equal(0, mkdir(subdir, 0700));
    struct cache *c = open_dir(dir);
    assert_int_equal(5, count_there(c, 0, 10));
    assert_ok(put(c, 5));
    assert_ok(cache_close(c));
    assert_int_equal(6, check_true(dir, 6));
    assert_true(exists(dir, "packs/readme"));
    assert_false(exists(dir, "packs/00000007.pack"));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_byte_anywhere),
        cmocka_unit_test(damaged_object_is_stored_again),
        cmocka_unit_test(verify_reports_and_repairs),
        cmocka_unit_test(torn_tail),
        cmocka_unit_test(pack_cut_below_its_rows),
        cmocka_unit_test(missing_pack),
        cmocka_unit_test(lost_index),
        cmocka_unit_test(garbage_index),
        cmocka_unit_test(damaged_page),
        cmocka_unit_test(truncated_log),
        cmocka_unit_test(log_without_its_database),
        cmocka_unit_test(index_replaced_under_a_handle),
        cmocka_unit_test(index_damaged_while_in_use),
        cmocka_unit_test(directory_removed_under_a_handle),
        cmocka_unit_test(later_index_is_refused),
        cmocka_unit_test(rebuild_mends_wrong_rows),
        cmocka_unit_test(strange_files_in_packs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
