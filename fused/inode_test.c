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
    assert_ok(table_lookup(t, parent, name, 1, inode, false, &n));
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
    assert_null(table_find(t, 1, 11, ""));
    table_forget(t, root, 100);
    assert_int_equal(table_count(t), 1);
}

static void devices_are_told_apart(void **state)
{
    (void)state;
    struct node *root = table_root(t), *here = look(root, "a", 10), *there;
    assert_ok(table_lookup(t, root, "b", 9, 10, false, &there));
    assert_ptr_not_equal(here, there);
    struct node *found = table_find(t, 9, 10, "b");
    assert_ptr_equal(found, there);
    table_unref(t, found);
}

static void a_mount_loop_is_refused(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *b = look(a, "b", 11), *n = NULL;
    assert_int_equal(table_lookup(t, b, "again", 1, 10, false, &n), STATUS_INVALID);
    assert_int_equal(table_lookup(t, b, "self", 1, 11, false, &n), STATUS_INVALID);
    assert_int_equal(table_lookup(t, b, "root", 1, 2, false, &n), STATUS_INVALID);
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

static void one_number_may_be_two_files(void **state)
{
    (void)state;
    struct node *root = table_root(t), *a = look(root, "a", 10), *b, *again;
    char path[PATH_MAX];
    assert_false(table_elsewhere(t, root, "a", 1, 10, path));
    assert_true(table_elsewhere(t, root, "b", 1, 10, path));
    assert_string_equal(path, "a");
    assert_ok(table_lookup(t, root, "b", 1, 10, true, &b));
    assert_ptr_not_equal(a, b);
    assert_false(table_elsewhere(t, root, "b", 1, 10, path));
    for (int round = 0; round < 2; round++) { /* whichever comes first in the table */
        assert_ok(table_lookup(t, root, "a", 1, 10, round, &again));
        assert_ptr_equal(again, a);
        assert_ok(table_lookup(t, root, "b", 1, 10, round, &again));
        assert_ptr_equal(again, b);
    }
    const char *const places[] = {"a", "b"};
    struct node *const nodes[] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct node *found = table_find(t, 1, 10, places[i]);
        assert_ptr_equal(found, nodes[i]);
        table_unref(t, found);
    }
    table_forget(t, a, 3);
    assert_path(b, NULL, "b");
    assert_int_equal(table_count(t), 2);
}

static const struct node_version one = {5, 1, 1}, two = {5, 1, 2}, three = {7, 3, 3};

static void what_is_known_is_known_of_one_version(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    const struct node_known read = {.group = FUSED_GROUP_IMAGE,
                                    .stored = true,
                                    .has_source = true,
                                    .size = 77,
                                    .source = {{3}}},
                            seen = {.group = FUSED_GROUP_IMAGE, .size = 77};
    struct node_known got;
    assert_int_equal(table_recall(t, f, &one, &got), STATUS_NOT_FOUND);
    table_remember(t, f, &one, &seen);
    assert_ok(table_recall(t, f, &one, &got));
    assert_false(got.stored);
    table_remember(t, f, &one, &read);
    table_remember(t, f, &one, &seen); /* a later stat does not make it forget */
    assert_ok(table_recall(t, f, &one, &got));
    assert_int_equal(got.group, FUSED_GROUP_IMAGE);
    assert_int_equal(got.size, 77);
    assert_true(got.stored);
    assert_memory_equal(&got.source, &read.source, sizeof got.source);
    assert_int_equal(table_recall(t, f, &two, &got), STATUS_EXISTS);
    table_remember(t, f, &two, &seen);
    assert_ok(table_recall(t, f, &two, &got));
    assert_false(got.has_source);
    /* What was judged too soon after a change is judged again, and is no other version. */
    struct node_known soon = read;
    soon.unsettled = true;
    table_remember(t, f, &three, &soon);
    assert_int_equal(table_recall(t, f, &three, &got), STATUS_NOT_FOUND);
    uint32_t number = table_stale(t, f, &three);
    table_remember(t, f, &three, &seen);
    assert_int_equal(table_stale(t, f, &three), number);
    assert_ok(table_recall(t, f, &three, &got));
    assert_false(got.has_source);
}

/* From the moment anybody saw another version until a notice sent after it is through, the kernel
   may believe the old size, whoever saw it. */
static void what_the_kernel_believes_is_a_thing_of_its_own(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    const struct node_known known = {.group = FUSED_GROUP_IMAGE, .size = 77};
    assert_int_equal(table_stale(t, f, &one), 0); /* nothing was ever told */
    table_remember(t, f, &one, &known);
    assert_int_equal(table_stale(t, f, &one), 0);
    uint32_t seen = table_stale(t, f, &two);
    assert_int_not_equal(seen, 0);
    table_remember(t, f, &two, &known); /* by a getxattr, say */
    assert_int_equal(table_stale(t, f, &two), seen);
    uint32_t later = table_stale(t, f, &three);
    assert_true(later > seen);
    table_remember(t, f, &three, &known);
    table_told(t, f, seen);
    assert_int_equal(table_stale(t, f, &three), later); /* that notice was sent too early */
    table_told(t, f, later);
    table_told(t, f, seen);
    assert_int_equal(table_stale(t, f, &three), 0);
    assert_int_not_equal(table_stale(t, f, &one), 0); /* back again is a change, too */
}

static struct node_content content(uint8_t n, bool original)
{
    return (struct node_content){.by_version = original, .digest = {{n}}};
}

static void page_cache_rules(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    struct node_content a = content(1, false), b = content(2, false), c = content(3, false);
    assert_int_equal(table_open(t, f, &a), OPEN_KEEP);   /* nothing cached */
    assert_int_equal(table_open(t, f, &a), OPEN_KEEP);   /* the same */
    assert_int_equal(table_open(t, f, &b), OPEN_DIRECT); /* changed while open */
    table_close(t, f);
    assert_true(table_has_readers(t, f));
    assert_int_equal(table_open(t, f, &b), OPEN_DIRECT);
    table_close(t, f);
    assert_false(table_has_readers(t, f));
    assert_int_equal(table_open(t, f, &b), OPEN_DROP);
    assert_int_equal(table_open(t, f, &b), OPEN_DROP);   /* the same are being dropped */
    assert_int_equal(table_open(t, f, &a), OPEN_DIRECT); /* until they are */
    table_dropped(t, f, &b);
    assert_int_equal(table_open(t, f, &b), OPEN_DROP);
    table_dropped(t, f, &b);
    table_dropped(t, f, &b);
    assert_int_equal(table_open(t, f, &b), OPEN_KEEP);
    for (int i = 0; i < 4; i++)
        table_close(t, f);
    assert_int_equal(table_open(t, f, &c), OPEN_DROP);
    table_dropped(t, f, &c);
    /* What is served byte for byte changes under its readers. */
    struct node_content d = content(3, true), e = content(4, true);
    assert_int_equal(table_open(t, f, &d), OPEN_DROP);
    table_dropped(t, f, &d);
    assert_int_equal(table_open(t, f, &e), OPEN_DROP);
    table_dropped(t, f, &e);
    for (int i = 0; i < 3; i++)
        table_close(t, f);
    assert_false(table_has_readers(t, f));
}

static void without_memory_an_open_file_bypasses_the_page_cache(void **state)
{
    (void)state;
    struct node *f = look(table_root(t), "f", 10);
    struct node_content a = content(1, false);
    fault_set(FAULT_MEM, 1, 0, 0);
    assert_int_equal(table_open(t, f, &a), OPEN_DIRECT);
    fault_clear();
    assert_false(table_has_readers(t, f));
    assert_int_equal(table_open(t, f, &a), OPEN_KEEP);
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
        struct node *n = table_find(t, 1, 1000 + i, "");
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
        assert_int_equal(table_lookup(t, a, "new", 1, 50, false, &n), STATUS_NOMEM);
        fault_clear();
        assert_null(n);
        assert_int_equal(table_count(t), 2);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_follow_names),
        TEST(nodes_live_as_long_as_somebody_knows_them),
        TEST(devices_are_told_apart),
        TEST(a_mount_loop_is_refused),
        TEST(paths_have_a_limit),
        TEST(what_is_known_is_known_of_one_version),
        TEST(page_cache_rules),
        TEST(many_nodes),
        TEST(no_memory_changes_nothing),
        TEST(one_number_may_be_two_files),
        TEST(what_the_kernel_believes_is_a_thing_of_its_own),
        TEST(without_memory_an_open_file_bypasses_the_page_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
