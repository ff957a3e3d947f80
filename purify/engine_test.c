/*
 * Promise 3: the bytes of a purified image depend on its pixels and the profile alone. And what an
 * engine refuses, and that a failure leaves the image as it was.
 */
#include "engine.h"

#include "service.h"
#include "test_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_dir dir;

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    return 0;
}

/* ---- helpers ---- */

static struct purify_model *load(struct purify_profile *p)
{
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    status st = purify_profile_finish(p, &e);
    if (!st)
        st = purify_model_load(p, &m, &e);
    if (st)
        fail_msg("no model: %s", errmsg_text(&e, st));
    return m;
}

static struct purify_model *load_default(const char *model)
{
    struct purify_profile p;
    test_profile(&dir, model, &p);
    if (strcmp(model, "grey") == 0)
        p.perceptual_scale = 0;
    return load(&p);
}

static struct purify_engine *engine(const struct purify_model *m, int batch)
{
    struct purify_engine *en = NULL;
    struct errmsg e = {""};
    status st = engine_new(m, batch, &en, &e);
    if (st)
        fail_msg("no engine: %s", errmsg_text(&e, st));
    return en;
}

/* Smooth content with a little noise, another for each seed. */
static void make_image(int w, int h, int channels, bool alpha, uint64_t seed, struct image *out)
{
    struct nn_rng rng = nn_rng(seed, 9);
    assert_int_equal(image_alloc(w, h, channels, alpha, out), STATUS_OK);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++) {
                int at = (y * w + x) * channels + c;
                double v = 128 + 60 * sin(0.2 * x + c + (double)seed) + 40 * cos(0.15 * y - c) +
                           (double)(nn_rng_u32(rng, (uint64_t)at) % 17) - 8;
                out->pixels[at] = (uint8_t)v;
            }
    for (int k = 0; alpha && k < w * h; k++)
        out->alpha[k] = (uint8_t)(k * 7);
}

static void run(struct purify_engine *en, struct image *img)
{
    struct errmsg e = {""};
    status st = purify_engine_run(en, img, NULL, NULL, &e);
    if (st)
        fail_msg("not purified: %s", errmsg_text(&e, st));
}

static bool same(const struct image *a, const struct image *b)
{
    return memcmp(a->pixels, b->pixels, image_pixel_bytes(a)) == 0;
}

enum { IMAGES = 9 };
static const struct {
    int w, h, channels;
    bool alpha;
} shapes[IMAGES] = {{16, 16, 3, false}, {1, 1, 3, false},   {5, 7, 1, false},
                    {16, 16, 3, true},  {16, 16, 1, true},  {50, 20, 3, false},
                    {16, 37, 1, false}, {100, 40, 3, true}, {3, 40, 3, false}};

static void make_images(struct image *img)
{
    for (int i = 0; i < IMAGES; i++)
        make_image(shapes[i].w, shapes[i].h, shapes[i].channels, shapes[i].alpha, (uint64_t)i,
                   &img[i]);
}

static void done_images(struct image *img)
{
    for (int i = 0; i < IMAGES; i++)
        image_done(&img[i]);
}

/* ---- promise 3 ---- */

static void test_again(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, 1), *other = engine(m, 1);
    struct image a[IMAGES], b[IMAGES], source[IMAGES];
    make_images(a);
    make_images(b);
    make_images(source);
    for (int i = 0; i < IMAGES; i++)
        run(en, &a[i]);
    for (int i = IMAGES - 1; i >= 0; i--)
        run(i % 2 ? en : other, &b[i]);
    for (int i = 0; i < IMAGES; i++) {
        if (!same(&a[i], &b[i]))
            fail_msg("image %d came out in two ways", i);
        if (same(&a[i], &source[i]))
            fail_msg("image %d was not changed", i);
        if (shapes[i].alpha)
            assert_memory_equal(a[i].alpha, source[i].alpha,
                                (size_t)shapes[i].w * (size_t)shapes[i].h);
    }
    done_images(a);
    done_images(b);
    done_images(source);
    purify_engine_free(en);
    purify_engine_free(other);
    purify_model_free(m);
}

struct probe {
    struct purify_engine *en;
    struct image *other;
};

static void pause_with_other(void *arg)
{
    struct probe *p = arg;
    AUTO(image_done) struct image copy = IMAGE_INIT;
    assert_int_equal(image_copy(p->other, &copy), STATUS_OK);
    run(p->en, &copy);
}

/* Between two tiles the engine serves another image; neither shows it. */
static void test_interleaved(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image a, b, other;
    make_image(50, 33, 3, false, 1, &a);
    make_image(50, 33, 3, false, 1, &b);
    make_image(16, 16, 3, false, 2, &other);
    run(en, &a);
    struct probe probe = {en, &other};
    struct engine_hooks hooks = {.pause = pause_with_other, .arg = &probe};
    uint64_t evaluations = 0;
    assert_int_equal(engine_run(en, &b, &hooks, &evaluations, NULL), STATUS_OK);
    assert_true(same(&a, &b));
    assert_int_equal(evaluations, 4 * 3 * 2 * 2); /* tiles, rounds, steps */
    image_done(&a);
    image_done(&b);
    image_done(&other);
    purify_engine_free(en);
    purify_model_free(m);
}

/* In micro-batches of three, the last groups are padded and the others are full; the mean over
   samples goes over all of them. The same work in micro-batches of one differs by rounding only. */
static void test_micro_batch(void **state)
{
    (void)state;
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    p.average = 2;
    struct purify_model *m = load(&p);
    struct purify_engine *one = engine(m, 1), *three = engine(m, 3);
    for (int i = 0; i < IMAGES - 2; i++) {
        struct image a, b;
        make_image(shapes[i].w, shapes[i].h, shapes[i].channels, false, 3, &a);
        make_image(shapes[i].w, shapes[i].h, shapes[i].channels, false, 3, &b);
        run(one, &a);
        run(three, &b);
        for (size_t k = 0; k < image_pixel_bytes(&a); k++)
            if (abs(a.pixels[k] - b.pixels[k]) > 1)
                fail_msg("image %d at %zu: %d and %d", i, k, a.pixels[k], b.pixels[k]);
        image_done(&a);
        image_done(&b);
    }
    purify_engine_free(one);
    purify_engine_free(three);
    purify_model_free(m);
}

struct job {
    struct purify_job job;
    struct image img;
    atomic_int st;
};

static void job_done(struct purify_job *job, status st, const struct errmsg *e)
{
    (void)e;
    atomic_store(&((struct job *)job->arg)->st, (int)st);
}

static struct purify_service *service(const struct purify_model *m, int threads)
{
    struct purify_service *s = NULL;
    struct errmsg e = {""};
    status st = purify_service_new(m, &(struct purify_service_options){.threads = threads}, &s, &e);
    if (st)
        fail_msg("no service: %s", errmsg_text(&e, st));
    return s;
}

/* n of the images, in that order; bit i of urgent: the i-th one's priority. */
static void run_service(struct purify_service *s, const int *order, int n, unsigned urgent,
                        struct image *images)
{
    struct job job[IMAGES];
    for (int i = 0; i < n; i++) {
        struct job *j = &job[i];
        j->img = images[order[i]];
        atomic_store(&j->st, -1);
        j->job = (struct purify_job){.img = &j->img, .done = job_done, .arg = j};
        assert_int_equal(purify_submit(s, &j->job, urgent >> i & 1 ? PURIFY_URGENT : PURIFY_SWEEP),
                         STATUS_OK);
    }
    purify_wait_idle(s);
    for (int i = 0; i < n; i++)
        assert_int_equal(atomic_load(&job[i].st), STATUS_OK);
}

/* One and three threads, random orders, both priorities: the bytes of a lone engine. */
static void test_service(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image alone[IMAGES];
    make_images(alone);
    for (int i = 0; i < IMAGES; i++)
        run(en, &alone[i]);
    for (int round = 0; round < 3; round++) {
        struct image img[IMAGES];
        int order[IMAGES];
        make_images(img);
        nn_rng_shuffle(nn_rng(7, (uint64_t)round), order, IMAGES);
        struct purify_service *s = service(m, 1 + round);
        run_service(s, order, IMAGES, 0x155, img);
        purify_service_free(s);
        for (int i = 0; i < IMAGES; i++)
            if (!same(&alone[i], &img[i]))
                fail_msg("image %d differs with %d threads", i, 1 + round);
        done_images(img);
    }
    done_images(alone);
    purify_engine_free(en);
    purify_model_free(m);
}

/* Who else is purified at the same time, in which order, on how many threads: 2,000 ways. */
static void test_groupings(void **state)
{
    (void)state;
    enum { GROUPINGS = 2000, SERVICES = 3, SMALL = 5, ALL_EVERY = 50 };
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    p.rounds = p.steps = 1; /* of many runs, each is short */
    struct purify_model *m = load(&p);
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct purify_service *s[SERVICES];
    struct image fresh[IMAGES], alone[IMAGES];
    make_images(fresh);
    make_images(alone);
    for (int i = 0; i < IMAGES; i++)
        run(en, &alone[i]);
    for (int i = 0; i < SERVICES; i++)
        s[i] = service(m, 1 + i);
    for (int round = 0; round < GROUPINGS; round++) {
        struct nn_rng rng = nn_rng(11, (uint64_t)round);
        struct image img[IMAGES];
        int kinds = round % ALL_EVERY ? SMALL : IMAGES; /* the others are many tiles */
        int order[IMAGES], n = 1 + (int)(nn_rng_u32(rng, 1) % (uint32_t)kinds);
        nn_rng_shuffle(rng, order, kinds);
        for (int i = 0; i < kinds; i++) {
            assert_int_equal(
                image_alloc(fresh[i].width, fresh[i].height, fresh[i].channels, false, &img[i]),
                STATUS_OK);
            memcpy(img[i].pixels, fresh[i].pixels, image_pixel_bytes(&img[i]));
        }
        run_service(s[round % SERVICES], order, n, nn_rng_u32(rng, 2), img);
        for (int i = 0; i < n; i++)
            if (!same(&alone[order[i]], &img[order[i]]))
                fail_msg("image %d differs in grouping %d", order[i], round);
        for (int i = 0; i < kinds; i++)
            image_done(&img[i]);
    }
    for (int i = 0; i < SERVICES; i++)
        purify_service_free(s[i]);
    done_images(fresh);
    done_images(alone);
    purify_engine_free(en);
    purify_model_free(m);
}

/* 16-bit numbers inside the network are asked for by the profile, never chosen behind its back. */
static void test_precision(void **state)
{
    (void)state;
    struct purify_profile p;
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    test_profile(&dir, "unet", &p);
    p.precision = NN_PREC_BF16;
    assert_int_equal(purify_profile_finish(&p, &e), STATUS_OK);
    status st = purify_model_load(&p, &m, &e);
    if (!nn_precision_supported(NULL, NN_PREC_BF16)) {
        assert_int_equal(st, STATUS_UNSUPPORTED);
        assert_non_null(strstr(e.text, "precision = f32"));
        return;
    }
    assert_int_equal(st, STATUS_OK);
    struct purify_model *whole = load_default("unet");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH),
                         *en32 = engine(whole, PURIFY_MICRO_BATCH);
    struct image a, b, c;
    make_image(16, 16, 3, false, 1, &a);
    make_image(16, 16, 3, false, 1, &b);
    make_image(16, 16, 3, false, 1, &c);
    run(en, &a);
    run(en, &b);
    run(en32, &c);
    assert_true(same(&a, &b));
    assert_false(same(&a, &c)); /* its own noise at least: the id is another */
    image_done(&a);
    image_done(&b);
    image_done(&c);
    purify_engine_free(en);
    purify_engine_free(en32);
    purify_model_free(m);
    purify_model_free(whole);
}

/* Another profile, another pixel, another shape with the same bytes: other noise. */
static void test_noise_key(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, 1);
    struct image a, b;
    make_image(16, 16, 3, false, 1, &a);
    make_image(16, 16, 3, false, 1, &b);
    b.pixels[767] ^= 1;
    run(en, &a);
    run(en, &b);
    int differ = 0;
    for (int k = 0; k < 300; k++)
        differ += a.pixels[k] != b.pixels[k];
    if (differ < 100)
        fail_msg("only %d of 300 far bytes differ after one pixel changed", differ);
    struct digest d1, d2;
    struct image wide = {32, 8, 3, a.pixels, NULL};
    assert_int_equal(purify_pixel_digest(&a, &d1), STATUS_OK);
    assert_int_equal(purify_pixel_digest(&wide, &d2), STATUS_OK);
    assert_false(digest_equal(&d1, &d2));
    image_done(&a);
    image_done(&b);
    purify_engine_free(en);
    purify_model_free(m);
}

/* (2,1,1) and pixels 7, 9: SHA-256 of 02000000 01000000 01000000 07 09 */
static void test_pixel_digest(void **state)
{
    (void)state;
    uint8_t px[] = {7, 9}, alpha[] = {1, 2};
    struct image img = {2, 1, 1, px, NULL}, with_alpha = {2, 1, 1, px, alpha};
    struct digest d, again;
    char hex[DIGEST_HEX_LEN + 1];
    assert_int_equal(purify_pixel_digest(&img, &d), STATUS_OK);
    assert_int_equal(purify_pixel_digest(&with_alpha, &again), STATUS_OK);
    digest_hex(&d, hex);
    assert_string_equal(hex, "7a69088d8cbf9f7ba7b1cfb1dcd67f087d22a4e9ab161da7350a270417c0b34e");
    assert_true(digest_equal(&d, &again));
}

/* ---- what it does ---- */

/* With no network to speak of (a zero last convolution predicts no noise) one step returns the
   clamped x0, which is the image plus what was added: the mean of many samples is the image. */
static void test_average(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/zero.safetensors", dir.path);
    struct purify_unet cfg = test_unet_cfg(1);
    struct nn_params *params = NULL;
    struct nn_graph *g = NULL;
    struct purify_meta meta;
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    purify_unet_build(g, &cfg, nn_input(g, "x", NN_F32, nn_shape4(1, 16, 16, 1)),
                      nn_input(g, "t", NN_F32, nn_shape1(1)), false);
    assert_int_equal(nn_params_init(params, 1), STATUS_OK);
    purify_unet_to_meta(&cfg, &meta);
    assert_int_equal(nn_params_save(params, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    nn_graph_free(g);
    nn_params_free(params);
    double error[2];
    for (int k = 0; k < 2; k++) {
        struct purify_profile p;
        purify_profile_init(&p);
        snprintf(p.model, sizeof p.model, "%s", path);
        p.steps = p.rounds = 1;
        p.average = k ? 16 : 1;
        struct purify_model *m = load(&p);
        struct purify_engine *en = engine(m, 1);
        struct image img, source;
        make_image(40, 40, 1, false, 3, &img);
        make_image(40, 40, 1, false, 3, &source);
        run(en, &img);
        error[k] = 0;
        for (int i = 0; i < 1600; i++)
            error[k] += pow(img.pixels[i] - source.pixels[i], 2) / 1600;
        image_done(&img);
        image_done(&source);
        purify_engine_free(en);
        purify_model_free(m);
    }
    /* sd .076 of [-1,1] is 9.7 grey levels, variance 94; sixteen samples: 5.9 */
    if (fabs(error[0] - 94) > 14 || fabs(error[1] - 5.9) > 1.2)
        fail_msg("mean square of the noise: %g (94), mean of 16: %g (5.9)", error[0], error[1]);
}

static void test_grey_model(void **state)
{
    (void)state;
    struct purify_model *m = load_default("grey");
    struct purify_engine *en = engine(m, 1);
    struct image grey, rgb, copy;
    struct errmsg e = {""};
    make_image(20, 20, 1, true, 1, &grey);
    make_image(20, 20, 3, false, 1, &rgb);
    assert_int_equal(image_copy(&rgb, &copy), STATUS_OK);
    run(en, &grey);
    assert_int_equal(purify_engine_run(en, &rgb, NULL, NULL, &e), STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "colour"));
    assert_true(same(&rgb, &copy));
    image_done(&grey);
    image_done(&rgb);
    image_done(&copy);
    purify_engine_free(en);
    purify_model_free(m);
}

static void test_too_large(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, 1);
    uint8_t px[3] = {0};
    struct image img = {1 << 14, (1 << 12) + 1, 3, px, NULL}; /* refused before a pixel is read */
    struct errmsg e = {""};
    assert_int_equal(purify_engine_run(en, &img, NULL, NULL, &e), STATUS_LIMIT);
    assert_true((int64_t)img.width * img.height > purify_max_pixels());
    purify_engine_free(en);
    purify_model_free(m);
}

static void test_not_finite(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/nan.safetensors", dir.path);
    struct purify_unet cfg = test_unet_cfg(3);
    test_save_unet(path, &cfg, NAN);
    struct purify_model *m = load_default("nan");
    struct purify_engine *en = engine(m, 1);
    struct image img, copy;
    struct errmsg e = {""};
    make_image(30, 30, 3, false, 1, &img);
    assert_int_equal(image_copy(&img, &copy), STATUS_OK);
    assert_int_equal(purify_engine_run(en, &img, NULL, NULL, &e), STATUS_INTERNAL);
    assert_non_null(strstr(e.text, "finite"));
    assert_true(same(&img, &copy));
    image_done(&img);
    image_done(&copy);
    purify_engine_free(en);
    purify_model_free(m);
}

static int stop_after(void *arg)
{
    return --*(int *)arg < 0;
}

static void test_stop(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, 1);
    struct image img, copy;
    make_image(30, 30, 3, false, 1, &img);
    assert_int_equal(image_copy(&img, &copy), STATUS_OK);
    for (int n = 0; n < 36; n += 11) {
        int left = n;
        assert_int_equal(purify_engine_run(en, &img, stop_after, &left, NULL), STATUS_CANCELLED);
        assert_true(same(&img, &copy));
    }
    int left = 36; /* 9 tiles, 2 rounds, 2 steps: enough */
    assert_int_equal(purify_engine_run(en, &img, stop_after, &left, NULL), STATUS_OK);
    assert_int_equal(left, 0);
    image_done(&img);
    image_done(&copy);
    purify_engine_free(en);
    purify_model_free(m);
}

/* Weights that changed after their digest went into the id must not be used under that id. */
static void test_swapped_weights(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/swap.safetensors", dir.path);
    struct purify_unet cfg = test_unet_cfg(3);
    test_save_unet(path, &cfg, 0);
    struct purify_profile p;
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    test_profile(&dir, "swap", &p);
    assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
    test_save_unet(path, &cfg, 0.5);
    assert_int_equal(purify_model_load(&p, &m, &e), STATUS_CORRUPT);
    assert_non_null(strstr(e.text, "changed"));
    assert_null(m);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
    struct image img, source, expected;
    make_image(30, 20, 3, false, 1, &img);
    assert_int_equal(image_copy(&img, &source), STATUS_OK);
    assert_int_equal(image_copy(&img, &expected), STATUS_OK);
    struct purify_model *whole = load(&p);
    struct purify_engine *good = engine(whole, 1);
    run(good, &expected);
    status st = STATUS_NOMEM;
    int failures = 0;
    for (unsigned long n = 1; st == STATUS_NOMEM; n += n < 60 ? 1 : 37) {
        struct purify_model *m = NULL;
        struct purify_engine *en = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        st = purify_model_load(&p, &m, NULL);
        if (!st)
            st = purify_engine_new(m, &en, NULL);
        if (!st)
            st = purify_engine_run(en, &img, NULL, NULL, NULL);
        fault_clear();
        failures += st != STATUS_OK;
        assert_true(same(&img, st ? &source : &expected));
        purify_engine_free(en);
        purify_model_free(m);
    }
    assert_int_equal(st, STATUS_OK);
    assert_true(failures > 50);
    for (unsigned long n = 1; n < 40; n++) { /* a run alone: all its allocations */
        memcpy(img.pixels, source.pixels, image_pixel_bytes(&img));
        fault_set(FAULT_MEM, n, 0, 0);
        st = purify_engine_run(good, &img, NULL, NULL, NULL);
        fault_clear();
        assert_true(st == STATUS_OK || st == STATUS_NOMEM);
        assert_true(same(&img, st ? &source : &expected));
    }
    image_done(&img);
    image_done(&source);
    image_done(&expected);
    purify_engine_free(good);
    purify_model_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),       cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_micro_batch), cmocka_unit_test(test_service),
        cmocka_unit_test(test_groupings),   cmocka_unit_test(test_precision),
        cmocka_unit_test(test_noise_key),   cmocka_unit_test(test_pixel_digest),
        cmocka_unit_test(test_average),     cmocka_unit_test(test_grey_model),
        cmocka_unit_test(test_too_large),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_stop),        cmocka_unit_test(test_swapped_weights),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("purify/engine", tests, set_up, tear_down);
}
