/* ImageFolder trees. tests/image_clients.bats compares them with torchvision itself. */
#include "test_trees.h"

static const char *const folder[] = {"cat/",          "cat/2.png",
                                     "cat/1.JPG",     "cat/notes.txt",
                                     "cat/sub/",      "cat/sub/0.png",
                                     "cat/sub-a/",    "cat/sub-a/3.webp",
                                     "cat/sub/deep/", "cat/sub/deep/9.jpeg",
                                     "Dog/",          "Dog/x.png",
                                     "stray.png",     "ant/",
                                     "ant/a.png",     NULL};

static char *listing(const struct image_tree *t)
{
    struct buf b = BUF_INIT(1 << 20);
    for (size_t i = 0; i < t->n_files; i++)
        assert_int_equal(buf_addf(&b, "%d:%s ", t->files[i].class_index, t->files[i].path), 0);
    return b.data;
}

static void test_imagefolder_order(void **state)
{
    struct scratch *s = *state;
    struct image_tree t = IMAGE_TREE_INIT;
    struct errmsg e = {""};
    put_all(s, folder);
    if (image_tree_load(s->dir, &t, &e))
        fail_msg("%s", e.text);
    assert_string_equal(t.root, s->dir);
    assert_int_equal(t.n_classes, 3);
    assert_string_equal(t.classes[0], "Dog");
    assert_string_equal(t.classes[1], "ant");
    assert_string_equal(t.classes[2], "cat");
    char *text = listing(&t);
    assert_string_equal(text, "0:Dog/x.png 1:ant/a.png 2:cat/1.JPG 2:cat/2.png 2:cat/sub/0.png "
                              "2:cat/sub-a/3.webp 2:cat/sub/deep/9.jpeg ");
    mem_free(text);
    image_tree_done(&t);
    image_tree_done(&t); /* empty again */
}

/* Links to directories are classes and subdirectories; links to files are files. */
static void test_links(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"store/", "store/k/", "store/k/1.png",
                                        "root/",  "root/b/",  NULL};
    struct image_tree t = IMAGE_TREE_INIT;
    put_all(s, paths);
    assert_int_equal(symlink("../store/k", in_scratch(s, "root/a")), 0);
    assert_int_equal(symlink("../../store/k/1.png", in_scratch(s, "root/b/2.png")), 0);
    assert_int_equal(symlink("../../store/k", in_scratch(s, "root/b/more")), 0);
    assert_int_equal(image_tree_load(in_scratch(s, "root"), &t, NULL), STATUS_OK);
    char *text = listing(&t);
    assert_string_equal(text, "0:a/1.png 1:b/2.png 1:b/more/1.png ");
    mem_free(text);
    image_tree_done(&t);
}

static void expect_failure(const char *root, status want, const char *word)
{
    struct image_tree t = IMAGE_TREE_INIT;
    struct errmsg e = {""};
    status st = image_tree_load(root, &t, &e);
    assert_int_equal(st, want);
    if (!strstr(e.text, word))
        fail_msg("'%s' does not say '%s'", e.text, word);
    assert_null(t.root);
}

static void test_what_is_no_tree(void **state)
{
    struct scratch *s = *state;
    static const char *const paths[] = {"flat/",   "flat/1.png",    "e/", "e/full/", "e/full/1.png",
                                        "e/bare/", "e/bare/readme", NULL};
    put_all(s, paths);
    expect_failure(in_scratch(s, "none"), STATUS_NOT_FOUND, "none");
    expect_failure(in_scratch(s, "flat"), STATUS_NOT_FOUND, "no class");
    expect_failure(in_scratch(s, "e"), STATUS_NOT_FOUND, "e/bare: no images");
    assert_int_equal(symlink("..", in_scratch(s, "e/full/loop")), 0);
    expect_failure(in_scratch(s, "e"), STATUS_LIMIT, "loop");
}

/* A directory that cannot be read must not silently make the data set smaller. */
static void test_unreadable_directory(void **state)
{
    struct scratch *s = *state;
    put_all(s, folder);
    fault_set(FAULT_OPEN, 4, 0, 13);
    expect_failure(s->dir, STATUS_DENIED, "permission");
}

static void test_no_memory(void **state)
{
    struct scratch *s = *state;
    struct image_tree t = IMAGE_TREE_INIT;
    status st = STATUS_NOMEM;
    put_all(s, folder);
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        assert_true(n < 200);
        fault_set(FAULT_MEM, n, 0, 0);
        st = image_tree_load(s->dir, &t, NULL);
    }
    fault_clear();
    assert_int_equal(st, STATUS_OK);
    assert_int_equal(t.n_files, 7);
    image_tree_done(&t);
}

/* More than the arrays' first size, so that they grow. */
static void test_many(void **state)
{
    struct scratch *s = *state;
    struct image_tree t = IMAGE_TREE_INIT;
    char path[64];
    for (int c = 0; c < 70; c++) {
        snprintf(path, sizeof path, "c%02d", c);
        put_dir(s, path);
        for (int i = 0; i < 3; i++) {
            snprintf(path, sizeof path, "c%02d/%d.png", c, 2 - i);
            put_file(s, path, "", 0);
        }
    }
    assert_int_equal(image_tree_load(s->dir, &t, NULL), STATUS_OK);
    assert_int_equal(t.n_classes, 70);
    assert_int_equal(t.n_files, 210);
    for (int i = 0; i < 210; i++) {
        snprintf(path, sizeof path, "c%02d/%d.png", i / 3, i % 3);
        assert_string_equal(t.files[i].path, path);
        assert_int_equal(t.files[i].class_index, i / 3);
    }
    image_tree_done(&t);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_imagefolder_order), SCRATCH_TEST(test_links),
        SCRATCH_TEST(test_what_is_no_tree),   SCRATCH_TEST(test_unreadable_directory),
        SCRATCH_TEST(test_no_memory),         SCRATCH_TEST(test_many),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
