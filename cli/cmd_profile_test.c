/* `relearn profile` and `relearn model`, run in this process on a profile and a network made here.
 */
#include "cli.h"
#include "purify/purify.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { OUT_MAX = 1 << 16 };
static char dir[64];

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
    snprintf(dir, sizeof dir, "/tmp/cli-profile-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    setenv("XDG_CONFIG_HOME", dir, 1);
    setenv("RELEARN_DATA_DIR", dir, 1);
    static const char *const sub[] = {"models", "profiles"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, sub[i]);
        if (io_mkdirs(path, 0, NULL))
            return -1;
    }
    snprintf(path, sizeof path, "%s/models/default.safetensors", dir);
    make_model(path);
    snprintf(path, sizeof path, "%s/profiles/default.ini", dir);
    static const char text[] = "[purify]\nmodel = default\n";
    return io_write_file(path, text, sizeof text - 1, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* Runs a command line of blank-separated words; its standard output is in out. */
static int run(cli_run_fn *fn, const char *line, char out[OUT_MAX])
{
    char words[512], path[128], *argv[16], *save = NULL;
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok_r(words, " ", &save); w && argc < 15; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    snprintf(path, sizeof path, "%s/stdout", dir);
    fflush(stdout);
    int kept = dup(1);
    assert_non_null(freopen(path, "w", stdout));
    int rc = fn(argc, argv);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    clearerr(stdout);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(path, OUT_MAX - 1, &data, &len, NULL), STATUS_OK);
    memcpy(out, data, len + 1);
    return rc;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lists_shows_and_makes(void **state)
{
    (void)state;
    char out[OUT_MAX], path[192];
    assert_int_equal(run(cmd_profile, "profile ls", out), 0);
    assert_has(out, "default");
    assert_has(out, "20 evaluations");
    assert_int_equal(run(cmd_profile, "profile new --set rounds=2 -s eta=0 mine", out), 0);
    snprintf(path, sizeof path, "%s/relearnfs/profiles/mine.ini\n", dir);
    assert_string_equal(out, path);
    assert_int_equal(run(cmd_profile, "profile new mine", out), 1);
    assert_int_equal(run(cmd_profile, "profile show --cost mine", out), 0);
    assert_has(out, "# profile mine\n# id ");
    assert_has(out, "\nrounds = 2\n");
    assert_has(out, "\neta = 0\n");
    assert_has(out, "10 evaluations, ");
    assert_int_equal(run(cmd_profile, "profile show default", out), 0);
    if (strstr(out, "ms on"))
        fail_msg("measured without being asked");
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int rc;
    } bad[] = {
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
    char out[OUT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int rc = run(cmd_profile, bad[i].line, out);
        if (rc != bad[i].rc)
            fail_msg("%s: exit %d, not %d", bad[i].line, rc, bad[i].rc);
    }
    assert_int_equal(run(cmd_model, "model info /nowhere.safetensors", out), 1);
}

static void prints_json(void **state)
{
    (void)state;
    char out[OUT_MAX], line[192];
    assert_int_equal(run(cmd_profile, "profile ls --json", out), 0);
    json_t *list = json_loads(out, 0, NULL);
    assert_true(json_array_size(list) >= 1);
    assert_int_equal(json_string_length(json_object_get(json_array_get(list, 0), "id")), 64);
    json_decref(list);
    assert_int_equal(run(cmd_profile, "profile show --json --cost default", out), 0);
    json_t *one = json_loads(out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(one, "evaluations")), 20);
    assert_true(json_real_value(json_object_get(one, "ms_per_tile")) > 0);
    json_decref(one);
    snprintf(line, sizeof line, "model info --json --tensors %s/models/default.safetensors", dir);
    assert_int_equal(run(cmd_model, line, out), 0);
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
    char out[OUT_MAX], line[192];
    snprintf(line, sizeof line, "model info %s/models/default.safetensors", dir);
    assert_int_equal(run(cmd_model, line, out), 0);
    assert_has(out, "architecture  ddpm-unet\n");
    assert_has(out, "ch_mult");
    assert_has(out, "sha256        ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_shows_and_makes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(prints_json),
        cmocka_unit_test(tells_about_a_model),
    };
    return cmocka_run_group_tests_name("cli/profile", tests, set_up, tear_down);
}
