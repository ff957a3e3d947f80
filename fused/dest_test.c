/* Writing below a directory: whatever stands or is put there, nothing outside is written to. */
#include "testing.h"

#include "dest.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/banned.h"

/* box/dst is written to; box/out must stay as it is. */
struct box {
    char *dir;
    struct dest *dest;
    struct dest_dir *root;
};

static const struct stat like_file = {.st_mode = S_IFREG | 07644, .st_mtim = {1000, 7}};
static const struct stat like_dir = {.st_mode = S_IFDIR | 07551, .st_mtim = {2000, 9}};

static const char *at(const struct box *b, const char *name)
{
    static char text[4][1024];
    static int i;
    char *out = text[i++ % 4];
    snprintf(out, sizeof text[0], "%s/%s", b->dir, name);
    return out;
}

static int box_new(void **state)
{
    static struct box b;
    b.dir = test_dir_new();
    assert_int_equal(mkdir(at(&b, "dst"), 0755), 0);
    assert_int_equal(mkdir(at(&b, "out"), 0755), 0);
    test_write(b.dir, "out/f", "outside", 7);
    int fd = open(at(&b, "dst"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_ok(dest_new(fd, &b.dest, &b.root));
    *state = &b;
    return 0;
}

static void box_close(struct box *b)
{
    dest_unref(b->root);
    dest_free(b->dest);
    b->dest = NULL;
}

static int box_free(void **state)
{
    struct box *b = *state;
    if (b->dest)
        box_close(b);
    chmod(at(b, "dst/a"), 0755);
    test_dir_free(b->dir);
    return 0;
}

static void outside_is_untouched(const struct box *b)
{
    struct stat sb;
    char text[16] = "";
    int fd = open(at(b, "out/f"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 7);
    assert_int_equal(fstat(fd, &sb), 0);
    close(fd);
    assert_string_equal(text, "outside");
    assert_int_equal(sb.st_mode & 07777, 0644);
    assert_true(sb.st_mtim.tv_sec > 100000);
    assert_int_equal(stat(at(b, "out"), &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0755);
    assert_true(sb.st_mtim.tv_sec > 100000);
    assert_int_equal(sb.st_nlink, 2);
    assert_int_equal(access(at(b, "out/new"), F_OK), -1);
}

static status put(struct dest_dir *d, const char *name, const char *text)
{
    struct dest_file f;
    status st = dest_file_begin(d, name, &f);
    if (st)
        return st;
    assert_ok(io_write(f.fd, text, strlen(text)));
    return dest_file_end(d, name, &f, &like_file);
}

static void expect_file(const struct box *b, const char *path, const char *want)
{
    struct stat sb;
    char text[64] = "";
    assert_int_equal(lstat(at(b, path), &sb), 0);
    assert_true(S_ISREG(sb.st_mode));
    assert_int_equal(sb.st_mode & 07777, 0644); /* no 07000 */
    assert_int_equal(sb.st_mtim.tv_sec, 1000);
    assert_int_equal(sb.st_mtim.tv_nsec, 7);
    int fd = open(at(b, path), O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, want);
}

static void files_and_directories(void **state)
{
    struct box *b = *state;
    struct dest_dir *a, *c;
    struct stat sb;
    assert_ok(dest_mkdir(b->root, "a", &a));
    dest_like(a, &like_dir);
    assert_ok(dest_mkdir(a, "c", &c));
    dest_unref(a); /* lives on for c */
    assert_int_equal(stat(at(b, "dst/a"), &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0700); /* while it is being filled */
    assert_ok(put(c, "f", "one"));
    assert_ok(put(c, "f", "two")); /* again */
    assert_ok(dest_symlink(c, "l", "f", &like_file));
    assert_ok(dest_symlink(c, "l", "nowhere", &like_file));
    expect_file(b, "dst/a/c/f", "two");
    char text[16] = "";
    assert_int_equal(readlink(at(b, "dst/a/c/l"), text, sizeof text), 7);
    dest_unref(c);
    assert_int_equal(stat(at(b, "dst/a"), &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0551);
    assert_int_equal(sb.st_mtim.tv_sec, 2000);
    /* A second run finds a directory that may not be written to. */
    assert_ok(dest_mkdir(b->root, "a", &a));
    assert_ok(put(a, "g", "three"));
    expect_file(b, "dst/a/g", "three");
    dest_like(a, &like_dir);
    dest_unref(a);
    assert_int_equal(stat(at(b, "dst/a"), &sb), 0);
    assert_int_equal(sb.st_mode & 07777, 0551);
}

static void a_dropped_file_leaves_nothing(void **state)
{
    struct box *b = *state;
    struct dest_file f;
    assert_ok(dest_file_begin(b->root, "f", &f));
    dest_file_drop(b->root, &f);
    fault_set(FAULT_RENAME, 1, 0, 0);
    assert_int_not_equal(put(b->root, "f", "x"), STATUS_OK);
    fault_clear();
    assert_int_equal(rmdir(at(b, "dst")), 0);
    assert_int_equal(mkdir(at(b, "dst"), 0755), 0);
}

/* ---- what is planted ---- */

static void planted_links_are_replaced_or_refused(void **state)
{
    struct box *b = *state;
    struct dest_dir *d = NULL;
    assert_int_equal(symlink("../out/f", at(b, "dst/f")), 0);
    assert_int_equal(symlink("../out/new", at(b, "dst/new")), 0);
    assert_int_equal(symlink("../out", at(b, "dst/d")), 0);
    assert_ok(put(b->root, "f", "inside"));
    assert_ok(put(b->root, "new", "inside"));
    expect_file(b, "dst/f", "inside");
    expect_file(b, "dst/new", "inside");
    assert_int_equal(dest_mkdir(b->root, "d", &d), STATUS_EXISTS);
    outside_is_untouched(b);
    assert_int_equal(mkdir(at(b, "dst/e"), 0755), 0);
    assert_int_not_equal(put(b->root, "e", "x"), STATUS_OK); /* a directory is in the way */
    assert_int_equal(dest_mkdir(b->root, "f", &d), STATUS_EXISTS);
}

/* The name under which a file is written first is no secret. */
static void planted_names_beside_are_not_opened(void **state)
{
    struct box *b = *state;
    struct dest_file f;
    char temp[128];
    assert_ok(dest_file_begin(b->root, "f", &f));
    snprintf(temp, sizeof temp, "dst/%s", f.temp_name);
    dest_file_drop(b->root, &f);
    assert_int_equal(symlink("../out/f", at(b, temp)), 0);
    assert_ok(put(b->root, "f", "inside"));
    assert_int_equal(link(at(b, "out/f"), at(b, temp)), 0);
    assert_ok(put(b->root, "f", "inside"));
    assert_int_equal(mkfifo(at(b, temp), 0600), 0); /* must not be waited for */
    assert_ok(put(b->root, "f", "inside"));
    assert_int_equal(mkdir(at(b, temp), 0755), 0);
    assert_int_not_equal(put(b->root, "f", "x"), STATUS_OK);
    assert_int_equal(rmdir(at(b, temp)), 0);
    expect_file(b, "dst/f", "inside");
    outside_is_untouched(b);
}

static void an_exchanged_directory_is_noticed(void **state)
{
    struct box *b = *state;
    struct dest_dir *d[DEST_OPEN_MAX + 8], *deep;
    char name[16];
    assert_ok(dest_mkdir(b->root, "a", &d[0]));
    assert_ok(dest_mkdir(d[0], "deep", &deep));
    dest_like(deep, &like_dir);
    dest_like(d[0], &like_dir);
    for (size_t i = 1; i < ARRAY_LEN(d); i++) { /* so that a and a/deep lose their descriptors */
        snprintf(name, sizeof name, "%zu", i);
        assert_ok(dest_mkdir(b->root, name, &d[i]));
    }
    assert_int_equal(rename(at(b, "dst/a"), at(b, "moved")), 0);
    assert_int_equal(symlink("../out", at(b, "dst/a")), 0);
    assert_int_equal(mkdir(at(b, "out/deep"), 0755), 0);
    assert_int_equal(put(deep, "new", "x"), STATUS_AGAIN);
    assert_int_equal(put(d[0], "new", "x"), STATUS_AGAIN);
    assert_int_equal(unlink(at(b, "dst/a")), 0);
    assert_int_equal(mkdir(at(b, "dst/a"), 0755), 0); /* another directory of that name */
    assert_int_equal(mkdir(at(b, "dst/a/deep"), 0755), 0);
    assert_int_equal(put(deep, "new", "x"), STATUS_AGAIN);
    dest_unref(deep);
    for (size_t i = 0; i < ARRAY_LEN(d); i++)
        dest_unref(d[i]);
    struct stat sb;
    assert_int_equal(stat(at(b, "dst/a/deep"), &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0755); /* it is not ours */
    assert_int_equal(rmdir(at(b, "out/deep")), 0);
    assert_int_equal(access(at(b, "out/new"), F_OK), -1);
}

/* ---- the same while somebody exchanges directories and links all the time ---- */

struct race {
    char dir[256];
    atomic_bool stop;
    unsigned long swaps;
};

static void *swap_all_the_time(void *arg)
{
    struct race *r = arg;
    char a[300], temp[300];
    snprintf(a, sizeof a, "%s/dst/a", r->dir);
    snprintf(temp, sizeof temp, "%s/aside", r->dir);
    symlink("../out", temp);
    while (!atomic_load(&r->stop))
        r->swaps += renameat2(AT_FDCWD, a, AT_FDCWD, temp, RENAME_EXCHANGE) == 0;
    return NULL;
}

static void directories_are_swapped_with_links(void **state)
{
    struct box *b = *state;
    struct race r = {.swaps = 0};
    pthread_t thread;
    unsigned written = 0, refused = 0;
    snprintf(r.dir, sizeof r.dir, "%s", b->dir);
    assert_int_equal(mkdir(at(b, "dst/a"), 0755), 0);
    assert_int_equal(pthread_create(&thread, NULL, swap_all_the_time, &r), 0);
    for (int i = 0; i < 4000 || (!written && i < 1000000); i++) {
        struct dest_dir *d;
        if (dest_mkdir(b->root, "a", &d)) {
            refused++;
            continue;
        }
        dest_like(d, &like_dir);
        status st = put(d, "new", "inside");
        written += !st;
        refused += st != STATUS_OK;
        dest_unref(d);
    }
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    outside_is_untouched(b);
    assert_true(r.swaps > 0);
    assert_true(written > 0);
    (void)refused; /* as luck has it */
    unlink(at(b, "aside"));
}

static void any_depth(void **state)
{
    struct box *b = *state;
    enum { DEPTH = 300 };
    char name[201];
    memset(name, 'd', 200);
    name[200] = 0;
    struct dest_dir *d = dest_ref(b->root);
    for (int i = 0; i < DEPTH; i++) {
        struct dest_dir *below;
        assert_ok(dest_mkdir(d, name, &below));
        dest_unref(d);
        d = below;
    }
    assert_ok(put(d, "f", "deep"));
    dest_unref(d);
    int fd = open(at(b, "dst"), O_PATH | O_DIRECTORY | O_CLOEXEC), n = 0, below;
    while ((below = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0) {
        close(fd);
        fd = below;
        n++;
    }
    assert_int_equal(n, DEPTH);
    assert_int_equal(faccessat(fd, "f", F_OK, 0), 0);
    for (; n; n--) { /* nftw goes no deeper than a path does */
        unlinkat(fd, "f", 0);
        int above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = above;
        assert_int_equal(unlinkat(fd, name, AT_REMOVEDIR), 0);
    }
    close(fd);
}

#define BOX_TEST(f) cmocka_unit_test_setup_teardown(f, box_new, box_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(files_and_directories),
        BOX_TEST(a_dropped_file_leaves_nothing),
        BOX_TEST(planted_links_are_replaced_or_refused),
        BOX_TEST(planted_names_beside_are_not_opened),
        BOX_TEST(an_exchanged_directory_is_noticed),
        BOX_TEST(directories_are_swapped_with_links),
        BOX_TEST(any_depth),
    };
    return cmocka_run_group_tests_name("dest", tests, NULL, NULL);
}
