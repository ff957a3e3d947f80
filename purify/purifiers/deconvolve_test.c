/* deconvolve: its solver against a dense solution, what it undoes and what it leaves alone, promise 3,
   its identity, and the weights that it refuses. */
#include "deconvolve.h"
#include "profile.h"
#include "test_ways.h"

#include <math.h>

#define PROFILE "[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./d.safetensors\n"

/* ---- estimators that say what they are told ---- */

static const float lopsided[9] = {.02f, .1f, .05f, .08f, .55f, .04f, .06f, .03f, .07f};
static const float none[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0};

static struct purify_estimator small_cfg(int channels)
{
    return (struct purify_estimator){
        .in_channels = channels, .size = 16, .side = 3, .levels = 2, .width = {32, 32}};
}

/* Says `kernel` of every image; and with `sight` something of the image beside. */
static void save(const char *name, int channels, const float *kernel, bool sight)
{
    char path[160];
    const struct purify_estimator cfg = small_cfg(channels);
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct purify_meta meta;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    purify_estimator_build(g, &cfg, nn_input(g, "x", NN_F32, nn_shape4(1, 16, 16, channels)));
    assert_int_equal(nn_graph_status(g, NULL), STATUS_OK);
    assert_int_equal(nn_params_init(p, 1), STATUS_OK);
    struct nn_param_entry *w = nn_params_find(p, "head.weight"),
                          *b = nn_params_find(p, "head.bias");
    for (int64_t i = 0; i < nn_shape_count(w->shape); i++)
        w->value[i] *= sight ? .05f : 0;
    memcpy(b->value, kernel, 9 * sizeof *kernel);
    purify_estimator_to_meta(&cfg, &meta);
    snprintf(path, sizeof path, "%s/%s.safetensors", dir.path, name);
    assert_int_equal(nn_params_save(p, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    nn_graph_free(g);
    nn_params_free(p);
}

static int set_up(void **state)
{
    make_dir(state);
    save("d", 3, lopsided, false);
    return 0;
}

/* ---- the solver ---- */

enum { W = 7, H = 6, N = W * H };

/* Gauss and Jordan on (N,N+1), which is positive definite. */
static void solve(double m[N][N + 1])
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double factor = j == i ? 0 : m[j][i] / m[i][i];
            for (int k = i; k <= N; k++)
                m[j][k] -= factor * m[i][k];
        }
}

/* What the kernel does, as a matrix. */
static void matrix(const struct deconvolve_kernel *k, double out[N][N])
{
    int half = k->side / 2;
    for (int p = 0; p < N; p++)
        for (int q = 0; q < N; q++) {
            int a = q / W - p / W + half, b = q % W - p % W + half;
            bool inside = a >= 0 && b >= 0 && a < k->side && b < k->side;
            out[p][q] = inside ? (double)k->entry[a * k->side + b] : 0;
        }
}

static void is_the_dense_solution(void **state)
{
    (void)state;
    struct deconvolve_kernel k = {.side = 3};
    const float damping = .05f;
    static double m[N][N], normal[N][N + 1];
    float rest[N], out[N], scratch[DECONVOLVE_SCRATCH * N], largest = 0;
    memcpy(k.entry, lopsided, sizeof lopsided);
    nn_rng_normal(nn_rng(3, 1), 0, rest, N);
    matrix(&k, m);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            normal[i][j] = i == j ? (double)damping : 0;
            for (int p = 0; p < N; p++)
                normal[i][j] += m[p][i] * m[p][j];
        }
        normal[i][N] = 0;
        for (int p = 0; p < N; p++)
            normal[i][N] += m[p][i] * (double)rest[p];
    }
    solve(normal);
    deconvolve_plane(&k, damping, W, H, rest, scratch, out);
    for (int i = 0; i < N; i++) {
        double expected = normal[i][N] / normal[i][i];
        largest = fmaxf(largest, fabsf((float)expected));
        if (fabs((double)out[i] - expected) > 2e-3)
            fail_msg("place %d: %g, not %g", i, (double)out[i], expected);
    }
    assert_true(largest > 1);
}

/* ---- whole images ---- */

/* Smooth, with values of 60 to 200. */
static void smooth_image(int w, int h, int channels, struct image *out)
{
    assert_int_equal(image_alloc(w, h, channels, false, out), STATUS_OK);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++)
                out->pixels[((size_t)y * (size_t)w + (size_t)x) * (size_t)channels + (size_t)c] =
                    (uint8_t)lrint(130 + 40 * sin(x * .9 + c) + 30 * cos(y * 1.1 + x * .2));
}

/* Through the kernel, zeros beyond the edge. */
static void filter(const struct image *from, const float *kernel, struct image *to)
{
    assert_int_equal(image_copy(from, to), STATUS_OK);
    int c = from->channels;
    for (int y = 0; y < from->height; y++)
        for (int i = 0; i < from->width * c; i++) {
            double sum = 0;
            for (int k = 0; k < 9; k++) {
                int v = y + k / 3 - 1, u = i / c + k % 3 - 1;
                if (v >= 0 && u >= 0 && v < from->height && u < from->width)
                    sum += (double)kernel[k] * from->pixels[(v * from->width + u) * c + i % c];
            }
            to->pixels[y * from->width * c + i] = (uint8_t)lrint(sum);
        }
}

static int clamp(int i, int n)
{
    return i < 1 ? 1 : i > n - 2 ? n - 2 : i;
}

/* Root of the mean square of the difference, edges like what is inside of them. */
static double distance(const struct image *a, const struct image *b)
{
    double sum = 0;
    int c = a->channels;
    for (int y = 0; y < a->height; y++)
        for (int i = 0; i < a->width * c; i++) {
            int at = (clamp(y, a->height) * a->width + clamp(i / c, a->width)) * c + i % c;
            double d = (double)b->pixels[y * a->width * c + i] - a->pixels[at];
            sum += d * d;
        }
    return sqrt(sum / (double)image_pixel_bytes(a));
}

static void undoes_its_kernel(void **state)
{
    (void)state;
    static const int shapes[][2] = {{16, 16}, {28, 30}, {96, 96}, {150, 210}, {400, 3}};
    struct purify_model *m = model_of(PROFILE "damping = 0.001\n");
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int channels = 1; channels <= 3; channels += 2) {
            struct image clean, img;
            smooth_image(shapes[i][0], shapes[i][1], channels, &clean);
            filter(&clean, lopsided, &img);
            double before = distance(&clean, &img);
            run_once(m, &img);
            double after = distance(&clean, &img);
            if (!(before > 5 && after < 1))
                fail_msg("%dx%d of %d channels: %g grey levels off, %g before", shapes[i][0],
                         shapes[i][1], channels, after, before);
            image_done(&clean);
            image_done(&img);
        }
    purify_model_free(m);
}

static void assert_left_alone(const char *model, const char *more)
{
    char text[200];
    struct image img, before;
    snprintf(text, sizeof text,
             "[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./%s.safetensors\n%s", model,
             more);
    struct purify_model *m = model_of(text);
    noisy_image(40, 30, 3, 4, &img);
    noisy_image(40, 30, 3, 4, &before);
    run_once(m, &img);
    assert_same(text, &before, &img);
    image_done(&img);
    image_done(&before);
    purify_model_free(m);
}

/* Filters that are nearly none, and what is no filter of an image. */
static void leaves_alone(void **state)
{
    (void)state;
    static const float nearly[9] = {0, .05f, 0, 0, .9f, 0, 0, .05f, 0},
                       empty[9] = {.1f, -.1f, 0, 0, .2f, 0, 0, 0, 0};
    save("none", 3, none, false);
    save("nearly", 3, nearly, false);
    save("empty", 3, empty, false);
    assert_left_alone("none", "");
    assert_left_alone("nearly", "");
    assert_left_alone("empty", "");
    assert_left_alone("d", "least = 0.6\n"); /* its distance is .48 */
    struct purify_model *m = model_of(
        "[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./nearly.safetensors\nleast = 0.1\n");
    struct image img, before;
    noisy_image(40, 30, 3, 4, &img);
    noisy_image(40, 30, 3, 4, &before);
    run_once(m, &img);
    assert_memory_not_equal(img.pixels, before.pixels, image_pixel_bytes(&img));
    image_done(&img);
    image_done(&before);
    purify_model_free(m);
}

static void is_the_same_each_way(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},   {2, 1, 1},   {1, 9, 1},     {16, 16, 1},
                                    {33, 17, 1}, {96, 96, 1}, {150, 140, 8}, {97, 96, 4}};
    save("sees", 3, lopsided, true);
    struct purify_model *m = model_of(
        "[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./sees.safetensors\nleast = 0\n");
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int channels = 1; channels <= 3; channels += 2)
            assert_int_equal(each_way("deconvolve", m, shapes[i][0], shapes[i][1], channels),
                             shapes[i][2]);
    purify_model_free(m);
    m = model_of("[purify]\nchain = depth, deconvolve, jcdp\n[depth]\nbits = 6\n"
                 "[deconvolve]\nmodel = ./sees.safetensors\n"
                 "[jcdp]\nmodel = ./unet.safetensors\nt_start = 10\nrounds = 1\nsteps = 2\n");
    each_way("in a chain", m, 16, 16, 3);
    each_way("in a chain", m, 45, 20, 3);
    purify_model_free(m);
}

/* ---- failures ---- */

static void fails_as_a_whole(void **state)
{
    (void)state;
    float broken[9];
    memcpy(broken, lopsided, sizeof broken);
    broken[3] = NAN;
    save("broken", 3, broken, false);
    save("grey", 1, lopsided, false);
    static const struct {
        const char *model;
        status st;
    } bad[] = {{"broken", STATUS_INTERNAL}, {"grey", STATUS_UNSUPPORTED}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[120];
        struct image img, before;
        snprintf(text, sizeof text,
                 "[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./%s.safetensors\n",
                 bad[i].model);
        struct purify_model *m = model_of(text);
        struct purify_engine *en = engine(m, 1);
        noisy_image(40, 30, 3, 4, &img);
        noisy_image(40, 30, 3, 4, &before);
        assert_int_equal(purify_engine_run(en, &img, NULL, NULL, NULL), bad[i].st);
        assert_same(text, &before, &img);
        purify_engine_free(en);
        purify_model_free(m);
        image_done(&img);
        image_done(&before);
    }
}

static void survives_short_memory(void **state)
{
    (void)state;
    assert_true(survive_short_memory(PROFILE) > 8);
}

/* ---- how it is written ---- */

static void is_named_by_what_it_does(void **state)
{
    (void)state;
    struct purify_profile p, other;
    struct purify_weights w;
    struct digest expected;
    char hex[DIGEST_HEX_LEN + 1], canonical[400];
    assert_int_equal(load_text(PROFILE "damping = 0.02\nleast = 0.35\n", &p, NULL), STATUS_OK);
    assert_true(purify_profile_weights(&p, 0, &w));
    assert_false(purify_profile_weights(&p, 1, &w));
    assert_string_equal(w.key, "model");
    digest_hex(w.digest, hex);
    snprintf(canonical, sizeof canonical,
             "relearnfs chain 1\n[deconvolve 1]\nmodel=%s\ndamping=0.02\nleast=0.35\n", hex);
    assert_int_equal(
        digest_sha256(&(struct digest_part){canonical, strlen(canonical)}, 1, &expected),
        STATUS_OK);
    assert_true(digest_equal(&expected, &p.id));
    assert_int_equal(purify_profile_evaluations(&p), 1);
    save("other", 3, none, false);
    assert_int_equal(load_text("[purify]\nchain = deconvolve\n[deconvolve]\n"
                               "model = ./other.safetensors\ndamping = 0.02\nleast = 0.35\n",
                               &other, NULL),
                     STATUS_OK);
    assert_false(digest_equal(&other.id, &p.id));
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./no.safetensors\n",
         "no.safetensors"},
        {"[purify]\nchain = deconvolve\n[deconvolve]\nmodel = ./unet.safetensors\n",
         ":4: the weights are those of a ddpm-unet, not of a filter-estimator"},
        {PROFILE "damping = 0\n", ":5: damping is \"0\""},
        {PROFILE "least = -1\n", ":5: least is \"-1\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        profile_refused(bad[i].text, bad[i].what);
}

static void checks_configurations(void **state)
{
    (void)state;
    static const struct {
        struct purify_estimator cfg;
        const char *what;
    } bad[] = {
        {{2, 32, 3, 1, {32}}, "2 image channels"},
        {{3, 32, 4, 1, {32}}, "kernels of 4 pixels"},
        {{3, 32, 11, 1, {32}}, "kernels of 11 pixels"},
        {{3, 32, 3, 0, {32}}, "0 levels"},
        {{3, 30, 3, 3, {32, 32, 32}}, "squares of 30 pixels"},
        {{3, 4, 3, 3, {32, 32, 32}}, "squares of 4 pixels"},
        {{3, 32, 3, 2, {32, 33}}, "33 channels at level 1"},
    };
    struct purify_estimator good = purify_estimator_default();
    assert_int_equal(purify_estimator_check(&good, NULL), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct errmsg e = {""};
        assert_int_equal(purify_estimator_check(&bad[i].cfg, &e), STATUS_INVALID);
        if (!strstr(e.text, bad[i].what))
            fail_msg("\"%s\", not \"%s\"", e.text, bad[i].what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_dense_solution),
        cmocka_unit_test(undoes_its_kernel),
        cmocka_unit_test(leaves_alone),
        cmocka_unit_test(is_the_same_each_way),
        cmocka_unit_test(fails_as_a_whole),
        cmocka_unit_test(survives_short_memory),
        cmocka_unit_test(is_named_by_what_it_does),
        cmocka_unit_test(refuses),
        cmocka_unit_test(checks_configurations),
    };
    return cmocka_run_group_tests_name("purify/purifiers/deconvolve", tests, set_up, remove_dir);
}
