/* Copies of trees over a purifier that inverts pixels: what is counted, what ends them, what they
   leave behind. The files themselves: dest_test.c, verbatim_test.c and tests/purify.bats. */
#include "testing.h"

#include "pipeline.h"

#include <dirent.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/banned.h"

enum { IMAGES = 12 };

struct told {
    unsigned named[FUSED_GROUP_COUNT], failed;
    char last[256];
    atomic_int stop;
};

static void on_named(void *arg, enum fused_group group, const char *path, const char *why)
{
    struct told *t = arg;
    t->named[group]++;
    snprintf(t->last, sizeof t->last, "%s: %s", path, why);
}

static void on_failed(void *arg, const char *path, const char *why)
{
    struct told *t = arg;
    t->failed++;
    snprintf(t->last, sizeof t->last, "%s: %s", path, why);
}

static int on_stop(void *arg)
{
    struct told *t = arg;
    return atomic_load(&t->stop);
}

static void put_images(const struct rig *r)
{
    for (unsigned i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%u.png", i);
        test_image(r->dir, name, IMAGE_PNG, 16, 3, false, i);
    }
    test_write(r->dir, "a.txt", "text", 4);
}

/* to: beside the source. */
static status copy_to(struct rig *r, const char *to, struct told *t, struct fused_copy_result *out,
                      struct errmsg *e)
{
    const struct fused_copy copy = {.src = r->dir,
                                    .dst = to,
                                    .cache_dir = r->cache_dir,
                                    .named = on_named,
                                    .failed = on_failed,
                                    .stop = on_stop,
                                    .arg = t};
    return fused_copy_tree(r->p, &copy, out, e);
}

static unsigned parts_in(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;
    for (struct dirent *en = d ? readdir(d) : NULL; en; en = readdir(d))
        n += strncmp(en->d_name, ".relearn-part", 13) == 0;
    if (d)
        closedir(d);
    return n;
}

/* Images, and where they are copied to. */
struct box {
    struct rig r;
    struct told told;
    struct fused_copy_result out;
    char *dst;
};

static void box_new(struct box *b)
{
    memset(b, 0, sizeof *b);
    b->dst = test_dir_new();
    rig_new(&b->r);
    put_images(&b->r);
}

static void box_free(struct box *b)
{
    rig_free(&b->r);
    test_dir_free(b->dst);
}

static void everything_is_counted(void **state)
{
    (void)state;
    struct box b;
    box_new(&b);
    test_write(b.r.dir, "array.npy", "\x93NUMPY\x01\0v\0{'descr': '|u1'}", 25);
    assert_ok(copy_to(&b.r, b.dst, &b.told, &b.out, NULL));
    assert_int_equal(b.out.files, IMAGES + 2);
    assert_int_equal(b.out.done, IMAGES + 2);
    assert_int_equal(b.out.group[FUSED_GROUP_IMAGE], IMAGES);
    assert_int_equal(b.out.group[FUSED_GROUP_OTHER], 1);
    assert_int_equal(b.out.group[FUSED_GROUP_UNPURIFIED], 1);
    assert_int_equal(b.out.work, IMAGES * 16 * 16);
    assert_int_equal(b.out.failed, 0);
    assert_int_equal(b.told.named[FUSED_GROUP_UNPURIFIED], 1);
    assert_string_equal(b.told.last, "array.npy: a NumPy array whose header is not read");
    box_free(&b);
}

/* Whichever write is the first that has no room: one message, no file of its own is blamed, and
   nothing is left under another name. (Not stored in the cache is no failure.) */
static void a_full_disk_ends_it_at_once(void **state)
{
    (void)state;
    unsigned ended = 0;
    for (unsigned long n = 1; n <= 16; n++) {
        struct box b;
        struct errmsg e = {""};
        box_new(&b);
        fault_set(FAULT_WRITE, n, 1, ENOSPC);
        status st = copy_to(&b.r, b.dst, &b.told, &b.out, &e);
        fault_clear();
        if (st) {
            assert_int_equal(st, STATUS_NO_SPACE);
            assert_non_null(strstr(e.text, "no space left"));
            ended++;
        }
        assert_int_equal(b.told.failed, 0);
        assert_int_equal(parts_in(b.dst), 0);
        box_free(&b);
    }
    assert_true(ended > 0);
}

/* A single failure is one file's. */
static void other_failures_are_named(void **state)
{
    (void)state;
    struct box b;
    box_new(&b);
    fault_set(FAULT_RENAME, 3, 0, EIO);
    assert_ok(copy_to(&b.r, b.dst, &b.told, &b.out, NULL));
    fault_clear();
    assert_int_equal(b.out.failed, 1);
    assert_int_equal(b.told.failed, 1);
    assert_int_equal(b.out.done, IMAGES + 1);
    assert_int_equal(parts_in(b.dst), 0);
    box_free(&b);
}

static void a_stop_before_the_first_file(void **state)
{
    (void)state;
    struct box b;
    box_new(&b);
    atomic_store(&b.told.stop, 1);
    assert_int_equal(copy_to(&b.r, b.dst, &b.told, &b.out, NULL), STATUS_CANCELLED);
    assert_int_equal(b.out.files, 0);
    assert_int_equal(b.told.failed, 0);
    box_free(&b);
}

static void no_memory(void **state)
{
    (void)state;
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; n < 2000; n += 7) {
        struct rig r = {.dir = NULL};
        struct told t = {.failed = 0};
        struct fused_copy_result out = {.failed = 0};
        char *dst = test_dir_new();
        rig_new(&r);
        test_image(r.dir, "1.png", IMAGE_PNG, 16, 3, false, 1);
        test_write(r.dir, "a.txt", "text", 4);
        unsigned long before = fault_calls(FAULT_MEM);
        fault_set(FAULT_MEM, n, 0, 0);
        st = copy_to(&r, dst, &t, &out, NULL);
        bool hit = fault_calls(FAULT_MEM) - before >= n;
        fault_clear();
        assert_int_equal(parts_in(dst), 0);
        if (!st && !t.failed && !hit)
            assert_int_equal(out.group[FUSED_GROUP_IMAGE] + out.group[FUSED_GROUP_OTHER], 2);
        rig_free(&r);
        test_dir_free(dst);
        if (!hit)
            break;
    }
    assert_int_equal(st, STATUS_OK);
}

static void places_that_are_refused(void **state)
{
    (void)state;
    struct rig r = {.dir = NULL};
    struct told t = {.failed = 0};
    struct fused_copy_result out;
    struct errmsg e = {""};
    char inside[512];
    rig_new(&r);
    put_images(&r);
    snprintf(inside, sizeof inside, "%s/new", r.dir);
    assert_int_equal(copy_to(&r, inside, &t, &out, &e), STATUS_INVALID);
    assert_int_equal(access(inside, F_OK), -1);
    assert_int_equal(copy_to(&r, "/tmp", &t, &out, &e), STATUS_INVALID);
    snprintf(inside, sizeof inside, "%s/new", r.cache_dir);
    assert_int_equal(copy_to(&r, inside, &t, &out, &e), STATUS_INVALID);
    assert_int_equal(access(inside, F_OK), -1);
    rig_free(&r);
}

/* ---- looking ---- */

static void a_scan_counts_as_the_copy_does(void **state)
{
    (void)state;
    struct rig r = {.dir = NULL};
    struct told t = {.failed = 0};
    struct fused_scan_result all, some;
    rig_new(&r);
    put_images(&r);
    test_write(r.dir, "array.npy", "\x93NUMPY\x01\0v\0{'descr': '|u1'}", 25);
    struct fused_scan scan = {.src = r.dir, .named = on_named, .failed = on_failed, .arg = &t};
    assert_ok(fused_scan(&scan, &all, NULL));
    assert_true(all.whole);
    assert_int_equal(all.files, IMAGES + 2);
    assert_int_equal(all.group[FUSED_GROUP_IMAGE], IMAGES);
    assert_int_equal(all.group[FUSED_GROUP_UNPURIFIED], 1);
    assert_int_equal(all.work, IMAGES * 16 * 16);
    assert_int_equal(all.pixels, IMAGES * 16 * 16);
    assert_true(all.cache_bytes >= IMAGES * 16 * 16 * 3);
    assert_int_equal(t.named[FUSED_GROUP_UNPURIFIED], 1);
    scan.entries_max = 5; /* a look, not a scan */
    assert_ok(fused_scan(&scan, &some, NULL));
    assert_false(some.whole);
    assert_int_equal(some.files, 5);
    scan.entries_max = IMAGES + 2;
    assert_ok(fused_scan(&scan, &some, NULL));
    assert_true(some.whole);
    scan.stop = on_stop;
    atomic_store(&t.stop, 1);
    assert_int_equal(fused_scan(&scan, &some, NULL), STATUS_CANCELLED);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(a_full_disk_ends_it_at_once),
        cmocka_unit_test(other_failures_are_named),
        cmocka_unit_test(a_stop_before_the_first_file),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(places_that_are_refused),
        cmocka_unit_test(a_scan_counts_as_the_copy_does),
    };
    return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
