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

/* ---- set-up: *state is the directory, NULL where no file system can be mounted ---- */

static int mount_disk(void **state, const char *options)
{
    char *dir = temp_dir();
    *state = mount("none", dir, "tmpfs", 0, options) == 0 ? dir : NULL;
    if (!*state)
        remove_dir(dir);
    return 0;
}

static int unmount(void **state)
{
    char *dir = *state;
    if (!dir)
        return 0;
    umount2(dir, MNT_DETACH); /* what a failed test left open does not keep it */
    remove_dir(dir);
    return 0;
}

static int empty_disk(void **state)
{
    return mount_disk(state, "size=1m,mode=700");
}

/* With a closed cache of OBJECTS. */
static int disk_with_cache(void **state)
{
    mount_disk(state, "size=16m,mode=700");
    if (!*state)
        return 0;
    struct cache *c = open_with(*state, small_packs);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_ok(put(c, i));
    assert_ok(cache_close(c));
    return 0;
}

static const char *disk_of(void **state)
{
    if (!*state)
        skip();
    return *state;
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

static const char *full_disk_of(void **state)
{
    fill_up(disk_of(state));
    return *state;
}

static struct cache *open_as(const char *dir, struct cache_options opt)
{
    opt.pack_bytes = small_packs.pack_bytes;
    return open_with(dir, opt);
}

static void opens_and_serves(void **state)
{
    const char *dir = full_disk_of(state);
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
    for (unsigned i = 0; i < 100; i++) /* the oldest are evicted for them */
        assert_ok(put(c, OBJECTS + i));
    assert_ok(cache_flush(c));
    assert_int_equal(100, count_there(c, OBJECTS, OBJECTS + 100));
    assert_true(stats_of(c).evicted > 0);
    assert_ok(cache_close(c));
}

static void gives_space_back(void **state)
{
    const char *dir = full_disk_of(state);
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
}

static void everything_goes_at_once(void **state)
{
    const char *dir = full_disk_of(state);
    uint64_t removed = 0;
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_remove(c, CACHE_ALL, NULL, &removed));
    assert_int_equal(OBJECTS, removed);
    assert_ok(cache_close(c));
}

static void one_profile_goes(void **state)
{
    const char *dir = full_disk_of(state);
    uint64_t removed = 0;
    struct cache_key k = key_of(0);
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_remove(c, CACHE_PROFILE, &k, &removed));
    assert_int_equal((OBJECTS + PROFILES - 1) / PROFILES, removed);
    assert_int_equal(OBJECTS - removed, count_there(c, 0, OBJECTS));
    assert_ok(cache_close(c));
}

static void a_whole_rebuild(void **state)
{
    const char *dir = disk_of(state);
    struct cache *reader = open_as(dir, (struct cache_options){.read_only = true});
    fill_up(dir); /* but SQLite's shared memory is there already */
    assert_true(exists(dir, "index.sqlite-shm"));
    assert_ok(cache_close(reader));
    uint64_t objects = 0;
    struct cache *c = open_as(dir, (struct cache_options){.must_write = true});
    assert_ok(cache_rebuild(c, NULL, NULL, &objects));
    assert_int_equal(OBJECTS, objects);
    assert_ok(cache_close(c));
}

static void without_its_reserve(void **state)
{
    const char *dir = disk_of(state);
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
    c = open_as(dir, (struct cache_options){
                         .max_bytes = 600 << 10, .must_write = true, .make_space = true});
    unsigned there = count_there(c, 0, OBJECTS);
    assert_true(there < OBJECTS && there > OBJECTS / 2); /* one pack had to go */
    assert_ok(cache_gc(c, NULL, &gc));
    assert_true(stats_of(c).disk_bytes <= 600 << 10);
    assert_ok(cache_close(c));
    assert_true(exists(dir, "reserve"));
}

static void a_new_cache_on_a_full_disk(void **state)
{
    const char *dir = full_disk_of(state);
    struct cache *c = NULL;
    struct errmsg e = {""};
    assert_status(STATUS_NO_SPACE, cache_open(dir, NULL, &c, &e));
    assert_non_null(strstr(e.text, "no space"));
}

/* The disk becomes full, and has space again, while the cache is open. */
static void full_for_a_while(void **state)
{
    const char *dir = disk_of(state);
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
}

int main(void)
{
#define ON_DISK(test, disk) cmocka_unit_test_setup_teardown(test, disk, unmount)
    const struct CMUnitTest tests[] = {
        ON_DISK(opens_and_serves, disk_with_cache),
        ON_DISK(gives_space_back, disk_with_cache),
        ON_DISK(everything_goes_at_once, disk_with_cache),
        ON_DISK(one_profile_goes, disk_with_cache),
        ON_DISK(a_whole_rebuild, disk_with_cache),
        ON_DISK(without_its_reserve, disk_with_cache),
        ON_DISK(a_new_cache_on_a_full_disk, empty_disk),
        ON_DISK(full_for_a_while, disk_with_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
