#include "cli.h"
#include "purify/purify.h" /* brings the calls that read weights files */
#include "shipped.h"

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
    struct purify_restorer restorer;
    struct purify_estimator estimator;
    struct purify_percept_cfg percept;
    const char *classes = nn_file_meta(f, "classes"), *size = nn_file_meta(f, "image_size");
    if (!purify_unet_from_file(f, &u, NULL))
        snprintf(
            out, 160,
            "noise predictor for %s images, trained on %dx%d pixels and t < %d of %d: `model` of "
            "a profile",
            u.in_channels == 1 ? "grey" : "colour", u.size, u.size, u.t_max, u.total);
    else if (!purify_restorer_from_file(f, &restorer, NULL))
        snprintf(out, 160,
                 "perturbation predictor for %s images, sees %d pixels far: `restore.model` of a "
                 "profile",
                 restorer.in_channels == 1 ? "grey" : "colour", purify_restorer_reach(&restorer));
    else if (!purify_estimator_from_file(f, &estimator, NULL))
        snprintf(
            out, 160,
            "filter estimator for %s images, kernels of %dx%d: `deconvolve.model` of a profile",
            estimator.in_channels == 1 ? "grey" : "colour", estimator.side, estimator.side);
    else if (!purify_percept_from_file(f, &percept, NULL))
        snprintf(out, 160, "perceptual distance (%s): `percept` of a profile",
                 purify_percept_name(&percept));
    else if (nn_file_meta(f, "architecture") && classes && size)
        snprintf(out, 160, "classifier of %.20s classes for images of %.20s: relearn eval", classes,
                 size);
    else
        snprintf(out, 160, "nothing that it says of itself");
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
        printf("  %-20s ", TEXT_SHOWN(m.key));
        puts(TEXT_SHOWN(m.value));
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
    status st = shipped_file(argv[first], "models", "safetensors", &path, &e);
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

int cmd_model(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"info", model_info, "show what a weights file holds"},
        {"import", cmd_model_import, "turn a published network into a weights file"},
    };
    return cli_dispatch("relearn model", "Weights files.", table, ARRAY_LEN(table), argc, argv);
}
