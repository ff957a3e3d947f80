#include "testing.h"

#include "inode.h"

#include "base/banned.h"

static struct table *t;

static int set_up(void **state)
{
    (void)state;
    assert_ok(table_new(1, 2, &t));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    table_free(t);
    return 0;
}

static struct node *look(struct node *parent, const char *name, uint64_t inode)
{
    struct node *n;
    assert_ok(table_lookup(t, parent, name, 1, inode, &n));
    return n;
}

static void assert_path(const struct node *n, const char *name, const char *want)
{
    char path[PATH_MAX];
    assert_ok(table_path(t, n, name, path));
    assert_string_equal(path, want);
}

static void paths_follow_names(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *b = look(a, "b", 11),
                *f = look(b, "f.png", 12);
    assert_path(root, NULL, ".");
    assert_path(root, "x", "x");
    assert_path(f, NULL, "a/b/f.png");
    assert_path(b, "g", "a/b/g");
    /* Renamed: the same inode is found under another name. */
    assert_ptr_equal(look(root, "c", 11), b);
    assert_path(f, NULL, "c/f.png");
    assert_int_equal(table_count(t), 4);
}

static void nodes_live_as_long_as_somebody_knows_them(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *f = look(a, "f", 11);
    look(a, "f", 11);
    table_forget(t, a, 1); /* the child still holds it */
    assert_path(f, NULL, "a/f");
    table_forget(t, f, 1);
    assert_int_equal(table_count(t), 3);
    table_ref(t, f);
    table_forget(t, f, 1);
    assert_int_equal(table_count(t), 3);
    table_unref(t, f); /* the last: parent goes, too */
    assert_int_equal(table_count(t), 1);
    assert_null(table_find(t, 1, 11));
    table_forget(t, root, 100);
    assert_int_equal(table_count(t), 1);
}

static void devices_are_told_apart(void **state)
{
    (void)state;
    struct node *root = table_root(t), *here = look(root, "a", 10), *there;
    assert_ok(table_lookup(t, root, "b", 9, 10, &there));
    assert_ptr_not_equal(here, there);
    struct node *found = table_find(t, 9, 10);
    assert_ptr_equal(found, there);
    table_unref(t, found);
}

static void a_mount_loop_is_refused(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *b = look(a, "b", 11), *n = NULL;
    assert_int_equal(table_lookup(t, b, "again", 1, 10, &n), STATUS_INVALID);
    assert_int_equal(table_lookup(t, b, "self", 1, 11, &n), STATUS_INVALID);
    assert_int_equal(table_lookup(t, b, "root", 1, 2, &n), STATUS_INVALID);
    assert_null(n);
    assert_path(b, NULL, "a/b");
}

static void paths_have_a_limit(void **state)
{
    (void)state;
    char name[201], path[PATH_MAX];
    memset(name, 'n', 200);
    name[200] = 0;
    struct node *n = table_root(t);
    for (uint64_t i = 0; i < 20; i++)
        n = look(n, name, 100 + i);
    assert_ok(table_path(t, n, NULL, path));
    assert_int_equal(strlen(path), 20 * 201 - 1);
    n = look(n, name, 200);
    assert_int_equal(table_path(t, n, NULL, path), STATUS_LIMIT);
}

static void what_is_known_is_known_of_one_version(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    const struct node_version one = {5, 1, 1}, two = {5, 1, 2};
    struct node_known known = {FUSED_IMAGE, true, 77}, got;
    assert_int_equal(table_recall(t, f, &one, &got), STATUS_NOT_FOUND);
    table_remember(t, f, &one, &known);
    assert_ok(table_recall(t, f, &one, &got));
    assert_int_equal(got.kind, FUSED_IMAGE);
    assert_int_equal(got.size, 77);
    assert_true(got.stored);
    assert_int_equal(table_recall(t, f, &two, &got), STATUS_EXISTS);
}

static void page_cache_rules(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    const struct node_version one = {5, 1, 1}, two = {6, 2, 2}, three = {7, 3, 3};
    assert_int_equal(table_open(t, f, &one), OPEN_KEEP);   /* nothing cached */
    assert_int_equal(table_open(t, f, &one), OPEN_KEEP);   /* the same */
    assert_int_equal(table_open(t, f, &two), OPEN_DIRECT); /* changed while open */
    table_close(t, f);
    assert_true(table_has_readers(t, f));
    assert_int_equal(table_open(t, f, &two), OPEN_DIRECT);
    table_close(t, f);
    assert_false(table_has_readers(t, f));
    assert_int_equal(table_open(t, f, &two), OPEN_DROP);
    assert_int_equal(table_open(t, f, &two), OPEN_DIRECT); /* until they are dropped */
    table_dropped(t, f, &two);
    assert_int_equal(table_open(t, f, &two), OPEN_KEEP);
    table_close(t, f);
    table_close(t, f);
    assert_int_equal(table_open(t, f, &three), OPEN_DROP);
    table_close(t, f);
}

/* Thousands of nodes, so that the table grows, taken away in another order. */
static void many_nodes(void **state)
{
    (void)state;
    enum { N = 20000 };
    static struct node *node[N];
    struct node *dir = look(table_root(t), "d", 5);
    for (uint64_t i = 0; i < N; i++) {
        char name[24];
        snprintf(name, sizeof name, "%u.png", (unsigned)i);
        node[i] = look(dir, name, 1000 + i);
    }
    assert_int_equal(table_count(t), N + 2);
    for (uint64_t i = 0; i < N; i++) {
        struct node *n = table_find(t, 1, 1000 + i);
        assert_ptr_equal(n, node[i]);
        table_unref(t, n);
    }
    struct node **all;
    size_t n_all;
    assert_ok(table_all(t, &all, &n_all));
    assert_int_equal(n_all, N + 2);
    for (size_t i = 0; i < n_all; i++)
        table_unref(t, all[i]);
    mem_free(all);
    table_forget(t, dir, 1);
    for (uint64_t i = 0; i < N; i++)
        table_forget(t, node[i * 7919 % N], 1);
    assert_int_equal(table_count(t), 1);
}

static void no_memory_changes_nothing(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *n = NULL;
    for (unsigned long k = 1; k <= 2; k++) {
        fault_set(FAULT_MEM, k, 0, 0);
        assert_int_equal(table_lookup(t, a, "new", 1, 50, &n), STATUS_NOMEM);
        fault_clear();
        assert_null(n);
        assert_int_equal(table_count(t), 2);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_follow_names),        TEST(nodes_live_as_long_as_somebody_knows_them),
        TEST(devices_are_told_apart),    TEST(a_mount_loop_is_refused),
        TEST(paths_have_a_limit),        TEST(what_is_known_is_known_of_one_version),
        TEST(page_cache_rules),          TEST(many_nodes),
        TEST(no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
