/* Where a cache may be, whose files it opens, and how much of a disk it takes by itself. */
#include "testing.h"

#include "index.h"
#include "site.h"

#include <sys/file.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static unsigned count_names(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static mode_t mode_of(const char *dir, const char *name)
{
    AUTO(mem_free) char *path = in_dir(dir, name);
    struct stat sb;
    if (lstat(path, &sb) < 0)
        fail_msg("%s is not there", path);
    return sb.st_mode & 07777;
}

/* For writing and for reading; the sentence has `word` in it. */
static void assert_refused(const char *dir, status want, const char *word)
{
    for (int read_only = 0; read_only < 2; read_only++) {
        struct cache *c = NULL;
        struct errmsg e = {""};
        const struct cache_options opt = {.read_only = read_only};
        assert_status(want, cache_open(dir, &opt, &c, &e));
        if (!strstr(e.text, word))
            fail_msg("\"%s\" does not say \"%s\"", e.text, word);
    }
}

/* ---- whose ---- */

static void files_are_nobody_elses(void **state)
{
    (void)state;
    char *dir = temp_dir();
    assert_int_equal(0, chmod(dir, 0755));
    const mode_t mask = umask(0);
    struct cache *c = open_dir(dir);
    assert_ok(put(c, 1));
    assert_ok(cache_flush(c));
    static const char *const files[] = {"lock", "index.sqlite", "index.sqlite-wal", "reserve",
                                        "packs/00000001.pack"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        assert_int_equal(0600, mode_of(dir, files[i]));
    assert_int_equal(0700, mode_of(dir, "packs"));
    assert_ok(cache_close(c));
    AUTO(mem_free) char *lock = in_dir(dir, "lock");
    AUTO(mem_free) char *index = in_dir(dir, "index.sqlite");
    assert_int_equal(0, chmod(lock, 0644)); /* as earlier versions made them */
    assert_int_equal(0, chmod(index, 0644));
    assert_ok(cache_close(open_dir(dir)));
    assert_int_equal(0600, mode_of(dir, "lock"));
    assert_int_equal(0600, mode_of(dir, "index.sqlite"));
    AUTO(mem_free) char *fresh = in_dir(dir, "fresh");
    assert_ok(cache_close(open_dir(fresh)));
    assert_int_equal(0700, mode_of(dir, "fresh"));
    umask(mask);
    remove_dir(dir);
}

static void somebody_elses_directory_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char *dir = temp_dir();
    assert_int_equal(0, chown(dir, NOBODY, NOBODY));
    assert_refused(dir, STATUS_DENIED, "user 65534");
    assert_int_equal(0, count_names(dir));
    assert_int_equal(0, chown(dir, 0, 0));
    assert_int_equal(0, chmod(dir, 0777));
    assert_refused(dir, STATUS_DENIED, "anybody");
    assert_int_equal(0, count_names(dir));
    remove_dir(dir);
}

static int open_as_nobody(void *arg)
{
    struct cache *c = NULL;
    if (setuid(NOBODY))
        return 100;
    status st = cache_open(arg, NULL, &c, NULL);
    return st ? (int)st : cache_close(c) ? 101 : 0;
}

static void a_user_does_not_share_with_another(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char *dir = temp_dir();
    assert_int_equal(0, chown(dir, 1000, 1000));
    assert_int_equal(0, chmod(dir, 0777));
    assert_int_equal(STATUS_DENIED, child_status(in_child(open_as_nobody, dir)));
    assert_int_equal(0, chown(dir, NOBODY, NOBODY));
    assert_int_equal(0, chmod(dir, 0700));
    assert_int_equal(0, child_status(in_child(open_as_nobody, dir)));
    remove_dir(dir);
}

static void somebody_elses_files_are_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"lock", "index.sqlite", "packs"};
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *dir = dir_with(5);
        AUTO(mem_free) char *path = in_dir(dir, files[i]);
        assert_int_equal(0, chown(path, NOBODY, NOBODY));
        assert_refused(dir, STATUS_DENIED, files[i]);
        remove_dir(dir);
    }
    char *dir = dir_with(5);
    AUTO(mem_free) char *pack = in_dir(dir, "packs/00000001.pack");
    assert_int_equal(0, chown(pack, NOBODY, NOBODY));
    struct cache *c = open_dir(dir);
    assert_int_equal(0, count_there(c, 0, 5));
    assert_int_equal(5, stats_of(c).unanswered); /* and the rows stay: it may be given back */
    for (unsigned i = 0; i < 5; i++)
        assert_ok(put(c, 100 + i));
    assert_ok(cache_flush(c));
    struct cache_gc_result gc;
    assert_ok(cache_gc(c, NULL, &gc));
    assert_ok(cache_close(c));
    assert_int_equal(0, chown(pack, 0, 0));
    c = open_dir(dir);
    assert_int_equal(5, count_there(c, 0, 5));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- links ---- */

static void links_are_not_followed(void **state)
{
    (void)state;
    static const char *const files[] = {"lock", "index.sqlite", "index.sqlite-wal", "packs"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *dir = temp_dir(), *elsewhere = temp_dir();
        AUTO(mem_free) char *target = in_dir(elsewhere, "made");
        AUTO(mem_free) char *link = in_dir(dir, files[i]);
        assert_int_equal(0, symlink(target, link));
        struct cache *c = NULL;
        struct errmsg e = {""};
        assert_status(STATUS_DENIED, cache_open(dir, NULL, &c, &e));
        assert_non_null(strstr(e.text, "symbolic link"));
        assert_int_equal(0, count_names(elsewhere));
        remove_dir(dir);
        remove_dir(elsewhere);
    }
}

/* Each of a good cache's files, moved elsewhere and linked to. */
static void links_to_good_files_are_not_followed(void **state)
{
    (void)state;
    static const char *const files[] = {"lock", "index.sqlite", "packs"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *dir = dir_with(5), *elsewhere = temp_dir();
        AUTO(mem_free) char *target = in_dir(elsewhere, "moved");
        AUTO(mem_free) char *link = in_dir(dir, files[i]);
        assert_int_equal(0, rename(link, target));
        assert_int_equal(0, symlink(target, link));
        assert_refused(dir, STATUS_DENIED, "symbolic link");
        remove_dir(dir);
        remove_dir(elsewhere);
    }
    char *dir = dir_with(5), *elsewhere = temp_dir();
    AUTO(mem_free) char *target = in_dir(elsewhere, "moved");
    AUTO(mem_free) char *pack = in_dir(dir, "packs/00000001.pack");
    size_t before, after;
    assert_int_equal(0, rename(pack, target));
    assert_int_equal(0, symlink(target, pack));
    mem_free(load_file(elsewhere, "moved", &before));
    struct cache *c = open_dir(dir);
    assert_int_equal(0, count_there(c, 0, 5));
    for (unsigned i = 0; i < 20; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    assert_ok(cache_close(c));
    mem_free(load_file(elsewhere, "moved", &after));
    assert_int_equal(before, after);
    remove_dir(dir);
    remove_dir(elsewhere);
}

static void a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    char *dir = dir_with(5);
    AUTO(mem_free) char *lock = in_dir(dir, "lock");
    assert_int_equal(0, unlink(lock));
    assert_int_equal(0, mkfifo(lock, 0600));
    assert_refused(dir, STATUS_DENIED, "regular file");
    remove_dir(dir);
}

/* ---- the lock ---- */

static void a_lock_that_is_held_is_named(void **state)
{
    (void)state;
    char *dir = dir_with(5);
    AUTO(mem_free) char *path = in_dir(dir, "lock");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(0, flock(fd, LOCK_EX));
    assert_refused(dir, STATUS_BUSY, "/lock for");
    close(fd);
    assert_ok(cache_close(open_dir(dir)));
    remove_dir(dir);
}

/* ---- where it cannot be written ---- */

static void remount_read_only(const char *dir)
{
    assert_int_equal(0, mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

/* A file system of its own with a cache of 20 objects; NULL where none can be mounted. in_log: the
   rows are in the log, as after a power cut. */
static char *mounted_with(bool in_log)
{
    char *dir = temp_dir();
    if (mount("none", dir, "tmpfs", 0, "size=8m,mode=700") < 0) {
        remove_dir(dir);
        return NULL;
    }
    char *from = temp_dir();
    struct cache *c = open_dir(from);
    for (unsigned i = 0; i < 20; i++)
        assert_ok(put(c, i));
    assert_ok(cache_flush(c));
    if (!in_log)
        assert_ok(cache_close(c));
    copy_dir(from, dir);
    delete_file(dir, "index.sqlite-shm");
    if (in_log)
        assert_ok(cache_close(c));
    remove_dir(from);
    return dir;
}

static void unmount(char *dir)
{
    assert_int_equal(0, umount(dir));
    remove_dir(dir);
}

static void serves_from_a_read_only_file_system(void **state)
{
    (void)state;
    for (int in_log = 0; in_log < 2; in_log++) {
        char *dir = mounted_with(in_log);
        if (!dir)
            skip();
        remount_read_only(dir);
        unsigned names = count_names(dir);
        struct cache *c = open_dir(dir);
        assert_non_null(cache_read_only(c));
        assert_int_equal(20, count_there(c, 0, 20));
        assert_int_equal(20, stats_of(c).objects);
        assert_int_equal(0, stats_of(c).free_bytes);
        assert_status(STATUS_DENIED, put(c, 30));
        assert_ok(cache_flush(c));
        struct cache_verify_result v;
        assert_ok(cache_verify(c, NULL, &v));
        assert_int_equal(20, v.objects);
        assert_int_equal(0, v.bad);
        assert_ok(cache_close(c));
        struct errmsg e = {""};
        assert_status(STATUS_DENIED,
                      cache_open(dir, &(struct cache_options){.must_write = true}, &c, &e));
        assert_true(e.text[0]);
        assert_int_equal(names, count_names(dir));
        unmount(dir);
    }
}

static void what_is_no_cache_is_refused_where_none_can_be_made(void **state)
{
    (void)state;
    char *dir = temp_dir();
    if (mount("none", dir, "tmpfs", MS_RDONLY, "mode=700") < 0) {
        remove_dir(dir);
        skip();
    }
    struct cache *c = NULL;
    struct errmsg e = {""};
    assert_status(STATUS_DENIED, cache_open(dir, NULL, &c, &e));
    assert_true(e.text[0]);
    unmount(dir);
}

static void a_handle_that_writes_says_so(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct cache *c = open_dir(dir);
    assert_null(cache_read_only(c));
    assert_ok(cache_close(c));
    c = open_with(dir, (struct cache_options){.read_only = true});
    assert_non_null(cache_read_only(c));
    assert_ok(cache_close(c));
    remove_dir(dir);
}

/* ---- network file systems ---- */

static void network_file_systems_have_names(void **state)
{
    (void)state;
    assert_string_equal("NFS", site_network(0x6969));
    assert_string_equal("FUSE", site_network(0x65735546));
    assert_string_equal("Lustre", site_network(0x0bd00bd0));
    assert_string_equal("9p", site_network(0x01021997));
    assert_string_equal("CIFS", site_network(0xff534d42));
    static const uint32_t local[] = {0xef53 /* ext4 */,        0x58465342 /* XFS */,
                                     0x9123683e /* btrfs */,   0x01021994 /* tmpfs */,
                                     0x794c7630 /* overlay */, 0x2fc12fc1 /* ZFS */};
    for (size_t i = 0; i < ARRAY_LEN(local); i++)
        assert_null(site_network(local[i]));
}

/* ---- limits ---- */

static void limits_by_default(void **state)
{
    (void)state;
    char *dir = temp_dir();
    struct statfs fs;
    assert_int_equal(0, statfs(dir, &fs));
    uint64_t size = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    struct cache_limits l = cache_default_limits(dir);
    assert_true(l.max_bytes > 0 && l.max_bytes <= size / 4 && l.max_bytes <= 512ull << 30);
    assert_true(l.min_free_bytes > 0 && l.min_free_bytes <= size / 20);
    assert_true(l.min_free_bytes <= 8ull << 30);
    AUTO(mem_free) char *below = in_dir(dir, "not/yet/there");
    struct cache_limits same = cache_default_limits(below);
    assert_int_equal(l.max_bytes, same.max_bytes);
    assert_int_equal(l.min_free_bytes, same.min_free_bytes);
    assert_int_equal(0, count_names(dir));
    struct cache *c = NULL;
    assert_ok(cache_open(dir, NULL, &c, NULL));
    assert_int_equal(l.max_bytes, stats_of(c).max_bytes);
    assert_int_equal(l.min_free_bytes, stats_of(c).min_free_bytes);
    assert_true(stats_of(c).free_bytes <= l.max_bytes);
    assert_ok(cache_close(c));
    c = open_dir(dir);
    assert_true(stats_of(c).max_bytes == CACHE_NO_LIMIT);
    assert_ok(cache_close(c));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_nobody_elses),
        cmocka_unit_test(somebody_elses_directory_is_refused),
        cmocka_unit_test(a_user_does_not_share_with_another),
        cmocka_unit_test(somebody_elses_files_are_refused),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(links_to_good_files_are_not_followed),
        cmocka_unit_test(a_pipe_is_not_waited_for),
        cmocka_unit_test(a_lock_that_is_held_is_named),
        cmocka_unit_test(serves_from_a_read_only_file_system),
        cmocka_unit_test(what_is_no_cache_is_refused_where_none_can_be_made),
        cmocka_unit_test(a_handle_that_writes_says_so),
        cmocka_unit_test(network_file_systems_have_names),
        cmocka_unit_test(limits_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
