/* Training of filter estimators: what the network is shown is what it is to say, it learns that, goes
   on after a crash to the same bits, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "estimator.h"
#include "toy_fit.h"

#include <math.h>

enum { IMAGES = 24, SIDE = 20, SIZE = 16, BATCH = 16, ROW = SIZE * SIZE * 3 };

static struct train_estimator_options options(const char *out)
{
    struct train_estimator_options o = train_estimator_default();
    o.cfg.levels = 2;
    o.cfg.width[0] = o.cfg.width[1] = 32;
    o.cfg.size = SIZE;
    o.fit.data_dir = toy_path("data");
    o.fit.out_file = toy_path(out);
    o.fit.steps = 40;
    o.fit.batch = BATCH;
    o.fit.warmup = 5;
    o.fit.ema = .9f;
    o.fit.precision = precision;
    o.fit.threads = 1;
    o.fit.save_every = 10;
    o.fit.quiet = true;
    return o;
}

/* Slopes and stripes, of each image its own. */
static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_mkdir("data");
    for (int i = 0; i < IMAGES; i++) {
        char name[64];
        uint8_t pixels[SIDE * SIDE * 3];
        for (int y = 0; y < SIDE; y++)
            for (int p = 0; p < SIDE * 3; p++)
                pixels[y * SIDE * 3 + p] =
                    (uint8_t)lrint(120 + 50 * sin(.3 * i + y * (.4 + .02 * i)) +
                                   50 * cos(p / 3 * (.9 - .03 * i) + p % 3));
        snprintf(name, sizeof name, "data/%02d.png", i);
        toy_image(name, SIDE, SIDE, 3, pixels);
    }
    return 0;
}

/* ---- inputs ---- */

/* A training by hand: its batch is of images that the test makes. */
struct inputs {
    struct train_estimator_options o;
    struct estimator s;
    struct train_batch b;
    float batch[BATCH * ROW], x[BATCH * ROW], target[BATCH * 9], delta[ROW], filtered[ROW];
    uint8_t clean[ROW], shown[ROW];
};

static void make_inputs(struct inputs *in, float plain, float perturbed, float large)
{
    struct errmsg e = {""};
    in->o = options("x");
    in->o.plain = plain;
    in->o.perturbed = perturbed;
    in->o.large = large;
    in->s = (struct estimator){.fit = {.opt = &in->o.fit, .batch = BATCH, .step = 7},
                               .opt = &in->o,
                               .cfg = in->o.cfg,
                               .frame = {SIZE, SIZE, 3},
                               .row = ROW,
                               .x = in->x,
                               .target = in->target,
                               .clean = in->clean,
                               .shown = in->shown,
                               .delta = in->delta,
                               .filtered = in->filtered};
    in->s.cfg.in_channels = 3;
    for (int p = 0; p < BATCH * ROW; p++)
        in->batch[p] = (float)(40 + (p * 7919LL + p / ROW * 31LL) % 180) / 255;
    in->b = (struct train_batch){.x = in->batch};
    toy_good(family_mix_parse("blocks:1", &in->s.mix, &e), &e);
    const struct family_source source = {.group = 1};
    toy_good(family_mix_begin(&in->s.mix, &source, in->s.frame, &e), &e);
    toy_good(train_estimator_load(&in->s, &in->b, &e), &e);
    family_mix_done(&in->s.mix);
}

static double pixel(const struct inputs *in, int image, int y, int x, int c)
{
    bool inside = y >= 0 && x >= 0 && y < SIZE && x < SIZE;
    return inside ? rint((double)in->batch[image * ROW + (y * SIZE + x) * 3 + c] * 255) : 0;
}

/* Of an image through kernel k of sum 1, with zeros beyond the edge. */
static double through(const struct inputs *in, const float *k, int image, int y, int x, int c)
{
    double sum = 0;
    for (int i = 0; i < 9; i++)
        sum += (double)k[i] * pixel(in, image, y + i / 3 - 1, x + i % 3 - 1, c);
    return sum;
}

/* What a kernel makes 255 of. */
static double brightest(const struct inputs *in, const float *k, int image)
{
    double most = 0;
    for (int p = 0; p < ROW; p++)
        most = fmax(most, through(in, k, image, p / 3 / SIZE, p / 3 % SIZE, p % 3));
    return most;
}

static bool is_none(const float *k)
{
    bool none = true;
    for (int i = 0; i < 9; i++)
        none &= k[i] == (i == 4);
    return none;
}

static double shown(const struct inputs *in, int i, int p)
{
    return ((double)in->x[i * ROW + p] + 1) * 127.5;
}

/* Every pixel shown is the image's, or one of its neighbour's in the batch, through the kernel that
   is to be said. */
static void check_filtered(bool large)
{
    static struct inputs in;
    make_inputs(&in, .4f, 0, large);
    int plain = 0;
    for (int i = 0; i < BATCH; i++) {
        const float *k = in.target + (ptrdiff_t)i * 9;
        double most[4], sum = 0;
        plain += is_none(k);
        for (int q = 0; q < 4; q++)
            most[q] = brightest(&in, k, large ? (i + q) % BATCH : i);
        for (int n = 0; n < 9; n++)
            sum += (double)k[n];
        assert_true(fabs(sum - 1) < 1e-5);
        for (int p = 0; p < ROW; p++) {
            int y = p / 3 / SIZE, x = p / 3 % SIZE;
            int q = (y >= SIZE / 2 ? 2 : 0) + (x >= SIZE / 2 ? 1 : 0);
            int of = large ? (i + q) % BATCH : i;
            double want = through(&in, k, of, y, x, p % 3);
            want = is_none(k) ? want : floor(want * 255 / most[q] + 1e-3);
            if (fabs(shown(&in, i, p) - want) > 1.01)
                fail_msg("image %d place %d: %g, not %g", i, p, shown(&in, i, p), want);
        }
    }
    assert_in_range(plain, 1, BATCH - 1);
}

static void is_shown_what_it_is_to_say(void **state)
{
    (void)state;
    check_filtered(false);
    check_filtered(true);
}

/* A perturbation is no filter. */
static void perturbations_are_plain(void **state)
{
    (void)state;
    static struct inputs in;
    make_inputs(&in, 1, 1, 0);
    for (int i = 0; i < BATCH; i++) {
        double most = 0;
        assert_true(is_none(in.target + (ptrdiff_t)i * 9));
        for (int p = 0; p < ROW; p++)
            most = fmax(most,
                        fabs(shown(&in, i, p) - pixel(&in, i, p / 3 / SIZE, p / 3 % SIZE, p % 3)));
        assert_true(most >= 1 && most <= 16.01);
    }
}

/* ---- runs ---- */

static struct train_fit_result run_ok(struct train_estimator_options o)
{
    struct train_fit_result r;
    struct errmsg e = {""};
    toy_good(train_estimator_run(&o, &r, &e), &e);
    return r;
}

static void kernels_are_learned_and_the_file_says_how(void **state)
{
    (void)state;
    struct train_estimator_options o = options("e.safetensors");
    struct errmsg e = {""};
    struct nn_file *f;
    struct purify_estimator cfg;
    o.fit.steps = 5;
    double before = run_ok(o).loss;
    o.fit.steps = 400;
    double after = run_ok(o).loss;
    if (!(after < before / 4))
        fail_msg("squared distance %g, and %g after 5 steps", after, before);
    toy_good(nn_file_open(o.fit.out_file, &f, &e), &e);
    toy_good(purify_estimator_from_file(f, &cfg, &e), &e);
    assert_int_equal(cfg.size, SIZE);
    assert_int_equal(cfg.side, 3);
    assert_string_equal(nn_file_meta(f, "train.large"), "0.300000012");
    assert_non_null(strstr(nn_file_meta(f, "train.families"), "blocks:22,"));
    nn_file_close(f);
}

static status run(const char *out, bool resume, struct errmsg *e)
{
    struct train_estimator_options o = options(out);
    struct train_fit_result r;
    o.fit.resume = resume;
    return train_estimator_run(&o, &r, e);
}

static void a_crashed_run_resumes_to_the_same_bits(void **state)
{
    (void)state;
    toy_fit_assert_resumes(run);
}

static void fails(struct train_estimator_options o, const char *says)
{
    struct train_fit_result r;
    struct errmsg e = {""};
    status st = train_estimator_run(&o, &r, &e);
    assert_int_equal(toy_bad(st, &e, says), STATUS_INVALID);
}

static void refusals(void **state)
{
    (void)state;
    struct train_estimator_options o = options("x");
    o.blur = 0;
    fails(o, "entries of up to 0");
    o = options("x");
    o.plain = 1.5f;
    fails(o, "shares must be 0 to 1");
    o = options("x");
    o.cfg.side = 2;
    fails(o, "kernels of 2 pixels");
    o = options("x");
    o.families = "blur:1";
    fails(o, "family blur depends on the image");
    o = options("x");
    o.families = "gradients:1";
    fails(o, "family gradients depends on the image");
    o = options("x");
    o.fit.batch = 1 << 17;
    fails(o, "a batch of 131072");
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct train_estimator_options o = options("short.safetensors");
    o.fit.steps = 1;
    status st = STATUS_NOMEM;
    struct train_fit_result r;
    struct errmsg e;
    for (unsigned long n = 1; st == STATUS_NOMEM; n += n < 100 ? 1 : 17) {
        e.text[0] = 0;
        fault_set(FAULT_MEM, n, 0, 0);
        st = train_estimator_run(&o, &r, &e);
        fault_clear();
        assert_true(n < 20000);
    }
    toy_good(st, &e);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_shown_what_it_is_to_say),
        cmocka_unit_test(perturbations_are_plain),
        cmocka_unit_test(kernels_are_learned_and_the_file_says_how),
        cmocka_unit_test(a_crashed_run_resumes_to_the_same_bits),
        cmocka_unit_test(refusals),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return toy_fit_main(argc, argv, run, "estimator", tests, ARRAY_LEN(tests), make_data);
}
