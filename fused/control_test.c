/* The warm list and the control requests, on a view without a mount. */
#include "testing.h"

#include "control.h"
#include "fs.h"
#include "sweep.h"

#include <jansson.h>
#include <unistd.h>

#include "base/banned.h"

static struct rig rig;
static struct fs fs;

static int set_up(void **state)
{
    (void)state;
    rig_new(&rig);
    memset(&fs, 0, sizeof fs);
    fs.pipeline = rig.p;
    fs.stack.cache = rig.cache;
    fs.root_fd = open(rig.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat sb;
    fstat(fs.root_fd, &sb);
    assert_ok(table_new(sb.st_dev, sb.st_ino, &fs.table));
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        if (g != FUSED_GROUP_IMAGE)
            assert_ok(name_list_new(1 << 20, &fs.lists.group[g]));
    assert_ok(name_list_new(1 << 20, &fs.lists.failures));
    assert_ok(sweep_new(&fs, &fs.sweep));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sweep_stop(fs.sweep);
    rig_stop(&rig);
    sweep_free(fs.sweep);
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        name_list_free(fs.lists.group[g]);
    name_list_free(fs.lists.failures);
    table_free(fs.table);
    close(fs.root_fd);
    test_dir_free(rig.dir);
    test_dir_free(rig.cache_dir);
    return 0;
}

static json_t *answer(const char *line, size_t len, int *stop)
{
    AUTO(buf_done) struct buf out = BUF_INIT(1 << 20);
    *stop = 0;
    assert_ok(control_answer(&fs, line, len, &out, stop));
    assert_null(memchr(out.data, '\n', out.len));
    json_error_t e;
    json_t *j = json_loadb(out.data, out.len, 0, &e);
    assert_non_null(j);
    return j;
}

static json_int_t ask(const char *line, const char *key)
{
    int stop;
    json_t *j = answer(line, strlen(line), &stop);
    if (!json_is_true(json_object_get(j, "ok")))
        fail_msg("%s: %s", line, json_string_value(json_object_get(j, "error")));
    json_int_t v = json_integer_value(json_object_get(j, key));
    json_decref(j);
    return v;
}

static void wait_warm(json_int_t total)
{
    for (int i = 0; ask("{\"cmd\":\"warm-state\"}", "done") < total; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
}

static void make_files(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/c", rig.dir);
    mkdir(path, 0755);
    test_image(rig.dir, "c/1.png", IMAGE_PNG, 16, 3, false, 1);
    test_image(rig.dir, "c/2.jpg", IMAGE_JPEG, 16, 3, false, 2);
    test_image(rig.dir, "3.png", IMAGE_PNG, 16, 1, false, 3);
    test_write(rig.dir, "label.txt", "x", 1);
    snprintf(path, sizeof path, "%s/out", rig.dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/in.png", rig.dir);
    assert_int_equal(symlink("c/1.png", path), 0);
    usleep(30000); /* the memo refuses files that changed a moment ago */
}

static void a_list_is_purified_and_counted(void **state)
{
    (void)state;
    make_files();
    assert_int_equal(ask("{\"cmd\":\"warm-check\"}", "absent"), 3);
    assert_int_equal(
        ask("{\"cmd\":\"warm\",\"paths\":[\"3.png\",\"label.txt\",\"in.png\",\"none.png\",\"out\","
            "\"../x\",\"/etc/passwd\"]}",
            "total"),
        7);
    wait_warm(7);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "failed"), 3);
    assert_int_equal(name_list_count(fs.lists.group[FUSED_GROUP_UNPURIFIED]),
                     1); /* "out" leaves the source */
    assert_int_equal(fake_submitted(&rig.fake), 2);
    assert_ok(cache_flush(rig.cache));
    assert_int_equal(
        ask("{\"cmd\":\"warm-check\",\"paths\":[\"c/1.png\",\"c/2.jpg\",\"none\"]}", "cached"), 1);
    assert_int_equal(ask("{\"cmd\":\"warm-check\"}", "absent"), 1);
    assert_int_equal(ask("{\"cmd\":\"warm-check\",\"paths\":[\"c\"]}", "files"), 2);
}

static void everything_is_purified_on_demand(void **state)
{
    (void)state;
    make_files();
    assert_int_equal(ask("{\"cmd\":\"warm\"}", "total"), 5);
    wait_warm(5);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "failed"), 0);
    assert_ok(cache_flush(rig.cache));
    assert_int_equal(ask("{\"cmd\":\"warm-check\"}", "absent"), 0);
    assert_int_equal(name_list_count(fs.lists.group[FUSED_GROUP_OTHER]), 1);
}

static void a_failing_purifier_is_counted_and_named(void **state)
{
    (void)state;
    make_files();
    fake_outcome(&rig.fake, STATUS_NOMEM);
    ask("{\"cmd\":\"warm\",\"paths\":[\"3.png\"]}", "total");
    wait_warm(1);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "failed"), 1);
    assert_int_equal(name_list_count(fs.lists.failures), 1);
}

/* ---- freezing ---- */

static void sweep_anew(enum freeze f)
{
    sweep_stop(fs.sweep);
    sweep_free(fs.sweep);
    fs.path.mountpoint = rig.dir; /* for the log */
    fs.opt.sweeping = true;
    atomic_store(&fs.freezing.state, f);
    assert_ok(sweep_new(&fs, &fs.sweep));
}

static void wait_freeze(enum freeze f)
{
    for (int i = 0; atomic_load(&fs.freezing.state) != f; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
}

static void wait_swept(void)
{
    struct sweep_state s;
    int i = 0;
    for (sweep_state(fs.sweep, &s); strcmp(s.phase, "done") != 0; sweep_state(fs.sweep, &s)) {
        assert_true(i++ < 1000);
        usleep(10000);
    }
}

static void nothing_is_frozen_before_the_kernel_can(void **state)
{
    (void)state;
    make_files();
    sweep_anew(FREEZE_INIT);
    wait_swept();
    usleep(500000);
    assert_int_equal(atomic_load(&fs.freezing.state), FREEZE_INIT);
    atomic_store(&fs.freezing.state, FREEZE_SWEEP); /* as the callback of INIT does */
    wait_freeze(FREEZE_DONE);
}

static void what_fails_keeps_a_mount_from_freezing(void **state)
{
    (void)state;
    make_files();
    fake_outcome(&rig.fake, STATUS_NOMEM);
    sweep_anew(FREEZE_SWEEP);
    wait_freeze(FREEZE_NOT);
    assert_string_equal(fs.freezing.why_not.text, "files failed: 3");
}

/* The cache writes behind: what it could not write is not there, whatever was purified. */
static void what_is_not_stored_keeps_a_mount_from_freezing(void **state)
{
    (void)state;
    make_files();
    fault_set(FAULT_SYNC, 1, 1, EIO);
    sweep_anew(FREEZE_SWEEP);
    wait_freeze(FREEZE_NOT);
    fault_clear();
    assert_string_equal(fs.freezing.why_not.text, "files not stored: 3");
}

static void a_full_cache_is_not_purified_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "%02u.png", i);
        test_image(rig.dir, name, IMAGE_PNG, 16, 3, false, i);
    }
    usleep(30000);
    fault_set(FAULT_WRITE, 1, 1, ENOSPC);
    ask("{\"cmd\":\"warm\",\"paths\":[\"00.png\"]}", "total");
    wait_warm(1);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "not_stored"), 1);
    unsigned before = fake_submitted(&rig.fake);
    ask("{\"cmd\":\"warm\"}", "total");
    wait_warm(41);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "failed"), 0);
    /* Tried again once, perhaps a few that were under way; all are said not to be stored. */
    assert_in_range(ask("{\"cmd\":\"warm-state\"}", "not_stored"), 41, 41);
    assert_in_range(fake_submitted(&rig.fake) - before, 0, 40);
    fault_clear();
}

static void without_a_cache_nothing_is_purified_ahead(void **state)
{
    (void)state;
    make_files();
    sweep_stop(fs.sweep);
    sweep_free(fs.sweep);
    fs.stack.cache = NULL;
    fs.opt.sweeping = true;
    assert_ok(sweep_new(&fs, &fs.sweep));
    ask("{\"cmd\":\"warm\"}", "total");
    wait_warm(5);
    assert_int_equal(fake_submitted(&rig.fake), 0);
    struct sweep_state s;
    sweep_state(fs.sweep, &s);
    assert_string_equal(s.phase, "off");
    assert_true(s.why[0] != 0);
}

/* Whichever allocation fails: a file that the purifier did not get is not counted as a success. */
static void without_memory_a_file_has_failed(void **state)
{
    (void)state;
    struct fused_warm_state w;
    fs.stack.cache = rig.cache;
    for (unsigned n = 1; n <= 24; n++) {
        char name[32];
        snprintf(name, sizeof name, "%u.png", n);
        test_image(rig.dir, name, IMAGE_PNG, 16, 3, false, n);
        sweep_warm_state(fs.sweep, &w);
        uint64_t failed = w.failed;
        unsigned submitted = fake_submitted(&rig.fake);
        fault_set(FAULT_MEM, n, 0, 0);
        status st = sweep_warm(fs.sweep, name, NULL);
        for (int i = 0; sweep_warm_state(fs.sweep, &w), w.done < w.total; i++) {
            assert_true(i < 1000);
            usleep(1000);
        }
        fault_clear();
        if (!st)
            assert_int_equal(w.failed - failed + fake_submitted(&rig.fake) - submitted, 1);
    }
}

/* ---- groups and names ---- */

static json_int_t group_of(const char *line, const char *group)
{
    int stop;
    json_t *j = answer(line, strlen(line), &stop);
    json_int_t v = json_integer_value(json_object_get(json_object_get(j, "group"), group));
    json_decref(j);
    return v;
}

static void files_are_counted_by_group_and_named(void **state)
{
    (void)state;
    make_files();
    test_write(rig.dir, "bad\xff.png", "\x89PNG\r\n\x1a\nno", 10);
    test_write(rig.dir, "a.npy", "\x93NUMPY\1\0", 8);
    static const char check[] = "{\"cmd\":\"warm-check\"}";
    assert_int_equal(group_of(check, "image"), 3);
    assert_int_equal(group_of(check, "other"), 1);
    assert_int_equal(group_of(check, "not_purified"), 3); /* with the link out of the source */
    int stop;
    static const char names[] = "{\"cmd\":\"names\",\"group\":\"not_purified\",\"after\":0}";
    json_t *j = answer(names, strlen(names), &stop);
    json_t *list = json_object_get(j, "names"), *entry;
    size_t i, hex = 0;
    assert_int_equal(json_array_size(list), 3);
    json_array_foreach(list, i, entry)
    {
        assert_true(json_string_length(json_object_get(entry, "why")) > 0);
        const char *h = json_string_value(json_object_get(entry, "path_hex"));
        hex += h && strcmp(h, "626164ff2e706e67") == 0;
    }
    assert_int_equal(hex, 1);
    char more[96];
    snprintf(more, sizeof more, "{\"cmd\":\"names\",\"group\":\"not_purified\",\"after\":%d}",
             (int)json_integer_value(json_object_get(j, "last")));
    json_decref(j);
    j = answer(more, strlen(more), &stop);
    assert_int_equal(json_array_size(json_object_get(j, "names")), 0);
    json_decref(j);
}

static void a_name_need_not_be_utf8(void **state)
{
    (void)state;
    make_files();
    test_image(rig.dir, "caf\xe9.png", IMAGE_PNG, 16, 3, false, 9);
    ask("{\"cmd\":\"warm\",\"paths\":[{\"hex\":\"636166e92e706e67\"}]}", "total");
    wait_warm(1);
    assert_int_equal(ask("{\"cmd\":\"warm-state\"}", "failed"), 0);
    assert_int_equal(fake_submitted(&rig.fake), 1);
}

static void stop_is_stop(void **state)
{
    (void)state;
    int stop;
    json_decref(answer("{\"cmd\":\"stop\"}", 14, &stop));
    assert_int_equal(stop, 1);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    make_files();
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    const struct {
        const char *text;
        size_t len;
    } lines[] = {
        {"", 0},
        {"x", 1},
        {"null", 4},
        {"[]", 2},
        {"{}", 2},
        {"{\"cmd\":1}", 9},
        {"{\"cmd\":\"rm\"}", 12},
        {"{\"cmd\":\"warm\",\"cmd\":\"stop\"}", 27},
        {"{\"cmd\":\"warm\",\"paths\":\"3.png\"}", 30},
        {"{\"cmd\":\"warm\",\"paths\":[1]}", 26},
        {"{\"cmd\":\"warm\",\"paths\":[\"\"]}", 27},
        {"{\"cmd\":\"warm\",\"paths\":[\"a\\u0000b\"]}", 35},
        {"{\"cmd\":\"warm\",\"paths\":[{}]}", 27},
        {"{\"cmd\":\"warm\",\"paths\":[{\"hex\":\"00\"}]}", 36},
        {"{\"cmd\":\"warm\",\"paths\":[{\"hex\":\"6\"}]}", 35},
        {"{\"cmd\":\"names\"}", 15},
        {"{\"cmd\":\"names\",\"group\":\"image\"}", 31},
        {"{\"cmd\":\"stop\"}\0", 15},
        {"{\"cmd\":\"st\xff\xfe\"}", 14},
        {deep, sizeof deep},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        int stop;
        json_t *j = answer(lines[i].text, lines[i].len, &stop);
        if (!json_is_false(json_object_get(j, "ok")) || stop)
            fail_msg("line %zu was accepted", i);
        assert_non_null(json_string_value(json_object_get(j, "error")));
        json_decref(j);
    }
}

static void socket_names_differ_by_mountpoint(void **state)
{
    (void)state;
    char *a = NULL, *b = NULL;
    unsetenv("XDG_RUNTIME_DIR");
    assert_ok(control_socket_path("/mnt/a", rig.cache_dir, &a, NULL));
    assert_ok(control_socket_path("/mnt/b", rig.cache_dir, &b, NULL));
    assert_string_not_equal(a, b);
    mem_free(a);
    mem_free(b);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_is_purified_and_counted),
        TEST(everything_is_purified_on_demand),
        TEST(a_failing_purifier_is_counted_and_named),
        TEST(nothing_is_frozen_before_the_kernel_can),
        TEST(what_fails_keeps_a_mount_from_freezing),
        TEST(what_is_not_stored_keeps_a_mount_from_freezing),
        TEST(a_full_cache_is_not_purified_for),
        TEST(without_a_cache_nothing_is_purified_ahead),
        TEST(without_memory_a_file_has_failed),
        TEST(files_are_counted_by_group_and_named),
        TEST(a_name_need_not_be_utf8),
        TEST(stop_is_stop),
        TEST(nonsense_is_refused),
        TEST(socket_names_differ_by_mountpoint),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
