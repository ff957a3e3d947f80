#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recipes/dvae.h"
#include "toy.h"

enum { SIDE = 16, ROW = SIDE * SIDE, CLASSES = 2, EACH = 60, N = CLASSES * EACH, LEVELS = 16 };
static const double pi = 3.14159265358979323846;

/* What is added to all images of a class: -1 or 1 times some grey levels. */
static int delta_at(int k, int p)
{
    return nn_rng_u32(nn_rng(5, (uint64_t)k), (uint64_t)p) & 1 ? 1 : -1;
}

/* A wave of any height, direction and phase, which says nothing of the class. */
static double wave_at(int i, int p)
{
    struct nn_rng r = nn_rng(6, (uint64_t)i);
    double turn = (double)nn_rng_uniform(r, 0), phase = (double)nn_rng_uniform(r, 1);
    double x = p % SIDE * cos(2 * pi * turn) + p / SIDE * sin(2 * pi * turn);
    return 128 + 70 * (double)nn_rng_uniform(r, 2) * sin(2 * pi * (x / SIDE + phase));
}

static void write_tree(const char *name, int levels)
{
    for (int i = 0; i < N; i++) {
        int k = i / EACH;
        char path[64];
        uint8_t pixels[ROW];
        snprintf(path, sizeof path, "%s/%c", name, 'a' + k);
        toy_mkdir(path);
        for (int p = 0; p < ROW; p++)
            pixels[p] = (uint8_t)(wave_at(i, p) + levels * delta_at(k, p));
        snprintf(path, sizeof path, "%s/%c/%03d.png", name, 'a' + k, i % EACH);
        toy_image(path, SIDE, SIDE, 1, pixels);
    }
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    write_tree("protected", LEVELS);
    return 0;
}

static const struct dvae_options small = {
    .epochs = 30, .batch = 20, .width = 8, .lr = .005f, .rate = 3};
static const struct dvae_how how = {.seed = 1, .threads = 1, .quiet = true};

/* How much of the perturbation is in the mean over a class, and of the waves in the images. */
static void measure(const uint8_t *pixels, double *out_added, double *out_kept)
{
    double added = 0, cross = 0, own = 0, waves = 0;
    for (int k = 0; k < CLASSES; k++)
        for (int p = 0; p < ROW; p++) {
            double mean = 0;
            for (int i = k * EACH; i < (k + 1) * EACH; i++) {
                double w = wave_at(i, p) - 128, v = pixels[i * ROW + p] - 128.0;
                mean += (v - w) / EACH;
                cross += v * w;
                own += v * v;
                waves += w * w;
            }
            added += mean * delta_at(k, p) / (LEVELS * CLASSES * ROW);
        }
    *out_added = added;
    *out_kept = cross / sqrt(own * waves);
}

static void what_the_label_tells_goes_and_the_image_stays(void **state)
{
    (void)state;
    static uint8_t out[N * ROW], again[N * ROW];
    struct train_set *s = toy_set("protected");
    struct errmsg e = {""};
    double added, kept;
    toy_good(dvae_disentangle(s, &small, &how, out, &e), &e);
    measure(out, &added, &kept);
    print_message("# of the perturbation %.3f stays, the images correlate by %.3f\n", added, kept);
    if (!(fabs(added) < .25 && kept > .6))
        fail_msg("%g of the perturbation stays, the images correlate by %g", added, kept);
    toy_good(dvae_disentangle(s, &small, &how, again, &e), &e);
    assert_memory_equal(out, again, sizeof out);
    train_set_free(s);
}

/* ---- the loss ---- */

enum { BATCH = 3, PART = BATCH * ROW };

static double square(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += pow((double)a[i] - (b ? (double)b[i] : 0), 2);
    return sum / n;
}

/* By the formula of dvae.h, from what the network gives. */
static double loss_of(struct nn_plan *plan, const struct dvae_net *n, float rate, bool late)
{
    const float *x = nn_plan_data(plan, n->x), *rec = nn_plan_data(plan, n->rec),
                *p = nn_plan_data(plan, n->p), *mu = nn_plan_data(plan, n->mu),
                *v = nn_plan_data(plan, n->log_var);
    const int places = BATCH * SIDE * SIDE / 4, z = 4 * small.width;
    double kl = 0;
    float both[PART];
    for (int i = 0; i < PART; i++)
        both[i] = fminf(fmaxf(rec[i] + p[i], 0), 1);
    for (int i = 0; i < places * z; i++)
        kl += (pow((double)mu[i], 2) + exp((double)v[i]) - (double)v[i] - 1) / 2 / places;
    return square(rec, x, PART) + square(both, x, PART) + .01 * fmax(kl, (double)rate) +
           (late ? fmax(square(p, NULL, PART), .002) : 0);
}

static void the_loss_is_its_formula(void **state)
{
    (void)state;
    static const float rates[] = {.001f, 1e4f};
    const struct dvae_shape shape = {BATCH, SIDE, SIDE, 1, CLASSES, small.width};
    for (int i = 0; i < 4; i++) {
        struct nn_params *params = NULL;
        struct nn_graph *g = NULL;
        struct nn_plan *plan = NULL;
        struct nn_val late;
        const struct nn_plan_options po = {.threads = 1};
        struct errmsg e = {""};
        assert_int_equal(nn_params_new(&params), STATUS_OK);
        assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
        struct dvae_net n = dvae_build(g, &shape, true);
        struct nn_val loss = dvae_loss(g, &n, rates[i % 2], &late);
        nn_param_gradients(g, loss, NULL, 0, NULL);
        struct nn_val seen[] = {loss, n.rec, n.p, n.mu, n.log_var};
        for (size_t k = 0; k < ARRAY_LEN(seen); k++)
            nn_output(g, seen[k], (const char *const[]){"loss", "rec", "p", "mu", "v"}[k]);
        assert_int_equal(nn_params_init(params, 1), STATUS_OK);
        toy_good(nn_plan_new(g, &po, &plan, &e), &e);
        assert_int_equal(nn_plan_refresh(plan), STATUS_OK);
        float *x = nn_plan_data(plan, n.x), *label = nn_plan_data(plan, n.label);
        for (int p = 0; p < PART; p++)
            x[p] = (float)(wave_at(p / ROW, p % ROW) / 255);
        for (int p = 0; p < BATCH; p++)
            label[p * CLASSES + p % CLASSES] = 1;
        nn_rng_normal(nn_rng(7, 0), 0, nn_plan_data(plan, n.noise), (size_t)PART * small.width);
        ((float *)nn_plan_data(plan, late))[0] = i / 2;
        assert_int_equal(nn_plan_run(plan), STATUS_OK);
        double got = (double)*(const float *)nn_plan_data(plan, loss);
        double want = loss_of(plan, &n, rates[i % 2], i / 2);
        if (!(fabs(got - want) < 1e-4 * want))
            fail_msg("rate %g, late %d: loss %g, not %g", (double)rates[i % 2], i / 2, got, want);
        nn_plan_free(plan);
        nn_graph_free(g);
        nn_params_free(params);
    }
}

/* ---- as a recipe ---- */

static struct train_options options(const char *out)
{
    static const struct param_arg arg[] = {
        {"epochs", "30"}, {"batch", "20"}, {"width", "8"}, {"rate", "3"}};
    struct train_options o = train_options_default();
    o.data_dir = o.test_dir = toy_path("protected");
    o.out_dir = toy_path(out);
    o.arch = "resnet8";
    o.recipe = "disentangle";
    o.recipe_arg = arg;
    o.n_recipe_args = ARRAY_LEN(arg);
    o.epochs = 4;
    o.batch = 20;
    o.pad = 0;
    o.flip = false;
    o.seed = 1;
    o.threads = 1;
    o.quiet = true;
    return o;
}

/* A network that read the perturbation alone reads nothing of what is left. */
static void a_run_learns_nothing_of_it(void **state)
{
    (void)state;
    struct train_options o = options("disentangled"), plain = options("standard");
    struct train_result with, without;
    struct errmsg e = {""};
    plain.recipe = "standard";
    plain.n_recipe_args = 0;
    toy_good(train_run(&plain, &without, &e), &e);
    toy_good(train_run(&o, &with, &e), &e);
    print_message("# test accuracy %.2f, disentangled %.2f\n", without.test_accuracy,
                  with.test_accuracy);
    assert_true(without.test_accuracy > .95);
    assert_true(with.test_accuracy < .8);
}

/* The file is what numpy makes of such an array. */
static void a_run_keeps_what_is_left(void **state)
{
    (void)state;
    static uint8_t want[N * ROW];
    struct train_set *s = toy_set("protected");
    struct errmsg e = {""};
    struct nn_file *f = NULL;
    toy_good(dvae_disentangle(s, &small, &how, want, &e), &e);
    train_set_free(s);
    toy_good(nn_file_open_any(toy_path("disentangled/images.npy"), &f, &e), &e);
    const struct nn_file_tensor *t = nn_file_at(f, 0);
    assert_non_null(t);
    assert_true(nn_shape_equal(t->shape, nn_shape4(N, SIDE, SIDE, 1)));
    assert_string_equal(t->dtype, "U8");
    assert_int_equal(t->bytes, sizeof want);
    assert_memory_equal(t->data, want, sizeof want);
    nn_file_close(f);
}

static void what_it_cannot_do_is_refused(void **state)
{
    (void)state;
    static const int size[1][2] = {{15, 16}};
    static const uint8_t grey[15 * 16];
    struct train_options o = options("odd");
    struct train_result r;
    struct errmsg e = {""};
    for (int i = 0; i < 2 * CLASSES; i++) {
        char name[64];
        snprintf(name, sizeof name, "thin/%c", 'a' + i / 2);
        toy_mkdir(name);
        snprintf(name, sizeof name, "thin/%c/%d.png", 'a' + i / 2, i);
        toy_image(name, size[0][0], size[0][1], 1, grey);
    }
    o.data_dir = toy_path("thin");
    o.test_dir = NULL;
    assert_int_equal(toy_bad(train_run(&o, &r, &e), &e, "must be even (use --size)"),
                     STATUS_INVALID);
    assert_false(toy_there("odd"));
}

static void short_memory_is_told(void **state)
{
    (void)state;
    static uint8_t out[N * ROW];
    const struct dvae_options once = {.epochs = 1, .batch = N, .width = 4, .lr = .005f, .rate = 3};
    struct train_set *s = toy_set("protected");
    status st = STATUS_NOMEM;
    unsigned long n = 1;
    for (; st; n += 37) {
        struct errmsg e = {""};
        fault_set(FAULT_MEM, n, 0, 0);
        st = dvae_disentangle(s, &once, &how, out, &e);
        fault_clear();
        if (st && st != STATUS_NOMEM)
            fail_msg("allocation %lu: %s, %s", n, status_text(st), e.text);
    }
    assert_true(n > 200);
    train_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_label_tells_goes_and_the_image_stays),
        cmocka_unit_test(the_loss_is_its_formula),
        cmocka_unit_test(a_run_learns_nothing_of_it),
        cmocka_unit_test(a_run_keeps_what_is_left),
        cmocka_unit_test(what_it_cannot_do_is_refused),
        cmocka_unit_test(short_memory_is_told),
    };
    return cmocka_run_group_tests_name("disentangle", tests, make_data, toy_teardown);
}
