/* relearn model import: a published network becomes a weights file. */
#include "cli.h"
#include "purify/purify.h" /* brings the calls that read weights files */

#include <string.h>

#include "base/banned.h"

static void print_unet(const char *path, const struct purify_unet *u, int json)
{
    if (json)
        cli_print_json(json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "file", path, "size", u->size,
                                 "in_channels", u->in_channels, "ch", u->ch, "levels", u->levels,
                                 "res_blocks", u->res_blocks));
    else
        printf("%s: %d levels from %d channels, trained on %dx%d (relearn profile new NAME --from "
               "jcdp --set "
               "model=%s)\n",
               path, u->levels, u->ch, u->size, u->size, path);
}

static void print_percept(const char *path, const struct purify_percept_cfg *cfg, int json)
{
    const char *name = purify_percept_name(cfg);
    if (json)
        cli_print_json(json_pack("{s:s, s:s}", "file", path, "architecture", name));
    else
        printf("%s: %s (relearn profile new NAME --from jcdp --set guidance=joint --set percept=%s "
               "--set "
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

int cmd_model_import(int argc, char **argv)
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
