#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "diffusion.h"
#include "stream.h"
#include "toy_fit.h"

#include <fcntl.h>
#include <math.h>

static struct train_diffusion_options options(const char *out)
{
    struct train_diffusion_options o = train_diffusion_default();
    o.cfg.size = 8;
    o.cfg.ch = 8;
    o.cfg.levels = 2;
    o.cfg.ch_mult[1] = 1;
    o.cfg.groups = 4;
    o.cfg.mid_attn = false;
    o.cfg.total = 100;
    o.cfg.t_max = 100;
    o.fit.data_dir = toy_path("data");
    o.fit.out_file = toy_path(out);
    o.fit.steps = 40;
    o.fit.batch = 8;
    o.fit.warmup = 5;
    o.fit.lr = 3e-3f;
    o.fit.ema = .9f;
    o.fit.precision = precision;
    o.fit.threads = 1;
    o.fit.save_every = 10;
    o.fit.quiet = true;
    return o;
}

static struct train_fit_result run_ok(struct train_diffusion_options o)
{
    struct train_fit_result r;
    struct errmsg e = {""};
    toy_good(train_diffusion_run(&o, &r, &e), &e);
    return r;
}

static status run_fails(struct train_diffusion_options o, const char *says)
{
    struct train_fit_result r;
    struct errmsg e = {""};
    return toy_bad(train_diffusion_run(&o, &r, &e), &e, says);
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("data", 2, 12, 12, 1, 1); /* larger than the network: cropped */
    toy_class_image("data/top.png", 8, 1, 1, 5);
    return 0;
}

static void the_loss_falls_and_the_file_says_what_it_is(void **state)
{
    (void)state;
    struct train_diffusion_options o = options("model.safetensors");
    o.fit.log_file = toy_path("log.jsonl");
    o.fit.steps = 120;
    struct train_fit_result r = run_ok(o);
    assert_int_equal(r.steps, 120);
    if (!(r.loss < .6)) /* about 1 for the zero output it starts with */
        fail_msg("loss %g", r.loss);
    struct nn_file *f = NULL;
    struct purify_unet cfg;
    struct errmsg e = {""};
    assert_int_equal(nn_file_open(toy_path("model.safetensors"), &f, &e), STATUS_OK);
    if (purify_unet_from_file(f, &cfg, &e))
        fail_msg("%s", e.text);
    assert_int_equal(cfg.size, 8);
    assert_int_equal(cfg.in_channels, 1);
    assert_int_equal(cfg.t_max, 100);
    assert_string_equal(nn_file_meta(f, "train.steps"), "120");
    assert_string_equal(nn_file_meta(f, "train.precision"), nn_precision_names[precision]);
    assert_string_equal(nn_file_meta(f, "train.images"), "25");
    assert_string_equal(nn_file_meta(f, "train.weighting"), "constant");
    assert_null(nn_file_meta(f, "train.snr_gamma"));
    assert_int_equal(strlen(nn_file_meta(f, "data_digest")), DIGEST_HEX_LEN);
    assert_string_equal(nn_file_meta(f, "data_name"), "data");
    assert_null(nn_file_meta(f, "note"));
    nn_file_close(f);
    size_t len;
    char *log = toy_read(toy_path("log.jsonl"), &len);
    assert_non_null(strstr(log, "{\"step\":100,\"loss\":"));
    assert_non_null(strstr(log, "{\"step\":120,\"loss\":"));
    assert_non_null(strstr(log, precision == NN_PREC_F32 ? "\"precision\":\"f32\"}\n"
                                                         : "\"precision\":\"bf16\"}\n"));
    mem_free(log);
    struct stat sb;
    assert_int_not_equal(stat(toy_path("model.safetensors.checkpoint"), &sb), 0);
}

#define FIRST_NOTE "of the test split, without labels"
/* Into files whose names begin with snr: with that weighting; with noted: with a note at first. */
static status run(const char *out, bool resume, struct errmsg *e)
{
    struct train_diffusion_options o = options(out);
    struct train_fit_result r;
    if (strncmp(out, "snr", 3) == 0)
        o.weighting = TRAIN_WEIGHT_MIN_SNR;
    if (strncmp(out, "noted", 5) == 0 && !resume)
        o.fit.note = FIRST_NOTE;
    o.fit.resume = resume;
    return train_diffusion_run(&o, &r, e);
}

static void a_crashed_run_resumes_to_the_same_bits(void **state)
{
    (void)state;
    toy_fit_assert_resumes(run);
}

/* What is saved is the average, and it lags behind the weights that a checkpoint holds. */
static void the_average_is_what_is_saved(void **state)
{
    (void)state;
    static const float decay[] = {0, .5f, .99f};
    float first[3];
    for (int i = 0; i < 3; i++) {
        struct train_diffusion_options o = options("average.safetensors");
        o.fit.ema = decay[i];
        o.fit.steps = 20;
        run_ok(o);
        struct nn_file *f = NULL;
        assert_int_equal(nn_file_open(toy_path("average.safetensors"), &f, NULL), STATUS_OK);
        const struct nn_file_tensor *t = nn_file_find(f, "conv_in.weight");
        assert_non_null(t);
        AUTO(mem_free) float *v = mem_alloc((size_t)nn_shape_count(t->shape) * sizeof *v);
        assert_int_equal(nn_file_read_f32(t, v, (size_t)nn_shape_count(t->shape)), STATUS_OK);
        first[i] = v[0];
        nn_file_close(f);
    }
    assert_true(first[0] != first[1] && first[1] != first[2]);
}

static void resuming_with_other_options_is_refused(void **state)
{
    (void)state;
    assert_int_equal(toy_fit_spawn("other.safetensors", "fresh", "crash:5"), 99);
    struct train_diffusion_options o = options("other.safetensors");
    o.fit.resume = true;
    o.fit.batch = 4;
    assert_int_equal(run_fails(o, "train.batch 8, not 4"), STATUS_INVALID);
    o = options("other.safetensors");
    o.fit.resume = true;
    o.fit.precision = precision == NN_PREC_F32 ? NN_PREC_BF16 : NN_PREC_F32;
    if (nn_precision_supported(NULL, o.fit.precision))
        assert_int_equal(run_fails(o, precision == NN_PREC_F32 ? "train.precision f32, not bf16"
                                                               : "train.precision bf16, not f32"),
                         STATUS_INVALID);
    else
        assert_int_equal(run_fails(o, "--precision f32"), STATUS_UNSUPPORTED);
    o = options("none.safetensors");
    o.fit.resume = true;
    assert_int_equal(run_fails(o, "nothing to resume"), STATUS_NOT_FOUND);
}

static void assert_note(const char *file, const char *note)
{
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path(file), &f, NULL), STATUS_OK);
    assert_string_equal(nn_file_meta(f, "note"), note);
    nn_file_close(f);
}

/* A training that goes on keeps its note unless it is given another. */
static void notes_are_kept(void **state)
{
    (void)state;
    static const char *const then[] = {NULL, "another: \xc3\xbc"};
    for (size_t i = 0; i < ARRAY_LEN(then); i++) {
        assert_int_equal(toy_fit_spawn("noted.safetensors", "fresh", "crash:5"), 99);
        struct train_diffusion_options o = options("noted.safetensors");
        o.fit.resume = true;
        o.fit.note = then[i];
        run_ok(o);
        assert_note("noted.safetensors", then[i] ? then[i] : FIRST_NOTE);
    }
}

/* A checkpoint of old.safetensors as it was before it named this option; and the options that go on
   from there. */
static struct train_diffusion_options before_it_was_named(const char *option)
{
    assert_int_equal(toy_fit_spawn("old.safetensors", "fresh", "crash:5"), 99);
    size_t len;
    char *data = toy_read(toy_path("old.safetensors.checkpoint"), &len);
    char *key = memmem(data, len, option, strlen(option));
    assert_non_null(key);
    key[0] = 'T';
    toy_write("old.safetensors.checkpoint", data, len);
    mem_free(data);
    struct train_diffusion_options o = options("old.safetensors");
    o.fit.resume = true;
    return o;
}

static void checkpoints_that_name_no_weighting_are_constant(void **state)
{
    (void)state;
    struct train_diffusion_options o = before_it_was_named("train.weighting");
    o.weighting = TRAIN_WEIGHT_MIN_SNR;
    assert_int_equal(run_fails(o, "train.weighting constant, not min-snr"), STATUS_INVALID);
    o.weighting = TRAIN_WEIGHT_CONSTANT;
    run_ok(o);
    toy_assert_same_file(toy_path("whole.safetensors"), toy_path("old.safetensors"));
}

static void checkpoints_that_name_no_precision_are_f32(void **state)
{
    (void)state;
    struct train_diffusion_options o = before_it_was_named("train.precision");
    if (precision == NN_PREC_F32) {
        run_ok(o);
        toy_assert_same_file(toy_path("whole.safetensors"), toy_path("old.safetensors"));
    } else {
        assert_int_equal(run_fails(o, "train.precision f32, not bf16"), STATUS_INVALID);
    }
}

/* min(SNR, gamma) / SNR, at every t of the usual chain and around gamma. */
static void min_snr_weighs_as_published(void **state)
{
    (void)state;
    struct train_diffusion_options o = train_diffusion_default();
    assert_true(train_diffusion_weight(&o, .999) == 1);
    o.weighting = TRAIN_WEIGHT_MIN_SNR;
    assert_true(o.snr_gamma == 5);
    double last = 0;
    for (int t = 0; t < 1000; t++) {
        double abar = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, t), snr = abar / (1 - abar);
        double w = (double)train_diffusion_weight(&o, abar), expected = fmin(snr, 5) / snr;
        if (!(fabs(w - expected) <= 1e-6 * expected) || w < last)
            fail_msg("t %d, SNR %g: %.9g, not %.9g", t, snr, w, expected);
        last = w;
    }
    assert_true(last == 1); /* near pure noise */
    assert_true(fabs((double)train_diffusion_weight(&o, 10. / 11) - .5) < 1e-6);
    assert_true(train_diffusion_weight(&o, 4. / 5) == 1);
    assert_true(train_diffusion_weight(&o, 1e-300) == 1);
    o.snr_gamma = 1; /* at SNR 9 */
    assert_true(fabs((double)train_diffusion_weight(&o, .9) - 1. / 9) < 1e-6);
}

/* A new network predicts 0: the loss of its first step is the mean of w_t eps^2 over the step's
   times and noise. */
static void the_weights_are_in_the_loss(void **state)
{
    (void)state;
    struct train_diffusion_options o = options("snr-first.safetensors");
    o.weighting = TRAIN_WEIGHT_MIN_SNR;
    o.fit.steps = 1;
    double expected = 0, flat = 0;
    float eps[8 * 64];
    nn_rng_normal(stream(0, STREAM_NOISE, 0), 0, eps, ARRAY_LEN(eps));
    for (int i = 0; i < 8; i++) {
        int t = stream_below(nn_rng_u32(stream(0, STREAM_TIME, 0), (uint64_t)i), 100);
        double abar = purify_alpha_bar(PURIFY_BETA_LINEAR, 100, t), sum = 0;
        for (int k = 0; k < 64; k++)
            sum += (double)eps[64 * i + k] * (double)eps[64 * i + k] / 64 / 8;
        flat += sum;
        expected += sum * fmin(1, 5 * (1 - abar) / abar);
    }
    double loss = run_ok(o).loss;
    if (!(fabs(loss - expected) < 1e-4) || !(expected < .95 * flat))
        fail_msg("loss %.6f, not %.6f (unweighted %.6f)", loss, expected, flat);
    o.weighting = TRAIN_WEIGHT_CONSTANT;
    loss = run_ok(o).loss;
    if (!(fabs(loss - flat) < 1e-4))
        fail_msg("unweighted: loss %.6f, not %.6f", loss, flat);
}

static void a_weighted_run_resumes_to_the_same_bits(void **state)
{
    (void)state;
    struct errmsg e = {""};
    toy_good(run("snr-whole.safetensors", false, &e), &e);
    assert_int_equal(toy_fit_spawn("snr-crash.safetensors", "fresh", "crash:5"), 99);
    struct train_diffusion_options o = options("snr-crash.safetensors");
    o.fit.resume = true;
    assert_int_equal(run_fails(o, "train.weighting min-snr, not constant"), STATUS_INVALID);
    o.weighting = TRAIN_WEIGHT_MIN_SNR;
    o.snr_gamma = 4;
    assert_int_equal(run_fails(o, "train.snr_gamma 5, not 4"), STATUS_INVALID);
    assert_int_equal(toy_fit_spawn("snr-crash.safetensors", "resume", NULL), 0);
    toy_assert_same_file(toy_path("snr-whole.safetensors"), toy_path("snr-crash.safetensors"));
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path("snr-whole.safetensors"), &f, NULL), STATUS_OK);
    assert_string_equal(nn_file_meta(f, "train.weighting"), "min-snr");
    assert_string_equal(nn_file_meta(f, "train.snr_gamma"), "5");
    nn_file_close(f);
}

static void finetuning_keeps_the_network(void **state)
{
    (void)state;
    struct train_diffusion_options o = options("tuned.safetensors");
    o.fit.from = toy_path("model.safetensors");
    o.cfg = (struct purify_unet){.t_max = 30};
    o.fit.steps = 10;
    o.fit.half = true;
    struct train_fit_result r = run_ok(o);
    if (!(r.loss < 1)) /* small t is the harder part */
        fail_msg("loss %g", r.loss);
    struct nn_file *f = NULL;
    struct purify_unet cfg;
    assert_int_equal(nn_file_open(toy_path("tuned.safetensors"), &f, NULL), STATUS_OK);
    assert_int_equal(purify_unet_from_file(f, &cfg, NULL), STATUS_OK);
    assert_int_equal(cfg.ch, 8);
    assert_int_equal(cfg.t_max, 30);
    assert_string_equal(nn_file_find(f, "conv_in.weight")->dtype, "F16");
    assert_int_equal(strlen(nn_file_meta(f, "train.from")), DIGEST_HEX_LEN);
    nn_file_close(f);
}

static status sample(const char *weights, const char *data, const char *out, struct errmsg *e)
{
    struct train_sample_options o = {.weights = toy_path(weights),
                                     .out_file = toy_path(out),
                                     .data_dir = data ? toy_path(data) : NULL,
                                     .rows = 2,
                                     .columns = 3,
                                     .steps = 6,
                                     .precision = precision,
                                     .threads = 1,
                                     .quiet = true};
    return train_diffusion_sample(&o, e);
}

static void samples_are_drawn(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct image_limits lim = image_limits_default();
    struct image img = IMAGE_INIT;
    if (sample("model.safetensors", NULL, "grid.png", &e))
        fail_msg("%s", e.text);
    assert_int_equal(image_load_at(AT_FDCWD, toy_path("grid.png"), &lim, &img, NULL, &e),
                     STATUS_OK);
    assert_int_equal(img.width, 3 * 10 + 2);
    assert_int_equal(img.height, 2 * 10 + 2);
    image_done(&img);
    assert_int_equal(sample("tuned.safetensors", NULL, "no.png", &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "--data"));
    if (sample("tuned.safetensors", "data", "from.png", &e))
        fail_msg("%s", e.text);
    assert_int_equal(image_load_at(AT_FDCWD, toy_path("from.png"), &lim, &img, NULL, &e),
                     STATUS_OK);
    assert_int_equal(img.height, 4 * 10 + 2);
    image_done(&img);
}

static void refusals(void **state)
{
    (void)state;
    struct train_diffusion_options o = options("x.safetensors");
    o.cfg.size = 16;
    run_fails(o, "smaller than 16");
    o = options("x.safetensors");
    o.fit.lr = 1e20f;
    o.fit.warmup = 0;
    assert_int_equal(run_fails(o, "not a number"), STATUS_CORRUPT);
    static const char *const note[] = {"two\nlines", "\xff", "\x1b[2J"};
    for (size_t i = 0; i < ARRAY_LEN(note); i++) {
        o = options("x.safetensors");
        o.fit.note = note[i];
        assert_int_equal(run_fails(o, "one line of UTF-8"), STATUS_INVALID);
    }
    char longest[TRAIN_NOTE_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[TRAIN_NOTE_MAX + 1] = 0;
    o.fit.note = longest;
    assert_int_equal(run_fails(o, "at most 1000 bytes"), STATUS_INVALID);
    static const float gamma[] = {0, -1, INFINITY, NAN};
    for (size_t i = 0; i < ARRAY_LEN(gamma); i++) {
        o = options("x.safetensors");
        o.weighting = TRAIN_WEIGHT_MIN_SNR;
        o.snr_gamma = gamma[i];
        assert_int_equal(run_fails(o, "gamma of min-snr must be positive"), STATUS_INVALID);
    }
    o = options("x.safetensors");
    o.cfg.groups = 5; /* does not divide the channels */
    assert_int_equal(run_fails(o, ""), STATUS_INVALID);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls_and_the_file_says_what_it_is),
        cmocka_unit_test(a_crashed_run_resumes_to_the_same_bits),
        cmocka_unit_test(the_average_is_what_is_saved),
        cmocka_unit_test(resuming_with_other_options_is_refused),
        cmocka_unit_test(notes_are_kept),
        cmocka_unit_test(checkpoints_that_name_no_weighting_are_constant),
        cmocka_unit_test(checkpoints_that_name_no_precision_are_f32),
        cmocka_unit_test(min_snr_weighs_as_published),
        cmocka_unit_test(the_weights_are_in_the_loss),
        cmocka_unit_test(a_weighted_run_resumes_to_the_same_bits),
        cmocka_unit_test(finetuning_keeps_the_network),
        cmocka_unit_test(samples_are_drawn),
        cmocka_unit_test(refusals),
    };
    return toy_fit_main(argc, argv, run, "diffusion", tests, ARRAY_LEN(tests), make_data);
}
