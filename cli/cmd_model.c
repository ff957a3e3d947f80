#include "cli.h"
#include "purify/purify.h" /* brings the calls that read weights files */

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

struct totals {
    uint64_t parameters, bytes;
};

static struct totals totals_of(const struct nn_file *f)
{
    struct totals t = {0, 0};
    for (int i = 0; i < nn_file_count(f); i++) {
        t.parameters += (uint64_t)nn_shape_count(nn_file_at(f, i)->shape);
        t.bytes += nn_file_at(f, i)->bytes;
    }
    return t;
}

/* What the metadata says it is, and whether we can build it. */
static const char *architecture(const struct nn_file *f)
{
    const char *a = nn_file_meta(f, "architecture");
    return a ? a : "unknown";
}

/* What it is for, in a line. */
static void summary_of(const struct nn_file *f, char out[160])
{
    struct purify_unet u;
    struct purify_percept_cfg percept;
    const char *classes = nn_file_meta(f, "classes"), *size = nn_file_meta(f, "image_size");
    if (!purify_unet_from_file(f, &u, NULL))
        snprintf(
            out, 160,
            "noise predictor for %s images, trained on %dx%d pixels and t < %d of %d: `model` of "
            "a profile",
            u.in_channels == 1 ? "grey" : "colour", u.size, u.size, u.t_max, u.total);
    else if (!purify_percept_from_file(f, &percept, NULL))
        snprintf(out, 160, "perceptual distance (%s): `percept` of a profile",
                 purify_percept_name(&percept));
    else if (nn_file_meta(f, "architecture") && classes && size)
        snprintf(out, 160, "classifier of %.20s classes for images of %.20s: relearn eval", classes,
                 size);
    else
        snprintf(out, 160, "nothing that it says of itself");
}

/* FILE as it is given, or the weights that came with the program under that name. */
static status find_file(const char *name, char **out, struct errmsg *e)
{
    AUTO(mem_free) char *dir = NULL;
    AUTO(mem_free) char *path = NULL;
    if (!strchr(name, '/') && access(name, F_OK) != 0 && !path_data_dir(&dir)) {
        if (!(path = mem_printf("%s/models/%s.safetensors", dir, name)))
            return errmsg_set(e, STATUS_NOMEM, "out of memory");
        if (access(path, F_OK) != 0)
            mem_free(TAKE(path));
    }
    *out = path ? TAKE(path) : mem_strdup(name);
    return *out ? STATUS_OK : errmsg_set(e, STATUS_NOMEM, "out of memory");
}

static json_t *tensor_list(const struct nn_file *f)
{
    json_t *list = json_array();
    for (int i = 0; i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        json_t *shape = json_array();
        for (int d = 0; d < t->shape.rank; d++)
            json_array_append_new(shape, json_integer(t->shape.dim[d]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype", t->dtype,
                                        "shape", shape, "bytes", (json_int_t)t->bytes));
    }
    return list;
}

static void print_json(const char *path, const struct nn_file *f, const char *sha256, int tensors)
{
    struct totals t = totals_of(f);
    json_t *meta = json_object();
    for (int i = 0; i < nn_file_meta_count(f); i++) {
        struct nn_meta m = nn_file_meta_at(f, i);
        json_object_set_new(meta, m.key, json_string(m.value));
    }
    char summary[160];
    summary_of(f, summary);
    json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:o}", "file", path, "sha256",
                            sha256, "architecture", architecture(f), "summary", summary,
                            "parameters", (json_int_t)t.parameters, "bytes", (json_int_t)t.bytes,
                            "tensor_count", nn_file_count(f), "metadata", meta);
    if (tensors)
        json_object_set_new(out, "tensors", tensor_list(f));
    cli_print_json(out);
}

static void print_tensors(const struct nn_file *f)
{
    puts("tensors");
    for (int i = 0; i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        printf("  %-44s %-4s", t->name, t->dtype);
        for (int d = 0; d < t->shape.rank; d++)
            printf("%s%d", d ? "x" : " ", t->shape.dim[d]);
        putchar('\n');
    }
}

static void print_text(const char *path, const struct nn_file *f, const char *sha256, int tensors)
{
    struct totals t = totals_of(f);
    char size[32], summary[160];
    summary_of(f, summary);
    printf("file          %s\n", path);
    printf("sha256        %s\n", sha256);
    printf("architecture  %s\n", architecture(f));
    printf("summary       %s\n", summary);
    printf("parameters    %" PRIu64 " in %d tensors, %s\n", t.parameters, nn_file_count(f),
           text_bytes(t.bytes, size));
    if (nn_file_meta_count(f))
        puts("metadata");
    for (int i = 0; i < nn_file_meta_count(f); i++) {
        struct nn_meta m = nn_file_meta_at(f, i);
        printf("  %-20s %s\n", m.key, m.value);
    }
    if (tensors)
        print_tensors(f);
}

static int model_info(int argc, char **argv)
{
    int json = 0, tensors = 0, first;
    const struct cli_option options[] = {
        {"tensors", 't', CLI_FLAG, &tensors, NULL, "list every tensor"},
        CLI_ROW_JSON(json),
    };
    const struct cli_spec spec = {"relearn model info",
                                  "[--tensors] [--json] FILE|NAME",
                                  "Says what a weights file (safetensors, or from torch.save) "
                                  "holds, or one that came with the\n"
                                  "program, by its name: default, percept.",
                                  options,
                                  ARRAY_LEN(options),
                                  1,
                                  1};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(mem_free) char *path = NULL;
    status st = find_file(argv[first], &path, &e);
    if (!st)
        st = nn_file_open_any(path, &f, &e);
    if (!st)
        st = nn_file_digest(f, &digest);
    if (st)
        return cli_fail(st, &e);
    digest_hex(&digest, hex);
    if (json)
        print_json(path, f, hex, tensors);
    else
        print_text(path, f, hex, tensors);
    return 0;
}

static void print_unet(const char *path, const struct purify_unet *u, int json)
{
    if (json)
        cli_print_json(json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "file", path, "size", u->size,
                                 "in_channels", u->in_channels, "ch", u->ch, "levels", u->levels,
                                 "res_blocks", u->res_blocks));
    else
        printf("%s: %d levels from %d channels, trained on %dx%d (relearn profile new NAME --set "
               "model=%s)\n",
               path, u->levels, u->ch, u->size, u->size, path);
}

static void print_percept(const char *path, const struct purify_percept_cfg *cfg, int json)
{
    const char *name = purify_percept_name(cfg);
    if (json)
        cli_print_json(json_pack("{s:s, s:s}", "file", path, "architecture", name));
    else
        printf("%s: %s (relearn profile new NAME --set guidance=joint --set percept=%s --set "
               "perceptual_scale=SCALE)\n",
               path, name, path);
}

struct import_options {
    struct purify_import unet;
    const char *lpips;
    int force, json;
};

static status import_unet(const char *path, const struct import_options *o, const char *out,
                          struct errmsg *e)
{
    struct purify_unet u;
    status st = purify_unet_import(path, &o->unet, out, &u, e);
    if (!st)
        print_unet(out, &u, o->json);
    return st;
}

static status import_lpips(const char *path, const struct import_options *o, const char *out,
                           struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *linear = NULL, *backbone = NULL;
    struct purify_percept_cfg cfg;
    status st = nn_file_open_any(path, &backbone, e);
    if (!st)
        st = nn_file_open_any(o->lpips, &linear, e);
    if (!st)
        st = purify_lpips_import(&(struct purify_lpips_import){.backbone = backbone,
                                                               .linear = linear,
                                                               .prefix = o->unet.prefix},
                                 out, &cfg, e);
    if (!st)
        print_percept(out, &cfg, o->json);
    return st;
}

static int check_import(const struct cli_spec *spec, const struct import_options *o)
{
    const struct purify_import *u = &o->unet;
    if (u->size < 0 || u->groups < 0 || u->heads < 0 || u->head_channels < 0 || u->timesteps < 0)
        return cli_usage_error(spec, "no number may be below 0");
    if (o->lpips && (u->size || u->groups || u->heads || u->head_channels || u->timesteps ||
                     u->beta != PURIFY_BETA_LINEAR))
        return cli_usage_error(spec, "only --prefix, --force and --json go with --lpips");
    return CLI_GO;
}

static int model_import(int argc, char **argv)
{
    struct import_options o = {.lpips = NULL};
    const char *beta = "linear";
    int first;
    const struct cli_option options[] = {
        {"lpips", 0, CLI_STRING, &o.lpips, "LINEAR",
         "make FILE a perceptual distance with LPIPS's linear layers"},
        {"prefix", 'p', CLI_STRING, &o.unet.prefix, "TEXT",
         "which of several networks: what their tensors' names begin with"},
        {"size", 0, CLI_INT, &o.unet.size, "N", "side of the images trained on; default 32"},
        {"groups", 0, CLI_INT, &o.unet.groups, "N", "of its group norms; default 32"},
        {"heads", 0, CLI_INT, &o.unet.heads, "N", "of its attention; default 1"},
        {"head-channels", 0, CLI_INT, &o.unet.head_channels, "N", "of a head, instead of --heads"},
        {"timesteps", 0, CLI_INT, &o.unet.timesteps, "N", "of its schedule; default 1000"},
        {"beta", 0, CLI_STRING, &beta, "KIND", "its schedule: linear (the default) or cosine"},
        {"force", 0, CLI_FLAG, &o.force, NULL, "replace OUT"},
        CLI_ROW_JSON(o.json),
    };
    const struct cli_spec spec = {
        "relearn model import",
        "[OPTION…] FILE OUT",
        "Turns a published network into a weights file for profiles. FILE is what torch.save\n"
        "wrote, in the old format or the new, or safetensors. Nothing in it is executed.\n"
        "\n"
        "Without --lpips FILE is a diffusion network, for `model` of a profile: DDPM's as ported "
        "to\n"
        "PyTorch, or one of improved-diffusion or guided-diffusion without class labels (say\n"
        "--heads or --head-channels), or a folder of diffusers with a UNet2DModel (which says all\n"
        "that the options say).\n"
        "\n"
        "With --lpips OUT is the perceptual distance LPIPS, for `percept` of a profile. FILE is\n"
        "AlexNet, VGG-16 or SqueezeNet 1.1 as torchvision publishes them: features.0.weight, and "
        "so\n"
        "on, what is called classifier.* being ignored. LINEAR is the file of linear layers that\n"
        "the authors of LPIPS publish for that network: lin0.model.1.weight, and so on.",
        options,
        ARRAY_LEN(options),
        2,
        2};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (!purify_beta_parse(beta, &o.unet.beta))
        return cli_usage_error(&spec, "--beta is linear or cosine, not '%s'", beta);
    if ((rc = check_import(&spec, &o)) != CLI_GO)
        return rc;
    struct errmsg e = {""};
    const char *in = argv[first], *out = argv[first + 1];
    status st = cli_output_check(out, CLI_OUTPUT_FILE, o.force, &e);
    if (!st)
        st = o.lpips ? import_lpips(in, &o, out, &e) : import_unet(in, &o, out, &e);
    return st ? cli_fail(st, &e) : 0;
}

int cmd_model(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"info", model_info, "show what a weights file holds"},
        {"import", model_import, "turn a published network into a weights file"},
    };
    return cli_dispatch("relearn model", "Weights files.", table, ARRAY_LEN(table), argc, argv);
}
