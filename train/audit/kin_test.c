/* Of which family small sets are told to be, by the shipped restorer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/kin.h"
#include "base/seam.h"
#include "protect/fixture.h"

#include <string.h>

enum { SIDE = 24, CLASSES = 6, EACH = 10 };

/* A disc on a slope, under faint noise. */
static void draw(int k, int i, int side, uint8_t *pixels)
{
    struct nn_rng r = nn_rng(12, (uint64_t)(k * 1000 + i));
    int cx = stream_below(nn_rng_u32(r, 0), side), cy = stream_below(nn_rng_u32(r, 1), side);
    int slope = stream_below(nn_rng_u32(r, 2), 5) - 2, size = 4 + stream_below(nn_rng_u32(r, 3), 4);
    for (int p = 0; p < side * side; p++) {
        int x = p % side, y = p / side, dx = x - cx, dy = y - cy;
        bool in = dx * dx + dy * dy < size * size;
        for (int c = 0; c < 3; c++) {
            int v = 90 + slope * x + (in ? 100 : 0) + (c == k % 3 ? 10 * k : 0);
            pixels[p * 3 + c] =
                (uint8_t)(v + stream_below(nn_rng_u32(r, (uint64_t)(9 + p * 3 + c)), 5) - 2);
        }
    }
}

static void make_tree(const char *dir, int classes, int each, int side)
{
    char name[64];
    toy_mkdir(dir);
    for (int k = 0; k < classes; k++) {
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < each; i++) {
            uint8_t pixels[SIDE * SIDE * 3];
            draw(k, i, side, pixels);
            snprintf(name, sizeof name, "%s/%c/%03d.png", dir, 'a' + k, i);
            toy_image(name, side, side, 3, pixels);
        }
    }
}

/* The build's own data: BUILD/share/relearnfs of BUILD/train/audit/kin_test. */
static int make_data(void **state)
{
    char exe[4096], data[4200];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0 || toy_setup(state))
        return -1;
    exe[n] = 0;
    for (int up = 0; up < 3; up++)
        *strrchr(exe, '/') = 0;
    snprintf(data, sizeof data, "%s/share/relearnfs", exe);
    setenv("RELEARN_DATA_DIR", data, 0);
    make_tree("src", CLASSES, EACH, SIDE);
    make_tree("few", 2, 8, 8);
    return 0;
}

static status tell(const char *dir, int side, uint64_t seed, struct train_audit_family *out,
                   struct errmsg *e)
{
    const struct train_data_options data = {.dir = toy_path(dir), .threads = 1};
    const struct kin_options o = {
        .frame = {side, side, 3}, .seed = seed, .threads = 1, .quiet = true};
    AUTO(train_set_free) struct train_set *set = NULL;
    status st = train_set_open(&data, &set, e);
    return st ? st : kin_tell(set, &o, out, e);
}

static struct train_audit_family tell_ok(const char *dir, uint64_t seed)
{
    struct train_audit_family f;
    struct errmsg e = {""};
    toy_good(tell(dir, SIDE, seed, &f, &e), &e);
    assert_int_equal(f.groups, CLASSES);
    assert_int_equal(f.images, EACH);
    return f;
}

static void known_families_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *method, *key, *value;
    } kind[] = {{"lsp", "patch", "4"}, {"ar", NULL, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
        struct train_protect_options o = options(kind[i].method, "src", kind[i].method);
        char like[16] = "";
        if (kind[i].key)
            set(&o, kind[i].key, kind[i].value);
        protect_ok(o);
        struct train_audit_family f = tell_ok(kind[i].method, 1);
        for (size_t c = 0; kind[i].method[c]; c++)
            like[c] = (char)(kind[i].method[c] - 'a' + 'A');
        if (f.kin != TRAIN_AUDIT_KIN_TOLD || strcmp(f.vote[0].like, like) != 0)
            fail_msg("%s: %s, %g for %s", like, train_audit_kins[f.kin], f.share,
                     f.vote[0].told ? f.vote[0].told : "nothing known");
    }
}

static void what_carries_nothing_is_of_none(void **state)
{
    (void)state;
    struct train_audit_family f = tell_ok("src", 1);
    for (int i = 0; i < f.n; i++)
        if (f.vote[i].like && f.vote[i].share >= TRAIN_AUDIT_KIN_SURE)
            fail_msg("%g for %s", f.vote[i].share, f.vote[i].told);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    struct train_audit_family a, b;
    struct errmsg e = {""};
    toy_good(tell("few", 8, 1, &a, &e), &e);
    toy_good(tell("few", 8, 1, &b, &e), &e);
    assert_true(a.n == b.n && a.kin == b.kin && a.groups == 2);
    assert_int_equal(a.kin, TRAIN_AUDIT_KIN_UNDECIDED); /* so few groups say nothing */
    for (int i = 0; i < a.n; i++)
        assert_true(a.vote[i].share == b.vote[i].share);
}

static void votes_are_counted(void **state)
{
    (void)state;
    const struct train_family one = {.told = "one", .like = "A"}, two = {.told = "two"}, none = {0};
    struct train_audit_family f = {.n = 0};
    kin_count(&f);
    assert_int_equal(f.kin, TRAIN_AUDIT_KIN_UNDECIDED);
    for (int i = 0; i < 10; i++)
        kin_vote(&f, i < 3 ? &two : &one, i == 9 ? 100 : .5);
    kin_count(&f);
    assert_int_equal(f.kin, TRAIN_AUDIT_KIN_TOLD);
    assert_string_equal(f.vote[0].like, "A");
    assert_true(f.n == 3 && f.share == .6 && f.vote[1].share == .3 && !f.vote[2].told);
    f = (struct train_audit_family){.n = 0};
    for (int i = 0; i < 9; i++)
        kin_vote(&f, i % 3 == 0 ? &one : i % 3 == 1 ? &two : &none, .5);
    kin_count(&f);
    assert_int_equal(f.kin, TRAIN_AUDIT_KIN_UNDECIDED);
    f = (struct train_audit_family){.n = 0};
    for (int i = 0; i < 9; i++)
        kin_vote(&f, i < 5 ? &none : &one, i < 8 ? .5 : 100);
    kin_count(&f);
    assert_int_equal(f.kin, TRAIN_AUDIT_KIN_UNKNOWN);
    f = (struct train_audit_family){.n = 0};
    for (int i = 0; i < TRAIN_AUDIT_GROUPS_MIN - 1; i++)
        kin_vote(&f, &one, .5);
    kin_count(&f);
    assert_int_equal(f.kin, TRAIN_AUDIT_KIN_UNDECIDED);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    struct train_audit_family f;
    struct errmsg e;
    status st = STATUS_NOMEM;
    unsigned long n = 1;
    for (; n < 1000000 && st == STATUS_NOMEM; n += 1 + n) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = tell("few", 8, 1, &f, &e);
        fault_clear();
    }
    assert_int_equal(st, STATUS_OK);
    assert_true(n > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_families_are_told),
        cmocka_unit_test(what_carries_nothing_is_of_none),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(votes_are_counted),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("kin", tests, make_data, toy_teardown);
}
