/* relearn profile ls, show. */
#include "cli.h"
#include "purify/purify.h"
#include "study.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

/* ---- ls ---- */

/* What a profile says of itself: its leading comment up to the end of the first sentence or line;
   "" when it says nothing. */
static void summary_of(const char *path, char *out, size_t size)
{
    enum { PROFILE_BYTES_MAX = 64 << 10 };
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    out[0] = 0;
    if (io_read_file(path, PROFILE_BYTES_MAX, &text, &len, NULL))
        return;
    const char *at = text;
    at += strspn(at, "#; \t");
    if (at == (const char *)text || strncmp(at, "profile ", 8) == 0) /* what `profile new` writes */
        return;
    size_t n = strcspn(at, "\n");
    n -= n && at[n - 1] == '.';
    snprintf(out, size, "%.*s", (int)n, at);
}

struct listing {
    json_t *json;              /* an array, or NULL for text */
    const struct study *study; /* NULL: there is none */
};

/* A line below the profile's: for each protection the part of the clean accuracy, and the PSNR. */
static void print_figures(const struct study *s, const char *id)
{
    bool any = false;
    for (int i = 0; i < study_protections(s); i++) {
        struct study_figure f = study_figure(s, id, i);
        if (!isfinite(f.of_clean))
            continue;
        printf("%*s%s %.2f", any ? 2 : 17, "", TEXT_SHOWN(study_protection(s, i)), f.of_clean);
        if (isfinite(f.psnr_db))
            printf(" (%.1f dB)", f.psnr_db);
        any = true;
    }
    if (any)
        putchar('\n');
}

/* {PROTECTION: {"of_clean": 0.71, "psnr_db": 26.5}}, of what was measured. */
static json_t *figures_json(const struct study *s, const char *id)
{
    json_t *all = json_object();
    for (int i = 0; i < study_protections(s); i++) {
        struct study_figure f = study_figure(s, id, i);
        json_t *one = json_object();
        if (isfinite(f.of_clean))
            json_object_set_new(one, "of_clean", json_real(f.of_clean));
        if (isfinite(f.psnr_db))
            json_object_set_new(one, "psnr_db", json_real(f.psnr_db));
        if (json_object_size(one))
            json_object_set(all, study_protection(s, i), one);
        json_decref(one);
    }
    return all;
}

static void list_one(const char *name, const char *path, void *arg)
{
    struct listing *l = arg;
    struct purify_profile p;
    struct errmsg e = {""};
    char hex[DIGEST_HEX_LEN + 1] = "", summary[160];
    summary_of(path, summary, sizeof summary);
    status st = purify_profile_load(path, &p, &e);
    if (!st)
        digest_hex(&p.id, hex);
    if (l->json) {
        json_t *row = json_pack("{s:s, s:s, s:s}", "name", name, "path", path, "summary", summary);
        json_object_set_new(row, st ? "error" : "id", json_string(st ? errmsg_text(&e, st) : hex));
        if (!st)
            json_object_set_new(row, "evaluations", json_integer(purify_profile_evaluations(&p)));
        if (!st && l->study)
            json_object_set_new(row, "study", figures_json(l->study, hex));
        json_array_append_new(l->json, row);
    } else if (st) {
        printf("%-16s cannot be used: %s\n", name, errmsg_text(&e, st));
    } else {
        printf("%-16s %.12s  %4d evaluations  %s\n", name, hex, purify_profile_evaluations(&p),
               *summary ? summary : path);
        if (l->study)
            print_figures(l->study, hex);
    }
}

/* Figures that cannot be read are no reason not to list. */
static struct study *open_study(void)
{
    struct study *s = NULL;
    struct errmsg e = {""};
    status st = study_open(&s, &e);
    if (st && st != STATUS_NOT_FOUND)
        fprintf(stderr, "relearn: listed without figures: %s\n", TEXT_SHOWN(errmsg_text(&e, st)));
    return s;
}

static int profile_ls(int argc, char **argv)
{
    int json = 0, first;
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &json, NULL, "print a JSON array"},
    };
    const struct cli_spec spec = {
        "relearn profile ls",
        "[--json]",
        "Lists the profiles that can be named: yours, then the shipped ones, each with its id, how "
        "often the\nnetwork is evaluated for a tile (relearn profile show --cost says how long "
        "that "
        "takes here), and\nwhat it says of itself. Where it was measured, a second line has, for "
        "each protection, the\naccuracy of a network that was trained on the purified images, as "
        "a part of one's that was\ntrained on clean ones, and the PSNR of the images.",
        options,
        ARRAY_LEN(options),
        0,
        0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(study_free) struct study *study = open_study();
    struct listing l = {json ? json_array() : NULL, study};
    status st = purify_profile_list(list_one, &l);
    if (st) {
        json_decref(l.json);
        return cli_fail(st, NULL);
    }
    if (json)
        cli_print_json(l.json);
    return 0;
}

/* ---- show ---- */

static status measure(const struct purify_profile *p, struct purify_cost *out, struct errmsg *e)
{
    AUTO(purify_model_free) struct purify_model *m = NULL;
    AUTO(purify_engine_free) struct purify_engine *en = NULL;
    status st = purify_model_load(p, &m, e);
    if (!st)
        st = purify_engine_new(m, &en, e);
    return st ? st : purify_engine_measure(en, out, e);
}

static int show_json(const struct purify_profile *p, const char *text,
                     const struct purify_cost *cost)
{
    char id[DIGEST_HEX_LEN + 1], model[DIGEST_HEX_LEN + 1];
    struct purify_weights w;
    AUTO(buf_done) struct buf chain = BUF_INIT(4096);
    digest_hex(&p->id, id);
    if (purify_profile_chain(p, &chain))
        return cli_fail(STATUS_NOMEM, NULL);
    json_t *out = json_pack("{s:s, s:s, s:s, s:i, s:s}", "name", p->name, "id", id, "chain",
                            chain.data, "evaluations", purify_profile_evaluations(p), "ini", text);
    if (purify_profile_weights(p, 0, &w)) {
        digest_hex(w.digest, model);
        json_object_set_new(out, "model_sha256", json_string(model));
    }
    if (cost) {
        json_object_set_new(out, "ms_per_tile", json_real(cost->alone_seconds * 1e3));
        json_object_set_new(out, "ms_per_tile_bulk", json_real(cost->bulk_seconds * 1e3));
    }
    cli_print_json(out);
    return 0;
}

static int profile_show(int argc, char **argv)
{
    int cost = 0, json = 0, first;
    const struct cli_option options[] = {
        {"cost", 0, CLI_FLAG, &cost, NULL, "measure what a tile costs on this machine"},
        CLI_ROW_JSON(json),
    };
    const struct cli_spec spec = {
        "relearn profile show",
        "[--cost] [--json] PROFILE",
        "Prints a profile (a name or a file) with its id, every field spelled out.",
        options,
        ARRAY_LEN(options),
        1,
        1};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct purify_profile p;
    struct errmsg e = {""};
    struct purify_cost measured;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    status st = purify_profile_load(argv[first], &p, &e);
    if (!st)
        st = purify_profile_text(&p, &text);
    if (!st && cost)
        st = measure(&p, &measured, &e);
    if (st)
        return cli_fail(st, &e);
    if (json)
        return show_json(&p, text.data, cost ? &measured : NULL);
    fputs(text.data, stdout);
    int digits = cost && measured.bulk_seconds < 1e-3 ? 3 : 1;
    if (cost)
        printf("# a tile: %d evaluations, %.*f ms on one thread here, %.*f ms among many\n",
               purify_profile_evaluations(&p), digits, measured.alone_seconds * 1e3, digits,
               measured.bulk_seconds * 1e3);
    return 0;
}

int cmd_profile(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"ls", profile_ls, "list the profiles"},
        {"show", profile_show, "print one, with its chain and what it costs"},
        {"new", cmd_profile_new, "write one of your own"},
        {"rm", cmd_profile_rm, "remove one of your own"},
    };
    return cli_dispatch("relearn profile", "How images are purified.", table, ARRAY_LEN(table),
                        argc, argv);
}
