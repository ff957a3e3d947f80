#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pairs.h"
#include "toy.h"

enum { SIDE = 10 };

/* Pixels that say where they are: v + 10 y + x. */
static void place_image(const char *name, int w, int h, int v)
{
    uint8_t pixels[64 * 64];
    for (int i = 0; i < w * h; i++)
        pixels[i] = (uint8_t)(v + 10 * (i / w) + i % w);
    toy_image(name, w, h, 1, pixels);
}

static int make_trees(void **state)
{
    if (toy_setup(state))
        return -1;
    static const char *const dirs[] = {"clean/a", "clean/b", "prot/a", "prot/b"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        toy_mkdir(dirs[i]);
    place_image("clean/a/x.png", SIDE, SIDE, 0);
    place_image("clean/a/x.y.png", SIDE + 2, SIDE, 50);
    place_image("clean/b/x.png", SIDE, SIDE + 3, 100);
    place_image("prot/a/x.png", SIDE, SIDE, 20);
    place_image("prot/a/x.y.png", SIDE + 2, SIDE, 70);
    place_image("prot/b/x.png", SIDE, SIDE + 3, 120);
    return 0;
}

static status open_pairs(const char *clean, const char *protected, int size, struct pairs *out,
                         struct errmsg *e)
{
    const struct pairs_options o = {.clean_dir = toy_path(clean),
                                    .protected_dir = toy_path(protected),
                                    .size = size,
                                    .channels = 1,
                                    .threads = 1};
    return pairs_open(&o, out, e);
}

/* Every crop shows the same place of both, mirrored in both or in neither. */
static void both_halves_are_cut_at_one_place(void **state)
{
    (void)state;
    enum { SIZE = 4, CUTS = 60 };
    struct pairs p;
    struct errmsg e = {""};
    toy_good(open_pairs("clean", "prot", SIZE, &p, &e), &e);
    assert_int_equal(p.n, 3);
    bool mirrored = false, upright = false;
    int least = 255, most = 0;
    for (int i = 0; i < CUTS; i++) {
        uint8_t clean[SIZE * SIZE], protected[SIZE * SIZE];
        struct nn_rng r = stream(1, STREAM_PAIR, (uint64_t)i);
        toy_good(pairs_cut(&p, i % p.n, r, 0, true, SIZE, clean, protected, &e), &e);
        for (int k = 0; k < SIZE * SIZE; k++)
            assert_int_equal(protected[k] - clean[k], 20);
        int step = clean[1] - clean[0];
        assert_true(step == 1 || step == -1);
        assert_int_equal(clean[SIZE] - clean[0], 10);
        mirrored = mirrored || step < 0;
        upright = upright || step > 0;
        least = i % p.n == 0 && clean[0] < least ? clean[0] : least;
        most = i % p.n == 0 && clean[0] > most ? clean[0] : most;
    }
    assert_true(mirrored && upright);
    assert_true(least <= 13 && most >= 50); /* of 0 to 69: places are all over the image */
    pairs_done(&p);
}

/* Whoever is asked for goes to its own folder, to all of it, and to no other; in the order of bytes a
   folder's images need not follow each other. */
static void pairs_beside_are_of_one_folder(void **state)
{
    (void)state;
    static const char *const name[] = {"deep/a/m.png", "deep/a/m/1.png", "deep/a/m/2.png",
                                       "deep/a/n.png", "deep/a/o.png",   "deep/b.png"};
    static const int last_beside[] = {0, 2, 2, 4, 4, 5}, first_beside[] = {0, 1, 1, 3, 3, 5};
    toy_mkdir("deep/a/m");
    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        place_image(name[i], SIDE, SIDE, 1);
    struct pairs p;
    struct errmsg e = {""};
    toy_good(open_pairs("deep", "deep", 4, &p, &e), &e);
    assert_int_equal(p.n, ARRAY_LEN(name));
    for (int i = 0; i < p.n; i++) {
        assert_string_equal(train_set_path(p.clean, p.clean_at[i]), name[i] + strlen("deep/"));
        int least = p.n, most = -1;
        for (int k = 0; k < 50; k++) {
            struct nn_rng r = stream(1, STREAM_PAIR, (uint64_t)i);
            int beside = pairs_beside(&p, i, nn_rng_u32(r, (uint64_t)k));
            least = beside < least ? beside : least;
            most = beside > most ? beside : most;
        }
        assert_int_equal(least, first_beside[i]);
        assert_int_equal(most, last_beside[i]);
    }
    pairs_done(&p);
}

static void refused(const char *clean, const char *protected, int size, const char *says)
{
    struct pairs p;
    struct errmsg e = {""};
    assert_int_equal(toy_bad(open_pairs(clean, protected, size, &p, &e), &e, says), STATUS_INVALID);
}

static void what_has_no_partner_is_named(void **state)
{
    (void)state;
    toy_mkdir("some/a");
    toy_mkdir("some/b");
    place_image("some/b/x.png", SIDE, SIDE + 3, 1);
    place_image("some/a/x.y.png", SIDE + 2, SIDE, 1);
    refused("clean", "some", 4, "clean has a/x.png, but ");
    refused("some", "clean", 4, "clean has a/x.png, but ");
    place_image("some/a/x.png", SIDE, SIDE, 1);
    place_image("some/b/w.png", SIDE, SIDE, 1);
    refused("clean", "some", 4, "some has b/w.png, but ");
    assert_int_equal(remove(toy_path("some/b/w.png")), 0);
    struct pairs p;
    struct errmsg e = {""};
    toy_good(open_pairs("clean", "some", 4, &p, &e), &e);
    pairs_done(&p);
    place_image("some/a/x.jpg", SIDE, SIDE, 1); /* a PNG by its content */
    refused("clean", "some", 4, "a/x.jpg and a/x.png");
    assert_int_equal(remove(toy_path("some/a/x.png")), 0);
    toy_good(open_pairs("clean", "some", 4, &p, &e), &e); /* extensions may differ */
    pairs_done(&p);
}

static void other_sizes_are_named(void **state)
{
    (void)state;
    toy_mkdir("sizes/a");
    toy_mkdir("sizes/b");
    place_image("sizes/a/x.png", SIDE, SIDE, 1);
    place_image("sizes/a/x.y.png", SIDE, SIDE + 2, 1);
    place_image("sizes/b/x.png", SIDE, SIDE + 3, 1);
    refused("clean", "sizes", 4, "a/x.y.png 10x12: pairs have one size");
    refused("clean", "prot", SIDE + 1, "smaller than 11");
    struct pairs p;
    struct errmsg e = {""};
    assert_int_equal(toy_bad(open_pairs("clean", "none", 4, &p, &e), &e, "none"), STATUS_NOT_FOUND);
}

static void the_digest_is_of_both_trees(void **state)
{
    (void)state;
    struct pairs p, swapped;
    struct digest a, b;
    struct errmsg e = {""};
    toy_good(open_pairs("clean", "prot", 4, &p, &e), &e);
    toy_good(open_pairs("prot", "clean", 4, &swapped, &e), &e);
    toy_good(pairs_digest(&p, &a, &e), &e);
    toy_good(pairs_digest(&swapped, &b, &e), &e);
    assert_false(digest_equal(&a, &b));
    pairs_done(&p);
    pairs_done(&swapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_are_cut_at_one_place),
        cmocka_unit_test(pairs_beside_are_of_one_folder),
        cmocka_unit_test(what_has_no_partner_is_named),
        cmocka_unit_test(other_sizes_are_named),
        cmocka_unit_test(the_digest_is_of_both_trees),
    };
    return cmocka_run_group_tests_name("pairs", tests, make_trees, toy_teardown);
}
