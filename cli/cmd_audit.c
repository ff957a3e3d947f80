/* relearn audit: whether the images of a directory are protected. */
#include "cli.h"
#include "train/train.h"

#include "base/banned.h"

static const char *const is_read_from[TRAIN_AUDIT_SIGN_COUNT] = {
    [TRAIN_AUDIT_PATTERN] = "faint noise where the image is smooth",
    [TRAIN_AUDIT_TEXTURE] = "what neighbouring pixels of that noise have to do with each other",
    [TRAIN_AUDIT_SPOT] = "the one pixel that differs most from its neighbours",
};
/* Whose mark it usually is. */
static const char *const known_from[TRAIN_AUDIT_SIGN_COUNT] = {
    [TRAIN_AUDIT_PATTERN] = "as of error-minimising noise (EMN, SEM, AUE), LSP or PIL",
    [TRAIN_AUDIT_TEXTURE] = "as of a filter for each class (CUDA), or autoregressive (AR) or\n"
                            "  adversarial noise (TAP, HYPO)",
    [TRAIN_AUDIT_SPOT] = "as of one-pixel shortcuts (OPS)",
};

static void print_json(const struct train_audit_result *r)
{
    json_t *all = json_object(), *signs = json_object();
    json_object_set_new(all, "verdict", json_string(train_audit_verdicts[r->verdict]));
    json_object_set_new(all, "images", json_integer(r->samples));
    json_object_set_new(all, "classes", json_integer(r->classes));
    json_object_set_new(all, "held_out", json_integer(r->held_out));
    json_object_set_new(all, "width", json_integer(r->width));
    json_object_set_new(all, "height", json_integer(r->height));
    json_object_set_new(all, "doubt_from", json_real(TRAIN_AUDIT_DOUBT));
    json_object_set_new(all, "sure_from", json_real(TRAIN_AUDIT_SURE));
    json_object_set_new(all, "strongest", json_string(train_audit_signs[r->strongest]));
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "accuracy", json_real(r->sign[i].accuracy));
        json_object_set_new(one, "deviation", json_real(r->sign[i].deviation));
        json_object_set_new(one, "agreement", json_real(r->sign[i].agreement));
        json_object_set_new(signs, train_audit_signs[i], one);
    }
    json_object_set_new(all, "signs", signs);
    cli_print_json(all);
}

static void print_text(const char *dir, const struct train_audit_result *r)
{
    printf("%s: %s\n", TEXT_SHOWN(dir), train_audit_verdicts[r->verdict]);
    if (r->verdict == TRAIN_AUDIT_PROTECTED)
        printf("  The class is read from %s,\n  %s.\n", is_read_from[r->strongest],
               known_from[r->strongest]);
    else if (r->verdict == TRAIN_AUDIT_UNCLEAR)
        printf("  The class is read from %s, better than is usual, but pictures that are\n"
               "  all alike within a class can look so, too.\n",
               is_read_from[r->strongest]);
    printf("\nHow often a linear classifier reads the class of %d held-out images (chance %.1f %%) "
           "from\n",
           r->held_out, 100. / r->classes);
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++)
        printf("  %-8s %5.1f %% ± %.1f  %s\n", train_audit_signs[i], 100 * r->sign[i].accuracy,
               100 * r->sign[i].deviation, is_read_from[i]);
    printf("in the middle %dx%d pixels of %d images of %d classes.\n", r->width, r->height,
           r->samples, r->classes);
}

/* clang-format off */
static const char about[] =
    "Says whether the images of DIR/<class>/<image> carry a protection (an \"unlearnable\" perturbation),\n"
    "from what can be read where nature says little: a linear classifier learns the class of half of the\n"
    "images from faint noise, from its texture, and from the oddest pixel, and is tried on the other half.\n"
    "Nothing needs to be known of the protection, and nothing is purified. It says what is in the images,\n"
    "not what a protection is worth or what removes it: relearn bench measures that. A protection that\n"
    "leaves half of the agreement above chance or less to each of these goes unseen.";
/* clang-format on */

int cmd_audit(int argc, char **argv)
{
    struct train_audit_options o = {.seed = 0};
    int quiet = 0, json = 0, skip_bad = 0;
    const struct cli_option options[] = {
        {"limit", 'n', CLI_INT, &o.data.limit, "N",
         "at most N images, balanced over classes; default 2000"},
        {"seed", 's', CLI_U64, &o.seed, "N", "of which half learns; default 0"},
        {"skip-bad", 0, CLI_FLAG, &skip_bad, NULL, "leave out files that do not decode"},
        {"threads", 'j', CLI_INT, &o.data.threads, "N", "that decode; default: all CPUs"},
        CLI_ROW_QUIET(quiet),
        CLI_ROW_JSON(json),
    };
    const struct cli_spec spec = {
        "relearn audit", "[OPTION]… DIR", about, options, ARRAY_LEN(options), 1, 1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    struct train_audit_result r;
    o.data.dir = argv[first];
    o.data.skip_bad = skip_bad;
    o.quiet = quiet || json;
    stop_install();
    status st = train_audit(&o, &r, &e);
    if (st)
        return cli_fail(st, &e);
    if (json)
        print_json(&r);
    else
        print_text(o.data.dir, &r);
    return 0;
}
