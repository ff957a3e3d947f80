/* Directory walks: order, kinds, links, loops, depth, failures. */
#include "test_trees.h"

/* The walk as one text: a letter per kind, the path, a blank. */
struct record {
    struct buf text;
    int stop_after; /* entries; 0: never */
    int n;
    bool entries_open;
};

static status on_entry(const struct image_entry *en, void *arg)
{
    static const char letters[IMAGE_ENTRY_KIND_COUNT] = {'f', 'd', 'l', 'o', 'e'};
    struct record *r = arg;
    const char *slash = strrchr(en->path, '/');
    struct stat sb;
    assert_string_equal(en->name, slash ? slash + 1 : en->path);
    assert_int_equal(fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(en->error != STATUS_OK, en->kind == IMAGE_ENTRY_ERROR);
    assert_int_equal(buf_addf(&r->text, "%c:%s ", letters[en->kind], en->path), STATUS_OK);
    return ++r->n == r->stop_after ? STATUS_CANCELLED : STATUS_OK;
}

static status walk(const char *root, bool follow, struct record *r)
{
    struct image_walk_opts opts = {.follow_symlinks = follow};
    struct errmsg e = {""};
    *r = (struct record){.text = BUF_INIT(1 << 20), .stop_after = r->stop_after};
    status st = image_walk(root, &opts, on_entry, r, &e);
    if (!r->text.data)
        assert_int_equal(buf_add(&r->text, "", 0), STATUS_OK);
    return st;
}

static void expect(const char *root, bool follow, const char *want)
{
    struct record r = {.stop_after = 0};
    assert_int_equal(walk(root, follow, &r), STATUS_OK);
    assert_string_equal(r.text.data, want);
    buf_done(&r.text);
}

static void test_order_is_by_bytes(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"b/",  "b/z.png",  "b/a.png", "a-b",    "a/",
                                        "a/x", "\xc3\xa9", "B",       "10",     "9",
                                        ".h",  "a.b",      "b/c/",    "b/c/d/", NULL};
    put_all(s, paths);
    expect(s->dir, false,
           "f:.h f:10 f:9 f:B d:a f:a/x f:a-b f:a.b d:b f:b/a.png d:b/c d:b/c/d f:b/z.png "
           "f:\xc3\xa9 ");
}

static void test_empty_and_default_options(void **state)
{
    struct scratch *s = *state;
    struct record r = {.text = BUF_INIT(4096)};
    expect(s->dir, false, "");
    assert_int_equal(image_walk(s->dir, NULL, on_entry, &r, NULL), STATUS_OK);
    assert_int_equal(r.n, 0);
    buf_done(&r.text);
}

static void test_links_and_special_files(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"d/", "d/f", NULL};
    put_all(s, paths);
    assert_int_equal(symlink("d", in_scratch(s, "to_dir")), 0);
    assert_int_equal(symlink("d/f", in_scratch(s, "to_file")), 0);
    assert_int_equal(symlink("nowhere", in_scratch(s, "to_nowhere")), 0);
    assert_int_equal(symlink("self", in_scratch(s, "self")), 0);
    assert_int_equal(mkfifo(in_scratch(s, "fifo"), 0600), 0);
    expect(s->dir, false, "d:d f:d/f o:fifo l:self l:to_dir l:to_file l:to_nowhere ");
    expect(s->dir, true, "d:d f:d/f o:fifo l:self d:to_dir f:to_dir/f f:to_file l:to_nowhere ");
}

static void test_loops_end(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"a/", "a/b/", "a/b/x", NULL};
    put_all(s, paths);
    assert_int_equal(symlink("..", in_scratch(s, "a/b/up")), 0);
    assert_int_equal(symlink("../..", in_scratch(s, "a/b/root")), 0);
    expect(s->dir, false, "d:a d:a/b l:a/b/root l:a/b/up f:a/b/x ");
    expect(s->dir, true, "d:a d:a/b d:a/b/root e:a/b/root d:a/b/up e:a/b/up f:a/b/x ");
}

/* ---- deep trees: longer than any path that the kernel takes ---- */

enum { DEPTH = 300 };

/* DEPTH directories called by `name` below each other, and a file f in each. */
static void put_deep(struct scratch *s, const char *name)
{
    int fd = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        int below = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(below >= 0);
        close(fd);
        fd = below;
        int f = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(f >= 0);
        close(f);
    }
    close(fd);
}

/* What nftw cannot reach. */
static void remove_deep(struct scratch *s, const char *name)
{
    int fd = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), depth = 0, below;
    while ((below = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) >= 0) {
        close(fd);
        fd = below;
        depth++;
    }
    for (; depth; depth--) {
        unlinkat(fd, "f", 0);
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
        assert_int_equal(unlinkat(fd, name, AT_REMOVEDIR), 0);
    }
    close(fd);
}

struct deep {
    int dirs, files, errors, most_fds;
    size_t longest;
    const struct scratch *move; /* (optional) at the bottom d/d/d and d/d are taken out of it */
};

static int open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static status deep_entry(const struct image_entry *en, void *arg)
{
    struct deep *d = arg;
    int fds = open_fds();
    struct stat sb;
    d->dirs += en->kind == IMAGE_ENTRY_DIR;
    d->files += en->kind == IMAGE_ENTRY_FILE;
    d->errors += en->kind == IMAGE_ENTRY_ERROR;
    if (en->kind != IMAGE_ENTRY_ERROR)
        assert_int_equal(fstatat(en->dirfd, en->name, &sb, AT_SYMLINK_NOFOLLOW), 0);
    if (fds > d->most_fds)
        d->most_fds = fds;
    if (strlen(en->path) > d->longest)
        d->longest = strlen(en->path);
    if (d->move && d->dirs == DEPTH) {
        assert_int_equal(rename(in_scratch(d->move, "d/d/d"), in_scratch(d->move, "moved")), 0);
        assert_int_equal(rename(in_scratch(d->move, "d/d"), in_scratch(d->move, "gone")), 0);
        d->move = NULL;
    }
    return STATUS_OK;
}

static void test_any_depth_with_few_descriptors(void **state)
{
    struct scratch *s = *state;
    struct deep d = {0};
    char name[256];
    memset(name, 'd', 255);
    name[255] = 0;
    put_deep(s, name);
    int before = open_fds();
    assert_int_equal(image_walk(s->dir, NULL, deep_entry, &d, NULL), STATUS_OK);
    assert_int_equal(open_fds(), before);
    remove_deep(s, name);
    assert_int_equal(d.dirs, DEPTH);
    assert_int_equal(d.files, DEPTH);
    assert_int_equal(d.errors, 0);
    assert_int_equal(d.longest, DEPTH * 256 - 1 + 2);
    assert_true(d.most_fds < before + 45);
}

/* Directories whose descriptors were given up are found again from below or by names, but not one
   that is elsewhere now: d/d is an error, and its file is not seen. */
static void test_a_tree_that_is_moved_meanwhile(void **state)
{
    struct scratch *s = *state;
    struct deep d = {.move = s};
    put_deep(s, "d");
    int before = open_fds();
    assert_int_equal(image_walk(s->dir, NULL, deep_entry, &d, NULL), STATUS_OK);
    assert_int_equal(open_fds(), before);
    remove_deep(s, "d");
    assert_int_equal(rename(in_scratch(s, "moved"), in_scratch(s, "d")), 0);
    remove_deep(s, "d"); /* the rest is within nftw's reach */
    assert_int_equal(d.dirs, DEPTH);
    assert_int_equal(d.errors, 1);
    assert_int_equal(d.files, DEPTH - 1);
}

/* ---- choices of the caller ---- */

static bool follow_some(const struct image_entry *link, void *arg)
{
    (void)arg;
    assert_int_equal(link->kind, IMAGE_ENTRY_SYMLINK);
    return strcmp(link->name, "in") == 0 || strcmp(link->name, "file") == 0;
}

static status skip_some(const struct image_entry *en, void *arg)
{
    assert_int_equal(en->descend != NULL, en->kind == IMAGE_ENTRY_DIR);
    if (strcmp(en->name, "skipped") == 0)
        *en->descend = false;
    if (en->linked) {
        struct record *r = arg;
        assert_int_equal(buf_add(&r->text, "*", 1), STATUS_OK);
    }
    return on_entry(en, arg);
}

static void test_chosen_links_and_directories(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"d/", "d/f", "d/skipped/", "d/skipped/f", "e/", NULL};
    put_all(s, paths);
    assert_int_equal(symlink("../d", in_scratch(s, "e/in")), 0);
    assert_int_equal(symlink("../d", in_scratch(s, "e/out")), 0);
    assert_int_equal(symlink("../d/f", in_scratch(s, "e/file")), 0);
    assert_int_equal(symlink("../e", in_scratch(s, "d/in")), 0);
    struct record r = {.text = BUF_INIT(1 << 20)};
    const struct image_walk_opts opts = {.follow = follow_some};
    assert_int_equal(image_walk(in_scratch(s, "e"), &opts, skip_some, &r, NULL), STATUS_OK);
    /* e/in is d, and d/in would be e again. */
    assert_string_equal(r.text.data, "*f:file *d:in f:in/f *d:in/in *e:in/in d:in/skipped l:out ");
    buf_done(&r.text);
}

static void test_names_are_bytes(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"\xff\xfe/", "\xff\xfe/\n\x01", "\x80", NULL};
    put_all(s, paths);
    expect(s->dir, false, "f:\x80 d:\xff\xfe f:\xff\xfe/\n\x01 ");
}

static void test_callback_ends_the_walk(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"a/", "a/1", "a/2", "b", NULL};
    put_all(s, paths);
    for (int n = 1; n <= 4; n++) {
        struct record r = {.stop_after = n};
        assert_int_equal(walk(s->dir, false, &r), STATUS_CANCELLED);
        assert_int_equal(r.n, n);
        buf_done(&r.text);
    }
}

static void test_bad_roots(void **state)
{
    struct scratch *s = *state;
    struct record r = {.text = BUF_INIT(4096)};
    struct errmsg e = {""};
    put_file(s, "file", "", 0);
    assert_int_equal(image_walk(in_scratch(s, "none"), NULL, on_entry, &r, &e), STATUS_NOT_FOUND);
    assert_non_null(strstr(e.text, "none"));
    assert_int_not_equal(image_walk(in_scratch(s, "file"), NULL, on_entry, &r, &e), STATUS_OK);
    assert_int_equal(r.n, 0);
}

/* A directory that cannot be opened is an entry of its own, and the others are still visited. */
static void test_unreadable_directory(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"a/", "a/1", "b/", "b/2", NULL};
    struct record r = {.stop_after = 0};
    put_all(s, paths);
    fault_set(FAULT_OPEN, 2, 0, 13); /* EACCES for a; the first opening is the root's */
    assert_int_equal(walk(s->dir, false, &r), STATUS_OK);
    assert_string_equal(r.text.data, "d:a e:a d:b f:b/2 ");
    buf_done(&r.text);
}

static status ignore_entry(const struct image_entry *en, void *arg)
{
    (void)en;
    ++*(int *)arg;
    return STATUS_OK;
}

static void test_no_memory(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"a/", "a/1", "b/", "b/c/", "b/c/2", NULL};
    put_all(s, paths);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        int seen = 0;
        assert_true(n < 100);
        fault_set(FAULT_MEM, n, 0, 0);
        st = image_walk(s->dir, NULL, ignore_entry, &seen, NULL);
        if (st == STATUS_OK)
            assert_int_equal(seen, 5);
    }
    assert_int_equal(st, STATUS_OK);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_order_is_by_bytes),
        SCRATCH_TEST(test_empty_and_default_options),
        SCRATCH_TEST(test_links_and_special_files),
        SCRATCH_TEST(test_loops_end),
        SCRATCH_TEST(test_any_depth_with_few_descriptors),
        SCRATCH_TEST(test_a_tree_that_is_moved_meanwhile),
        SCRATCH_TEST(test_chosen_links_and_directories),
        SCRATCH_TEST(test_names_are_bytes),
        SCRATCH_TEST(test_callback_ends_the_walk),
        SCRATCH_TEST(test_bad_roots),
        SCRATCH_TEST(test_unreadable_directory),
        SCRATCH_TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
