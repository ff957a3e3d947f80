#ifndef PURIFY_TEST_MODELS_H
#define PURIFY_TEST_MODELS_H
/* Small networks with made-up weights, as files in a temporary directory. Included by tests only.
 */
#include "purify/purify.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define TEST_ONLY __attribute__((unused)) static

struct test_dir {
    char path[64];
};

TEST_ONLY int test_by_name(const void *a, const void *b)
{
    return strcmp((*(struct nn_param_entry *const *)a)->name,
                  (*(struct nn_param_entry *const *)b)->name);
}

/* The weights of networks_oracle.py: a function of (rank of the name, index). */
TEST_ONLY void test_fill(struct nn_params *p)
{
    int n = 0;
    struct nn_param_entry **entry = mem_zalloc((size_t)nn_params_count(p), sizeof *entry);
    CHECK(entry);
    for (int i = 0; i < nn_params_count(p); i++)
        if (nn_params_at(p, i)->trainable)
            entry[n++] = nn_params_at(p, i);
    qsort(entry, (size_t)n, sizeof(struct nn_param_entry *), test_by_name);
    for (int j = 0; j < n; j++) {
        const struct nn_param_entry *e = entry[j];
        int64_t count = nn_shape_count(e->shape);
        double fan = e->shape.rank > 1 ? (double)(count / e->shape.dim[0]) : 1;
        size_t len = strlen(e->name);
        bool gain = e->shape.rank == 1 && strstr(e->name, "norm") && len > 7 &&
                    strcmp(e->name + len - 7, ".weight") == 0;
        for (int64_t i = 0; i < count; i++) {
            double v = sin(0.37 * (double)i + 1.7 * j) / sqrt(fan);
            e->value[i] = (float)(e->shape.rank == 1 ? 0.1 * v + gain : v);
        }
    }
    mem_free(entry);
}

TEST_ONLY void test_wave(float *out, size_t n, double phase)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)sin(0.1 * (double)i + phase);
}

/* 16-pixel tiles, 2 levels, attention at 8: quick. */
TEST_ONLY struct purify_unet test_unet_cfg(int channels)
{
    return (struct purify_unet){.in_channels = channels,
                                .size = 16,
                                .ch = 8,
                                .levels = 2,
                                .ch_mult = {1, 2},
                                .res_blocks = 1,
                                .attn_count = 1,
                                .attn = {8},
                                .mid_attn = true,
                                .groups = 4,
                                .total = 1000,
                                .beta = PURIFY_BETA_LINEAR,
                                .t_max = 200};
}

/* The network of the published CIFAR-10 checkpoints (Ho et al. 2020, appendix B): 35.7 M
 * parameters. */
TEST_ONLY struct purify_unet test_published_cfg(void)
{
    return (struct purify_unet){.in_channels = 3,
                                .size = 32,
                                .ch = 128,
                                .levels = 4,
                                .ch_mult = {1, 2, 2, 2},
                                .res_blocks = 2,
                                .attn_count = 1,
                                .attn = {16},
                                .mid_attn = true,
                                .groups = 32,
                                .dropout = 0.1f,
                                .total = 1000,
                                .t_max = 1000};
}

TEST_ONLY struct purify_percept_cfg test_percept_cfg(int channels)
{
    return (struct purify_percept_cfg){
        .in_channels = channels, .stages = 2, .width = {6, 10}, .classes = 5};
}

/* The weights of such a network, to be filled. */
TEST_ONLY struct nn_params *test_unet_params(const struct purify_unet *cfg)
{
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    CHECK(nn_params_new(&p) == STATUS_OK && nn_graph_new(p, &g) == STATUS_OK);
    struct nn_shape s = nn_shape4(1, cfg->size, cfg->size, cfg->in_channels);
    purify_unet_build(g, cfg, nn_input(g, "x", NN_F32, s), nn_input(g, "t", NN_F32, nn_shape1(1)),
                      false);
    CHECK(nn_graph_status(g, NULL) == STATUS_OK);
    nn_graph_free(g);
    return p;
}

/* Frees p. */
TEST_ONLY void test_unet_save(struct nn_params *p, const struct purify_unet *cfg, const char *path)
{
    struct purify_meta meta;
    purify_unet_to_meta(cfg, &meta);
    CHECK(nn_params_save(p, path, meta.pair, meta.n, false, NULL) == STATUS_OK);
    nn_params_free(p);
}

/* poison, unless 0: a bias of the last convolution. */
TEST_ONLY void test_save_unet(const char *path, const struct purify_unet *cfg, double poison)
{
    struct nn_params *p = test_unet_params(cfg);
    test_fill(p);
    if (poison != 0)
        nn_params_find(p, "conv_out.bias")->value[0] = (float)poison;
    test_unet_save(p, cfg, path);
}

TEST_ONLY void test_save_percept(const char *path, const struct purify_percept_cfg *cfg)
{
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct purify_meta meta;
    CHECK(nn_params_new(&p) == STATUS_OK && nn_graph_new(p, &g) == STATUS_OK);
    purify_percept_logits(g, cfg, nn_input(g, "x", NN_F32, nn_shape4(1, 16, 16, cfg->in_channels)));
    CHECK(nn_graph_status(g, NULL) == STATUS_OK && nn_params_init(p, 1) == STATUS_OK);
    test_fill(p);
    purify_percept_to_meta(cfg, &meta);
    CHECK(nn_params_save(p, path, meta.pair, meta.n, false, NULL) == STATUS_OK);
    nn_graph_free(g);
    nn_params_free(p);
}

/* 2 levels of 32 channels: 4-pixel unit, 20 pixels of reach. */
TEST_ONLY struct purify_restorer test_restorer_cfg(int channels)
{
    return (struct purify_restorer){
        .in_channels = channels, .levels = 2, .width = {32, 32}, .blocks = 1};
}

/* The weights of such a network, all 0. */
TEST_ONLY struct nn_params *test_restorer_params(const struct purify_restorer *cfg)
{
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    int unit = purify_restorer_unit(cfg);
    CHECK(nn_params_new(&p) == STATUS_OK && nn_graph_new(p, &g) == STATUS_OK);
    struct nn_shape s = nn_shape4(1, unit / 2, unit / 2, 4 * cfg->in_channels);
    purify_restorer_build(g, cfg, nn_input(g, "x", NN_F32, s));
    CHECK(nn_graph_status(g, NULL) == STATUS_OK);
    nn_graph_free(g);
    return p;
}

/* Frees p. */
TEST_ONLY void test_restorer_save(struct nn_params *p, const struct purify_restorer *cfg,
                                  const char *path)
{
    struct purify_meta meta;
    purify_restorer_to_meta(cfg, &meta);
    CHECK(nn_params_save(p, path, meta.pair, meta.n, false, NULL) == STATUS_OK);
    nn_params_free(p);
}

enum { TEST_PATH = 32 };
/* An empty file of its own. */
TEST_ONLY void test_temp_file(char path[TEST_PATH])
{
    snprintf(path, TEST_PATH, "/tmp/purify-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
}

/* A directory with unet.safetensors, percept.safetensors and grey.safetensors. */
TEST_ONLY void test_dir_make(struct test_dir *d)
{
    snprintf(d->path, sizeof d->path, "/tmp/purify-test-XXXXXX");
    CHECK(mkdtemp(d->path));
    char file[128];
    struct purify_unet rgb = test_unet_cfg(3), grey = test_unet_cfg(1);
    struct purify_percept_cfg percept = test_percept_cfg(3);
    snprintf(file, sizeof file, "%s/unet.safetensors", d->path);
    test_save_unet(file, &rgb, 0);
    snprintf(file, sizeof file, "%s/grey.safetensors", d->path);
    test_save_unet(file, &grey, 0);
    snprintf(file, sizeof file, "%s/percept.safetensors", d->path);
    test_save_percept(file, &percept);
}

TEST_ONLY void test_dir_remove(struct test_dir *d)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", d->path);
    status_ignore(system(command) == 0 ? STATUS_OK : STATUS_IO, "a temporary directory may stay");
}

TEST_ONLY struct purify_jcdp *jcdp_of(struct purify_profile *p)
{
    return purify_profile_jcdp(p);
}

/* A finished profile over that directory: t* 10, 2 rounds of 2 steps, joint. */
TEST_ONLY void test_profile(const struct test_dir *d, const char *model, struct purify_profile *out)
{
    purify_profile_init(out);
    struct purify_jcdp *j = purify_profile_jcdp(out);
    snprintf(j->model, sizeof j->model, "%s/%s.safetensors", d->path, model);
    snprintf(j->percept, sizeof j->percept, "%s/percept.safetensors", d->path);
    j->t_start = 10;
    j->rounds = 2;
    j->steps = 2;
    j->guidance = PURIFY_GUIDE_JOINT;
    j->pixel_scale = 100;
    j->perceptual_scale = 3;
    j->overlap = 4;
}

#endif
