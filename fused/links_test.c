/* Where links lead and what is shown for them. A text that is shown for a link within the source
   has to lead to the same file without leaving the source. */
#include "testing.h"

#include "beneath.h"
#include "links.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/banned.h"

/* box/src is the source; box/out lies beside it. */
struct box {
    char *dir, src[256];
    int root;
};

static const char *at(const struct box *b, const char *fmt, const char *name)
{
    static char text[4][1024];
    static int i;
    char *out = text[i++ % 4];
    snprintf(out, sizeof text[0], fmt, b->dir, name);
    return out;
}
#define IN(b, name) at(b, "%s/src/%s", name)
#define OUT(b, name) at(b, "%s/%s", name)

static int box_new(void **state)
{
    static struct box b;
    b.dir = test_dir_new();
    snprintf(b.src, sizeof b.src, "%s/src", b.dir);
    static const char *const dirs[] = {"src", "src/a", "src/a/b", "src/c", "out", "src2"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdir(OUT(&b, dirs[i]), 0755), 0);
    test_write(b.dir, "src/a/b/f", "in", 2);
    test_write(b.dir, "src/c/\xff\n", "in", 2);
    test_write(b.dir, "out/f", "out", 3);
    test_write(b.dir, "src2/f", "out", 3);
    b.root = open(b.src, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(b.root >= 0);
    *state = &b;
    return 0;
}

static int box_free(void **state)
{
    struct box *b = *state;
    close(b->root);
    test_dir_free(b->dir);
    return 0;
}

static void put_link(const struct box *b, const char *text, const char *path)
{
    unlink(IN(b, path));
    assert_int_equal(symlink(text, IN(b, path)), 0);
}

static void leads_to_the_same(const struct box *b, const char *path, const char *text)
{
    struct stat before, after;
    assert_int_equal(fstatat(b->root, path, &before, 0), 0);
    put_link(b, text, path);
    AUTO(fd_close) int fd = -1;
    assert_int_equal(beneath_open_following(b->root, path, O_RDONLY, &fd), 0);
    assert_int_equal(fstat(fd, &after), 0);
    assert_true(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
}

/* want_text NULL: the link's own. */
static void expect(const struct box *b, const char *text, const char *path, enum link_fate want,
                   const char *want_text)
{
    char got[PATH_MAX] = "";
    enum link_fate fate = LINK_DANGLING;
    put_link(b, text, path);
    for (int fallback = 0; fallback < 2; fallback++) {
        beneath_force_fallback(fallback);
        assert_ok(link_resolve(b->root, path, &fate, got));
        beneath_force_fallback(0);
        if (fate != want || strcmp(got, want_text ? want_text : text) != 0)
            fail_msg("%s -> %s: fate %d, shown as %s; wanted %d, %s", path, text, (int)fate, got,
                     (int)want, want_text ? want_text : text);
    }
    if (want == LINK_AS_IS || want == LINK_REWRITTEN)
        leads_to_the_same(b, path, got);
}

static void links_within(void **state)
{
    struct box *b = *state;
    expect(b, "f", "a/b/l", LINK_AS_IS, NULL);
    expect(b, "../b/f", "a/b/l", LINK_AS_IS, NULL);
    expect(b, "../../a/b", "a/b/l", LINK_AS_IS, NULL);
    expect(b, "a//b/./f", "l", LINK_AS_IS, NULL);
    expect(b, ".", "l", LINK_AS_IS, NULL);
    expect(b, "..", "a/l", LINK_AS_IS, NULL);
    expect(b, "../..", "a/b/l", LINK_AS_IS, NULL);
    expect(b, "b", "a/m", LINK_AS_IS, NULL);
    expect(b, "a/m/f", "l", LINK_AS_IS, NULL); /* through another link */
    expect(b, "c/\xff\n", "l", LINK_AS_IS, NULL);
}

static void absolute_links_into_the_source_are_rewritten(void **state)
{
    struct box *b = *state;
    expect(b, IN(b, "a/b/f"), "l", LINK_REWRITTEN, "a/b/f");
    expect(b, IN(b, "a/b/f"), "a/l", LINK_REWRITTEN, "b/f");
    expect(b, IN(b, "a/b/f"), "c/l", LINK_REWRITTEN, "../a/b/f");
    expect(b, IN(b, "a/b"), "a/b/l", LINK_REWRITTEN, ".");
    expect(b, IN(b, "a"), "a/b/l", LINK_REWRITTEN, "..");
    expect(b, b->src, "a/b/l", LINK_REWRITTEN, "../..");
    expect(b, b->src, "l", LINK_REWRITTEN, ".");
    expect(b, IN(b, "/"), "l", LINK_REWRITTEN, ".");
    expect(b, IN(b, "a/b/"), "c/l", LINK_REWRITTEN, "../a/b");
    expect(b, IN(b, "c/\xff\n"), "a/l", LINK_REWRITTEN, "../c/\xff\n");
    expect(b, "../src/a/b/f", "l", LINK_REWRITTEN, "a/b/f");
    expect(b, "../../out/../src/c", "a/l", LINK_REWRITTEN, "../c");
    /* Directories that share the beginnings of their names. */
    assert_int_equal(mkdir(IN(b, "aa"), 0755), 0);
    expect(b, IN(b, "a/b/f"), "aa/l", LINK_REWRITTEN, "../a/b/f");
    expect(b, IN(b, "aa"), "a/b/l", LINK_REWRITTEN, "../../aa");
}

static void links_through_links_end_where_the_kernel_ends(void **state)
{
    struct box *b = *state;
    assert_int_equal(symlink(b->src, OUT(b, "back")), 0);
    assert_int_equal(symlink("src/a", OUT(b, "deep")), 0);
    expect(b, OUT(b, "back/a/b/f"), "l", LINK_REWRITTEN, "a/b/f");
    expect(b, "../deep/b/f", "l", LINK_REWRITTEN, "a/b/f");
    expect(b, "../back", "l", LINK_REWRITTEN, ".");
    expect(b, IN(b, "a/b"), "c/abs", LINK_REWRITTEN, "../a/b");
    put_link(b, IN(b, "a/b"), "c/abs");
    expect(b, "c/abs/f", "l", LINK_REWRITTEN, "a/b/f");
    expect(b, OUT(b, "deep/../../out/f"), "l", LINK_OUTSIDE, NULL);
    put_link(b, "../../out", "a/o");
    expect(b, "a/o/f", "l", LINK_OUTSIDE, NULL);
}

static void links_that_leave(void **state)
{
    struct box *b = *state;
    expect(b, OUT(b, "out/f"), "l", LINK_OUTSIDE, NULL);
    expect(b, "../out/f", "l", LINK_OUTSIDE, NULL);
    expect(b, "../src2/f", "l", LINK_OUTSIDE, NULL); /* a name that begins like the source's */
    expect(b, OUT(b, "src2"), "l", LINK_OUTSIDE, NULL);
    expect(b, "..", "l", LINK_OUTSIDE, NULL);
    expect(b, "/", "l", LINK_OUTSIDE, NULL);
    expect(b, "/proc/self/cwd", "l", LINK_OUTSIDE, NULL);
    expect(b, "/dev/null", "l", LINK_OUTSIDE, NULL);
    char fd[64];
    snprintf(fd, sizeof fd, "/proc/self/fd/%d", b->root);
    expect(b, fd, "l", LINK_OUTSIDE, NULL); /* another file in another process */
}

static void links_to_nothing(void **state)
{
    struct box *b = *state;
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    expect(b, "none", "l", LINK_DANGLING, NULL);
    expect(b, IN(b, "none/x"), "l", LINK_DANGLING, NULL);
    expect(b, "../none", "l", LINK_DANGLING, NULL);
    expect(b, "a/b/f/", "l", LINK_DANGLING, NULL); /* not a directory */
    expect(b, "a/b/f/..", "l", LINK_DANGLING, NULL);
    expect(b, "l", "l", LINK_DANGLING, NULL);
    put_link(b, "l2", "l1");
    expect(b, "l1", "l2", LINK_DANGLING, NULL);
    expect(b, name, "l", LINK_DANGLING, NULL);
}

static void no_link(void **state)
{
    struct box *b = *state;
    char text[PATH_MAX];
    enum link_fate fate;
    assert_int_equal(link_resolve(b->root, "none", &fate, text), STATUS_NOT_FOUND);
    assert_int_equal(link_resolve(b->root, "a/b/f", &fate, text), STATUS_INVALID);
    assert_int_equal(link_resolve(b->root, "none/x", &fate, text), STATUS_NOT_FOUND);
    put_link(b, "b", "a/in");
    assert_int_not_equal(link_resolve(b->root, "a/in/f", &fate, text), STATUS_OK);
}

/* Deeper than a path can be: the same answers through the directory's descriptor. */
static void below_any_depth(void **state)
{
    struct box *b = *state;
    struct buf path = BUF_INIT(1 << 16);
    char name[201];
    memset(name, 'd', 200);
    name[200] = 0;
    int fd = openat(b->root, "a", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_ok(buf_add(&path, "a/", 2));
    for (int i = 0; i < 30; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        int below = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = below;
        assert_ok(buf_addf(&path, "%s/", name));
    }
    assert_ok(buf_add(&path, "l", 1));
    enum link_fate fate;
    char text[PATH_MAX];
    assert_int_equal(symlinkat("../" /* the directory above */, fd, "l"), 0);
    assert_ok(link_resolve_at(b->root, fd, path.data, &fate, text));
    assert_int_equal(fate, LINK_AS_IS);
    unlinkat(fd, "l", 0);
    assert_int_equal(symlinkat(IN(b, "c"), fd, "l"), 0);
    assert_ok(link_resolve_at(b->root, fd, path.data, &fate, text));
    assert_int_equal(fate, LINK_REWRITTEN);
    assert_int_equal(strlen(text), 31 * 3 + 1);
    unlinkat(fd, "l", 0);
    for (int i = 0; i < 30; i++) { /* nftw goes no deeper than a path does */
        int above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = above;
        assert_int_equal(unlinkat(fd, name, AT_REMOVEDIR), 0);
    }
    close(fd);
    buf_done(&path);
}

/* Bind mounts need a namespace of our own, which not every machine lets us have. */
static void bind_mounts_of_the_source_are_the_source(void **state)
{
    struct box *b = *state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(b->src, OUT(b, "out"), NULL, MS_BIND, NULL) < 0)
        skip();
    close(b->root);
    b->root = open(b->src, O_PATH | O_DIRECTORY | O_CLOEXEC);
    expect(b, OUT(b, "out/a/b/f"), "l", LINK_REWRITTEN, "a/b/f");
    /* A file system below the source is part of it. */
    if (mount("none", IN(b, "c"), "tmpfs", 0, NULL) == 0) {
        test_write(b->dir, "src/c/f", "x", 1);
        expect(b, "c/f", "l", LINK_AS_IS, NULL);
        expect(b, IN(b, "c/f"), "a/l", LINK_REWRITTEN, "../c/f");
        expect(b, "../a/b/f", "c/l", LINK_AS_IS, NULL);
        umount(IN(b, "c"));
    }
    umount(OUT(b, "out"));
}

#define BOX_TEST(f) cmocka_unit_test_setup_teardown(f, box_new, box_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(links_within),
        BOX_TEST(absolute_links_into_the_source_are_rewritten),
        BOX_TEST(links_through_links_end_where_the_kernel_ends),
        BOX_TEST(links_that_leave),
        BOX_TEST(links_to_nothing),
        BOX_TEST(no_link),
        BOX_TEST(below_any_depth),
        BOX_TEST(bind_mounts_of_the_source_are_the_source),
    };
    return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
