/* `relearn profile` and `relearn model`, run in this process on a profile and a network made here.
 */
#include "purify/purify.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "run_cmd.h"

static void make_model(const char *path)
{
    static const struct purify_unet cfg = {.in_channels = 1,
                                           .size = 16,
                                           .ch = 4,
                                           .levels = 1,
                                           .ch_mult = {1},
                                           .res_blocks = 1,
                                           .groups = 2,
                                           .total = 1000,
                                           .t_max = 100};
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct purify_meta meta;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    purify_unet_build(g, &cfg, nn_input(g, "x", NN_F32, nn_shape4(1, 16, 16, 1)),
                      nn_input(g, "t", NN_F32, nn_shape1(1)), false);
    assert_int_equal(nn_params_init(p, 1), STATUS_OK);
    purify_unet_to_meta(&cfg, &meta);
    assert_int_equal(nn_params_save(p, path, meta.pair, meta.n, false, NULL), STATUS_OK);
    nn_graph_free(g);
    nn_params_free(p);
}

static int set_up(void **state)
{
    (void)state;
    char path[128];
    if (run_set_up())
        return -1;
    static const char *const sub[] = {"models", "profiles"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", run_dir, sub[i]);
        if (io_mkdirs(path, 0, NULL))
            return -1;
    }
    snprintf(path, sizeof path, "%s/models/default.safetensors", run_dir);
    make_model(path);
    snprintf(path, sizeof path, "%s/profiles/default.ini", run_dir);
    static const char text[] = "# For tests. More of it.\n[purify]\nmodel = default\n";
    return io_write_file(path, text, sizeof text - 1, NULL) ? -1 : 0;
}

static void lists_shows_and_makes(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], path[192];
    assert_int_equal(run_cmd(cmd_profile, "profile ls", out), 0);
    assert_has(out, "default");
    assert_has(out, "20 evaluations  For tests. More of it\n");
    assert_int_equal(run_cmd(cmd_profile, "profile new --set rounds=2 -s eta=0 mine", out), 0);
    snprintf(path, sizeof path, "%s/relearnfs/profiles/mine.ini\n", run_dir);
    assert_string_equal(out, path);
    assert_int_equal(run_cmd(cmd_profile, "profile new mine", out), 1);
    assert_int_equal(run_cmd(cmd_profile, "profile new other", out), 0);
    assert_int_equal(run_cmd(cmd_profile, "profile new --force --set rounds=3 other", out), 0);
    assert_int_equal(run_cmd(cmd_profile, "profile show other", out), 0);
    assert_has(out, "\nrounds = 3\n");
    assert_int_equal(run_cmd(cmd_profile, "profile rm other", out), 0);
    assert_has(out, "/relearnfs/profiles/other.ini\n");
    assert_int_equal(run_cmd(cmd_profile, "profile rm other", out), 1);
    assert_int_equal(run_cmd(cmd_profile, "profile rm default", out), 2);
    assert_int_equal(run_cmd(cmd_profile, "profile show default", out), 0);
    assert_int_equal(run_cmd(cmd_profile, "profile show --cost mine", out), 0);
    assert_has(out, "# profile mine\n# id ");
    assert_has(out, "\nrounds = 2\n");
    assert_has(out, "\neta = 0\n");
    assert_has(out, "10 evaluations, ");
    assert_has(out, " ms among many");
    assert_int_equal(run_cmd(cmd_profile, "profile show default", out), 0);
    if (strstr(out, "ms on"))
        fail_msg("measured without being asked");
}

static void write_study(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/profiles/study.json", run_dir);
    assert_int_equal(io_write_file(path, text, strlen(text), NULL), STATUS_OK);
}

/* Figures of the profile `default` by its id. */
static void lists_figures(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], text[1024];
    assert_int_equal(run_cmd(cmd_profile, "profile show --json default", out), 0);
    json_t *one = json_loads(out, 0, NULL);
    snprintf(text, sizeof text,
             "{\"means\":["
             "{\"protection\":\"clean\",\"countermeasure\":\"none\",\"victim\":\"v\",\"last\":0.8},"
             "{\"protection\":\"lsp\",\"victim\":\"v\",\"profile\":\"%s\",\"last\":0.6,"
             "\"psnr\":26.54},"
             "{\"protection\":\"ar\",\"victim\":\"v\",\"profile\":\"%s\",\"last\":0.4}]}",
             json_string_value(json_object_get(one, "id")),
             json_string_value(json_object_get(one, "id")));
    json_decref(one);
    write_study(text);
    assert_int_equal(run_cmd(cmd_profile, "profile ls", out), 0);
    assert_has(out, " For tests. More of it\n                 lsp 0.75 (26.5 dB)  ar 0.50\n");
    assert_int_equal(run_cmd(cmd_profile, "profile ls --json", out), 0);
    assert_has(out, "\"psnr_db\": 26.5");
    assert_int_equal(run_cmd(cmd_profile, "profile new --set t_start=19 changed", out), 0);
    assert_int_equal(run_cmd(cmd_profile, "profile ls --json", out), 0);
    json_t *list = json_loads(out, 0, NULL);
    json_t *changed = json_object_get(json_array_get(list, 0), "study");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
                        "changed");
    assert_int_equal(json_object_size(changed), 0);
    json_decref(list);
    assert_int_equal(run_cmd(cmd_profile, "profile rm changed", out), 0);
    write_study("{");
    assert_int_equal(run_cmd(cmd_profile, "profile ls", out), 0);
    if (strstr(out, " dB"))
        fail_msg("figures of a broken table");
    snprintf(text, sizeof text, "%s/profiles/study.json", run_dir);
    assert_int_equal(unlink(text), 0);
    assert_int_equal(run_cmd(cmd_profile, "profile ls --json", out), 0);
    if (strstr(out, "study"))
        fail_msg("figures without a table");
}

static void refuses(void **state)
{
    (void)state;
    static const struct run_bad bad[] = {
        {"profile", 2},
        {"profile show", 2},
        {"profile show nothing", 1},
        {"profile frobnicate", 2},
        {"profile new --set rounds=0 x", 2},
        {"profile new --set rounds x", 2},
        {"profile new --set colour=1 x", 2},
        {"profile new --from nothing x", 1},
        {"profile new a/b", 2},
    };
    char out[RUN_OUT_MAX];
    run_refuses(cmd_profile, bad, ARRAY_LEN(bad));
    assert_int_equal(run_cmd(cmd_model, "model info /nowhere.safetensors", out), 1);
}

static void prints_json(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], line[192];
    assert_int_equal(run_cmd(cmd_profile, "profile ls --json", out), 0);
    json_t *list = json_loads(out, 0, NULL);
    assert_true(json_array_size(list) >= 1);
    assert_int_equal(json_string_length(json_object_get(json_array_get(list, 0), "id")), 64);
    json_decref(list);
    assert_int_equal(run_cmd(cmd_profile, "profile show --json --cost default", out), 0);
    json_t *one = json_loads(out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(one, "evaluations")), 20);
    assert_true(json_real_value(json_object_get(one, "ms_per_tile")) > 0);
    assert_true(json_real_value(json_object_get(one, "ms_per_tile_bulk")) > 0);
    json_decref(one);
    snprintf(line, sizeof line, "model info --json --tensors %s/models/default.safetensors",
             run_dir);
    assert_int_equal(run_cmd(cmd_model, line, out), 0);
    json_t *info = json_loads(out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(info, "architecture")), "ddpm-unet");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(info, "metadata"), "size")), "16");
    json_int_t n = json_integer_value(json_object_get(info, "tensor_count"));
    assert_int_equal(json_array_size(json_object_get(info, "tensors")), n);
    json_decref(info);
}

static void tells_about_a_model(void **state)
{
    (void)state;
    char out[RUN_OUT_MAX], line[192];
    snprintf(line, sizeof line, "model info %s/models/default.safetensors", run_dir);
    assert_int_equal(run_cmd(cmd_model, line, out), 0);
    assert_has(out, "architecture  ddpm-unet\n");
    assert_has(out, "ch_mult");
    assert_has(out, "sha256        ");
    assert_has(out, "summary       noise predictor for grey images, trained on 16x16 pixels");
    char named[RUN_OUT_MAX];
    assert_int_equal(run_cmd(cmd_model, "model info default", named), 0);
    assert_string_equal(named, out); /* the same file by its name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_shows_and_makes),
        cmocka_unit_test(lists_figures),
        cmocka_unit_test(refuses),
        cmocka_unit_test(prints_json),
        cmocka_unit_test(tells_about_a_model),
    };
    return cmocka_run_group_tests_name("cli/profile", tests, set_up, run_tear_down);
}
