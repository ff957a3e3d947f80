/* relearn audit: whether the images of a directory are protected. */
#include "battery_print.h"
#include "cli.h"
#include "distance_print.h"
#include "family_print.h"
#include "train/train.h"

#include <math.h>

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

static json_t *reading_json(const struct train_audit_reading *r)
{
    json_t *one = json_object();
    json_object_set_new(one, "accuracy", json_real(r->accuracy));
    json_object_set_new(one, "deviation", json_real(r->deviation));
    json_object_set_new(one, "agreement", json_real(r->agreement));
    return one;
}

static json_t *delta_json(const struct train_audit_delta *d)
{
    bool read = d->classes >= 2;
    json_t *j = json_object();
    json_object_set_new(j, "images", json_integer(d->images));
    json_object_set_new(j, "changed", json_integer(d->changed));
    json_object_set_new(j, "psnr_db", cli_json_real(d->psnr_db));
    json_object_set_new(j, "linf", json_integer(d->linf));
    json_object_set_new(j, "linf_mean", cli_json_real(d->linf_mean));
    json_object_set_new(j, "changed_pixels", cli_json_real(d->changed_pixels));
    json_object_set_new(j, "classes", json_integer(d->classes));
    json_object_set_new(j, "linear", read ? reading_json(&d->linear) : json_null());
    json_object_set_new(j, "texture", read ? reading_json(&d->texture) : json_null());
    json_object_set_new(j, "mean_norm", cli_json_real(d->mean_norm));
    json_object_set_new(j, "shared", cli_json_real(d->shared));
    json_object_set_new(j, "shared_across", cli_json_real(d->shared_across));
    json_object_set_new(j, "kind", read ? json_string(train_audit_kinds[d->kind]) : json_null());
    return j;
}

/* What was asked for besides; NULL: it was not. */
struct trainings {
    const struct train_battery_result *battery;
    const struct train_distance *distance;
};

static void print_json(const struct train_audit_result *r, struct trainings t)
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
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++)
        json_object_set_new(signs, train_audit_signs[i], reading_json(&r->sign[i]));
    json_object_set_new(all, "signs", signs);
    if (r->has_delta) {
        json_object_set_new(all, "verdict_by", json_string(r->by_delta ? "delta" : "signs"));
        json_object_set_new(all, "delta", delta_json(&r->delta));
    }
    json_object_set_new(all, "family", family_json(&r->family));
    if (t.battery)
        json_object_set_new(all, "battery", battery_json(t.battery));
    if (t.distance)
        json_object_set_new(all, "distance", distance_json(t.distance));
    cli_print_json(all);
}

static void print_reason(const struct train_audit_result *r)
{
    if (r->verdict == TRAIN_AUDIT_CLEAR)
        return;
    if (r->by_delta)
        printf("  The class is read from what was added to the images%s;\n"
               "  from the images alone less is.\n",
               r->verdict == TRAIN_AUDIT_UNCLEAR ? ", but not surely" : "");
    else if (r->verdict == TRAIN_AUDIT_PROTECTED)
        printf("  The class is read from %s,\n  %s.\n", is_read_from[r->strongest],
               known_from[r->strongest]);
    else
        printf("  The class is read from %s, better than is usual, but pictures that are\n"
               "  all alike within a class can look so, too.\n",
               is_read_from[r->strongest]);
}

/* Estimates of nothing may be a little below it. */
static double percent(double share)
{
    return fabs(share) < .0005 ? 0 : 100 * share;
}

static void print_delta(const char *clean, const struct train_audit_delta *d)
{
    static const char *const kind[TRAIN_AUDIT_KIND_COUNT] = {
        [TRAIN_AUDIT_SAMPLE_WISE] = "each image has its own (sample-wise)",
        [TRAIN_AUDIT_PARTLY] = "the images of a class have a part in common",
        [TRAIN_AUDIT_CLASS_WISE] = "the images of a class carry the same (class-wise)",
        [TRAIN_AUDIT_UNIVERSAL] = "all images carry the same, whatever their class (universal)",
    };
    printf("\nWhat was added, by the %d images as they are in %s:\n", d->images, TEXT_SHOWN(clean));
    printf("  images     %d of %d differ\n", d->changed, d->images);
    if (!d->changed)
        return;
    printf("  PSNR       %.1f dB\n", d->psnr_db);
    printf("  L-inf      %d grey levels of 255; %.1f in an image on average\n", d->linf,
           d->linf_mean);
    printf("  pixels     %.1f %% differ\n", 100 * d->changed_pixels);
    if (d->classes < 2) {
        printf("  It was added to too few images of too few classes for more than that.\n");
        return;
    }
    printf("  linear     %.1f %% ± %.1f of held-out classes are read from it (chance %.1f %%)\n",
           100 * d->linear.accuracy, 100 * d->linear.deviation, 100. / d->classes);
    printf("  texture    %.1f %% ± %.1f are read from its texture\n", 100 * d->texture.accuracy,
           100 * d->texture.deviation);
    printf("  shared     %.1f %% of it by images of a class, %.1f %% by those of others: %s\n",
           percent(d->shared), percent(d->shared_across), kind[d->kind]);
    printf("  mean       of a class has %.2f of the norm of one image's\n", d->mean_norm);
}

static void print_text(const char *dir, const char *clean, const struct train_audit_result *r)
{
    printf("%s: %s\n", TEXT_SHOWN(dir), train_audit_verdicts[r->verdict]);
    print_reason(r);
    family_print(&r->family);
    printf("\nHow often a linear classifier reads the class of %d held-out images (chance %.1f %%) "
           "from\n",
           r->held_out, 100. / r->classes);
    for (int i = 0; i < TRAIN_AUDIT_SIGN_COUNT; i++)
        printf("  %-8s %5.1f %% ± %.1f  %s\n", train_audit_signs[i], 100 * r->sign[i].accuracy,
               100 * r->sign[i].deviation, is_read_from[i]);
    printf("in the middle %dx%d pixels of %d images of %d classes.\n", r->width, r->height,
           r->samples, r->classes);
    if (r->has_delta)
        print_delta(clean, &r->delta);
}

/* clang-format off */
static const char about[] =
    "Says whether the images of DIR/<class>/<image> carry a protection (an \"unlearnable\" perturbation),\n"
    "from what can be read where nature says little: a linear classifier learns the class of half of the\n"
    "images from faint noise, from its texture, and from the oddest pixel, and is tried on the other half.\n"
    "Nothing needs to be known of the protection for that, and nothing is purified. A protection that\n"
    "leaves half of the agreement above chance or less to each of these goes unseen. With --clean, the\n"
    "same images from before (by the same paths up to the extension), what was added is measured as it is,\n"
    "and the verdict is of that, too.\n"
    "\n"
    "Where they are protected it says of which family, as far as looks tell: what the shipped restorer takes\n"
    "from groups of the images is compared with what it takes from imitations, made on the spot, of the\n"
    "families that restorers are trained with (relearn restore train --list). Each group votes, and where\n"
    "less than six in ten agree it stays undecided. That is a guess at a kind, in half a minute; --no-family\n"
    "does without.\n"
    "\n"
    "That says what is in the images, not what a protection is worth or what removes it. With --battery\n"
    "small networks are trained: on the images as they are, purified by some profiles, and, with --clean,\n"
    "on those and behind a restorer that was fine-tuned on pairs. Their accuracy on clean test images says\n"
    "what the protection takes, and what brings it back at what cost. It is a bench (relearn bench), and\n"
    "whatever ends it, the same command goes on.\n"
    "\n"
    "With --distance, too, small networks are trained, on the images and on --clean, to say how far they are\n"
    "from unlearnable (Ye et al., \"How Far Are We from True Unlearnability?\", ICLR 2025): in how many layers\n"
    "the loss answers sharply when the layer's weights are moved a little, of those that do on the clean ones.\n"
    "That takes about four minutes of one CPU for resnet8s2. It is a rough figure: of 2,000 images, in ten\n"
    "epochs, it was .6 to .9 for LSP and .7 to .8 for EMN, by the seeds; what a protection takes shows far\n"
    "better in a battery's accuracies. relearn train --help says what is measured.";
/* clang-format on */

struct auditing {
    struct train_audit_options o;
    struct train_battery_options battery;
    struct train_distance_options distance;
    struct cli_list profiles;
    int quiet, json, skip_bad, family;
};

static int parse(struct auditing *a, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"clean", 0, CLI_STRING, &a->o.clean_dir, "DIR", "the same images, as they were before"},
        {"limit", 'n', CLI_INT, &a->o.data.limit, "N",
         "at most N images, balanced over classes; default 2000"},
        {"seed", 's', CLI_U64, &a->o.seed, "N", "of which half learns; default 0"},
        {"channels", 0, CLI_INT, &a->o.data.channels, "N",
         "convert to 1 (grey) or 3 (colour) channels"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"family", 0, CLI_FLAG, &a->family, NULL,
         "say of which family a protection is: the default; --no-family does not"},
        {"battery", 'b', CLI_STRING, &a->battery.out_dir, "OUT",
         "train small networks, too, and keep in OUT what is measured"},
        {"distance", 0, CLI_STRING, &a->distance.out_dir, "OUT",
         "the unlearnable distance from --clean, by two trainings that are kept in OUT"},
        {"test", 't', CLI_STRING, &a->battery.test_dir, "DIR",
         "clean images to test these on; default: a fifth of --clean, held out"},
        {"profile", 'p', CLI_LIST, &a->profiles, "P",
         "what purifies the images for them, more than once; default: restore and default"},
        {"pairs", 0, CLI_INT, &a->battery.pairs, "N",
         "the first of these with a restorer also fine-tuned on N images of both trees"},
        {"tune-steps", 0, CLI_INT, &a->battery.tune_steps, "N", "of that; default 1000"},
        {"arch", 'a', CLI_STRING, &a->battery.arch, "NAME",
         "of the networks (relearn train --list); default resnet8s2"},
        {"epochs", 'e', CLI_INT, &a->battery.epochs, "N",
         "of a training; default 20, for --distance 10"},
        {"seeds", 0, CLI_INT, &a->battery.seeds, "N", "trainings of each; default 1"},
        {"size", 0, CLI_INT, &a->battery.size, "N",
         "of both: what networks are shown is resized to NxN"},
        {"threads", 'j', CLI_INT, &a->o.data.threads, "N", "default: all CPUs"},
        CLI_ROW_QUIET(a->quiet),
        CLI_ROW_JSON(a->json),
    };
    const struct cli_spec spec = {
        "relearn audit", "[OPTION]… DIR", about, options, ARRAY_LEN(options), 1, 1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    const struct train_battery_options *b = &a->battery;
    if (!b->out_dir && (b->test_dir || a->profiles.n || b->pairs || b->tune_steps || b->seeds ||
                        ((b->arch || b->epochs || b->size) && !a->distance.out_dir)))
        return cli_usage_error(&spec, "that is of trainings: --battery OUT");
    if (a->distance.out_dir && !a->o.clean_dir)
        return cli_usage_error(&spec,
                               "--distance is from the same images as they were: --clean DIR");
    a->o.data.dir = argv[first];
    a->o.data.skip_bad = a->skip_bad;
    a->o.family = a->family;
    a->o.quiet = a->quiet || a->json;
    return CLI_GO;
}

static status run_battery(struct auditing *a, struct train_battery_result *out, struct errmsg *e)
{
    AUTO(buf_done) struct buf names = BUF_INIT(1 << 16);
    status st = STATUS_OK;
    for (int i = 0; i < a->profiles.n && !st; i++)
        st = buf_addf(&names, "%s%s", i ? "," : "", a->profiles.item[i]);
    if (st)
        return st;
    struct train_battery_options o = a->battery;
    o.dir = a->o.data.dir;
    o.clean_dir = a->o.clean_dir;
    o.channels = a->o.data.channels;
    o.limit = a->o.data.limit;
    o.threads = a->o.data.threads;
    o.profiles = a->profiles.n ? names.data : NULL;
    o.quiet = a->o.quiet;
    return train_battery(&o, out, e);
}

static status run_distance(const struct auditing *a, struct train_distance *out, struct errmsg *e)
{
    struct train_distance_options o = a->distance;
    o.dir = a->o.data.dir;
    o.clean_dir = a->o.clean_dir;
    o.arch = a->battery.arch;
    o.epochs = a->battery.epochs;
    o.size = a->battery.size;
    o.channels = a->o.data.channels;
    o.limit = a->o.data.limit;
    o.skip_bad = a->skip_bad;
    o.threads = a->o.data.threads;
    o.quiet = a->o.quiet;
    return train_distance(&o, out, e);
}

static int audit(struct auditing *a)
{
    struct errmsg e = {""};
    struct train_audit_result r;
    struct train_battery_result b;
    struct train_distance d;
    struct trainings t = {NULL, NULL};
    status st = train_audit(&a->o, &r, &e);
    if (!st && a->battery.out_dir) {
        st = run_battery(a, &b, &e);
        t.battery = &b;
    }
    if (!st && a->distance.out_dir) {
        st = run_distance(a, &d, &e);
        t.distance = &d;
    }
    if (st == STATUS_CANCELLED && (t.battery || t.distance)) {
        fprintf(stderr, "relearn: stopped (the same command goes on)\n");
        return status_exit(st);
    }
    if (st)
        return cli_fail(st, &e);
    if (a->json) {
        print_json(&r, t);
        return 0;
    }
    print_text(a->o.data.dir, a->o.clean_dir, &r);
    if (t.battery)
        battery_print(&b);
    if (t.distance)
        distance_print(&d);
    return 0;
}

int cmd_audit(int argc, char **argv)
{
    struct auditing a = {.battery = {.program = "/proc/self/exe"}, .family = 1};
    int rc = parse(&a, argc, argv);
    if (rc != CLI_GO)
        return rc;
    stop_install();
    if (a.battery.out_dir)
        stop_waits_for("what runs has been told to stop");
    return audit(&a);
}
