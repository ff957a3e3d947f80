/* A disk with not a byte left: a file system in memory of a few MiB, filled up. */
#include "testing.h"

#include "site.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { OBJECTS = 4000 };

/* About 1.2 MiB of records, whose rows take more than what the reserve leaves for a log. */
static const struct cache_options small_packs = {.pack_bytes = 256 << 10};

/* A closed cache of OBJECTS on a file system of its own; NULL where none can be mounted. */
static char *small_disk(void)
{
    char *dir = temp_dir();
    if (mount("none", dir, "tmpfs", 0, "size=16m,mode=700") < 0) {
        remove_dir(dir);
        return NULL;
    }
    struct cache *c = open_with(dir, small_packs);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_ok(put(c, i));
    assert_ok(cache_close(c));
    return dir;
}

static void unmount(char *dir)
{
    assert_int_equal(0, umount(dir));
    remove_dir(dir);
}

static uint64_t free_bytes(const char *dir)
{
    uint64_t space, size;
    assert_ok(site_space(dir, &space, &size));
    return space;
}

static void fill_up(const char *dir)
{
    AUTO(mem_free) char *path = in_dir(dir, "filler");
    AUTO(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    static const char page[4096];
    while (write(fd, page, sizeof page) > 0)
        ;
    assert_int_equal(ENOSPC, errno);
    assert_int_equal(0, free_bytes(dir));
}

static struct cache *open_as(const char *dir, struct cache_options opt)
{
    opt.pack_bytes = small_packs.pack_bytes;
    return open_with(dir, opt);
}

static void opens_and_serves(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    fill_up(dir);
    struct cache *c = open_as(dir, (struct cache_options){.read_only = true});
    assert_int_equal(OBJECTS, count_there(c, 0, OBJECTS));
    assert_ok(cache_close(c));
    assert_true(exists(dir, "reserve")); /* for reading it is not needed */
    c = open_as(dir, (struct cache_options){.must_write = true});
    assert_null(cache_read_only(c));
    assert_int_equal(OBJECTS, count_there(c, 0, OBJECTS));
    assert_ok(cache_close(c));
    assert_true(exists(dir, "reserve")); /* made again from what closing gave back */
    c = open_as(dir, (struct cache_options){0});
    assert_int_equal(OBJECTS, count_there(c, 0, OBJECTS));
    for (unsigned i = 0; i < 100; i++) /* what is old makes room for what is new */
        assert_ok(put(c, OBJECTS + i));
    assert_ok(cache_flush(c));
    assert_int_equal(100, count_there(c, OBJECTS, OBJECTS + 100));
    assert_true(stats_of(c).evicted > 0);
    assert_ok(cache_close(c));
    unmount(dir);
}

static void gives_space_back(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    fill_up(dir);
    struct cache_gc_result gc;
    struct cache *c =
        open_as(dir, (struct cache_options){.max_bytes = 600 << 10, .must_write = true});
    assert_ok(cache_gc(c, NULL, &gc));
    assert_true(gc.bytes_freed > 256 << 10);
    assert_true(stats_of(c).disk_bytes <= 600 << 10);
    assert_true(stats_of(c).objects > 0);
    assert_ok(cache_close(c));
    assert_true(free_bytes(dir) > 0);
    fill_up(dir);
    c = open_as(dir, (struct cache_options){.must_write = true});
    uint64_t objects = 0, removed = 0;
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(stats_of(c).objects, objects);
    assert_ok(cache_remove(c, CACHE_ALL, NULL, &removed));
    assert_int_equal(objects, removed);
    assert_int_equal(0, stats_of(c).objects);
    assert_int_equal(0, stats_of(c).disk_bytes);
    assert_ok(cache_close(c));
    assert_true(exists(dir, "reserve"));
    unmount(dir);
}

static void everything_goes_at_once(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    fill_up(dir);
    uint64_t removed = 0;
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_remove(c, CACHE_ALL, NULL, &removed));
    assert_int_equal(OBJECTS, removed);
    assert_ok(cache_close(c));
    unmount(dir);
}

static void one_profile_goes(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    fill_up(dir);
    uint64_t removed = 0;
    struct cache_key k = key_of(0);
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_remove(c, CACHE_PROFILE, &k, &removed));
    assert_int_equal((OBJECTS + PROFILES - 1) / PROFILES, removed);
    assert_int_equal(OBJECTS - removed, count_there(c, 0, OBJECTS));
    assert_ok(cache_close(c));
    unmount(dir);
}

static void a_whole_rebuild(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    struct cache *reader = open_as(dir, (struct cache_options){.read_only = true});
    fill_up(dir); /* but SQLite's shared memory is there already */
    assert_true(exists(dir, "index.sqlite-shm"));
    assert_ok(cache_close(reader));
    uint64_t objects = 0;
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(OBJECTS, objects);
    assert_ok(cache_close(c));
    unmount(dir);
}

static void without_its_reserve(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    delete_file(dir, "reserve");
    fill_up(dir);
    struct cache *c = open_as(dir, (struct cache_options){0});
    assert_non_null(cache_read_only(c));
    assert_non_null(strstr(cache_read_only(c), "no space"));
    assert_int_equal(OBJECTS, count_there(c, 0, OBJECTS));
    assert_status(STATUS_DENIED, put(c, OBJECTS));
    assert_ok(cache_close(c));
    struct errmsg e = {""};
    assert_status(STATUS_NO_SPACE,
                  cache_open(dir, &(struct cache_options){.must_write = true}, &c, &e));
    assert_non_null(strstr(e.text, "no space"));
    struct cache_gc_result gc;
    c = open_as(
        dir, (struct cache_options){.max_bytes = 600 << 10, .must_write = true, .make_room = true});
    unsigned there = count_there(c, 0, OBJECTS);
    assert_true(there < OBJECTS && there > OBJECTS / 2); /* one pack had to go */
    assert_ok(cache_gc(c, NULL, &gc));
    assert_true(stats_of(c).disk_bytes <= 600 << 10);
    assert_ok(cache_close(c));
    assert_true(exists(dir, "reserve"));
    unmount(dir);
}

static void a_new_cache_on_a_full_disk(void **state)
{
    (void)state;
    char *dir = temp_dir();
    if (mount("none", dir, "tmpfs", 0, "size=1m,mode=700") < 0) {
        remove_dir(dir);
        skip();
    }
    fill_up(dir);
    struct cache *c = NULL;
    struct errmsg e = {""};
    assert_status(STATUS_NO_SPACE, cache_open(dir, NULL, &c, &e));
    assert_non_null(strstr(e.text, "no space"));
    unmount(dir);
}

/* The disk becomes full, and has room again, while the cache is open. */
static void full_for_a_while(void **state)
{
    (void)state;
    char *dir = small_disk();
    if (!dir)
        skip();
    struct cache_key k = key_of(0);
    struct cache *c = open_as(dir, (struct cache_options){0});
    for (int p = 0; p < PROFILES; p++) {
        k = key_of((unsigned)p);
        assert_ok(cache_pin(c, CACHE_PROFILE, &k)); /* nothing can be evicted */
    }
    fill_up(dir);
    for (unsigned i = 0; i < 500; i++)
        assert_ok(put(c, OBJECTS + i));
    assert_status(STATUS_NO_SPACE, cache_flush(c));
    assert_true(stats_of(c).no_space > 0);
    assert_int_equal(OBJECTS, count_there(c, 0, OBJECTS));
    delete_file(dir, "filler");
    for (unsigned i = 0; i < 500; i++)
        assert_ok(put(c, OBJECTS + i));
    assert_ok(cache_flush(c));
    assert_int_equal(OBJECTS + 500, count_there(c, 0, OBJECTS + 500));
    assert_ok(cache_close(c));
    unmount(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_serves),
        cmocka_unit_test(gives_space_back),
        cmocka_unit_test(everything_goes_at_once),
        cmocka_unit_test(one_profile_goes),
        cmocka_unit_test(a_whole_rebuild),
        cmocka_unit_test(without_its_reserve),
        cmocka_unit_test(a_new_cache_on_a_full_disk),
        cmocka_unit_test(full_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
