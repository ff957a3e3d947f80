/*
 * libFuzzer: whatever a published network's files say, importing them ends with a status: on
 * failure nothing is written and a text says why, on success the weights file describes and fills a
 * network.
 *
 * The first byte says what the rest is: edits of a network that is right (of each family of UNets,
 * with its configuration, or of LPIPS, whose features and linear layers are edited alike), or
 * options and then the bytes of a file. The networks that are right are imported before anything
 * else, so that every input begins where the importers end. Tensors hold zeros where no edit says
 * otherwise, as holes of files in memory.
 */
#include "purify/purify.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define GOLDEN "tests/golden/unets/"
enum { NAME_MAX_BYTES = 256, TENSORS_MAX = 512, DIMS_MAX = 5, PATCHES_MAX = 4 };
enum { DATA_BYTES_MAX = 32 << 20 }; /* more would take memory and time, and reach nothing new */
enum { EDITS_MAX = 16 };            /* many more, and every network is wrong in its first tensor */
enum { LPIPS_EVERY = 16 };          /* such networks take that much longer than UNets */

/* ---- an input, read from its front; 0 where it has ended ---- */

struct input {
    const uint8_t *at;
    size_t left;
};

static unsigned take(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

static uint32_t take_word(struct input *in)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | take(in);
    return v;
}

/* Small numbers, and those at which something might happen. */
static int take_number(struct input *in)
{
    static const int odd[] = {0,    1,    2,     3,       4,           5,       6,       8,
                              16,   31,   32,    33,      64,          128,     256,     512,
                              1000, 4000, 10000, 1 << 20, 1 << 20 | 1, INT_MAX, INT_MIN, -1};
    unsigned v = take(in);
    return v < 128 ? odd[v % ARRAY_LEN(odd)] : v < 250 ? (int)v - 128 : (int)take_word(in);
}

/* A length and so many bytes, made a string. */
static void take_text(struct input *in, char out[64])
{
    unsigned n = take(in) % 64;
    for (unsigned i = 0; i < n; i++)
        out[i] = (char)take(in);
    out[n] = 0;
}

/* What may stand before a network's names. */
static void take_prefix(struct input *in, char out[64])
{
    static const char *const often[] = {"model.", "ema.", ""};
    unsigned which = take(in) % (ARRAY_LEN(often) + 1);
    if (which < ARRAY_LEN(often))
        snprintf(out, 64, "%s", often[which]);
    else
        take_text(in, out);
}

/* ---- networks ---- */

struct tensor {
    char name[NAME_MAX_BYTES];
    const char *dtype;
    int rank, dim[DIMS_MAX];
    bool linear; /* of LPIPS's second file */
};

struct patch {
    unsigned tensor, element;
    uint32_t bits;
};

struct net {
    struct tensor tensor[TENSORS_MAX];
    unsigned n, n_patches;
    struct patch patch[PATCHES_MAX];
    struct purify_import how;
    char prefix[64];            /* how.prefix, when there is one */
    json_t *config, *scheduler; /* of a folder of diffusers, else NULL */
    bool lpips;
};

enum base { DDPM, ADM, IMPROVED, HUB_DDPM, HUB_NEW, ALEXNET, SQUEEZENET, BASE_COUNT };
static struct net bases[BASE_COUNT];
enum raw { RAW_UNET = BASE_COUNT, RAW_CONFIG, RAW_BACKBONE, RAW_LINEAR, KIND_COUNT };

static void add_tensor(struct net *n, const char *name, struct nn_shape s, bool linear)
{
    CHECK(n->n < TENSORS_MAX && strlen(name) < NAME_MAX_BYTES);
    struct tensor *t = &n->tensor[n->n++];
    *t = (struct tensor){.dtype = "F32", .rank = s.rank, .linear = linear};
    snprintf(t->name, sizeof t->name, "%s", name);
    for (int i = 0; i < s.rank; i++)
        t->dim[i] = s.dim[i];
}

static void add_params(struct net *n, struct nn_params *p)
{
    for (int i = 0; i < nn_params_count(p); i++)
        add_tensor(n, nn_params_at(p, i)->name, nn_params_at(p, i)->shape, false);
}

static void make_ddpm(struct net *n)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    const struct purify_unet u = {.in_channels = 3,
                                  .size = 8,
                                  .ch = 4,
                                  .levels = 2,
                                  .ch_mult = {1, 2},
                                  .res_blocks = 1,
                                  .attn_count = 1,
                                  .attn = {4},
                                  .mid_attn = true,
                                  .groups = 2,
                                  .total = 1000,
                                  .t_max = 1000};
    CHECK(!nn_params_new(&p) && !nn_graph_new(p, &g));
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, 8, 8, 3));
    purify_unet_build(g, &u, x, nn_input(g, "t", NN_F32, nn_shape1(1)), false);
    add_params(n, p);
    n->how = (struct purify_import){.size = 8, .groups = 2};
}

static void make_from(struct net *n, const char *file, struct purify_import how)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    struct errmsg e = {""};
    if (nn_file_open(file, &f, &e))
        fprintf(stderr, "%s (run it where the sources are)\n", e.text);
    CHECK(f);
    for (int i = 0; i < nn_file_count(f); i++)
        add_tensor(n, nn_file_at(f, i)->name, nn_file_at(f, i)->shape, false);
    n->how = how;
}

static void make_hub(struct net *n, const char *dir)
{
    char path[128];
    snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", dir);
    make_from(n, path, (struct purify_import){.size = 0});
    snprintf(path, sizeof path, "%s/unet/config.json", dir);
    n->config = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, "%s/scheduler/scheduler_config.json", dir);
    n->scheduler = json_load_file(path, 0, NULL);
    CHECK(n->config && n->scheduler);
}

static void make_lpips(struct net *n, enum purify_percept_net net)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    const struct purify_percept_cfg cfg = {.net = net, .in_channels = 3};
    struct nn_val feature[PURIFY_FEATURES_MAX];
    CHECK(!nn_params_new(&p) && !nn_graph_new(p, &g));
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, 64, 64, 3));
    int features = purify_percept_features(g, &cfg, x, feature);
    add_params(n, p);
    for (int i = 0; i < features; i++) {
        char name[32];
        snprintf(name, sizeof name, "lin%d.model.1.weight", i);
        add_tensor(n, name, nn_shape4(1, nn_val_shape(g, feature[i]).dim[3], 1, 1), true);
    }
    n->lpips = true;
}

static void make_bases(void)
{
    make_ddpm(&bases[DDPM]);
    make_from(&bases[ADM], GOLDEN "adm.safetensors",
              (struct purify_import){.size = 8, .groups = 2, .head_channels = 4});
    make_from(
        &bases[IMPROVED], GOLDEN "improved.safetensors",
        (struct purify_import){
            .size = 8, .groups = 2, .heads = 2, .timesteps = 4000, .beta = PURIFY_BETA_COSINE});
    make_hub(&bases[HUB_DDPM], GOLDEN "hub_ddpm");
    make_hub(&bases[HUB_NEW], GOLDEN "hub_new");
    make_lpips(&bases[ALEXNET], PURIFY_LPIPS_ALEXNET);
    make_lpips(&bases[SQUEEZENET], PURIFY_LPIPS_SQUEEZENET);
}

/* ---- edits ---- */

static void take_option(struct purify_import *how, char prefix[64], struct input *in)
{
    switch (take(in) % 7) {
    case 0:
        how->size = take_number(in);
        return;
    case 1:
        how->groups = take_number(in);
        return;
    case 2:
        how->heads = take_number(in);
        return;
    case 3:
        how->head_channels = take_number(in);
        return;
    case 4:
        how->timesteps = take_number(in);
        return;
    case 5:
        how->beta = take(in) % 2 ? PURIFY_BETA_COSINE : PURIFY_BETA_LINEAR;
        return;
    default:
        take_prefix(in, prefix);
        how->prefix = prefix;
    }
}

static json_t *take_value(struct input *in, bool in_list)
{
    static const char *const texts[] = {
        "silu",
        "swish",
        "default",
        "scale_shift",
        "linear",
        "cosine",
        "epsilon",
        "v",
        "DownBlock2D",
        "AttnDownBlock2D",
        "UpBlock2D",
        "rms",
        "UNet2DModel",
        "AttnUpBlock2D",
        "ResnetDownsampleBlock2D",
        "positional",
        "fourier",
        "squaredcos_cap_v2",
    };
    unsigned kind = take(in) % 8, n;
    json_t *list;
    switch (in_list && kind == 5 ? 7 : kind) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(take(in) % 2);
    case 2:
        return json_real((double)take_number(in) / 16);
    case 3:
        return json_real((double)take_number(in) * 1e300);
    case 4:
        return json_string(texts[take(in) % ARRAY_LEN(texts)]);
    case 5:
        list = json_array();
        for (n = take(in) % 10; n; n--)
            json_array_append_new(list, take_value(in, true));
        return list;
    default:
        return json_integer(take_number(in));
    }
}

/* Sets or removes a value of the configuration or the schedule. */
static void edit_config(struct net *n, struct input *in)
{
    static const char *const keys[] = {
        "_class_name",
        "act_fn",
        "time_embedding_type",
        "resnet_time_scale_shift",
        "center_input_sample",
        "freq_shift",
        "mid_block_scale_factor",
        "downsample_padding",
        "norm_num_groups",
        "norm_eps",
        "attn_norm_num_groups",
        "down_block_types",
        "up_block_types",
        "sample_size",
        "block_out_channels",
        "layers_per_block",
        "flip_sin_to_cos",
        "in_channels",
        "attention_head_dim",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "num_train_timesteps",
        "prediction_type",
    };
    unsigned which = take(in), key = take(in) % ARRAY_LEN(keys);
    if (!n->config)
        return;
    json_t *o = key < 19 ? n->config : n->scheduler;
    if (which % 4 == 0)
        json_object_del(o, keys[key]);
    else
        json_object_set_new(o, keys[key], take_value(in, false));
}

/* Gives one of the numbers in a tensor's name another value. */
static void edit_name(struct tensor *t, struct input *in)
{
    char name[NAME_MAX_BYTES];
    unsigned skip = take(in) % 4;
    for (char *c = t->name; *c; c++) {
        bool starts = *c >= '0' && *c <= '9' && (c == t->name || c[-1] < '0' || c[-1] > '9');
        if (!starts || skip--)
            continue;
        char *rest = c + strspn(c, "0123456789");
        snprintf(name, sizeof name, "%.*s%u%s", (int)(c - t->name), t->name, take(in) % 12, rest);
        memcpy(t->name, name, sizeof name);
        return;
    }
}

/* One size becomes another, everywhere. */
static void resize(struct net *n, int from, int to)
{
    for (unsigned i = 0; i < n->n; i++)
        for (int d = 0; d < n->tensor[i].rank; d++)
            if (n->tensor[i].dim[d] == from)
                n->tensor[i].dim[d] = to;
}

/* All of it is called so, or is there once more, so called. */
static void prefix_all(struct net *n, struct input *in)
{
    char text[64], name[NAME_MAX_BYTES];
    unsigned count = n->n;
    bool again = take(in) % 2 && 2 * count <= TENSORS_MAX;
    take_prefix(in, text);
    for (unsigned i = 0; i < count; i++) {
        struct tensor *to = &n->tensor[again ? n->n++ : i];
        snprintf(name, sizeof name, "%s%s", text, n->tensor[i].name);
        *to = n->tensor[i];
        memcpy(to->name, name, sizeof name);
    }
}

static void edit_tensor(struct net *n, struct tensor *t, struct input *in)
{
    static const char *const dtypes[] = {"F32", "F16", "BF16", "F64", "I64", "U8", "F8"};
    char text[64];
    switch (take(in) % 8) {
    case 0:
        *t = n->tensor[--n->n];
        return;
    case 1:
        t->dim[take(in) % DIMS_MAX] = take_number(in);
        return;
    case 2:
        t->rank = (int)(take(in) % (DIMS_MAX + 1));
        for (int d = 0; d < t->rank; d++)
            t->dim[d] = t->dim[d] ? t->dim[d] : 1;
        return;
    case 3:
        t->dtype = dtypes[take(in) % ARRAY_LEN(dtypes)];
        return;
    case 4: /* once more, with another name */
        if (n->n < TENSORS_MAX)
            n->tensor[n->n++] = *t;
        edit_name(t, in);
        return;
    case 5:
        take_text(in, text);
        snprintf(t->name, sizeof t->name, "%s", text);
        return;
    case 6:
        t->linear = !t->linear;
        return;
    default:
        edit_name(t, in);
    }
}

static void edit(struct net *n, struct input *in)
{
    unsigned what = take(in);
    struct tensor *t = n->n ? &n->tensor[(take(in) << 8 | take(in)) % n->n] : NULL;
    switch (what % 8) {
    case 0:
        resize(n, take_number(in), take_number(in));
        return;
    case 1:
        prefix_all(n, in);
        return;
    case 2:
        take_option(&n->how, n->prefix, in);
        return;
    case 3:
        if (n->n_patches < PATCHES_MAX && t)
            n->patch[n->n_patches++] =
                (struct patch){(unsigned)(t - n->tensor), take(in), take_word(in)};
        return;
    case 4:
    case 5:
        edit_config(n, in);
        return;
    default:
        if (t)
            edit_tensor(n, t, in);
    }
}

/* ---- files ---- */

static char dir[] = "/dev/shm/fuzz-import-XXXXXX";
static char weights[64], second[64], hub_weights[128], config[64], scheduler[64], out[64];

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    (void)sb;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_dir(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_dir(void)
{
    char path[64];
    CHECK(mkdtemp(dir) && atexit(remove_dir) == 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, i ? "scheduler" : "unet");
        CHECK(mkdir(path, 0700) == 0);
    }
    snprintf(weights, sizeof weights, "%s/weights", dir);
    snprintf(second, sizeof second, "%s/second", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(config, sizeof config, "%s/unet/config.json", dir);
    snprintf(scheduler, sizeof scheduler, "%s/scheduler/scheduler_config.json", dir);
    snprintf(hub_weights, sizeof hub_weights, "%s/unet/diffusion_pytorch_model.safetensors", dir);
}

static void write_bytes(const char *path, const void *data, size_t len)
{
    AUTO(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && !io_write(fd, data, len));
}

static int64_t tensor_bytes(const struct tensor *t)
{
    int64_t bytes = strchr(t->dtype, '4')   ? 8
                    : strchr(t->dtype, '3') ? 4
                    : strchr(t->dtype, '1') ? 2
                                            : 1;
    for (int d = 0; d < t->rank; d++)
        if (t->dim[d] < 0 || (bytes *= t->dim[d]) > DATA_BYTES_MAX)
            return -1;
    return bytes;
}

/* Adds what describes the tensor; the bytes that it takes, or -1. */
static int64_t describe(json_t *header, const struct tensor *t, int64_t at)
{
    int64_t bytes = tensor_bytes(t);
    if (bytes < 0 || at + bytes > DATA_BYTES_MAX || json_object_get(header, t->name))
        return -1;
    json_t *shape = json_array();
    for (int d = 0; d < t->rank; d++)
        json_array_append_new(shape, json_integer(t->dim[d]));
    json_t *o = json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->dtype, "shape", shape, "data_offsets",
                          (json_int_t)at, (json_int_t)(at + bytes));
    return json_object_set_new(header, t->name, o) ? -1 : bytes; /* -1: it is not UTF-8 */
}

static void patch_tensor(const struct net *n, unsigned tensor, int fd, int64_t at, int64_t bytes)
{
    for (unsigned i = 0; i < n->n_patches; i++) {
        const struct patch *p = &n->patch[i];
        int64_t to = 4 * (int64_t)p->element;
        if (p->tensor == tensor && to + 4 <= bytes)
            CHECK(pwrite(fd, &p->bits, 4, at + to) == 4);
    }
}

/* Those of the tensors that are `linear`, as safetensors. What a header cannot say is left out. */
static void write_net(const struct net *n, const char *path, bool linear)
{
    AUTO(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    json_t *header = json_object();
    int64_t begin[TENSORS_MAX], bytes[TENSORS_MAX], end = 0;
    for (unsigned i = 0; i < n->n; i++) {
        begin[i] = end;
        bytes[i] = n->tensor[i].linear == linear ? describe(header, &n->tensor[i], end) : -1;
        end += bytes[i] > 0 ? bytes[i] : 0;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    CHECK(fd >= 0 && text);
    uint64_t len = strlen(text);
    CHECK(!io_write(fd, &len, sizeof len) && !io_write(fd, text, len));
    CHECK(ftruncate(fd, (off_t)(8 + len) + end) == 0);
    for (unsigned i = 0; i < n->n; i++)
        patch_tensor(n, i, fd, (int64_t)(8 + len) + begin[i], bytes[i]);
    free(text);
    json_decref(header);
}

/* ---- what has to be true after ---- */

/* True when there is a file to look at. */
static bool written(status st, const struct errmsg *e)
{
    CHECK(st != STATUS_INTERNAL && (!st || e->text[0] || st == STATUS_NOMEM));
    CHECK((access(out, F_OK) == 0) == (st == STATUS_OK));
    return st == STATUS_OK;
}

static void fills(struct nn_graph *g, struct nn_params *p, const struct nn_file *f)
{
    struct errmsg e = {""};
    CHECK(nn_graph_status(g, &e) == STATUS_OK);
    CHECK(nn_params_load(p, f, "", &e) == STATUS_OK);
    CHECK(nn_params_count(p) == nn_file_count(f));
    CHECK(unlink(out) == 0);
}

static bool same(const struct purify_unet *a, const struct purify_unet *b)
{
    struct purify_meta x, y;
    purify_unet_to_meta(a, &x);
    purify_unet_to_meta(b, &y);
    bool alike = x.n == y.n;
    for (int i = 0; alike && i < x.n; i++)
        alike = !strcmp(x.pair[i].key, y.pair[i].key) && !strcmp(x.pair[i].value, y.pair[i].value);
    return alike;
}

static bool unet(const char *path, const struct purify_import *how)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    struct purify_unet u, again;
    struct errmsg e = {""};
    status st = purify_unet_import(path, how, out, &u, &e);
    if (!written(st, &e))
        return false;
    CHECK(!nn_file_open(out, &f, &e) && !purify_unet_from_file(f, &again, &e));
    CHECK(same(&u, &again));
    CHECK(!nn_params_new(&p) && !nn_graph_new(p, &g));
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, u.size, u.size, u.in_channels));
    purify_unet_build(g, &again, x, nn_input(g, "t", NN_F32, nn_shape1(1)), false);
    fills(g, p, f);
    return true;
}

static bool lpips(const char *backbone, const char *linear, const char *prefix)
{
    AUTO(nn_file_close) struct nn_file *b = NULL, *l = NULL, *f = NULL;
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    struct purify_percept_cfg cfg, again;
    struct errmsg e = {""};
    if (nn_file_open_any(backbone, &b, &e) || nn_file_open_any(linear, &l, &e))
        return false;
    struct purify_lpips_import how = {.backbone = b, .linear = l, .prefix = prefix};
    status st = purify_lpips_import(&how, out, &cfg, &e);
    if (!written(st, &e))
        return false;
    CHECK(!nn_file_open(out, &f, &e) && !purify_percept_from_file(f, &again, &e));
    CHECK(again.net == cfg.net && !nn_params_new(&p) && !nn_graph_new(p, &g));
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, 64, 64, 3));
    purify_percept_distance(g, &again, x, x);
    fills(g, p, f);
    return true;
}

/* ---- one input ---- */

static void write_hub(const struct net *n)
{
    write_net(n, hub_weights, false);
    CHECK(!json_dump_file(n->config, config, 0) && !json_dump_file(n->scheduler, scheduler, 0));
}

static bool import_net(const struct net *n)
{
    if (n->config) {
        write_hub(n);
        return unet(dir, &n->how);
    }
    write_net(n, weights, false);
    if (!n->lpips)
        return unet(weights, &n->how);
    write_net(n, second, true);
    return lpips(weights, second, n->how.prefix);
}

static void import_edited(enum base b, struct input *in)
{
    static struct net n;
    n = bases[b];
    n.config = json_deep_copy(n.config);
    n.scheduler = json_deep_copy(n.scheduler);
    for (int i = 0; i < EDITS_MAX && in->left; i++)
        edit(&n, in);
    import_net(&n);
    json_decref(n.config);
    json_decref(n.scheduler);
}

static void import_bytes(enum raw kind, struct input *in)
{
    struct purify_import how = {.size = 0};
    char prefix[64];
    for (unsigned n = take(in) % 8; n; n--)
        take_option(&how, prefix, in);
    if (kind == RAW_CONFIG)
        write_hub(&bases[HUB_NEW]);
    write_bytes(kind == RAW_CONFIG ? config : weights, in->at, in->left);
    if (kind == RAW_UNET || kind == RAW_CONFIG) {
        unet(kind == RAW_UNET ? weights : dir, &how);
    } else {
        bool backbone = kind == RAW_BACKBONE;
        write_net(&bases[SQUEEZENET], second, backbone);
        lpips(backbone ? weights : second, backbone ? second : weights, how.prefix);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    make_dir();
    make_bases();
    for (int i = 0; i < BASE_COUNT; i++)
        CHECK(import_net(&bases[i]));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = {data, len};
    unsigned kind = take(&in) % KIND_COUNT;
    if (kind >= BASE_COUNT)
        import_bytes((enum raw)kind, &in);
    else if (!bases[kind].lpips || checksum64(data, len) % LPIPS_EVERY == 0)
        import_edited((enum base)kind, &in);
    return 0;
}
