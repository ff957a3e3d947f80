#ifndef TRAIN_PROTECT_FIXTURE_H
#define TRAIN_PROTECT_FIXTURE_H
/* For the tests of protections: protecting a toy tree, and reading what came out. Include after
   <cmocka.h>. */
#include "protect/protect.h"
#include "set.h"
#include "toy.h"

__attribute__((unused)) static struct train_protect_options
options(const char *method, const char *src, const char *dst)
{
    return (struct train_protect_options){.method = method,
                                          .src_dir = toy_path(src),
                                          .dst_dir = toy_path(dst),
                                          .seed = 3,
                                          .quantise = -1,
                                          .threads = 2,
                                          .quiet = true};
}

/* One parameter more; good until the 256th of the program. */
__attribute__((unused)) static void set(struct train_protect_options *o, const char *key,
                                        const char *value)
{
    static struct param_arg pool[1024];
    static int next;
    struct param_arg *at = &pool[next];
    assert_true(next + o->n_params + 1 <= (int)ARRAY_LEN(pool));
    for (int i = 0; i < o->n_params; i++)
        pool[next++] = o->param[i];
    pool[next++] = (struct param_arg){key, value};
    o->param = at;
    o->n_params++;
}

__attribute__((unused)) static struct train_protect_result
protect_ok(struct train_protect_options o)
{
    struct train_protect_result r;
    struct errmsg e = {""};
    toy_good(train_protect(&o, &r, &e), &e);
    return r;
}

__attribute__((unused)) static status protect_fails(struct train_protect_options o,
                                                    const char *says)
{
    struct train_protect_result r;
    struct errmsg e = {""};
    return toy_bad(train_protect(&o, &r, &e), &e, says);
}

__attribute__((unused)) static float *read_delta(const char *name, struct nn_shape *shape,
                                                 int *patch)
{
    struct nn_file *f = NULL;
    struct errmsg e = {""};
    if (nn_file_open(toy_path(name), &f, &e))
        fail_msg("%s", e.text);
    const struct nn_file_tensor *t = nn_file_find(f, "delta");
    assert_non_null(t);
    size_t n = (size_t)nn_shape_count(t->shape);
    float *out = mem_alloc(n * sizeof *out);
    assert_int_equal(nn_file_read_f32(t, out, n), STATUS_OK);
    *shape = t->shape;
    *patch = (int)strtol(nn_file_meta(f, "patch"), NULL, 10);
    nn_file_close(f);
    return out;
}

/* A file's perturbations: one for each of n squares, none of them nothing or above eps grey levels, and
   no two the same. */
__attribute__((unused)) static void assert_bounded(const char *name, int n, int side, float eps)
{
    struct nn_shape s;
    int patch;
    float *d = read_delta(name, &s, &patch);
    size_t values = (size_t)(side * side);
    assert_true(nn_shape_equal(s, nn_shape4(n, side, side, 1)));
    for (int i = 0; i < n; i++) {
        const float *of = d + (size_t)i * values;
        float most = 0;
        for (size_t p = 0; p < values; p++)
            most = of[p] > most ? of[p] : -of[p] > most ? -of[p] : most;
        assert_true(most > 0 && most <= eps / 255 + 1e-6f);
        for (int o = 0; o < i; o++)
            assert_memory_not_equal(of, d + (size_t)o * values, values * sizeof *d);
    }
    mem_free(d);
}

/* protection.json of a tree, for json_decref. */
__attribute__((unused)) static json_t *read_record(const char *dir)
{
    char name[128];
    json_error_t why;
    snprintf(name, sizeof name, "%s/protection.json", dir);
    json_t *r = json_load_file(toy_path(name), 0, &why);
    if (!r)
        fail_msg("%s: %s", name, why.text);
    return r;
}

__attribute__((unused)) static struct train_set *open_set(const char *dir)
{
    struct train_data_options o = {.dir = toy_path(dir), .any_size = true};
    struct train_set *s = NULL;
    struct errmsg e = {""};
    toy_good(train_set_open(&o, &s, &e), &e);
    return s;
}

/* A class's images with nothing in common but their range, of any size. */
__attribute__((unused)) static void noise_tree(const char *dir, int classes, int each,
                                               const int (*size)[2], int sizes, int c)
{
    for (int k = 0; k < classes; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < each; i++) {
            int w = size[i % sizes][0], h = size[i % sizes][1];
            uint8_t pixels[64 * 64 * 3];
            struct nn_rng r = nn_rng(9, (uint64_t)(k * 100 + i));
            for (int p = 0; p < w * h * c; p++)
                pixels[p] = (uint8_t)stream_below(nn_rng_u32(r, (uint64_t)p), 256);
            snprintf(name, sizeof name, "%s/%c/%d.png", dir, 'a' + k, i);
            toy_image(name, w, h, c, pixels);
        }
    }
}

/* A group's setup: squares of noise in src, which say nothing about their class. */
__attribute__((unused)) static int noise_setup(void **state, int classes, int each, int side)
{
    const int size[1][2] = {{side, side}};
    if (toy_setup(state))
        return -1;
    noise_tree("src", classes, each, size, 1, 1);
    return 0;
}

/* Squares of noise with a bright band of rows whose height says the class: mirrored it is the same. */
__attribute__((unused)) static bool in_band(int y, int side, int classes, int k)
{
    return y * classes / side == k;
}

__attribute__((unused)) static void band_tree(const char *dir, int classes, int each, int side)
{
    for (int k = 0; k < classes; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < each; i++) {
            uint8_t pixels[64 * 64];
            struct nn_rng r = nn_rng(10, (uint64_t)(k * 1000 + i));
            for (int p = 0; p < side * side; p++)
                pixels[p] = (uint8_t)(60 + (in_band(p / side, side, classes, k) ? 60 : 0) +
                                      stream_below(nn_rng_u32(r, (uint64_t)p), 60));
            snprintf(name, sizeof name, "%s/%c/%03d.png", dir, 'a' + k, i);
            toy_image(name, side, side, 1, pixels);
        }
    }
}

/* A group's setup: such squares in src. */
__attribute__((unused)) static int band_setup(void **state, int classes, int each, int side)
{
    if (toy_setup(state))
        return -1;
    band_tree("src", classes, each, side);
    return 0;
}

/* A number in protection.json of a tree. */
__attribute__((unused)) static double record_number(const char *dir, const char *key)
{
    json_t *r = read_record(dir), *v = json_object_get(r, key);
    assert_true(json_is_number(v));
    double n = json_number_value(v);
    json_decref(r);
    return n;
}

/* Where images say nothing about their class, the perturbation makes the surrogate right, of whose
   answers at most `most` are wrong, and next to no perturbation leaves at least `least` wrong. */
__attribute__((unused)) static struct train_protect_result
protect_leads(struct train_protect_options o, double most, double least)
{
    struct train_protect_result r = protect_ok(o), weak;
    o.dst_dir = toy_path("weak");
    o.eps = .01;
    weak = protect_ok(o);
    if (!(r.surrogate_error <= most && weak.surrogate_error >= least &&
          r.surrogate_error <= weak.surrogate_error / 2))
        fail_msg("error %g, and %g without noise", r.surrogate_error, weak.surrogate_error);
    return r;
}

/* toy_path of the two together. */
__attribute__((unused)) static const char *beside(const char *name, const char *rest)
{
    char text[128];
    snprintf(text, sizeof text, "%s%s", name, rest);
    return toy_path(text);
}

/* Options that made the tree NAME make the same again. */
__attribute__((unused)) static void assert_repeats(struct train_protect_options o, const char *name)
{
    static const char *const files[] = {".perturbation.safetensors", "/protection.json"};
    o.dst_dir = toy_path("again");
    protect_ok(o);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        toy_assert_same_file(beside(name, files[i]), beside("again", files[i]));
}

/* And another perturbation by another seed. */
__attribute__((unused)) static void assert_seed_matters(struct train_protect_options o,
                                                        const char *name)
{
    size_t na, nb;
    o.dst_dir = toy_path("other");
    o.seed += 2;
    protect_ok(o);
    void *a = toy_read(beside(name, ".perturbation.safetensors"), &na);
    void *b = toy_read(toy_path("other.perturbation.safetensors"), &nb);
    assert_true(na != nb || memcmp(a, b, na) != 0);
    mem_free(a);
    mem_free(b);
}

/* Accuracy on the images of `test` of a network that learned from those of `from`: 15 a step, six
   times. */
__attribute__((unused)) static double learned(const char *arch, const char *from, const char *test,
                                              const char *recipe)
{
    struct train_options o = train_options_default();
    struct train_result r;
    struct errmsg e = {""};
    char run[128];
    snprintf(run, sizeof run, "run-%s-%s", from, recipe);
    o.data_dir = toy_path(from);
    o.test_dir = toy_path(test);
    o.out_dir = toy_path(run);
    o.arch = arch;
    o.recipe = recipe;
    o.epochs = 6;
    o.batch = 15;
    o.lr = .05f;
    o.pad = o.test_every = 0;
    o.flip = false;
    o.threads = 1;
    o.quiet = true;
    toy_good(train_run(&o, &r, &e), &e);
    return r.test_accuracy;
}

/* Images of `src` are protected, and whichever allocation fails, of which every n-th is tried, nothing
   is left. */
__attribute__((unused)) static void assert_short_memory(struct train_protect_options o,
                                                        const char *src, unsigned long every)
{
    bool failed = true;
    unsigned long n = 1;
    for (; failed; n += every) {
        o.src_dir = toy_path(src); /* the names are good for 64 calls */
        o.dst_dir = toy_path("short/out");
        struct train_protect_result r;
        struct errmsg e = {""};
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_protect(&o, &r, &e);
        fault_clear();
        failed = st != STATUS_OK;
        if (failed && (st != STATUS_NOMEM || toy_there("short")))
            fail_msg("allocation %lu: %s, %s", n, status_text(st), e.text);
    }
    assert_in_range(n, 100, 20000);
    assert_true(toy_there("short/out/protection.json"));
}

#endif
