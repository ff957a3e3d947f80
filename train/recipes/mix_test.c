#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recipes/losses.h"
#include "run.h"

#include <math.h>
#include <string.h>

enum { BATCH = 8, SIDE = 10, ROW = SIDE * SIDE * 3 };

/* A step of a run: image i is i everywhere, and class i. */
struct step {
    struct train_options opt;
    struct train_model model;
    struct run r;
    float x[BATCH * ROW], target[BATCH * BATCH];
    int32_t label[BATCH];
};

static void begin(struct step *s, const char *recipe, const struct param_arg *arg, int n)
{
    struct errmsg e = {""};
    memset(s, 0, sizeof *s);
    s->opt.seed = 4;
    s->model.shape = (struct train_net_shape){SIDE, SIDE, 3, BATCH};
    s->r = (struct run){.opt = &s->opt,
                        .recipe = recipe_find(recipe),
                        .batch = BATCH,
                        .model = &s->model,
                        .in = s->x,
                        .label = s->label,
                        .target = s->target};
    assert_ptr_equal(recipe_loss_of(s->r.recipe), &recipe_target_loss);
    if (recipe_params_new(s->r.recipe, arg, n, &s->r.params, &e))
        fail_msg("%s", e.text);
    s->r.state = mem_zalloc(1, s->r.recipe->state_size);
    assert_non_null(s->r.state);
    assert_int_equal(s->r.recipe->open(&s->r, &e), STATUS_OK);
}

static void load(struct step *s, int64_t step)
{
    s->r.at.step = step;
    for (int i = 0; i < BATCH; i++) {
        s->label[i] = i;
        for (int k = 0; k < BATCH; k++)
            s->target[i * BATCH + k] = i == k;
        for (int p = 0; p < ROW; p++)
            s->x[i * ROW + p] = (float)i;
    }
    assert_int_equal(s->r.recipe->batch(&s->r), STATUS_OK);
}

static void end(struct step *s)
{
    s->r.recipe->close(&s->r);
    mem_free(s->r.state);
    mem_free(s->r.params);
}

/* Labels are a distribution, and say of which images the image is. Returns whether it was mixed. */
static bool check_labels(const struct step *s, int i)
{
    double sum = 0, value = 0, mean = 0;
    for (int k = 0; k < BATCH; k++) {
        assert_true(s->target[i * BATCH + k] >= 0);
        sum += (double)s->target[i * BATCH + k];
        value += (double)s->target[i * BATCH + k] * k;
    }
    for (int p = 0; p < ROW; p++)
        mean += (double)s->x[i * ROW + p] / ROW;
    assert_true(fabs(sum - 1) < 1e-5);
    if (!(fabs(value - mean) < 1e-4))
        fail_msg("labels say %g, the image %g", value, mean);
    return s->target[i * BATCH + i] < 1;
}

static void mixup_blends_images_as_labels(void **state)
{
    (void)state;
    enum { STEPS = 200 };
    static struct step s, again;
    int mixed = 0;
    begin(&s, "mixup", NULL, 0);
    begin(&again, "mixup", NULL, 0);
    for (int step = 0; step < STEPS; step++) {
        load(&s, step);
        for (int i = 0; i < BATCH; i++) {
            mixed += check_labels(&s, i);
            for (int p = 1; p < ROW; p++) /* all of it alike */
                assert_true(s.x[i * ROW + p] == s.x[i * ROW]);
        }
        load(&again, step);
        assert_memory_equal(again.x, s.x, sizeof s.x);
        load(&again, step + 1);
        assert_memory_not_equal(again.x, s.x, sizeof s.x);
    }
    /* Two rounds with probability 1/2, another image in 7 of 8. */
    double want = 1 - (1 - .5 * 7 / 8) * (1 - .5 * 7 / 8);
    assert_true(fabs((double)mixed / (STEPS * BATCH) - want) < .05);
    end(&s);
    end(&again);
}

/* Mean 1/2 and variance 1/(4 (2 alpha + 1)). */
static void shares_are_from_their_distribution(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double alpha;
    } tried[] = {{"1", 1}, {"0.2", .2}, {"2", 2}};
    for (size_t t = 0; t < ARRAY_LEN(tried); t++) {
        const struct param_arg arg[] = {{"alpha", tried[t].text}, {"p", "1"}, {"rounds", "1"}};
        static struct step s;
        double sum = 0, squares = 0, n = 0;
        begin(&s, "mixup", arg, 3);
        for (int step = 0; step < 600; step++) {
            load(&s, step);
            for (int i = 0; i < BATCH; i++) {
                double kept = (double)s.target[i * BATCH + i];
                if (kept == 1)
                    continue; /* its own partner, or all but so */
                sum += kept, squares += kept * kept, n++;
            }
        }
        double mean = sum / n, variance = squares / n - mean * mean;
        double want = 1 / (4 * (2 * tried[t].alpha + 1));
        if (!(fabs(mean - .5) < .03 && fabs(variance / want - 1) < .08))
            fail_msg("alpha %s: mean %g, variance %g, not %g", tried[t].text, mean, variance, want);
        end(&s);
    }
}

static void cutmix_pastes_rectangles(void **state)
{
    (void)state;
    static const struct param_arg arg[] = {{"p", "1"}, {"rounds", "1"}};
    static struct step s;
    int mixed = 0;
    double kept = 0;
    begin(&s, "cutmix", arg, 2);
    for (int step = 0; step < 200; step++) {
        load(&s, step);
        for (int i = 0; i < BATCH; i++) {
            int x0 = SIDE, x1 = -1, y0 = SIDE, y1 = -1, n = 0;
            mixed += check_labels(&s, i);
            kept += (double)s.target[i * BATCH + i];
            for (int p = 0; p < SIDE * SIDE; p++) {
                const float *pixel = s.x + i * ROW + p * 3;
                assert_true(pixel[0] == roundf(pixel[0]) && pixel[1] == pixel[0]);
                if (pixel[0] == (float)i)
                    continue;
                n++;
                x0 = p % SIDE < x0 ? p % SIDE : x0, x1 = p % SIDE > x1 ? p % SIDE : x1;
                y0 = p / SIDE < y0 ? p / SIDE : y0, y1 = p / SIDE > y1 ? p / SIDE : y1;
            }
            if (n)
                assert_int_equal(n, (x1 - x0 + 1) * (y1 - y0 + 1));
        }
    }
    assert_true(mixed > 1000 && mixed < 1600);
    assert_true(kept / (200 * BATCH) > .55 && kept / (200 * BATCH) < .85);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixup_blends_images_as_labels),
        cmocka_unit_test(shares_are_from_their_distribution),
        cmocka_unit_test(cutmix_pastes_rectangles),
    };
    return cmocka_run_group_tests_name("mix", tests, NULL, NULL);
}
