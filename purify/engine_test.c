/*
 * Promise 3: the bytes of a purified image depend on its pixels and the profile alone. And what an
 * engine refuses, and that a failure leaves the image as it was.
 */
#include "engine.h"

#include "service.h"
#include "test_engines.h"

#include <stdatomic.h>

/* ---- helpers ---- */

static struct purify_model *load_default(const char *model)
{
    struct purify_profile p;
    test_profile(&dir, model, &p);
    if (strcmp(model, "grey") == 0)
        jcdp_of(&p)->perceptual_scale = 0;
    return load(&p);
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

/* An image that is put aside after each micro-batch and taken up by another engine, while they
   serve other images, comes out as at one go. */
static void test_put_aside(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en[2] = {engine(m, PURIFY_MICRO_BATCH), engine(m, PURIFY_MICRO_BATCH)};
    struct image a, b, other, other_alone;
    make_image(50, 33, 3, false, 1, &a);
    make_image(50, 33, 3, false, 1, &b);
    make_image(16, 16, 3, false, 2, &other_alone);
    run(en[0], &a);
    run(en[0], &other_alone);
    struct engine_member member = {.img = &b};
    int turns = 0;
    assert_int_equal(engine_slots(en[0], &b), 4 * 3);
    for (bool over = false; !over; turns++) {
        int64_t left = engine_turn(en[turns % 2], &member);
        assert_int_equal(left, 4 * (2 - turns));
        over = left == 0;
        assert_int_equal(member.run == NULL, over);
        make_image(16, 16, 3, false, 2, &other);
        run(en[turns % 2], &other);
        assert_true(same(&other, &other_alone));
        image_done(&other);
    }
    assert_int_equal(turns, 3);
    assert_int_equal(member.st, STATUS_OK);
    assert_true(same(&a, &b));
    assert_int_equal(member.evaluations, 4 * 3 * 2 * 2); /* tiles, rounds, steps */
    image_done(&a);
    image_done(&b);
    image_done(&other_alone);
    purify_engine_free(en[0]);
    purify_engine_free(en[1]);
    purify_model_free(m);
}

/* By teams of any size, the same bytes in fewer turns. */
static void test_teams(void **state)
{
    (void)state;
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    jcdp_of(&p)->average = 3;
    struct purify_model *m = load(&p);
    struct image alone;
    int before = 0;
    for (int n = 1; n <= 5; n += n == 1 ? 1 : 3) {
        struct image img;
        make_image(60, 33, 3, true, 1, &img);
        struct engine_member member = {.img = &img};
        int turns = run_team(m, n, &member);
        assert_int_equal(member.st, STATUS_OK);
        if (n == 1)
            assert_int_equal(image_copy(&img, &alone), STATUS_OK);
        else
            assert_true(turns < before);
        assert_true(same(&img, &alone));
        assert_int_equal(member.evaluations, 5 * 3 * 3 * 2 * 2); /* tiles, samples, rounds, steps */
        before = turns;
        image_done(&img);
    }
    image_done(&alone);
    purify_model_free(m);
}

static int stop_later(void *left)
{
    return --*(int *)left < 0;
}

/* All threads of a team stop when the first is told to, and the image is as it was. */
static void test_team_stops(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct image img, before;
    make_image(100, 33, 3, false, 1, &img);
    make_image(100, 33, 3, false, 1, &before);
    for (int after = 0; after < 6; after++) {
        int left = after;
        struct engine_member member = {.img = &img, .hooks = {stop_later, &left}};
        run_team(m, 3, &member);
        assert_int_equal(member.st, STATUS_CANCELLED);
        assert_null(member.run);
        assert_true(same(&img, &before));
    }
    image_done(&img);
    image_done(&before);
    purify_model_free(m);
}

/* Dropped in the middle: the image is as it was, and the next one is none the worse. */
static void test_dropped(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image a, b;
    make_image(50, 33, 3, false, 1, &a);
    make_image(50, 33, 3, false, 1, &b);
    for (int turns = 0; turns < 3; turns++) {
        struct engine_run *r = NULL;
        struct errmsg e = {""};
        assert_int_equal(engine_begin(en, &b, &r, &e), STATUS_OK);
        for (int i = 0; i < turns; i++)
            assert_int_equal(engine_step(en, r, NULL, &e), STATUS_OK);
        engine_drop(r);
        assert_true(same(&a, &b));
    }
    run(en, &a);
    run(en, &b);
    assert_true(same(&a, &b));
    image_done(&a);
    image_done(&b);
    purify_engine_free(en);
    purify_model_free(m);
}

/* Micro-batches are full, or there is none, or what is left goes one by one: of one tile, of
   many, of several samples of each. */
static void test_batch_sizes(void **state)
{
    (void)state;
    enum { WIDEST = 5 };
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    jcdp_of(&p)->rounds = 1;
    for (jcdp_of(&p)->average = 1; jcdp_of(&p)->average <= 2; jcdp_of(&p)->average++) {
        struct purify_model *m = load(&p);
        struct purify_engine *en[WIDEST];
        for (int k = 0; k < WIDEST; k++)
            en[k] = engine(m, k + 1);
        for (int i = 0; i < IMAGES; i++) {
            struct image a, b;
            make_image(shapes[i].w, shapes[i].h, shapes[i].channels, false, 3, &a);
            run(en[0], &a);
            for (int k = 1; k < WIDEST; k++) {
                make_image(shapes[i].w, shapes[i].h, shapes[i].channels, false, 3, &b);
                run(en[k], &b);
                if (!same(&a, &b))
                    fail_msg("image %d differs in micro-batches of %d", i, k + 1);
                image_done(&b);
            }
            image_done(&a);
        }
        for (int k = 0; k < WIDEST; k++)
            purify_engine_free(en[k]);
        purify_model_free(m);
    }
}

enum { JOBS = 16 };
struct job {
    struct purify_job job;
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

/* Bit i of urgent: the priority of the i-th image. */
static void run_service(struct purify_service *s, int n, unsigned urgent, struct image *img)
{
    struct job job[JOBS];
    for (int i = 0; i < n; i++) {
        struct job *j = &job[i];
        atomic_store(&j->st, -1);
        j->job = (struct purify_job){.img = &img[i], .done = job_done, .arg = j};
        assert_int_equal(purify_submit(s, &j->job, urgent >> i & 1 ? PURIFY_URGENT : PURIFY_SWEEP),
                         STATUS_OK);
    }
    purify_wait_idle(s);
    for (int i = 0; i < n; i++)
        assert_int_equal(atomic_load(&job[i].st), STATUS_OK);
}

/* One to three threads, random orders, both priorities: the bytes of a lone engine. */
static void test_service(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, 1);
    struct image alone[IMAGES];
    make_images(alone);
    for (int i = 0; i < IMAGES; i++)
        run(en, &alone[i]);
    for (int round = 0; round < 3; round++) {
        struct image fresh[IMAGES], img[IMAGES];
        int order[IMAGES];
        make_images(fresh);
        nn_rng_shuffle(nn_rng(7, (uint64_t)round), order, IMAGES);
        for (int i = 0; i < IMAGES; i++)
            img[i] = fresh[order[i]];
        struct purify_service *s = service(m, 1 + round);
        run_service(s, IMAGES, 0x155, img);
        purify_service_free(s);
        for (int i = 0; i < IMAGES; i++)
            if (!same(&alone[order[i]], &img[i]))
                fail_msg("image %d differs with %d threads", order[i], 1 + round);
        done_images(img);
    }
    done_images(alone);
    purify_engine_free(en);
    purify_model_free(m);
}

/* ---- who else is purified at the same time, in which order, by what ---- */

enum { SERVICES = 3, SMALL = 5, ALL_EVERY = 50 };
struct groups {
    struct purify_model *model;
    struct purify_engine *engine[PURIFY_MICRO_BATCH]; /* micro-batches of 1, 2, ... */
    struct purify_service *service[SERVICES];         /* of 1, 2, ... threads */
    struct image fresh[IMAGES], alone[IMAGES];        /* before, and purified alone */
};

static void groups_begin(struct groups *g, struct purify_profile *p)
{
    g->model = load(p);
    for (int i = 0; i < PURIFY_MICRO_BATCH; i++)
        g->engine[i] = engine(g->model, 1 + i);
    for (int i = 0; i < SERVICES; i++)
        g->service[i] = service(g->model, 1 + i);
    make_images(g->fresh);
    make_images(g->alone);
    for (int i = 0; i < IMAGES; i++)
        run(g->engine[0], &g->alone[i]);
}

static void groups_end(struct groups *g)
{
    for (int i = 0; i < SERVICES; i++)
        purify_service_free(g->service[i]);
    for (int i = 0; i < PURIFY_MICRO_BATCH; i++)
        purify_engine_free(g->engine[i]);
    done_images(g->fresh);
    done_images(g->alone);
    purify_model_free(g->model);
}

/* As a group, of which an engine of the same width makes one micro-batch. */
static void run_members(struct purify_engine *en, int n, struct image *img)
{
    struct engine_member member[PURIFY_MICRO_BATCH];
    for (int i = 0; i < n; i++)
        member[i] = (struct engine_member){.img = &img[i]};
    engine_run_group(en, member, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(member[i].st, STATUS_OK);
}

/* A few images, some of them twice, as a group of an engine or as jobs of a service. */
static void run_grouping(struct groups *g, int round)
{
    struct nn_rng rng = nn_rng(11, (uint64_t)round);
    struct image img[JOBS];
    int kind[JOBS];
    uint32_t kinds = round % ALL_EVERY ? SMALL : IMAGES; /* the others are many tiles */
    bool by_engine = round % 2;
    uint32_t most = by_engine ? PURIFY_MICRO_BATCH : JOBS;
    int n = 1 + (int)(nn_rng_u32(rng, 1) % most);
    for (int i = 0; i < n; i++) {
        kind[i] = (int)(nn_rng_u32(rng, 3 + (uint64_t)i) % kinds);
        assert_int_equal(image_copy(&g->fresh[kind[i]], &img[i]), STATUS_OK);
    }
    if (by_engine)
        run_members(g->engine[round % 4 == 1 ? n - 1 : round / 4 % PURIFY_MICRO_BATCH], n, img);
    else
        run_service(g->service[round / 2 % SERVICES], n, nn_rng_u32(rng, 2), img);
    for (int i = 0; i < n; i++) {
        if (!same(&g->alone[kind[i]], &img[i]))
            fail_msg("image %d differs in grouping %d, at place %d of %d by %s", kind[i], round, i,
                     n, by_engine ? "an engine" : "a service");
        image_done(&img[i]);
    }
}

static void test_groupings_in(enum nn_precision precision)
{
    enum { EACH = 500 }; /* 2,000 ways in all */
    static const struct {
        enum purify_guidance guidance;
        float pixel, perceptual;
        int t_start, steps;
    } mode[] = {
        {PURIFY_GUIDE_NONE, 0, 0, 10, 1},
        {PURIFY_GUIDE_JOINT, 100, 0, 10, 1},
        {PURIFY_GUIDE_JOINT, 100, 3, 10, 1},
        {PURIFY_GUIDE_PHASED, 100, 3, 40, 2}, /* one step above t = 10, one below */
    };
    for (size_t k = 0; k < ARRAY_LEN(mode); k++) {
        struct purify_profile p;
        struct groups g;
        test_profile(&dir, "unet", &p);
        jcdp_of(&p)->precision = precision;
        jcdp_of(&p)->rounds = 1; /* of many runs, each is short */
        jcdp_of(&p)->steps = mode[k].steps;
        jcdp_of(&p)->t_start = mode[k].t_start;
        jcdp_of(&p)->guidance = mode[k].guidance;
        jcdp_of(&p)->pixel_scale = mode[k].pixel;
        jcdp_of(&p)->perceptual_scale = mode[k].perceptual;
        groups_begin(&g, &p);
        for (int round = 0; round < EACH; round++)
            run_grouping(&g, (int)k * EACH + round);
        groups_end(&g);
    }
}

static void test_groupings(void **state)
{
    (void)state;
    test_groupings_in(NN_PREC_F32);
}

static void test_groupings_bf16(void **state)
{
    (void)state;
    if (!nn_precision_supported(NULL, NN_PREC_BF16))
        skip();
    test_groupings_in(NN_PREC_BF16);
}

/* 16-bit numbers inside the network are asked for by the profile, never chosen behind its back. */
static void test_precision(void **state)
{
    (void)state;
    struct purify_profile p;
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    test_profile(&dir, "unet", &p);
    jcdp_of(&p)->precision = NN_PREC_BF16;
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

/* Mean square of what a purification of one step does to a grey image, with no network to speak of
   (a zero last convolution predicts no noise). */
static double change_of(const char *weights, int average, float pixel_scale)
{
    struct purify_profile p;
    purify_profile_init(&p);
    struct purify_jcdp *j = jcdp_of(&p);
    snprintf(j->model, sizeof j->model, "%s", weights);
    j->steps = j->rounds = 1;
    j->average = average;
    j->guidance = PURIFY_GUIDE_JOINT;
    j->pixel_scale = pixel_scale;
    struct purify_model *m = load(&p);
    struct purify_engine *en = engine(m, 1);
    struct image img, source;
    make_image(40, 40, 1, false, 3, &img);
    make_image(40, 40, 1, false, 3, &source);
    run(en, &img);
    double change = 0;
    for (int i = 0; i < 1600; i++)
        change += pow(img.pixels[i] - source.pixels[i], 2) / 1600;
    image_done(&img);
    image_done(&source);
    purify_engine_free(en);
    purify_model_free(m);
    return change;
}

/* One step returns the clamped x0, which is the image plus what was added: the mean of many samples
   is the image. Guided, a part g of that noise is replaced by as much of the reference's: the mean
   of many is the image again, if each has a reference of its own. */
static void test_average(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/zero.safetensors", dir.path);
    struct purify_unet cfg = test_unet_cfg(1);
    struct nn_params *params = test_unet_params(&cfg);
    assert_int_equal(nn_params_init(params, 1), STATUS_OK);
    test_unet_save(params, &cfg, path);
    /* A gain of variance scale_t 2/256 that moves the noise, of sd, halfway: g = 1/2. */
    double v = 1 - purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, 19);
    float half = (float)(256 / (4 * v * sqrt(v)));
    /* sd .076 of [-1,1] is 9.7 grey levels, variance 94; g = 1/2: (1/4 + 1/4) of it; and 1/12 comes
       of rounding */
    const struct {
        float scale;
        double one, sixteen;
    } expect[] = {{0, 94, 5.9}, {half, 47, 3.0}};
    for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
        double one = change_of(path, 1, expect[i].scale);
        double sixteen = change_of(path, 16, expect[i].scale);
        if (fabs(one - expect[i].one) > .15 * expect[i].one ||
            fabs(sixteen - expect[i].sixteen) > .2 * expect[i].sixteen)
            fail_msg("mean square of the noise: %g (%g), mean of 16: %g (%g)", one, expect[i].one,
                     sixteen, expect[i].sixteen);
    }
}

/* What a profile says that it costs is what it does: every sample counts, guided too. */
static void test_cost_of_average(void **state)
{
    (void)state;
    for (int guidance = 0; guidance < PURIFY_GUIDE_COUNT; guidance++) {
        struct purify_profile p;
        test_profile(&dir, "unet", &p);
        jcdp_of(&p)->guidance = (enum purify_guidance)guidance;
        jcdp_of(&p)->average = 3;
        struct purify_model *m = load(&p);
        struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
        struct image img;
        make_image(28, 16, 3, false, 1, &img); /* 2 tiles */
        assert_int_equal(engine_slots(en, &img), 2 * 3);
        struct engine_member member = {.img = &img};
        while (engine_turn(en, &member) > 0) {
        }
        assert_int_equal(member.st, STATUS_OK);
        assert_int_equal(purify_profile_evaluations(&p), 2 * 2 * 3);
        assert_int_equal(member.evaluations, 2 * purify_profile_evaluations(&p));
        image_done(&img);
        purify_engine_free(en);
        purify_model_free(m);
    }
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

/* ---- groups: each member for itself ---- */

enum { MEMBERS = PURIFY_MICRO_BATCH };
struct group {
    struct image img[MEMBERS], source[MEMBERS];
    struct engine_member member[MEMBERS];
};

/* Four images of one tile, of different sizes. */
static void group_begin(struct group *g)
{
    for (int i = 0; i < MEMBERS; i++) {
        make_image(16 - 3 * i, 16 - i, 3, false, (uint64_t)i, &g->img[i]);
        assert_int_equal(image_copy(&g->img[i], &g->source[i]), STATUS_OK);
        g->member[i] = (struct engine_member){.img = &g->img[i]};
    }
}

/* Member i is unchanged after a failure, else as it comes out alone. */
static void group_check(struct group *g, struct purify_engine *alone, int i)
{
    struct image expected;
    assert_int_equal(image_copy(&g->source[i], &expected), STATUS_OK);
    if (!g->member[i].st)
        run(alone, &expected);
    if (!same(&g->img[i], &expected))
        fail_msg("member %d, %s", i, status_text(g->member[i].st));
    image_done(&expected);
}

static void group_end(struct group *g)
{
    for (int i = 0; i < MEMBERS; i++) {
        image_done(&g->img[i]);
        image_done(&g->source[i]);
    }
}

static void test_group_stop(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, MEMBERS), *alone = engine(m, 1);
    for (int stops = 0; stops < 1 << MEMBERS; stops++) { /* bit i: member i does, before its i-th */
        struct group g;
        int left[MEMBERS];
        group_begin(&g);
        for (int i = 0; i < MEMBERS; i++) {
            left[i] = i;
            if (stops >> i & 1)
                g.member[i].hooks = (struct engine_hooks){.stop = stop_after, .arg = &left[i]};
        }
        engine_run_group(en, g.member, MEMBERS);
        for (int i = 0; i < MEMBERS; i++) {
            bool stopped = stops >> i & 1;
            assert_int_equal(g.member[i].st, stopped ? STATUS_CANCELLED : STATUS_OK);
            assert_int_equal(g.member[i].evaluations, stopped ? i : 4); /* 2 rounds of 2 steps */
            assert_int_equal(left[i], stopped ? -1 : i);                /* not asked again */
            group_check(&g, alone, i);
        }
        group_end(&g);
    }
    purify_engine_free(en);
    purify_engine_free(alone);
    purify_model_free(m);
}

/* Weights with which a white image overflows and a dark grey one does not. */
static void save_overflowing(const char *path)
{
    struct purify_unet cfg = test_unet_cfg(3);
    struct nn_params *params = test_unet_params(&cfg);
    test_fill(params);
    const struct nn_param_entry *w = nn_params_find(params, "conv_in.weight");
    for (int64_t k = 0; k < nn_shape_count(w->shape); k++)
        w->value[k] = 1e36f;
    test_unet_save(params, &cfg, path);
}

static void test_group_not_finite(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/overflows.safetensors", dir.path);
    save_overflowing(path);
    struct purify_model *m = load_default("overflows");
    struct purify_engine *en = engine(m, MEMBERS), *alone = engine(m, 1);
    for (int white = 0; white < 1 << MEMBERS; white++) { /* bit i: member i is */
        struct group g;
        group_begin(&g);
        for (int i = 0; i < MEMBERS; i++) {
            memset(g.img[i].pixels, white >> i & 1 ? 255 : 128, image_pixel_bytes(&g.img[i]));
            memcpy(g.source[i].pixels, g.img[i].pixels, image_pixel_bytes(&g.img[i]));
        }
        engine_run_group(en, g.member, MEMBERS);
        for (int i = 0; i < MEMBERS; i++) {
            assert_int_equal(g.member[i].st, white >> i & 1 ? STATUS_INTERNAL : STATUS_OK);
            assert_int_equal(strstr(g.member[i].err.text, "finite") != NULL, white >> i & 1);
            group_check(&g, alone, i);
        }
        group_end(&g);
    }
    purify_engine_free(en);
    purify_engine_free(alone);
    purify_model_free(m);
}

/* One that is refused, or is many tiles, does not spoil the others. */
static void test_group_of_unlike(void **state)
{
    (void)state;
    struct purify_model *m = load_default("grey");
    struct purify_engine *en = engine(m, MEMBERS), *alone = engine(m, 1);
    struct group g;
    group_begin(&g);
    for (int i = 1; i < MEMBERS; i++) {
        image_done(&g.img[i]);
        image_done(&g.source[i]);
        make_image(i == 1 ? 40 : 9, 12, 1, false, 5, &g.img[i]);
        assert_int_equal(image_copy(&g.img[i], &g.source[i]), STATUS_OK);
    }
    assert_int_equal(engine_slots(en, &g.img[1]), 3);
    assert_int_equal(engine_slots(en, &g.img[2]), 1);
    engine_run_group(en, g.member, MEMBERS);
    for (int i = 0; i < MEMBERS; i++) {
        assert_int_equal(g.member[i].st, i ? STATUS_OK : STATUS_UNSUPPORTED);
        group_check(&g, alone, i);
    }
    assert_non_null(strstr(g.member[0].err.text, "colour"));
    group_end(&g);
    purify_engine_free(en);
    purify_engine_free(alone);
    purify_model_free(m);
}

static void test_group_no_memory(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, MEMBERS), *alone = engine(m, 1);
    int failures = 0;
    for (unsigned long n = 1; n < 40; n++) {
        struct group g;
        group_begin(&g);
        fault_set(FAULT_MEM, n, 0, 0);
        engine_run_group(en, g.member, MEMBERS);
        fault_clear();
        for (int i = 0; i < MEMBERS; i++) {
            assert_true(g.member[i].st == STATUS_OK || g.member[i].st == STATUS_NOMEM);
            failures += g.member[i].st != STATUS_OK;
            group_check(&g, alone, i);
        }
        group_end(&g);
    }
    assert_true(failures >= MEMBERS);
    purify_engine_free(en);
    purify_engine_free(alone);
    purify_model_free(m);
}

static void test_measure(void **state)
{
    (void)state;
    struct purify_model *m = load_default("unet");
    struct purify_engine *en = engine(m, MEMBERS);
    struct purify_cost cost;
    assert_int_equal(purify_engine_measure(en, &cost, NULL), STATUS_OK);
    assert_true(cost.alone_seconds > 0 && cost.bulk_seconds > 0);
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
        cmocka_unit_test(test_again),           cmocka_unit_test(test_teams),
        cmocka_unit_test(test_team_stops),      cmocka_unit_test(test_put_aside),
        cmocka_unit_test(test_dropped),         cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_service),         cmocka_unit_test(test_groupings),
        cmocka_unit_test(test_groupings_bf16),  cmocka_unit_test(test_precision),
        cmocka_unit_test(test_noise_key),       cmocka_unit_test(test_pixel_digest),
        cmocka_unit_test(test_average),         cmocka_unit_test(test_cost_of_average),
        cmocka_unit_test(test_grey_model),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_not_finite),      cmocka_unit_test(test_stop),
        cmocka_unit_test(test_group_stop),      cmocka_unit_test(test_group_not_finite),
        cmocka_unit_test(test_group_of_unlike), cmocka_unit_test(test_group_no_memory),
        cmocka_unit_test(test_measure),         cmocka_unit_test(test_swapped_weights),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("purify/engine", tests, make_dir, remove_dir);
}
