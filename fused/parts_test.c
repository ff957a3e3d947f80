/* The small parts: opening under a root, bytes in memory, lists of names, options, mount names. */
#include "testing.h"

#include "beneath.h"
#include "bytes.h"
#include "mounts.h"
#include "name_list.h"
#include "options.h"

#include <unistd.h>

#include "base/banned.h"

/* ---- under ---- */

static void check_under(const char *dir)
{
    AUTO(fd_close) int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct {
        const char *path;
        int want;
    } cases[] = {
        {".", 0},
        {"a/b/f", 0},
        {"a/b", 0},
        {"a/none", ENOENT},
        {"a/b/f/x", ENOTDIR},
        {"../x", EXDEV},
        {"a/../../x", EXDEV},
        {"up/etc", ELOOP},
        {"etc/passwd", ELOOP},
        {"a/in/f", ELOOP},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = -1, got = beneath_open(root, cases[i].path, O_PATH, &fd);
        /* Without openat2 a link in the middle of a path is ENOTDIR: O_DIRECTORY refuses it
           first. */
        bool same = got == cases[i].want || (cases[i].want == ELOOP && got == ENOTDIR);
        if (!same)
            fail_msg("%s: errno %d, wanted %d", cases[i].path, got, cases[i].want);
        if (!got)
            close(fd);
    }
    int fd;
    assert_int_equal(beneath_open_data(root, "a/b/f", 0, &fd), 0);
    close(fd);
    assert_int_equal(beneath_open_data(root, "a/link", 0, &fd), ELOOP);
}

static void nothing_is_opened_outside(void **state)
{
    (void)state;
    char *dir = test_dir_new(), path[512], target[512];
    snprintf(path, sizeof path, "%s/a", dir);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/a/b", dir);
    mkdir(path, 0755);
    test_write(dir, "a/b/f", "x", 1);
    const char *links[][2] = {{"..", "up"}, {"/etc", "etc"}, {"b", "a/in"}, {"b/f", "a/link"}};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        snprintf(target, sizeof target, "%s/%s", dir, links[i][1]);
        assert_int_equal(symlink(links[i][0], target), 0);
    }
    check_under(dir);
    AUTO(fd_close) int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = -1;
    if (beneath_open_following(root, "a/link", O_RDONLY, &fd) == 0)
        close(fd);
    assert_int_not_equal(beneath_open_following(root, "etc/passwd", O_RDONLY, &fd), 0);
    beneath_force_fallback(1);
    check_under(dir);
    beneath_force_fallback(0);
    test_dir_free(dir);
}

/* ---- bytes ---- */

static struct cache_file_id id_of(uint64_t inode, uint64_t size)
{
    return (struct cache_file_id){.device = 1, .inode = inode, .size = size};
}

static struct digest source_of(uint64_t n)
{
    struct digest d = {{0}};
    memcpy(d.byte, &n, sizeof n);
    return d;
}

static void memory_has_a_limit_and_forgets_the_oldest(void **state)
{
    (void)state;
    struct lru *l;
    assert_ok(lru_new(1000, &l));
    for (uint64_t i = 0; i < 20; i++) {
        struct fused_bytes *b;
        assert_ok(bytes_new(100, &b));
        memset(bytes_writable(b), (int)i, 100);
        struct digest id = source_of(i), first = source_of(0);
        lru_put(l, &id, b);
        fused_bytes_unref(b);
        b = lru_get(l, &first); /* stays, being used */
        assert_non_null(b);
        assert_int_equal(b->data[99], 0);
        fused_bytes_unref(b);
        assert_true(lru_bytes(l) <= 1000);
    }
    struct digest gone = source_of(5), last = source_of(19), other = source_of(20);
    assert_null(lru_get(l, &gone));
    assert_null(lru_get(l, &other));
    struct fused_bytes *b = lru_get(l, &last), *large;
    assert_non_null(b);
    assert_ok(bytes_new(251, &large));
    lru_put(l, &other, large); /* too large to be kept */
    assert_null(lru_get(l, &other));
    fused_bytes_unref(large);
    lru_free(l);
    assert_int_equal(b->data[0], 19); /* a reference outlives it */
    fused_bytes_unref(b);
}

/* ---- named ---- */

static void count_entry(void *arg, const struct name_list_entry *en)
{
    int *n = arg;
    assert_non_null(en->name);
    ++*n;
}

struct page_seen {
    uint64_t last, n, page;
};

static void see_entry(void *arg, const struct name_list_entry *en)
{
    struct page_seen *s = arg;
    assert_true(en->number > s->last);
    s->last = en->number;
    s->n++;
    s->page++;
}

static void names_are_counted_once(void **state)
{
    (void)state;
    struct name_list *n;
    assert_ok(name_list_new(100000, &n));
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 1000; i++) {
            struct cache_file_id id = id_of(i, 0);
            char name[16];
            snprintf(name, sizeof name, "%u", (unsigned)i);
            name_list_add(n, &id, name, "why");
        }
    assert_int_equal(name_list_count(n), 1000);
    int shown = 0;
    name_list_each(n, count_entry, &shown);
    assert_int_equal(shown, NAME_LIST_SHOWN);
    struct cache_file_id last = id_of(999, 0), first = id_of(0, 0);
    char *why = name_list_why(n, &last);
    assert_string_equal(why, "why");
    mem_free(why);
    char *why_first = name_list_why(n, &first);
    assert_string_equal(why_first, "why"); /* of all, not of those shown only */
    mem_free(why_first);
    name_list_remove(n, &last);
    name_list_remove(n, &last);
    name_list_remove(n, &first);
    assert_int_equal(name_list_count(n), 998);
    assert_null(name_list_why(n, &last));
    struct page_seen seen = {0};
    for (uint64_t before = 1; before; before = seen.page) {
        seen.page = 0;
        name_list_page(n, seen.last, 100, see_entry, &seen);
        assert_true(seen.page <= 100);
    }
    assert_int_equal(seen.n, 998);
    for (uint64_t i = 1000; i < 9000; i++) { /* more than there is room for */
        struct cache_file_id id = id_of(i, 0);
        name_list_add(n, &id, "a name of some length", "why");
    }
    assert_int_equal(name_list_count(n), 8998);
    seen = (struct page_seen){0};
    name_list_page(n, 0, 10000, see_entry, &seen);
    assert_in_range(seen.n, 300, 1500);
    struct cache_file_id newest = id_of(8999, 0), oldest = id_of(1, 0);
    why = name_list_why(n, &newest);
    assert_non_null(why);
    mem_free(why);
    assert_null(name_list_why(n, &oldest));
    name_list_free(n);
}

/* ---- options ---- */

static void option_lists(void **state)
{
    (void)state;
    struct daemon_options o = {.sweep = true, .watch = true};
    struct errmsg e = {""};
    assert_ok(
        options_list(&o,
                     "ro,profile=pa\\,per,cache=/x\\\\y,nosweep,nowatch,threads=3,cache_size=2G,"
                     "x-systemd.automount,_netdev,nofail,timeout=0.5,allow_other,noexec,memory=64k",
                     &e));
    assert_string_equal(o.profile, "pa,per");
    assert_string_equal(o.cache_dir, "/x\\y");
    assert_false(o.sweep);
    assert_false(o.watch);
    assert_true(o.allow_other);
    assert_true(o.noexec);
    assert_int_equal(o.threads, 3);
    assert_int_equal(o.cache_bytes, 2ull << 30);
    assert_int_equal(o.encoded_bytes, 64u << 10);
    assert_true(o.timeout == 0.5);
    const char *const wrong[] = {
        "frozn",   "threads=x", "threads", "cache_size=1Q", "cache_size=-1",
        "profile", "profile=",  "sweep=1", "timeout=nan",   "cache_size=99999999999T"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        e.text[0] = 0;
        if (options_list(&o, wrong[i], &e) != STATUS_INVALID || !e.text[0])
            fail_msg("accepted: %s", wrong[i]);
    }
    options_done(&o);
}

static void command_lines(void **state)
{
    (void)state;
    struct daemon_options o;
    char *plain[] = {(char *)"relearnfsd", (char *)"-f", (char *)"src", (char *)"mnt",
                     (char *)"-o",         (char *)"ro", NULL};
    assert_int_equal(options_parse(6, plain, &o), OPTIONS_GO);
    assert_true(o.foreground);
    assert_false(o.fake);
    assert_string_equal(o.source, "src");
    assert_string_equal(o.mountpoint, "mnt");
    options_done(&o);
    char *helper[] = {(char *)"/sbin/mount.fuse.relearnfs",
                      (char *)"src",
                      (char *)"mnt",
                      (char *)"-s",
                      (char *)"-f",
                      (char *)"-n",
                      (char *)"-o",
                      (char *)"rw,nosweep,cache=c",
                      (char *)"-t",
                      (char *)"fuse.relearnfs",
                      NULL};
    assert_int_equal(options_parse(10, helper, &o), OPTIONS_GO);
    assert_true(o.fake);
    assert_false(o.foreground);
    assert_int_equal(o.cache_dir[0], '/');
    options_done(&o);
}

/* ---- mounts ---- */

static void mount_names(void **state)
{
    (void)state;
    char *dir = test_dir_new(), *path = NULL, sub[128], rough[160];
    struct errmsg e;
    snprintf(sub, sizeof sub, "%s/m", dir);
    snprintf(rough, sizeof rough, "%s/./m//", dir);
    mkdir(sub, 0755);
    assert_ok(mount_path(rough, &path, &e));
    assert_string_equal(path, sub);
    bool ours = true;
    assert_ok(mount_find(path, &ours, NULL));
    assert_false(ours);
    assert_false(mount_is_dead(path));
    mem_free(path);
    snprintf(rough, sizeof rough, "%s/none", dir);
    assert_int_equal(mount_path(rough, &path, &e), STATUS_NOT_FOUND);
    test_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_opened_outside),
        cmocka_unit_test(memory_has_a_limit_and_forgets_the_oldest),
        cmocka_unit_test(names_are_counted_once),
        cmocka_unit_test(option_lists),
        cmocka_unit_test(command_lines),
        cmocka_unit_test(mount_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
