/* Profiles: reading, writing, refusing; what the id depends on and what it does not. */
#include "profile.h"

#include "names.h"
#include "test_engines.h"

#include <limits.h>
#include <sys/stat.h>

/* Which distance it is stands in the metadata, and a profile looks no further. */
static void save_lpips(enum purify_percept_net net)
{
    char path[160];
    float one = 1;
    struct nn_save_tensor t = {"t", nn_shape1(1), &one, false};
    struct purify_percept_cfg cfg = {.net = net, .in_channels = 3};
    struct purify_meta meta;
    purify_percept_to_meta(&cfg, &meta);
    snprintf(path, sizeof path, "%s/%s.safetensors", dir.path, purify_percept_name(&cfg));
    CHECK(nn_file_save(path, &t, 1, meta.pair, meta.n, NULL) == STATUS_OK);
}

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    save_lpips(PURIFY_LPIPS_ALEXNET);
    save_lpips(PURIFY_LPIPS_VGG16);
    char path[160];
    for (int i = 0; i < 2; i++) {
        static const char *const sub[] = {"shipped", "config"};
        snprintf(path, sizeof path, "%s/%s", dir.path, sub[i]);
        if (mkdir(path, 0777))
            return -1;
        setenv(i == 0 ? "RELEARN_DATA_DIR" : "XDG_CONFIG_HOME", path, 1);
        snprintf(path, sizeof path, "%s/%s%s/profiles", dir.path, sub[i], i ? "/relearnfs" : "");
        if (io_mkdirs(path, 0, NULL))
            return -1;
    }
    return 0;
}

static const char *in_dir(const char *name)
{
    static char path[4][192];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", dir.path, name);
    return path[at];
}

static void assert_same_id(const struct purify_profile *a, const struct purify_profile *b,
                           bool wanted)
{
    char x[DIGEST_HEX_LEN + 1], y[DIGEST_HEX_LEN + 1];
    digest_hex(&a->id, x);
    digest_hex(&b->id, y);
    if ((strcmp(x, y) == 0) != wanted)
        fail_msg("%s and %s should %s", x, y, wanted ? "be the same" : "differ");
}

/* The canonical form is a promise: caches of other machines and versions are keyed by it. */
static void test_golden_id(void **state)
{
    (void)state;
    struct purify_profile p;
    purify_profile_init(&p);
    jcdp_of(&p)->guidance = PURIFY_GUIDE_JOINT;
    jcdp_of(&p)->pixel_scale = 0.1f;
    jcdp_of(&p)->perceptual_scale = 6694;
    jcdp_of(&p)->eta = 0.5f;
    memset(&jcdp_of(&p)->model_digest, 0xab, sizeof(struct digest));
    memset(&jcdp_of(&p)->percept_digest, 0xcd, sizeof(struct digest));
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    assert_int_equal(
        buf_addf(&b,
                 "relearnfs jcdp 1\nmodel=%s\nt_start=20\nrounds=4\nsteps=5\neta=0.5\n"
                 "average=1\nvariance=fixedlarge\nguidance=joint\npixel_scale=0.100000001\n"
                 "perceptual_scale=6694\npercept=%s\noverlap=8\n",
                 "abababababababababababababababababababababababababababababababab",
                 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
        STATUS_OK);
    struct digest expected, id;
    assert_int_equal(digest_sha256(&(struct digest_part){b.data, b.len}, 1, &expected), STATUS_OK);
    assert_int_equal(profile_id(&p, &id), STATUS_OK);
    assert_memory_equal(&id, &expected, sizeof id);
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&id, hex);
    assert_string_equal(hex, "8e5cf2f8d2d71c4d901430e6bcbbc6314c8114aa480c630c418711a60228ae1a");
}

/* With the weights that they are shipped with: caches are full of what these two made. */
static void test_shipped_ids(void **state)
{
    (void)state;
    static const struct {
        const char *name, *id;
    } shipped[] = {
        {"jcdp", "6d9cb071d95992e4a468ee694281c1195f12b5cbb4c9034572d2a708a2cc3e69"},
        {"paper", "adc234f8087fd637aa7f1afb925aff2c0eca0341bfa3842f47917113cc6ab871"},
    };
    char *data = getenv("RELEARN_DATA_DIR"), root[PATH_MAX], here[PATH_MAX];
    assert_non_null(data);
    snprintf(here, sizeof here, "%s", data);
    assert_non_null(
        realpath(".", root)); /* models/ and profiles/ of the tree: tests are run in it */
    setenv("RELEARN_DATA_DIR", root, 1);
    for (size_t i = 0; i < ARRAY_LEN(shipped); i++) {
        struct purify_profile p;
        struct errmsg e = {""};
        char hex[DIGEST_HEX_LEN + 1];
        if (purify_profile_load(shipped[i].name, &p, &e))
            fail_msg("%s", e.text);
        digest_hex(&p.id, hex);
        assert_string_equal(hex, shipped[i].id);
    }
    setenv("RELEARN_DATA_DIR", here, 1);
}

static void test_every_field_counts(void **state)
{
    (void)state;
    struct purify_profile base, other;
    test_profile(&dir, "unet", &base);
    jcdp_of(&base)->steps = 4;
    assert_int_equal(purify_profile_finish(&base, NULL), STATUS_OK);
    static const char *const change[][2] = {{"model", "grey"},
                                            {"t_start", "11"},
                                            {"rounds", "3"},
                                            {"steps", "3"},
                                            {"eta", "0.999"},
                                            {"deterministic_steps", "2"},
                                            {"average", "2"},
                                            {"variance", "fixedsmall"},
                                            {"guidance", "phased"},
                                            {"pixel_scale", "100.00001"},
                                            {"perceptual_scale", "3.000001"},
                                            {"percept", "other"},
                                            {"overlap", "5"},
                                            {"precision", "bf16"}};
    const struct param_table *t = &base.link[0].ops->params;
    assert_int_equal(t->n, ARRAY_LEN(change));
    for (int i = 0; i < t->n; i++) {
        assert_string_equal(t->row[i].key, change[i][0]);
        other = base;
        if (t->row[i].kind == PARAM_TEXT) { /* their digests count, not their names */
            struct purify_jcdp *j = jcdp_of(&other);
            (i == 0 ? &j->model_digest : &j->percept_digest)->byte[31] ^= 1;
            assert_int_equal(profile_id(&other, &other.id), STATUS_OK);
        } else {
            assert_int_equal(purify_profile_set(&other, change[i][0], change[i][1], NULL),
                             STATUS_OK);
            assert_int_equal(purify_profile_finish(&other, NULL), STATUS_OK);
        }
        assert_same_id(&base, &other, false);
    }
    other = base;
    snprintf(other.name, sizeof other.name, "another");
    assert_int_equal(purify_profile_finish(&other, NULL), STATUS_OK);
    assert_same_id(&base, &other, true);
}

/* What changes no byte of output changes no id. */
static void test_without_effect(void **state)
{
    (void)state;
    struct purify_profile a, b;
    test_profile(&dir, "unet", &a);
    jcdp_of(&a)->guidance = PURIFY_GUIDE_NONE;
    b = a;
    jcdp_of(&b)->pixel_scale = 0;
    jcdp_of(&b)->perceptual_scale = 7;
    snprintf(jcdp_of(&b)->percept, sizeof jcdp_of(&b)->percept,
             "/nowhere/at/all.safetensors"); /* not looked at */
    assert_int_equal(purify_profile_finish(&a, NULL), STATUS_OK);
    assert_int_equal(purify_profile_finish(&b, NULL), STATUS_OK);
    assert_same_id(&a, &b, true);
    assert_string_equal(jcdp_of(&b)->percept, "");
    jcdp_of(&b)->guidance = PURIFY_GUIDE_JOINT;
    jcdp_of(&b)->perceptual_scale = 0;
    assert_int_equal(purify_profile_finish(&b, NULL), STATUS_OK);
    assert_same_id(&a, &b, true);
    jcdp_of(&b)->pixel_scale = -0.0f;
    assert_int_equal(purify_profile_finish(&b, NULL), STATUS_OK);
    assert_same_id(&a, &b, true);
    jcdp_of(&b)->pixel_scale = 1;
    assert_int_equal(purify_profile_finish(&b, NULL), STATUS_OK);
    assert_same_id(&a, &b, false);
}

/* A round's last step adds no noise in any case, and with eta 0 none does. */
static void test_without_noise(void **state)
{
    (void)state;
    struct purify_profile a, b;
    test_profile(&dir, "unet", &a);
    jcdp_of(&a)->steps = 4;
    for (int k = 0; k < 4; k++) {
        jcdp_of(&a)->eta = k & 1;
        jcdp_of(&a)->deterministic_steps = 0;
        b = a;
        jcdp_of(&b)->deterministic_steps = k & 2 ? 3 : 1;
        assert_int_equal(purify_profile_finish(&a, NULL), STATUS_OK);
        assert_int_equal(purify_profile_finish(&b, NULL), STATUS_OK);
        assert_same_id(&a, &b, k != 3);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int guidance = 0; guidance < PURIFY_GUIDE_COUNT; guidance++) {
        struct purify_profile p, back;
        test_profile(&dir, "unet", &p);
        jcdp_of(&p)->guidance = (enum purify_guidance)guidance;
        jcdp_of(&p)->eta = 1.0f / 3;
        jcdp_of(&p)->pixel_scale = 0.1f;
        jcdp_of(&p)->perceptual_scale = 6.694e3f;
        jcdp_of(&p)->variance = PURIFY_FIXED_SMALL;
        assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
        AUTO(buf_done) struct buf b = BUF_INIT(4096);
        assert_int_equal(purify_profile_text(&p, &b), STATUS_OK);
        struct errmsg e = {""};
        if (load_text(b.data, &back, &e))
            fail_msg("%s\n%s", e.text, b.data);
        assert_same_id(&p, &back, true);
        assert_string_equal(back.name, "p");
        assert_string_equal(jcdp_of(&back)->model, jcdp_of(&p)->model);
        assert_true(jcdp_of(&back)->eta == jcdp_of(&p)->eta);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct purify_profile p, q;
    struct errmsg e = {""};
    if (load_text("\xef\xbb\xbf; a comment\n[purify]\r\nmodel=unet.safetensors ; inline\n\n# end",
                  &p, &e))
        fail_msg("%s", e.text);
    purify_profile_init(&q);
    snprintf(jcdp_of(&q)->model, sizeof jcdp_of(&q)->model, "%s/unet.safetensors", dir.path);
    assert_string_equal(jcdp_of(&p)->model, jcdp_of(&q)->model);
    assert_int_equal(purify_profile_finish(&q, NULL), STATUS_OK);
    assert_same_id(&p, &q, true);
    assert_int_equal(purify_profile_evaluations(&p), 20);
    jcdp_of(&p)->average = 3;
    assert_int_equal(purify_profile_evaluations(&p), 60);
}

#define GOOD "[purify]\nmodel = unet.safetensors\n"

static const struct {
    const char *text, *where, *what;
} refused[] = {
    {GOOD "t_start = 0\n", "p.ini:3: ", "t_start"},
    {GOOD "t_start = 10001\n", "p.ini:3: ", "t_start"},
    {GOOD "t_start = 1e1\n", "p.ini:3: ", "t_start"},
    {GOOD "t_start = \n", "p.ini:3: ", "t_start"},
    {GOOD "t_start = 99999999999999999999\n", "p.ini:3: ", "t_start"},
    {GOOD "\n\nt_start = 201\n", "p.ini:5: ", "trained on t < 200"},
    {GOOD "steps = 21\n", "p.ini:3: ", "more than t_start"},
    {GOOD "t_start = 3\n", "p.ini: ", "more than t_start"},
    {GOOD "rounds = 65\n", "p.ini:3: ", "rounds"},
    {GOOD "rounds = -1\n", "p.ini:3: ", "rounds"},
    {GOOD "average = 0\n", "p.ini:3: ", "average"},
    {GOOD "deterministic_steps = -1\n", "p.ini:3: ", "deterministic_steps"},
    {GOOD "deterministic_steps = 5\n", "p.ini:3: ", "eta = 0"},
    {GOOD "deterministic_steps = 2\nsteps = 2\n", "p.ini:3: ", "not less than steps, 2"},
    {GOOD "eta = 1.5\n", "p.ini:3: ", "eta"},
    {GOOD "eta = nan\n", "p.ini:3: ", "eta"},
    {GOOD "eta = 0x1\n", "p.ini:3: ", "eta"},
    {GOOD "pixel_scale = inf\n", "p.ini:3: ", "pixel_scale"},
    {GOOD "pixel_scale = 1e99\n", "p.ini:3: ", "pixel_scale"},
    {GOOD "perceptual_scale = -1\n", "p.ini:3: ", "perceptual_scale"},
    {GOOD "variance = large\n", "p.ini:3: ", "fixedlarge or fixedsmall"},
    {GOOD "guidance = both\n", "p.ini:3: ", "none, joint or phased"},
    {GOOD "overlap = 16\n", "p.ini:3: ", "tiles of 16"},
    {GOOD "overlap = -1\n", "p.ini:3: ", "overlap"},
    {GOOD "colour = blue\n", "p.ini:3: ", "unknown key \"colour\""},
    {GOOD "eta = 1\n\neta = 1\n", "p.ini:5: ", "twice"},
    {GOOD "eta = 1\n  rounds = 4\n", "p.ini:4: ", "twice"},
    {GOOD "nonsense\n", "p.ini:3: ", "key = value"},
    {GOOD "[purify\n", "p.ini:3: ", "key = value"},
    {"model = unet.safetensors\n", "p.ini:1: ", "[purify]"},
    {GOOD "[other]\neta = 1\n", "p.ini:4: ", "[purify]"},
    {"[purify]\nmodel =\n", "p.ini:2: ", "model is missing"},
    {"[purify]\nmodel = ./none.safetensors\n", "p.ini:2: ", "none.safetensors"},
    {"[purify]\nmodel = p.ini/\n", "p.ini:2: ", ""},
    {"[purify]\nmodel = percept.safetensors\n", "p.ini:2: ", "percept-vgg"},
    {"[purify]\nmodel = no-such-model\n", "p.ini:2: ", "no-such-model"},
    {"[purify]\n# default\n", "p.ini: ", "default.safetensors"},
    {GOOD "guidance = joint\nperceptual_scale = 1\npercept =\n", "p.ini:5: ", "percept is missing"},
    {GOOD "guidance = joint\nperceptual_scale = 1\npercept = unet.safetensors\n",
     "p.ini:5: ", "ddpm-unet"},
    {"[purify]\nmodel = grey.safetensors\nguidance = joint\nperceptual_scale = 1\n"
     "percept = percept.safetensors\n",
     "p.ini:5: ", "channels"},
    {GOOD "guidance = joint\nperceptual_scale = 1\npercept = lpips-alexnet.safetensors\n",
     "p.ini:5: ", "at least 31x31"},
    {GOOD "percept = a\tb\n", "p.ini:3: ", "control"},
};

static void test_refused(void **state)
{
    (void)state;
    struct purify_profile p = {.name = "untouched"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct errmsg e = {""};
        if (load_text(refused[i].text, &p, &e) == STATUS_OK)
            fail_msg("taken:\n%s", refused[i].text);
        if (!strstr(e.text, refused[i].where) || !strstr(e.text, refused[i].what))
            fail_msg("%s\nsays \"%s\", not \"%s...%s\"", refused[i].text, e.text, refused[i].where,
                     refused[i].what);
        assert_string_equal(p.name, "untouched");
    }
}

/* LPIPS reads grey images too, so one file serves models of both kinds. */
static void test_lpips(void **state)
{
    (void)state;
    static const char *const model[] = {"unet", "grey"};
    for (int i = 0; i < 2; i++) {
        struct purify_profile p;
        struct errmsg e = {""};
        char text[256];
        snprintf(text, sizeof text,
                 "[purify]\nmodel = %s.safetensors\nguidance = joint\nperceptual_scale = 1\n"
                 "percept = lpips-vgg16.safetensors\n",
                 model[i]);
        if (load_text(text, &p, &e))
            fail_msg("%s", e.text);
    }
}

static void test_hostile_files(void **state)
{
    (void)state;
    struct purify_profile p;
    struct errmsg e = {""};
    char text[600] = "[purify]\n# ";
    memset(text + 11, 'x', 400);
    assert_int_equal(load_text(text, &p, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "p.ini:2: the line is too long"));
    write_text(in_dir("p.ini"), "[purify]\neta\0= 1\n", 17);
    assert_int_equal(purify_profile_load(in_dir("p.ini"), &p, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "p.ini:2: a NUL byte"));
    FILE *f = fopen(in_dir("p.ini"), "w");
    assert_non_null(f);
    for (int i = 0; i < 20000; i++)
        fputs("# long\n", f);
    fclose(f);
    assert_int_equal(purify_profile_load(in_dir("p.ini"), &p, &e), STATUS_LIMIT);
    assert_int_equal(purify_profile_load(in_dir("none.ini"), &p, &e), STATUS_NOT_FOUND);
    assert_true(purify_profile_load(dir.path, &p, &e) != STATUS_OK);
    assert_int_equal(purify_profile_load("", &p, &e), STATUS_INVALID);
    assert_int_equal(purify_profile_load("no such", &p, &e), STATUS_INVALID);
    assert_int_equal(purify_profile_load("no-such", &p, &e), STATUS_NOT_FOUND);
    assert_non_null(strstr(e.text, "no-such"));
    /* bytes at random: any answer, no crash */
    struct nn_rng rng = nn_rng(5, 5);
    for (uint64_t i = 0; i < 300; i++) {
        char junk[128];
        static const char alphabet[] = "[purify]\n=;# \teta1.model\r\\\"'%s";
        for (uint64_t k = 0; k < sizeof junk; k++) {
            uint32_t r = nn_rng_u32(rng, i * sizeof junk + k);
            junk[k] = r % 10 ? alphabet[(r >> 8) % (sizeof alphabet - 1)] : (char)(r >> 8);
        }
        write_text(in_dir("p.ini"), junk, sizeof junk);
        assert_true(purify_profile_load(in_dir("p.ini"), &p, &e) != STATUS_OK);
    }
}

/* Built in code, a profile is held to the same rules. */
static void test_built_in_code(void **state)
{
    (void)state;
    struct purify_profile good, p;
    test_profile(&dir, "unet", &good);
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        p = good;                                                                                  \
        change;                                                                                    \
        if (purify_profile_finish(&p, NULL) == STATUS_OK)                                          \
            fail_msg("taken: " #change);                                                           \
    } while (0)
    REFUSED(jcdp_of(&p)->eta = NAN);
    REFUSED(jcdp_of(&p)->pixel_scale = INFINITY);
    REFUSED(jcdp_of(&p)->perceptual_scale = -1);
    REFUSED(jcdp_of(&p)->guidance = (enum purify_guidance)3);
    REFUSED(jcdp_of(&p)->variance = (enum purify_variance) - 1);
    REFUSED(jcdp_of(&p)->rounds = 0);
    REFUSED(jcdp_of(&p)->steps = 11);
    REFUSED(jcdp_of(&p)->model[0] = 0);
    REFUSED(jcdp_of(&p)->model[0] = ' ');
    REFUSED(memset(jcdp_of(&p)->model, 'a', 200); jcdp_of(&p)->model[200] = 0);
    REFUSED(jcdp_of(&p)->percept[5] = ';');
#undef REFUSED
    assert_int_equal(purify_profile_finish(&good, NULL), STATUS_OK);
}

struct found {
    char text[256];
};
static void add_found(const char *name, const char *path, void *arg)
{
    struct found *f = arg;
    size_t len = strlen(f->text);
    snprintf(f->text + len, sizeof f->text - len, "%s%s ", strstr(path, "/config/") ? "+" : "",
             name);
}

static void test_named(void **state)
{
    (void)state;
    char text[256];
    snprintf(text, sizeof text, "[purify]\nmodel = %s\n", in_dir("unet.safetensors"));
    write_text(in_dir("shipped/profiles/b.ini"), text, strlen(text));
    write_text(in_dir("shipped/profiles/a.ini"), text, strlen(text));
    write_text(in_dir("shipped/profiles/a.txt"), text, strlen(text));
    snprintf(text, sizeof text, "[purify]\nmodel = ../../../unet.safetensors\nrounds = 2\n");
    write_text(in_dir("config/relearnfs/profiles/a.ini"), text, strlen(text));
    write_text(in_dir("config/relearnfs/profiles/c d.ini"), text, strlen(text));
    struct purify_profile p;
    struct errmsg e = {""};
    if (purify_profile_load("a", &p, &e))
        fail_msg("%s", e.text);
    assert_int_equal(jcdp_of(&p)->rounds, 2); /* the user's comes first */
    assert_string_equal(p.name, "a");
    assert_int_equal(purify_profile_load("b", &p, NULL), STATUS_OK);
    assert_int_equal(jcdp_of(&p)->rounds, 4);
    assert_int_equal(purify_profile_load(in_dir("config/relearnfs/profiles/c d.ini"), &p, NULL),
                     STATUS_OK);
    assert_string_equal(p.name, "c_d");
    struct found found = {""};
    assert_int_equal(purify_profile_list(add_found, &found), STATUS_OK);
    assert_string_equal(found.text, "+a +c_d b ");
}

/* A profile that was made is found by its name, from any directory, with the same id. */
static void test_create(void **state)
{
    (void)state;
    struct purify_profile p, back;
    struct errmsg e = {""};
    char *path = NULL, here[256];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir.path), 0);
    purify_profile_init(&p);
    assert_int_equal(purify_profile_set(&p, "model", "unet.safetensors", NULL), STATUS_OK);
    assert_int_equal(purify_profile_set(&p, "rounds", "7", NULL), STATUS_OK);
    assert_int_equal(purify_profile_set(&p, "no", "7", &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "\"no\""));
    assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
    assert_int_equal(purify_profile_create(&p, "a/b", false, &path, &e), STATUS_INVALID);
    assert_int_equal(purify_profile_create(&p, "", false, &path, &e), STATUS_INVALID);
    if (purify_profile_create(&p, "made", false, &path, &e))
        fail_msg("%s", e.text);
    assert_string_equal(path, in_dir("config/relearnfs/profiles/made.ini"));
    mem_free(path);
    assert_int_equal(purify_profile_create(&p, "made", false, &path, &e), STATUS_EXISTS);
    assert_int_equal(chdir(here), 0);
    if (purify_profile_load("made", &back, &e))
        fail_msg("%s", e.text);
    assert_same_id(&p, &back, true);
    assert_string_equal(back.name, "made");
    assert_int_equal(jcdp_of(&back)->rounds, 7);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct purify_profile p;
    test_profile(&dir, "unet", &p);
    assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    assert_int_equal(purify_profile_text(&p, &b), STATUS_OK);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = load_text(b.data, &p, NULL);
        fault_clear();
        assert_true(n < 1000);
    }
    assert_int_equal(st, STATUS_OK);
    st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct found found = {""};
        fault_set(FAULT_MEM, n, 0, 0);
        st = purify_profile_list(add_found, &found);
        fault_clear();
        assert_true(n < 1000);
    }
    assert_int_equal(st, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_id),
        cmocka_unit_test(test_shipped_ids),
        cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_without_effect),
        cmocka_unit_test(test_without_noise),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lpips),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_built_in_code),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("purify/profile", tests, set_up, remove_dir);
}
