#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "restore.h"
#include "toy_fit.h"

#include <fcntl.h>
#include <math.h>

enum { IMAGES = 24, SIDE = 20, SIZE = 16 };

static struct train_restore_options options(const char *out)
{
    struct train_restore_options o = train_restore_default();
    o.cfg.levels = 2;
    o.cfg.width[0] = o.cfg.width[1] = 32;
    o.cfg.blocks = 1;
    o.size = SIZE;
    o.fit.data_dir = toy_path("data");
    o.fit.out_file = toy_path(out);
    o.fit.steps = 40;
    o.fit.batch = 16;
    o.fit.warmup = 5;
    o.fit.ema = .9f;
    o.fit.precision = precision;
    o.fit.threads = 1;
    o.fit.save_every = 10;
    o.fit.quiet = true;
    return o;
}

static struct train_restore_options with_pairs(const char *out)
{
    struct train_restore_options o = options(out);
    o.pairs_clean = toy_path("pairs/clean");
    o.pairs_protected = toy_path("pairs/protected");
    return o;
}

static struct train_restore_result run_ok(struct train_restore_options o)
{
    struct train_restore_result r;
    struct errmsg e = {""};
    toy_good(train_restore_run(&o, &r, &e), &e);
    return r;
}

static status run_fails(struct train_restore_options o, const char *says)
{
    struct train_restore_result r;
    struct errmsg e = {""};
    return toy_bad(train_restore_run(&o, &r, &e), &e, says);
}

/* Smooth, as photographs are: two slopes and a dark corner; with a chequered pattern of `lift`, and
   noise. */
static void smooth_image(const char *name, int side, uint64_t number, int lift, float noise)
{
    uint8_t pixels[64 * 64 * 3];
    float normal[64 * 64 * 3];
    struct nn_rng r = nn_rng(5, number);
    nn_rng_normal(r, 2, normal, (size_t)(side * side * 3));
    int right = stream_below(nn_rng_u32(r, 0), 9) - 4, down = stream_below(nn_rng_u32(r, 1), 5) - 2;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int c = 0; c < 3; c++) {
                int v = 128 + right * (x - side / 2) + down * (y - side / 2) + 10 * c;
                v -= x + y < side / 2 ? 40 : 0;
                v += (x + y) % 2 ? lift : 0;
                v += (int)(noise * normal[(y * side + x) * 3 + c]);
                pixels[(y * side + x) * 3 + c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
    toy_image(name, side, side, 3, pixels);
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    static const char *const dirs[] = {"data", "noisy", "rough", "pairs/clean", "pairs/protected"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        toy_mkdir(dirs[i]);
    for (int i = 0; i < IMAGES; i++) {
        char name[64];
        snprintf(name, sizeof name, "data/%02d.png", i);
        smooth_image(name, SIDE, (uint64_t)i, 0, 0);
        snprintf(name, sizeof name, "noisy/%02d.png", i);
        smooth_image(name, SIDE, (uint64_t)i, 0, 16);
        snprintf(name, sizeof name, "rough/%02d.png", i);
        smooth_image(name, SIDE, (uint64_t)i, 0, 60);
        for (int k = 0; k < 2; k++) { /* protected by a chequered pattern */
            snprintf(name, sizeof name, "pairs/%s/%02d.png", k ? "protected" : "clean", i);
            smooth_image(name, SIDE, (uint64_t)i, 7 * k, 0);
        }
    }
    return 0;
}

static void check_meta(const struct nn_file *f, const char *key, const char *want)
{
    const char *is = nn_file_meta(f, key);
    if (!is || strcmp(is, want) != 0)
        fail_msg("%s is %s, not %s", key, is ? is : "absent", want);
}

/* ---- inputs ---- */

static void set_up(struct restore *r, const struct train_restore_options *o)
{
    struct errmsg e = {""};
    static const struct fit_ops none;
    *r = (struct restore){.opt = o, .cfg = o->cfg, .fit = {.opt = &o->fit, .ops = &none}};
    toy_good(train_restore_setup(r, &e), &e);
}

/* Step `step`, as a run would do it. */
static void load_step(struct restore *r, int step)
{
    const struct train_batch *b = NULL;
    struct errmsg e = {""};
    r->fit.step = step;
    assert_int_equal(train_loader_start(r->fit.loader, (uint64_t)step, 0), STATUS_OK);
    toy_good(train_loader_next(r->fit.loader, &b, &e), &e);
    toy_good(train_restore_load(r, b, &e), &e);
}

/* Every group's, with the perturbations of a family that makes a step's at once: at the border of two
   generations of its networks, and after it. */
static void a_step_is_the_same_after_a_resume(void **state)
{
    (void)state;
    static const int steps[] = {1999, 2000, 2001};
    struct train_restore_options o = with_pairs("x");
    o.families = "gradients:3,waves:1";
    o.pair_share = .2f;
    o.noise = 10;
    struct restore whole, again;
    set_up(&whole, &o);
    int made = 0;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        load_step(&whole, steps[i]);
        set_up(&again, &o); /* another process */
        load_step(&again, steps[i]);
        size_t bytes = 16 * whole.row * sizeof *whole.x;
        assert_memory_equal(whole.x, again.x, bytes);
        assert_memory_equal(whole.target, again.target, bytes);
        for (int g = 0; g < 4; g++)
            made += whole.group[g].kind == 0;
        train_restore_done(&again);
    }
    assert_true(made >= 4);
    train_restore_done(&whole);
}

/* The whole number that v must be. */
static int whole(float v)
{
    float near = roundf(v);
    if (!(fabsf(v - near) < 1e-3f))
        fail_msg("%g is no whole number", (double)v);
    return (int)near;
}

/* Image i as it is shown, in grey levels, and what was added to it. */
static void shown(const struct restore *r, int i, int *x, int *added)
{
    for (size_t p = 0; p < r->row; p++) {
        x[p] = whole((r->x[(size_t)i * r->row + p] + 1) * 127.5f);
        added[p] = whole(r->target[(size_t)i * r->row + p] * PURIFY_RESTORER_GREYS);
    }
}

enum { ROW = SIZE * SIZE * 3 };

/* What an image carries is there in 8 bits, and a group carries the same but where it was clipped. */
static void groups_carry_one_perturbation_in_8_bits(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.fit.batch = 8;
    struct restore r;
    set_up(&r, &o);
    int seen[TRAIN_FAMILIES_MAX] = {0};
    for (int step = 0; step < 60; step++) {
        load_step(&r, step);
        for (int g = 0; g < 2; g++) {
            const struct family_ops *family = r.mix.entry[r.group[g].kind].ops;
            int x[4][ROW], added[4][ROW], clipped = 0;
            seen[r.group[g].kind]++;
            assert_true(r.group[g].shared);
            for (int k = 0; k < 4; k++)
                shown(&r, g * 4 + k, x[k], added[k]);
            for (int k = 0; k < 4; k++)
                for (int p = 0; p < ROW; p++) {
                    assert_in_range(x[k][p], 0, 255);
                    assert_in_range(x[k][p] - added[k][p], 0, 255);
                    bool at_end = x[k][p] == 0 || x[k][p] == 255;
                    if (!family->of_image && !at_end && added[k][p] != added[0][p])
                        clipped++; /* it was image 0's that was clipped */
                }
            assert_true(clipped <= ROW / 50);
        }
    }
    for (int i = 0; i < r.mix.n;
         i++) /* 120 groups; a family that is rarer than 3 of 100 may miss */
        assert_true(seen[i] > 0 || r.mix.entry[i].share < .03);
    train_restore_done(&r);
}

/* What a step makes of four images of our own. */
static void load_images(struct restore *r, const struct train_restore_options *o,
                        const uint8_t image[4 * ROW])
{
    float x[4 * ROW];
    struct errmsg e = {""};
    const struct train_batch b = {.n = 4, .x = x};
    set_up(r, o);
    for (int p = 0; p < 4 * ROW; p++)
        x[p] = (float)image[p] / 255;
    toy_good(train_restore_load(r, &b, &e), &e);
}

/* clip(round(clean + delta)): compared with it, plainly, at both ends of the range. */
static void what_is_shown_is_rounded_and_clipped(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.families = "white:1";
    o.fit.batch = 4;
    struct restore r;
    uint8_t image[4 * ROW];
    for (size_t p = 0; p < sizeof image; p++)
        image[p] = (uint8_t)(p % 256);
    load_images(&r, &o, image);
    float clean[ROW], folded[ROW];
    int low = 0, high = 0;
    for (int k = 0; k < 4; k++) {
        for (int p = 0; p < ROW; p++)
            clean[p] = (float)(((size_t)k * r.row + (size_t)p) % 256);
        purify_restorer_fold(clean, SIZE, SIZE, 3, folded);
        float delta[ROW];
        purify_restorer_fold(r.delta, SIZE, SIZE, 3, delta);
        int is[ROW], added[ROW];
        shown(&r, k, is, added);
        for (int p = 0; p < ROW; p++) {
            float want = fminf(fmaxf(floorf(folded[p] + delta[p] + .5f), 0), 255);
            if (fabsf(folded[p] + delta[p] + .5f - roundf(folded[p] + delta[p] + .5f)) < 1e-3f)
                continue; /* either side will do */
            assert_int_equal(is[p], (int)want);
            assert_int_equal(added[p], (int)want - (int)folded[p]);
            low += want == 0 && folded[p] > 0;
            high += want == 255 && folded[p] < 255;
        }
    }
    assert_true(low > 5 && high > 5);
    train_restore_done(&r);
}

/* A grey image gets one channel's perturbation in all; one with a single coloured value its own. */
static void grey_images_stay_grey(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.families = "white:1";
    o.fit.batch = 4;
    struct restore r;
    uint8_t image[4 * ROW];
    for (size_t p = 0; p < sizeof image; p++)
        image[p] = (uint8_t)(100 + p / 3 % 50);
    image[ROW + 7] = 99;
    load_images(&r, &o, image);
    float first[ROW], own[ROW], folded_first[ROW], folded_own[ROW];
    for (int p = 0; p < ROW; p++) {
        first[p] = roundf(r.delta[p - p % 3]);
        own[p] = roundf(r.delta[p]);
    }
    purify_restorer_fold(first, SIZE, SIZE, 3, folded_first);
    purify_restorer_fold(own, SIZE, SIZE, 3, folded_own);
    for (int k = 0; k < 4; k++) {
        int is[ROW], added[ROW], coloured = 0;
        shown(&r, k, is, added);
        for (int p = 0; p < ROW; p++) {
            assert_in_range(added[p] - (int)(k == 1 ? folded_own : folded_first)[p] + 1, 0, 2);
            coloured += added[p] != (int)folded_first[p];
        }
        assert_true(k == 1 ? coloured > ROW / 4 : coloured <= ROW / 50);
    }
    train_restore_done(&r);
}

/* Noise is what a white image differs by, beyond the ends of the range, too, and what is to be said;
   no two images of a group have the same, and a grey one has one for all channels. */
static void noise_is_shown_and_to_be_said(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.families = "none:1";
    o.fit.batch = 4;
    o.noise = 20;
    o.noise_share = 1;
    struct restore r;
    uint8_t image[4 * ROW];
    memset(image, 255, sizeof image);
    image[ROW] = 254; /* no longer grey */
    load_images(&r, &o, image);
    assert_true(r.group[0].noise > 0 && r.group[0].noise < 20);
    float noise[2][ROW], folded[ROW];
    for (int k = 0; k < 2; k++) {
        double square = 0;
        for (int p = 0; p < ROW; p++) {
            folded[p] = PURIFY_RESTORER_GREYS * r.target[(size_t)k * r.row + (size_t)p];
            float is = (r.x[(size_t)k * r.row + (size_t)p] + 1) * 127.5f;
            assert_true(fabsf(is - 255 - folded[p]) < (k == 1 && p == 0 ? 1.1f : 1e-3f));
            square += (double)folded[p] * (double)folded[p];
        }
        double deviation = sqrt(square / ROW) / (double)r.group[0].noise;
        assert_true(deviation > .85 && deviation < 1.15);
        purify_restorer_unfold(folded, SIZE, SIZE, 3, noise[k]);
    }
    double product = 0, grey = 0;
    for (int p = 0; p < ROW; p++) {
        assert_true(noise[0][p] == noise[0][p - p % 3]);
        product += (double)noise[0][p] * (double)noise[1][p];
        grey += noise[1][p] == noise[1][p - p % 3] && p % 3;
    }
    double square = ROW * (double)r.group[0].noise * (double)r.group[0].noise;
    assert_true(fabs(product) < .2 * square && grey < ROW / 50);
    train_restore_done(&r);
}

/* A share of the groups, each with its own deviation; what is shown with noise is summed up apart. */
static void noise_has_its_share(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.families = "blocks:1";
    o.noise = 8;
    o.noise_share = .25f;
    struct restore r;
    set_up(&r, &o);
    int noisy = 0;
    float least = 8, most = 0;
    for (int step = 0; step < 50; step++) {
        load_step(&r, step);
        for (int g = 0; g < 4; g++) {
            float n = r.group[g].noise;
            noisy += n > 0;
            least = n > 0 ? fminf(least, n) : least;
            most = fmaxf(most, n);
        }
    }
    assert_in_range(noisy, 30, 70); /* of 200 */
    assert_true(least < 1 && most > 7 && most <= 8);
    train_restore_done(&r);
    struct train_restore_result result = run_ok(o);
    assert_int_equal(result.families, 2);
    assert_string_equal(result.family[0].name, "blocks");
    assert_string_equal(result.family[1].name, "noise");
    assert_int_equal(result.family[0].images + result.family[1].images, 40 * 16);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path("x"), &f, NULL), STATUS_OK);
    check_meta(f, "train.noise", "8");
    check_meta(f, "train.noise_share", "0.25");
    unlink(toy_path("x"));
}

/* Pairs: what is shown is the protected half; on other images it is what the halves differ by. */
static void pairs_are_shown_as_they_are(void **state)
{
    (void)state;
    struct train_restore_options o = with_pairs("x");
    o.pair_share = 1;
    o.fit.batch = 8;
    struct restore r;
    set_up(&r, &o);
    int shared = 0, own = 0;
    for (int step = 0; step < 30; step++) {
        load_step(&r, step);
        for (int g = 0; g < 2; g++) {
            assert_int_equal(r.group[g].kind, r.mix.n);
            shared += r.group[g].shared;
            own += !r.group[g].shared;
            bool alike = true;
            int first[ROW];
            for (int k = 0; k < 4; k++) {
                int x[ROW], added[ROW], lifted = 0;
                shown(&r, g * 4 + k, x, added);
                for (int p = 0; p < ROW; p++) {
                    assert_true(added[p] == 0 || added[p] == 7);
                    lifted += added[p] == 7;
                }
                assert_int_equal(lifted, ROW / 2);
                if (k == 0)
                    memcpy(first, added, sizeof first);
                alike = alike && memcmp(first, added, sizeof first) == 0;
            }
            assert_true(alike || !r.group[g].shared);
        }
    }
    assert_in_range(shared, 15, 45);
    assert_int_equal(shared + own, 60);
    train_restore_done(&r);
}

/* Pairs of a group are of one folder, that of a class: what is left alike in them is what a victim
   would learn the class from. */
static void pairs_of_a_group_are_of_one_folder(void **state)
{
    (void)state;
    static const char *const folder[] = {"by/clean/a", "by/clean/b", "by/protected/a",
                                         "by/protected/b"};
    for (int f = 0; f < 4; f++) {
        toy_mkdir(folder[f]);
        for (int i = 0; i < 6; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s/%d.png", folder[f], i);
            smooth_image(name, SIDE, (uint64_t)i, f == 2 ? 7 : f == 3 ? 9 : 0, 0);
        }
    }
    struct train_restore_options o = options("x");
    o.pairs_clean = toy_path("by/clean");
    o.pairs_protected = toy_path("by/protected");
    o.pair_share = 1;
    o.pair_transfer = 0;
    o.fit.batch = 8;
    struct restore r;
    set_up(&r, &o);
    int of_b = 0, differ = 0;
    for (int step = 0; step < 20; step++) {
        load_step(&r, step);
        for (int g = 0; g < 2; g++) {
            int first[ROW], first_lift = 0;
            for (int k = 0; k < 4; k++) {
                int x[ROW], added[ROW], lift = 0;
                shown(&r, g * 4 + k, x, added);
                for (int p = 0; p < ROW; p++)
                    lift = added[p] > lift ? added[p] : lift;
                if (k == 0) {
                    first_lift = lift;
                    memcpy(first, x, sizeof first);
                }
                assert_int_equal(lift, first_lift);
                differ += memcmp(first, x, sizeof first) != 0;
            }
            assert_true(first_lift == 7 || first_lift == 9);
            of_b += first_lift == 9;
        }
    }
    assert_in_range(of_b, 8, 32);
    assert_true(differ > 60); /* of 120: they are several images */
    train_restore_done(&r);
}

/* ---- loss and sums ---- */

/* What an image counts: less where more was put on it than published bounds allow. */
static double weight_of(const struct restore *r, int i)
{
    double sum = 0, most = 16. / PURIFY_RESTORER_GREYS;
    for (size_t p = 0; p < r->row; p++)
        sum += pow((double)r->target[(size_t)i * r->row + p], 2);
    double rms = sqrt(sum / (double)r->row);
    return rms > most ? most / rms : 1;
}

/* A new network predicts 0: the loss is a function of the targets alone. Returns how many images
   counted less. */
static int check_loss(struct train_restore_options o)
{
    int less = 0;
    o.coherence = .7f;
    struct restore r;
    set_up(&r, &o);
    load_step(&r, 3);
    assert_int_equal(nn_plan_refresh(r.fit.plan), STATUS_OK);
    assert_int_equal(nn_plan_run(r.fit.plan), STATUS_OK);
    double square = 0, alike = 0, weight[16];
    for (int i = 0; i < 16; i++)
        less += (weight[i] = weight_of(&r, i)) < 1;
    for (int g = 0; g < 4; g++)
        for (size_t p = 0; p < r.row; p++) {
            double mean = 0;
            for (int k = 0; k < 4; k++) {
                double t = weight[g * 4 + k] * (double)r.target[(size_t)(g * 4 + k) * r.row + p];
                square += t * t / 16 / (double)r.row;
                mean += t / 4;
            }
            alike += mean * mean / 4 / (double)r.row;
        }
    double want = square + .7 * 4 * alike, is = (double)r.fit.loss[0];
    if (!(fabs(is - want) < want * (precision == NN_PREC_F32 ? 1e-5 : 1e-2)))
        fail_msg("loss %g, not %g", is, want);
    train_restore_done(&r);
    return less;
}

static void the_loss_is_the_one_derived(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    assert_int_equal(check_loss(o), 0);
    o.fit.data_dir = toy_path("rough");
    o.families = "blur:1";
    assert_true(check_loss(o) > 0);
}

/* Predictions that miss by noise, and by a part of the perturbation: told apart without bias. */
static void what_is_left_alike_is_told_from_what_is_not(void **state)
{
    (void)state;
    enum { STEPS = 20 };
    struct train_restore_options o = options("x");
    o.families = "filtered:1";
    struct restore r;
    set_up(&r, &o);
    AUTO(mem_free) float *predicted = mem_alloc(16 * r.row * sizeof *predicted);
    r.predicted = predicted;
    for (int step = 0; step < STEPS; step++) {
        load_step(&r, step);
        nn_rng_normal(nn_rng(4, (uint64_t)step), 0, predicted, 16 * r.row);
        for (size_t p = 0; p < 16 * r.row; p++)
            predicted[p] = .75f * r.target[p] + predicted[p];
        train_restore_observe(&r);
    }
    train_restore_close(&r);
    struct train_restore_family f[TRAIN_FAMILIES_MAX];
    assert_int_equal(train_restore_families(&r, f), 1);
    assert_string_equal(f[0].name, "filtered");
    assert_int_equal(f[0].images, 16 * STEPS);
    /* A quarter of the perturbation is left: 1/16 of its square. Noise of deviation 1 adds 0, give or
       take 1 / sqrt(6 * groups * values) of its own square. */
    double delta = r.last[0].delta / (16. * STEPS * (double)r.row);
    if (!(fabs(f[0].removed_coherent - (1 - 1. / 16)) < .01 / delta))
        fail_msg("coherent: %g", f[0].removed_coherent);
    if (!(fabs(f[0].removed - (1 - 1. / 16 - 1 / delta)) < .02 / delta))
        fail_msg("removed: %g, delta %g", f[0].removed, delta);
    assert_true(fabs(f[0].rest - 16 * sqrt(1 + delta / 16)) < .2);
    train_restore_done(&r);
}

/* ---- runs ---- */

static const struct train_restore_family *family(const struct train_restore_result *r,
                                                 const char *name)
{
    for (int i = 0; i < r->families; i++)
        if (strcmp(r->family[i].name, name) == 0)
            return &r->family[i];
    fail_msg("no figures of %s", name);
    return NULL;
}

static void squares_are_learned_and_the_file_says_how(void **state)
{
    (void)state;
    struct train_restore_options o = options("model.safetensors");
    o.families = "blocks:3,none:1";
    o.fit.steps = 240;
    o.fit.log_file = toy_path("log.jsonl");
    struct train_restore_result r = run_ok(o);
    assert_int_equal(r.fit.steps, 240);
    /* A network that has learned nothing is at 0. */
    const struct train_restore_family *blocks = family(&r, "blocks");
    if (!(blocks->removed > .4 && blocks->removed_coherent > .5))
        fail_msg("removed %g, %g", blocks->removed, blocks->removed_coherent);
    assert_true(isnan(family(&r, "none")->removed));
    struct nn_file *f = NULL;
    struct purify_restorer cfg;
    struct errmsg e = {""};
    assert_int_equal(nn_file_open(toy_path("model.safetensors"), &f, &e), STATUS_OK);
    toy_good(purify_restorer_from_file(f, &cfg, &e), &e);
    assert_int_equal(cfg.in_channels, 3);
    assert_int_equal(cfg.levels, 2);
    check_meta(f, "train.families", "blocks:75,none:25");
    check_meta(f, "train.steps", "240");
    check_meta(f, "train.size", "16");
    check_meta(f, "train.group", "4");
    check_meta(f, "train.coherence", "1");
    check_meta(f, "train.images", "24");
    check_meta(f, "train.precision", nn_precision_names[precision]);
    assert_int_equal(strlen(nn_file_meta(f, "data_digest")), DIGEST_HEX_LEN);
    assert_non_null(strstr(nn_file_meta(f, "train.removed"), "blocks:0."));
    assert_null(nn_file_meta(f, "train.pairs"));
    nn_file_close(f);
    size_t len;
    char *log = toy_read(toy_path("log.jsonl"), &len);
    assert_non_null(strstr(log, "{\"step\":100,\"loss\":"));
    assert_non_null(strstr(log, "\"families\":{\"blocks\":{\"images\":"));
    assert_non_null(strstr(log, "\"none\":{\"images\":"));
    assert_non_null(strstr(log, "\"removed\":null,\"coherent\":null,\"rest\":"));
    mem_free(log);
}

/* In noisy images squares are hard to see. Where only the square counts, what is predicted shrinks, and
   a part of the perturbation stays in all images; coherence removes that, at a price in noise. */
static void what_shrinking_leaves_is_removed(void **state)
{
    (void)state;
    struct train_restore_family blocks[2];
    for (int i = 0; i < 2; i++) {
        struct train_restore_options o = options("noisy.safetensors");
        o.fit.data_dir = toy_path("noisy");
        o.families = "blocks:1";
        o.group = 8;
        o.coherence = i ? 8 : 0;
        o.fit.steps = 200;
        struct train_restore_result r = run_ok(o);
        blocks[i] = *family(&r, "blocks");
    }
    if (!(blocks[1].removed_coherent > blocks[0].removed_coherent + .05) ||
        !(blocks[1].rest > blocks[0].rest))
        fail_msg("coherent %g without, %g with; left %g, %g", blocks[0].removed_coherent,
                 blocks[1].removed_coherent, blocks[0].rest, blocks[1].rest);
}

/* The chequered pattern of the pairs, known to no family; the network that is started from stays. */
static void pairs_are_learned(void **state)
{
    (void)state;
    struct train_restore_options o = with_pairs("tuned.safetensors");
    o.fit.from = toy_path("model.safetensors");
    o.cfg = (struct purify_restorer){0};
    o.fit.steps = 60;
    o.fit.half = true;
    struct train_restore_result r = run_ok(o);
    const struct train_restore_family *pairs = family(&r, "pairs");
    if (!(pairs->removed > .5))
        fail_msg("removed %g", pairs->removed);
    assert_in_range(pairs->images, 60 * 16 * 6 / 10, 60 * 16 * 95 / 100);
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path("tuned.safetensors"), &f, NULL), STATUS_OK);
    check_meta(f, "train.pairs", "24");
    check_meta(f, "train.pair_share", "0.800000012");
    check_meta(f, "train.pair_transfer", "0.5");
    assert_int_equal(strlen(nn_file_meta(f, "pairs_digest")), DIGEST_HEX_LEN);
    assert_int_equal(strlen(nn_file_meta(f, "train.from")), DIGEST_HEX_LEN);
    assert_string_equal(nn_file_find(f, "conv_in.weight")->dtype, "F16");
    nn_file_close(f);
}

/* Of families and pairs: the figures in the file are of one window, whole or interrupted. */
static status run(const char *out, bool resume, struct errmsg *e)
{
    struct train_restore_options o = with_pairs(out);
    struct train_restore_result r;
    o.fit.resume = resume;
    return train_restore_run(&o, &r, e);
}

static void a_crashed_run_resumes_to_the_same_bits(void **state)
{
    (void)state;
    toy_fit_assert_resumes(run);
}

static void resuming_with_other_options_is_refused(void **state)
{
    (void)state;
    assert_int_equal(toy_fit_spawn("other.safetensors", "fresh", "crash:5"), 99);
    struct train_restore_options o = with_pairs("other.safetensors");
    o.fit.resume = true;
    o.coherence = 2;
    assert_int_equal(run_fails(o, "train.coherence 1, not 2"), STATUS_INVALID);
    o = with_pairs("other.safetensors");
    o.fit.resume = true;
    o.families = "waves:1";
    assert_int_equal(run_fails(o, "not waves:100"), STATUS_INVALID);
    o = with_pairs("other.safetensors");
    o.fit.resume = true;
    o.group = 2;
    assert_int_equal(run_fails(o, "train.group 4, not 2"), STATUS_INVALID);
    o = options("other.safetensors");
    o.fit.resume = true;
    assert_int_equal(run_fails(o, "train.pair_share 0.800000012, which is not asked for"),
                     STATUS_INVALID);
}

static void refusals(void **state)
{
    (void)state;
    struct train_restore_options o = options("x");
    o.size = 18;
    assert_int_equal(run_fails(o, "a multiple of 4"), STATUS_INVALID);
    o = options("x");
    o.size = 24;
    assert_int_equal(run_fails(o, "smaller than 24"), STATUS_INVALID);
    o = options("x");
    o.group = 3;
    assert_int_equal(run_fails(o, "no multiple of 3"), STATUS_INVALID);
    o = options("x");
    o.fit.limit = 3;
    assert_int_equal(run_fails(o, "has 3 images, fewer than the 4 of a group"), STATUS_INVALID);
    o = options("x");
    o.group = 0;
    assert_int_equal(run_fails(o, "a group of 0"), STATUS_INVALID);
    o = options("x");
    o.coherence = NAN;
    assert_int_equal(run_fails(o, "coherence"), STATUS_INVALID);
    o = options("x");
    o.families = "blocks:1,stripes:2";
    assert_int_equal(run_fails(o, "stripes"), STATUS_INVALID);
    o = options("x");
    o.cfg.width[0] = 20;
    assert_int_equal(run_fails(o, "multiple of 32"), STATUS_INVALID);
    o = options("x");
    o.noise = -1;
    assert_int_equal(run_fails(o, "noise of 0 to 255"), STATUS_INVALID);
    o = with_pairs("x");
    o.pair_share = 1.5f;
    assert_int_equal(run_fails(o, "0 to 1"), STATUS_INVALID);
    o = options("x");
    o.pairs_clean = toy_path("pairs/clean");
    assert_int_equal(run_fails(o, "two trees"), STATUS_INVALID);
    o = options("x");
    o.fit.lr = 1e20f;
    o.fit.warmup = 0;
    assert_int_equal(run_fails(o, "not a number"), STATUS_CORRUPT);
    assert_false(toy_there("x"));
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n += 1 + n / 32) { /* of thousands */
        struct train_restore_options o = with_pairs("short.safetensors");
        struct train_restore_result r;
        o.fit.steps = 2;
        o.fit.batch = 4;
        unsigned long before = fault_calls(FAULT_MEM);
        struct errmsg e = {""};
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_restore_run(&o, &r, &e);
        fault_clear();
        if (st == STATUS_OK && fault_calls(FAULT_MEM) - before < n)
            break;
        if (st != STATUS_NOMEM && st != STATUS_OK) /* some are done without */
            fail_msg("allocation %lu: %s: %s", n, status_text(st), e.text);
        assert_int_equal(toy_there("short.safetensors"), st == STATUS_OK);
        (void)remove(toy_path("short.safetensors"));
    }
}

/* A group of one image has nothing in common: coherence counts for nothing, and has no figure. */
static void groups_of_one(void **state)
{
    (void)state;
    struct train_restore_options o = options("one.safetensors");
    o.group = 1;
    o.fit.steps = 5;
    struct train_restore_result r = run_ok(o);
    for (int i = 0; i < r.families; i++)
        assert_true(isnan(r.family[i].removed_coherent));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_carry_one_perturbation_in_8_bits),
        cmocka_unit_test(what_is_shown_is_rounded_and_clipped),
        cmocka_unit_test(grey_images_stay_grey),
        cmocka_unit_test(noise_is_shown_and_to_be_said),
        cmocka_unit_test(noise_has_its_share),
        cmocka_unit_test(pairs_are_shown_as_they_are),
        cmocka_unit_test(pairs_of_a_group_are_of_one_folder),
        cmocka_unit_test(a_step_is_the_same_after_a_resume),
        cmocka_unit_test(the_loss_is_the_one_derived),
        cmocka_unit_test(what_is_left_alike_is_told_from_what_is_not),
        cmocka_unit_test(squares_are_learned_and_the_file_says_how),
        cmocka_unit_test(what_shrinking_leaves_is_removed),
        cmocka_unit_test(pairs_are_learned),
        cmocka_unit_test(a_crashed_run_resumes_to_the_same_bits),
        cmocka_unit_test(resuming_with_other_options_is_refused),
        cmocka_unit_test(refusals),
        cmocka_unit_test(groups_of_one),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return toy_fit_main(argc, argv, run, "restore", tests, ARRAY_LEN(tests), make_data);
}
