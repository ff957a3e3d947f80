#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/views.h"
#include "base/seam.h"
#include "protect/fixture.h"

#include <math.h>

/* Pictures: a disc somewhere on a slope, whose colour says the class as well as a picture does; under faint
   noise, and with edges, that say nothing. */
enum { SIDE = 24, CLASSES = 4, EACH = 40, N = CLASSES * EACH };

static void draw(int k, int i, uint8_t *pixels)
{
    struct nn_rng r = nn_rng(11, (uint64_t)(k * 1000 + i));
    int cx = 8 + stream_below(nn_rng_u32(r, 0), 8), cy = 8 + stream_below(nn_rng_u32(r, 1), 8);
    int slope = stream_below(nn_rng_u32(r, 2), 5) - 2, size = 4 + stream_below(nn_rng_u32(r, 3), 4);
    for (int p = 0; p < SIDE * SIDE; p++) {
        int x = p % SIDE, y = p / SIDE, dx = x - cx, dy = y - cy;
        bool in = dx * dx + dy * dy < size * size;
        for (int c = 0; c < 3; c++) {
            int v = 90 + slope * x + (in ? 100 : 0) + (c == k % 3 ? 10 * k : 0);
            pixels[p * 3 + c] =
                (uint8_t)(v + stream_below(nn_rng_u32(r, (uint64_t)(9 + p * 3 + c)), 13) - 6);
        }
    }
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_mkdir("src");
    for (int k = 0; k < CLASSES; k++) {
        char name[64];
        snprintf(name, sizeof name, "src/%c", 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < EACH; i++) {
            uint8_t pixels[SIDE * SIDE * 3];
            draw(k, i, pixels);
            snprintf(name, sizeof name, "src/%c/%03d.png", 'a' + k, i);
            toy_image(name, SIDE, SIDE, 3, pixels);
        }
    }
    return 0;
}

static struct train_audit_options audit(const char *dir)
{
    return (struct train_audit_options){
        .data = {.dir = toy_path(dir), .threads = 2}, .seed = 1, .quiet = true};
}

static struct train_audit_result audit_ok(struct train_audit_options o)
{
    struct train_audit_result r;
    struct errmsg e = {""};
    toy_good(train_audit(&o, &r, &e), &e);
    return r;
}

static void audit_fails(struct train_audit_options o, const char *says)
{
    struct train_audit_result r;
    struct errmsg e = {""};
    toy_bad(train_audit(&o, &r, &e), &e, says);
}

static void pictures_have_no_sign(void **state)
{
    (void)state;
    struct train_audit_result r = audit_ok(audit("src"));
    assert_int_equal(r.samples, N);
    assert_int_equal(r.classes, CLASSES);
    assert_int_equal(r.held_out, N / 2);
    assert_int_equal(r.width, SIDE);
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++) {
        double chance = 1. / CLASSES, a = r.sign[i].accuracy;
        assert_true(fabs(r.sign[i].agreement - (a - chance) / (1 - chance)) < 1e-12);
        if (r.sign[i].agreement >= TRAIN_AUDIT_DOUBT)
            fail_msg("%s: %g", train_audit_signs[i], r.sign[i].agreement);
    }
    assert_int_equal(r.verdict, TRAIN_AUDIT_CLEAR);
}

/* Each leaves its own sign, and the others need not show it. */
static void protections_have_theirs(void **state)
{
    (void)state;
    static const struct {
        const char *method, *key, *value;
        enum train_audit_sign sign;
    } kind[] = {
        {"lsp", "patch", "4", TRAIN_AUDIT_PATTERN},
        {"ar", NULL, NULL, TRAIN_AUDIT_TEXTURE},
        {"ops", NULL, NULL, TRAIN_AUDIT_SPOT},
    };
    for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
        struct train_protect_options o = options(kind[i].method, "src", kind[i].method);
        if (kind[i].key)
            set(&o, kind[i].key, kind[i].value);
        protect_ok(o);
        struct train_audit_result r = audit_ok(audit(kind[i].method));
        if (r.verdict != TRAIN_AUDIT_PROTECTED || r.strongest != kind[i].sign)
            fail_msg("%s: %s, by %s of %g", kind[i].method, train_audit_verdicts[r.verdict],
                     train_audit_signs[r.strongest], r.sign[r.strongest].agreement);
    }
}

static void it_repeats_itself(void **state)
{
    (void)state;
    struct train_audit_options one = audit("ops"), other = one;
    other.data.threads = 1;
    struct train_audit_result a = audit_ok(one), b = audit_ok(other);
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++)
        assert_true(a.sign[i].accuracy == b.sign[i].accuracy);
    one.data.limit = 80;
    assert_int_equal(audit_ok(one).samples, 80);
}

static void what_cannot_be_judged_is_refused(void **state)
{
    (void)state;
    uint8_t grey[64] = {0};
    struct train_audit_options o = audit("src");
    o.data.limit = 20; /* five of each class */
    audit_fails(o, "8 or more of each");
    o.data.limit = 1 << 20;
    audit_fails(o, "not needed");
    toy_mkdir("one");
    toy_mkdir("one/a");
    toy_image("one/a/0.png", 8, 8, 1, grey);
    audit_fails(audit("one"), "one class");
    toy_mkdir("tiny");
    toy_mkdir("tiny/a");
    toy_mkdir("tiny/b");
    for (int i = 0; i < 16; i++) {
        char name[32];
        snprintf(name, sizeof name, "tiny/%c/%d.png", i < 8 ? 'a' : 'b', i);
        toy_image(name, 8, i == 9 ? 7 : 8, 1, grey);
    }
    audit_fails(audit("tiny"), "8x7 pixels");
    audit_fails(audit("absent"), "absent");
}

/* ---- views ---- */

enum { VW = 12, VH = 10, VALUES = VW * VH };
static const struct view_frame frame = {VW, VH, 1};

static void a_pattern_is_faint_noise_away_from_edges(void **state)
{
    (void)state;
    float image[VALUES], out[VALUES];
    for (int i = 0; i < VALUES; i++)
        image[i] = i % VW < VW / 2 ? 20 : 220;
    image[2 * VW + 1] += 8;
    assert_int_equal(view_size(VIEW_PATTERN, frame), VALUES);
    assert_int_equal(view_make(VIEW_PATTERN, frame, image, out), STATUS_OK);
    assert_true(out[2 * VW + 1] > 4 && out[2 * VW + 1] < 8);
    for (int y = 0; y < VH; y++) {
        assert_true(out[y * VW + VW / 2] == 0 && out[y * VW + VW / 2 - 1] == 0); /* the edge */
        assert_true(fabsf(out[y * VW + VW - 1]) < 1e-3f);                        /* nothing */
    }
}

static void a_spot_is_the_oddest_pixel(void **state)
{
    (void)state;
    const struct view_frame f = {VW, VH, 3};
    float image[3 * VALUES], out[3 * VALUES];
    for (int i = 0; i < 3 * VALUES; i++)
        image[i] = (float)(i % 7);
    image[(5 * VW + 4) * 3 + 1] = 200;
    assert_int_equal(view_make(VIEW_SPOT, f, image, out), STATUS_OK);
    for (int i = 0; i < 3 * VALUES; i++)
        if (i / 3 != 5 * VW + 4)
            assert_true(out[i] == 0);
    assert_true(out[(5 * VW + 4) * 3 + 1] > 190);
}

/* Noise says by its texture how it was made, wherever it is; scaled it says the same. */
static void a_texture_is_of_neighbours(void **state)
{
    (void)state;
    size_t n = view_size(VIEW_TEXTURE, frame);
    float image[VALUES], smooth[VALUES], a[64], b[64];
    assert_true(n <= 64);
    nn_rng_normal(nn_rng(1, 1), 0, image, VALUES);
    for (int i = 0; i < VALUES; i++) {
        smooth[i] = 128 + 2 * (image[i] + image[(i + 1) % VALUES] + image[(i + 2) % VALUES]);
        image[i] = 128 + 3 * image[i];
    }
    assert_int_equal(view_make(VIEW_TEXTURE, frame, image, a), STATUS_OK);
    assert_int_equal(view_make(VIEW_TEXTURE, frame, smooth, b), STATUS_OK);
    assert_true(b[1] > a[1] + .2f); /* with the pixel to the left */
    for (int i = 0; i < VALUES; i++)
        image[i] = 128 + 1.2f * (image[i] - 128);
    assert_int_equal(view_make(VIEW_TEXTURE, frame, image, b), STATUS_OK);
    assert_true(fabsf(a[1] - b[1]) < .05f && b[n - 1] > a[n - 1] + .2f);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    struct train_audit_options o = audit("src");
    struct train_audit_result r;
    struct errmsg e;
    status st = STATUS_NOMEM;
    o.data.limit = 40;
    o.data.threads = 1;
    int n = 1;
    for (; n < 3000 && st == STATUS_NOMEM; n += 1 + n / 40) {
        fault_set(FAULT_MEM, (unsigned long)n, 0, 0);
        st = train_audit(&o, &r, &e);
        fault_clear();
    }
    assert_int_equal(st, STATUS_OK);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_have_no_sign),
        cmocka_unit_test(protections_have_theirs),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(what_cannot_be_judged_is_refused),
        cmocka_unit_test(a_pattern_is_faint_noise_away_from_edges),
        cmocka_unit_test(a_spot_is_the_oddest_pixel),
        cmocka_unit_test(a_texture_is_of_neighbours),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("audit", tests, make_data, toy_teardown);
}
