#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/seam.h"
#include "stream.h"
#include "toy.h"
#include "train.h"

#include <math.h>

/* Noise, and on it steps of so many grey levels up or down: a part of the pixels by the image's class, a
   part by the image itself, a part the same for all. */
enum { SIDE = 16, CLASSES = 3, EACH = 20, N = CLASSES * EACH, VALUES = SIDE * SIDE };

struct added {
    int by_class, by_image, by_none; /* of 16 rows */
    int step;
    int only; /* images of each class that carry it */
};

static int sign(int seed, int p)
{
    return nn_rng_u32(nn_rng(5, (uint64_t)seed), (uint64_t)p) & 1 ? 1 : -1;
}

static int added_to(const struct added *a, int k, int i, int p)
{
    int row = p / SIDE;
    if (!a || i >= a->only)
        return 0;
    if (row < a->by_class)
        return a->step * sign(1000 + k, p);
    if (row < a->by_class + a->by_image)
        return a->step * sign(k * EACH + i, p);
    return row < a->by_class + a->by_image + a->by_none ? a->step * sign(2000, p) : 0;
}

static void make_tree(const char *dir, const struct added *a)
{
    toy_mkdir(dir);
    for (int k = 0; k < CLASSES; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < EACH; i++) {
            uint8_t pixels[VALUES];
            struct nn_rng r = nn_rng(7, (uint64_t)(k * EACH + i));
            for (int p = 0; p < VALUES; p++)
                pixels[p] = (uint8_t)(60 + stream_below(nn_rng_u32(r, (uint64_t)p), 120) +
                                      added_to(a, k, i, p));
            snprintf(name, sizeof name, "%s/%c/%02d.png", dir, 'a' + k, i);
            toy_image(name, SIDE, SIDE, 1, pixels);
        }
    }
}

static int make_clean(void **state)
{
    if (toy_setup(state))
        return -1;
    make_tree("clean", NULL);
    return 0;
}

static struct train_audit_options audit(const char *dir)
{
    return (struct train_audit_options){.data = {.dir = toy_path(dir), .threads = 2},
                                        .clean_dir = toy_path("clean"),
                                        .seed = 1,
                                        .quiet = true};
}

static struct train_audit_result audit_ok(const char *dir, const struct added *a)
{
    struct train_audit_result r;
    struct errmsg e = {""};
    if (a)
        make_tree(dir, a);
    struct train_audit_options o = audit(dir);
    toy_good(train_audit(&o, &r, &e), &e);
    assert_true(r.has_delta);
    return r;
}

static void assert_near(double is, double wanted, double by)
{
    if (!(fabs(is - wanted) <= by))
        fail_msg("%g, not %g", is, wanted);
}

static void its_size_is_exact(void **state)
{
    (void)state;
    struct train_audit_delta d =
        audit_ok("size", &(struct added){.by_class = 4, .step = 6, .only = 10}).delta;
    assert_int_equal(d.images, N);
    assert_int_equal(d.changed, 10 * CLASSES);
    assert_int_equal(d.classes, CLASSES);
    assert_int_equal(d.linf, 6);
    assert_near(d.linf_mean, 6, 1e-9);
    assert_near(d.changed_pixels, .25, 1e-9);
    assert_near(d.psnr_db, 10 * log10(255. * 255. / 9), 1e-9); /* 36 in a quarter of the pixels */
}

/* For a class, for each image alone, for all, and in halves. */
static void what_images_have_in_common_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *dir;
        struct added a;
        double shared, across;
        enum train_audit_kind kind;
    } row[] = {
        {"class", {16, 0, 0, 4, EACH}, 1, 0, TRAIN_AUDIT_CLASS_WISE},
        {"image", {0, 16, 0, 4, EACH}, 0, 0, TRAIN_AUDIT_SAMPLE_WISE},
        {"half", {8, 8, 0, 4, EACH}, .5, 0, TRAIN_AUDIT_PARTLY},
        {"none", {0, 0, 16, 4, EACH}, 1, 1, TRAIN_AUDIT_UNIVERSAL},
        {"mixed", {8, 0, 8, 4, EACH}, 1, .5, TRAIN_AUDIT_CLASS_WISE},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct train_audit_delta d = audit_ok(row[i].dir, &row[i].a).delta;
        assert_near(d.shared, row[i].shared, .02);
        assert_near(d.shared_across, row[i].across,
                    .06); /* three patterns that are not orthogonal */
        if (d.kind != row[i].kind)
            fail_msg("%s: %s", row[i].dir, train_audit_kinds[d.kind]);
        /* The norm of a mean of independent deltas falls with their number alone. */
        double of_mean = row[i].shared + (1 - row[i].shared) / EACH;
        assert_near(d.mean_norm * d.mean_norm, of_mean, .02);
    }
}

static void its_class_is_read(void **state)
{
    (void)state;
    struct train_audit_delta d = audit_ok("class", NULL).delta;
    assert_near(d.linear.accuracy, 1, 1e-9);
    assert_near(d.linear.agreement, 1, 1e-9);
    d = audit_ok("image", NULL).delta;
    if (d.linear.agreement > .25 || d.texture.agreement > .25)
        fail_msg("%g and %g are read from noise", d.linear.agreement, d.texture.agreement);
}

/* Too faint to be seen in the images, it is there in what was added. */
static void the_verdict_is_of_it_too(void **state)
{
    (void)state;
    struct train_audit_result r =
        audit_ok("faint", &(struct added){.by_class = 16, .step = 1, .only = EACH});
    assert_true(r.sign[r.strongest].agreement < TRAIN_AUDIT_DOUBT);
    assert_true(r.by_delta);
    assert_int_equal(r.verdict, TRAIN_AUDIT_PROTECTED);
    r = audit_ok("image", NULL);
    assert_int_equal(r.verdict, TRAIN_AUDIT_CLEAR);
    assert_false(r.by_delta);
}

static void little_or_nothing_is_not_judged(void **state)
{
    (void)state;
    struct train_audit_result r = audit_ok("clean", NULL);
    assert_int_equal(r.delta.changed, 0);
    assert_int_equal(r.verdict, TRAIN_AUDIT_CLEAR);
    r = audit_ok("few",
                 &(struct added){.by_class = 16, .step = 4, .only = TRAIN_AUDIT_EACH_MIN - 1});
    assert_int_equal(r.delta.changed, CLASSES * (TRAIN_AUDIT_EACH_MIN - 1));
    assert_int_equal(r.delta.classes, 0);
    assert_true(isnan(r.delta.shared) && isnan(r.delta.linear.accuracy));
    assert_near(r.delta.linf, 4, 0);
}

static void what_is_no_pair_is_refused(void **state)
{
    (void)state;
    struct train_audit_result r;
    struct errmsg e = {""};
    make_tree("less", NULL);
    struct train_audit_options o = audit("image");
    assert_int_equal(unlink(toy_path("less/b/07.png")), 0);
    o.clean_dir = toy_path("less");
    toy_bad(train_audit(&o, &r, &e), &e, "has no b/07.*");
    o.clean_dir = toy_path("absent");
    toy_bad(train_audit(&o, &r, &e), &e, "absent");
}

static void no_memory_is_said(void **state)
{
    (void)state;
    struct train_audit_options o = audit("class");
    struct train_audit_result r;
    struct errmsg e;
    status st = STATUS_NOMEM;
    o.data.threads = 1;
    int n = 1;
    for (; n < 9000 && st == STATUS_NOMEM; n += 1 + n / 30) {
        fault_set(FAULT_MEM, (unsigned long)n, 0, 0);
        st = train_audit(&o, &r, &e);
        fault_clear();
    }
    assert_int_equal(st, STATUS_OK);
    if (n < 100)
        fail_msg("%d", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_size_is_exact),
        cmocka_unit_test(what_images_have_in_common_is_told),
        cmocka_unit_test(its_class_is_read),
        cmocka_unit_test(the_verdict_is_of_it_too),
        cmocka_unit_test(little_or_nothing_is_not_judged),
        cmocka_unit_test(what_is_no_pair_is_refused),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("audit delta", tests, make_clean, toy_teardown);
}
