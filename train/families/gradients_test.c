/* Perturbations along gradients: of the networks that they are made with, and of nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "families/gradients.h"
#include "toy.h"

#include <math.h>

enum { SIDE = 12, SIZE = 8, ROW = SIZE * SIZE * 3, GROUP = 4, BATCH = 24, CLASSES = 4, EACH = 12 };
static const struct family_frame frame = {SIZE, SIZE, 3};

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("classes", CLASSES, EACH, SIDE, 3, 1);
    toy_tree("one", 1, BATCH, SIDE, 3, 2);
    toy_tree("mixed", 2, 4, SIDE, 3, 3);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "mixed/%d.png", i);
        toy_class_image(name, SIDE, 3, 0, (uint64_t)i);
    }
    return 0;
}

/* A family on a set, as a restorer's training has it, and a batch of the set's first images. */
struct bench {
    struct train_set *set;
    struct train_loader *loader;
    struct family_mix mix;
    struct gradients *s;
    const struct train_batch *batch;
    float out[BATCH / GROUP][ROW];
    struct family_group group[BATCH / GROUP];
};

static status open_mix(struct bench *b, uint64_t seed, struct errmsg *e)
{
    const struct family_source source = {
        .set = b->set, .seed = seed, .group = GROUP, .flip = true, .threads = 1};
    status st = family_mix_parse("gradients:1", &b->mix, e);
    if (!st)
        st = family_mix_begin(&b->mix, &source, frame, e);
    b->s = st ? NULL : b->mix.entry[0].state;
    return st;
}

static void bench_open(struct bench *b, const char *dir, int batch)
{
    struct errmsg e = {""};
    *b = (struct bench){.set = NULL};
    const struct train_data_options data = {
        .dir = toy_path(dir), .flat = true, .min_side = SIZE, .threads = 1};
    toy_good(train_set_open(&data, &b->set, &e), &e);
    const struct train_loader_options lo = {
        .batch = batch, .shuffle = true, .crop = SIZE, .seed = 5, .threads = 1};
    toy_good(train_loader_new(b->set, &lo, &b->loader, &e), &e);
    assert_int_equal(train_loader_start(b->loader, 0, 0), STATUS_OK);
    toy_good(train_loader_next(b->loader, &b->batch, &e), &e);
    toy_good(open_mix(b, 1, &e), &e);
}

static void bench_close(struct bench *b)
{
    family_mix_done(&b->mix);
    train_loader_free(b->loader);
    train_set_free(b->set);
}

static float amplitude_of(int g)
{
    return (float)(4 + 2 * g);
}

/* The perturbations of a step, of all groups of the batch. */
static status craft(struct bench *b, uint64_t step, struct errmsg *e)
{
    int groups = b->batch->n / GROUP;
    for (int g = 0; g < groups; g++)
        b->group[g] = (struct family_group){
            .first = g * GROUP,
            .draw = {stream(1, STREAM_DELTA, step << 16 | (uint64_t)g), amplitude_of(g)},
            .out = b->out[g]};
    const struct family_step at = {
        .number = step, .batch = b->batch, .group = b->group, .groups = groups};
    return b->mix.entry[0].ops->make_step(b->mix.entry[0].state, &at, e);
}

static void craft_ok(struct bench *b, uint64_t step)
{
    struct errmsg e = {""};
    toy_good(craft(b, step, &e), &e);
}

/* ---- what is made ---- */

static void perturbations_are_bounded_and_not_faint(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "classes", BATCH);
    for (uint64_t step = 0; step < 12; step++) {
        craft_ok(&b, step);
        for (int g = 0; g < BATCH / GROUP; g++) {
            double square = 0;
            for (int p = 0; p < ROW; p++) {
                float part = b.out[g][p] / amplitude_of(g);
                if (!(fabsf(part) <= 1.00001f))
                    fail_msg("step %d, group %d: %g of the amplitude", (int)step, g, (double)part);
                square += (double)part * (double)part / ROW;
            }
            if (!(square > .2))
                fail_msg("step %d, group %d: %g of the amplitude's square", (int)step, g, square);
        }
    }
    bench_close(&b);
}

/* The summed loss of the images in the craft's rows, by a plan of its own. */
static double loss_of(const struct bench *b, const struct gradients_network *n,
                      const struct gradients_craft *c, const float *delta)
{
    const struct nn_plan_options po = {.threads = 1};
    struct forward *f = NULL;
    struct errmsg e = {""};
    double sum = 0;
    toy_good(train_forward_new(n->model, c->images, &po, false, &f, &e), &e);
    for (int i = 0; i < c->images * ROW; i++) {
        float v = b->s->clean[c->row * ROW + i] + delta[i % ROW] / 255;
        v = v < 0 ? 0 : v > 1 ? 1 : v;
        f->in[i] = (v - n->model->net->mean) / n->model->net->std;
    }
    assert_int_equal(nn_plan_refresh(f->plan), STATUS_OK);
    assert_int_equal(nn_plan_run(f->plan), STATUS_OK);
    for (int i = 0; i < c->images; i++) {
        const float *logit = f->out + i * GRADIENTS_CLASSES;
        double all = 0;
        for (int k = 0; k < GRADIENTS_CLASSES; k++)
            all += exp((double)logit[k]);
        sum += log(all) - (double)logit[b->s->label[c->row + i]];
    }
    train_forward_free(f);
    return sum;
}

/* Measured plainly, on the images that each was made for: made in one step and in several, for one image and
   for many, towards and away from labels. Where a network learned its labels all but perfectly there
   is next to no loss to take away. */
static void the_loss_moves_the_way_it_should(void **state)
{
    (void)state;
    struct bench b;
    static const float none[ROW];
    int seen[2][3] = {{0}}, wrong = 0, all = 0;
    bench_open(&b, "classes", BATCH);
    for (uint64_t step = 0; step < 40; step++) {
        struct gradients_network *n = NULL;
        struct errmsg e = {""};
        toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        craft_ok(&b, step);
        for (int g = 0; g < BATCH / GROUP; g++) {
            const struct family_step at = {.number = step, .batch = b.batch};
            struct gradients_craft c = gradients_place(b.s, n, &at, &b.group[g], 0);
            double before = loss_of(&b, n, &c, none), after = loss_of(&b, n, &c, b.out[g]);
            seen[c.away][c.images == 1 ? 0 : c.images == GROUP ? 1 : 2]++;
            wrong += c.away ? !(after > before) : !(after < before);
            all++;
        }
    }
    for (int i = 0; i < 6; i++)
        assert_true(seen[i / 3][i % 3] >= 5);
    if (wrong > all / 20) /* a step may be too long for the smallest of losses */
        fail_msg("%d of %d perturbations move the loss the wrong way", wrong, all);
    bench_close(&b);
}

/* ---- of what it is a function ---- */

static void a_step_does_not_depend_on_those_before(void **state)
{
    (void)state;
    enum { BORDER = GRADIENTS_GENERATION };
    static const uint64_t steps[] = {BORDER - 1, BORDER, BORDER + 1};
    struct bench whole, fresh;
    bench_open(&whole, "classes", BATCH);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        craft_ok(&whole, steps[i]);
        bench_open(&fresh, "classes", BATCH); /* another process, which goes on here */
        craft_ok(&fresh, steps[i]);
        assert_memory_equal(whole.out, fresh.out, sizeof whole.out);
        craft_ok(&fresh, steps[i] + 7);
        assert_memory_not_equal(whole.out, fresh.out, sizeof whole.out);
        bench_close(&fresh);
    }
    bench_close(&whole);
}

/* The networks' weights: another generation's and another seed's are others. */
static void generations_and_seeds_have_networks_of_their_own(void **state)
{
    (void)state;
    struct bench b;
    struct errmsg e = {""};
    float weight[3][16];
    bench_open(&b, "classes", BATCH);
    for (int i = 0; i < 3; i++) {
        if (i == 2) {
            family_mix_done(&b.mix);
            toy_good(open_mix(&b, 2, &e), &e);
        }
        struct gradients_network *n = NULL;
        /* Steps of one row. */
        for (uint64_t step = i == 1 ? GRADIENTS_GENERATION : 0; !n || n != &b.s->net[0]; step++)
            toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        memcpy(weight[i], nn_params_find(n->model->params, "conv0.weight")->value,
               sizeof weight[i]);
    }
    for (int i = 0; i < 3; i++)
        assert_memory_not_equal(weight[i], weight[(i + 1) % 3], sizeof weight[0]);
    bench_close(&b);
}

/* ---- labels ---- */

/* Both kinds; a true class is the folder's, whichever number it has. */
static void labels_are_true_or_random(void **state)
{
    (void)state;
    struct bench b;
    struct errmsg e = {""};
    int kinds[2] = {0};
    bench_open(&b, "classes", BATCH);
    for (uint64_t step = 0; step < 16 || !kinds[0] || !kinds[1]; step++) {
        struct gradients_network *n = NULL;
        toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        bool folders = true;
        for (int i = 0; i < CLASSES * EACH; i++) {
            int label = gradients_label(b.s, n, i);
            assert_in_range(label, 0, GRADIENTS_CLASSES - 1);
            folders = folders && label == gradients_label(b.s, n, i / EACH * EACH);
        }
        assert_true(folders == !n->random_labels);
        kinds[n->random_labels]++;
        assert_int_equal(b.s->pool.n, CLASSES * EACH);
    }
    bench_close(&b);
}

static void one_folder_has_random_labels_alone(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "one", BATCH);
    for (uint64_t step = 0; step < 8; step++) {
        struct gradients_network *n = NULL;
        struct errmsg e = {""};
        toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        assert_true(n->random_labels);
        craft_ok(&b, step);
    }
    bench_close(&b);
}

/* What lies in no folder has no true class; it is in the batch all the same. */
static void images_in_no_folder_are_led_to_another_label(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "mixed", 12);
    int in_none = 0, told = 0;
    for (uint64_t step = 0; step < 8; step++) {
        struct gradients_network *n = NULL;
        struct errmsg e = {""};
        toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        craft_ok(&b, step);
        for (int i = 0; i < 12; i++)
            in_none += gradients_label(b.s, n, i) < 0;
        told += !n->random_labels;
    }
    assert_int_equal(b.s->pool.n, 8);
    assert_int_equal(in_none, 4 * told);
    assert_true(told > 0);
    bench_close(&b);
}

/* The labels that a network was told are what it has learned: better than by chance. */
static void networks_learn(void **state)
{
    (void)state;
    struct bench b;
    struct errmsg e = {""};
    bench_open(&b, "classes", BATCH);
    for (uint64_t step = 0; step < 30; step++) {
        struct gradients_network *n = NULL;
        toy_good(gradients_network_at(b.s, step, &n, &e), &e);
        double last = (double)n->learning.loss[0], guess = log(n->random_labels ? 10 : CLASSES);
        if (!(last < guess * 1.05))
            fail_msg("%s: loss %g, %g by guessing", n->model->net->name, last, guess);
    }
    bench_close(&b);
}

/* ---- failures ---- */

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "classes", BATCH);
    family_mix_done(&b.mix);
    for (unsigned long n = 1;; n += 1 + n / 16) {
        struct errmsg e = {""};
        unsigned long before = fault_calls(FAULT_MEM);
        fault_set(FAULT_MEM, n, 0, 0);
        status st = open_mix(&b, 1, &e);
        if (!st)
            st = craft(&b, 3, &e);
        fault_clear();
        bool reached = fault_calls(FAULT_MEM) - before >= n;
        if (st != STATUS_OK && st != STATUS_NOMEM)
            fail_msg("allocation %lu: %s: %s", n, status_text(st), e.text);
        if (st && b.s) { /* once there is memory, it is done */
            float lacking[BATCH / GROUP][ROW];
            craft_ok(&b, 3);
            memcpy(lacking, b.out, sizeof lacking);
            family_mix_done(&b.mix);
            toy_good(open_mix(&b, 1, &e), &e);
            craft_ok(&b, 3);
            assert_memory_equal(lacking, b.out, sizeof lacking);
        }
        family_mix_done(&b.mix);
        if (!reached)
            break;
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perturbations_are_bounded_and_not_faint),
        cmocka_unit_test(the_loss_moves_the_way_it_should),
        cmocka_unit_test(a_step_does_not_depend_on_those_before),
        cmocka_unit_test(generations_and_seeds_have_networks_of_their_own),
        cmocka_unit_test(labels_are_true_or_random),
        cmocka_unit_test(one_folder_has_random_labels_alone),
        cmocka_unit_test(images_in_no_folder_are_led_to_another_label),
        cmocka_unit_test(networks_learn),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("gradients", tests, make_data, toy_teardown);
}
