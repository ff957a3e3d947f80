#include "cli.h"
#include "train/train.h"

static const char *const parts[] = {"train", "test"};

int cmd_unpack(int argc, char **argv)
{
    struct train_unpack_options o = {.images = NULL};
    struct cli_choice part = {parts, ARRAY_LEN(parts), -1};
    int flat = 0, force = 0, quiet = 0, json = 0;
    const struct cli_option options[] = {
        {"labels", 'l', CLI_STRING, &o.labels, "FILE", "the labels: an IDX file, or .npy"},
        {"part", 0, CLI_CHOICE, &part, "train|test", "of a tar archive; default train"},
        {"class-names", 0, CLI_STRING, &o.class_names, "A,B,…", "folder names; default digits"},
        {"limit", 'n', CLI_INT, &o.limit, "N", "the first N images"},
        {"flat", 0, CLI_FLAG, &flat, NULL, "no class folders (for diffusion training)"},
        {"force", 0, CLI_FLAG, &force, NULL, "write into a DIR that is not empty"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {
        "relearn unpack",
        "[--labels FILE] ARCHIVE DIR",
        "Turns what image sets are published in into DIR/<class>/NNNNN.png: an IDX file (MNIST\n"
        "family), CIFAR-10/100 (a batch, binary or a Python pickle, or the tar archive of all), "
        "gzip-\n"
        "compressed or not; numpy's arrays of bytes (.npy, .npz). Nothing in a pickle is executed.",
        options,
        ARRAY_LEN(options),
        2,
        2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    o.images = argv[first];
    o.out_dir = argv[first + 1];
    o.part = part.chosen < 0    ? IMAGE_ARRAY_ALL
             : part.chosen == 0 ? IMAGE_ARRAY_TRAIN
                                : IMAGE_ARRAY_TEST;
    o.flat = flat;
    o.quiet = quiet;
    stop_install();
    struct errmsg e = {""};
    int n = 0;
    status st = cli_output_check(o.out_dir, CLI_OUTPUT_DIR, force, &e);
    if (!st)
        st = train_unpack(&o, &n, &e);
    if (st)
        return cli_fail(st, &e);
    if (json)
        cli_print_json(json_pack("{s:s, s:i}", "directory", o.out_dir, "images", n));
    else
        printf("%d images\n", n);
    return 0;
}
