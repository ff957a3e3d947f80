/* relearn cache: look at and look after a cache directory. */
#include "cache/cache.h"
#include "cli.h"
#include "purify/purify.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/banned.h"

/* What every subcommand of this file takes. */
struct common {
    const char *dir; /* NULL: the default one */
    int json;
};
#define COMMON_OPTIONS(c)                                                                          \
    {"cache", 0, CLI_STRING, &(c).dir, "DIR", "the cache directory; default ~/.cache/relearnfs"},  \
    {                                                                                              \
        "json", 0, CLI_FLAG, &(c).json, NULL, "print JSON"                                         \
    }

/* These commands look after a cache; none of them makes one. */
static status must_be_cache(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *packs = mem_printf("%s/packs", dir);
    if (!packs)
        return errmsg_set(e, STATUS_NOMEM, "cannot open cache %s: out of memory", dir);
    return access(packs, F_OK) == 0
               ? STATUS_OK
               : errmsg_set(e, STATUS_NOT_FOUND, "%s is no cache (name one with --cache)", dir);
}

static status open_cache(const struct common *o, const struct cache_options *opt,
                         struct cache **out, struct errmsg *e)
{
    AUTO(mem_free) char *standard = NULL;
    if (!o->dir) {
        status st = path_cache_dir(&standard);
        if (st)
            return errmsg_set(e, st, "cannot tell where the cache is (name it with --cache)");
    }
    const char *dir = o->dir ? o->dir : standard;
    status st = must_be_cache(dir, e);
    return st ? st : cache_open(dir, opt, out, e);
}

static status open_read_only(const struct common *o, struct cache **out, struct errmsg *e)
{
    static const struct cache_options opt = {.read_only = true};
    status st = open_cache(o, &opt, out, e);
    if (st == STATUS_CORRUPT)
        return errmsg_prefix(e, st, "damaged (relearn cache rebuild mends it)");
    return st;
}

/* Ends a command whose work failed in the cache itself. */
static int fail_in(const char *what, status st)
{
    struct errmsg e;
    errmsg_set(&e, st, "%s: %s", what, status_text(st));
    return cli_fail(st, &e);
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* ---- progress ---- */

struct bar {
    struct progress p;
    const char *label;
    int quiet, begun;
    uint64_t done;
};

static status draw(void *arg, uint64_t done, uint64_t total)
{
    struct bar *b = arg;
    if (!b->begun)
        progress_init(&b->p, b->label, 0, total, b->quiet);
    b->begun = 1;
    b->done = done;
    progress_update(&b->p, done, NULL);
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static void end_bar(struct bar *b)
{
    if (b->begun)
        progress_done(&b->p, b->done, NULL);
}

/* ---- what is meant: profiles and keys ---- */

/* 64 hex digits, or a profile's name or file. */
static status parse_profile(const char *text, struct digest *out, struct errmsg *e)
{
    struct purify_profile p;
    if (digest_parse(text, out) == STATUS_OK)
        return STATUS_OK;
    status st = purify_profile_load(text, &p, e);
    if (!st)
        *out = p.id;
    return st;
}

/* PROFILE/PIXELS, as ls --objects prints it. */
static status parse_key(const char *text, struct cache_key *out, struct errmsg *e)
{
    char profile[DIGEST_HEX_LEN + 1];
    const char *slash = strchr(text, '/');
    if (slash && slash - text == DIGEST_HEX_LEN) {
        snprintf(profile, sizeof profile, "%.*s", DIGEST_HEX_LEN, text);
        if (!digest_parse(profile, &out->profile) && !digest_parse(slash + 1, &out->pixels))
            return STATUS_OK;
    }
    return errmsg_set(e, STATUS_INVALID, "'%s' is no key (relearn cache ls --objects prints keys)",
                      text);
}

static void format_key(const struct cache_key *k, char out[2 * DIGEST_HEX_LEN + 2])
{
    digest_hex(&k->profile, out);
    out[DIGEST_HEX_LEN] = '/';
    digest_hex(&k->pixels, out + DIGEST_HEX_LEN + 1);
}

/* ---- ls ---- */

struct profile_row {
    struct digest id;
    char name[64]; /* "" when no profile here has this id */
    uint64_t objects, bytes, pinned;
};

struct listing {
    const struct digest *only; /* or NULL */
    int json;
    uint64_t printed;
    struct buf rows; /* of struct profile_row */
};

static struct profile_row *find_profile(struct listing *l, const struct digest *id)
{
    struct profile_row *row = (struct profile_row *)(void *)l->rows.data;
    for (size_t i = 0; i < l->rows.len / sizeof *row; i++)
        if (digest_equal(&row[i].id, id))
            return &row[i];
    return NULL;
}

static status count_one(void *arg, const struct cache_entry *entry)
{
    struct listing *l = arg;
    struct profile_row *row = find_profile(l, &entry->key.profile);
    if (!row) {
        struct profile_row fresh = {.id = entry->key.profile};
        status st = buf_add(&l->rows, &fresh, sizeof fresh);
        if (st)
            return st;
        row = find_profile(l, &entry->key.profile);
    }
    row->objects++;
    row->bytes += entry->bytes;
    row->pinned += entry->pinned;
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static void name_profile(const char *name, const char *path, void *arg)
{
    struct purify_profile p;
    if (purify_profile_load(path, &p, NULL))
        return;
    struct profile_row *row = find_profile(arg, &p.id);
    if (row && !row->name[0])
        snprintf(row->name, sizeof row->name, "%s", name);
}

static void print_profiles(struct listing *l)
{
    json_t *all = l->json ? json_array() : NULL;
    const struct profile_row *row = (const struct profile_row *)(const void *)l->rows.data;
    for (size_t i = 0; i < l->rows.len / sizeof *row; i++) {
        char hex[DIGEST_HEX_LEN + 1], bytes[32];
        digest_hex(&row[i].id, hex);
        if (all)
            json_array_append_new(all,
                                  json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", hex, "name",
                                            row[i].name, "objects", count(row[i].objects), "bytes",
                                            count(row[i].bytes), "pinned", count(row[i].pinned)));
        else
            printf("%s  %-12s %10" PRIu64 " objects  %10s%s\n", hex,
                   row[i].name[0] ? row[i].name : "-", row[i].objects,
                   cli_bytes(row[i].bytes, bytes), row[i].pinned ? "  pinned" : "");
    }
    if (all)
        print_json(all);
}

/* A line at a time: a cache has millions. */
static status print_object(void *arg, const struct cache_entry *x)
{
    struct listing *l = arg;
    char key[2 * DIGEST_HEX_LEN + 2];
    if (l->only && !digest_equal(l->only, &x->key.profile))
        return STATUS_OK;
    format_key(&x->key, key);
    const struct cache_shape s = x->shape;
    if (l->json)
        printf("%s{\"key\": \"%s\", \"width\": %u, \"height\": %u, \"channels\": %u, \"bytes\": "
               "%" PRIu64 ", \"used\": %" PRIu64 ", \"pack\": %u, \"offset\": %" PRIu64
               ", \"pinned\": %s}",
               l->printed ? ",\n" : "", key, s.width, s.height, s.channels, x->bytes, x->used,
               x->pack, x->offset, x->pinned ? "true" : "false");
    else
        printf("%s %ux%ux%u%s\n", key, s.width, s.height, s.channels, x->pinned ? " pinned" : "");
    l->printed++;
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static status list_objects(struct cache *c, struct listing *l)
{
    if (l->json)
        putchar('[');
    status st = cache_list(c, print_object, l);
    if (l->json)
        puts("]");
    return st;
}

static status list_profiles(struct cache *c, struct listing *l)
{
    status st = cache_list(c, count_one, l);
    if (st)
        return st;
    status_ignore(purify_profile_list(name_profile, l), "then they have no names");
    print_profiles(l);
    return STATUS_OK;
}

static int cache_cmd_ls(int argc, char **argv)
{
    struct common o = {NULL, 0};
    const char *profile = NULL;
    int objects = 0, first;
    const struct cli_option options[] = {
        COMMON_OPTIONS(o),
        {"objects", 0, CLI_FLAG, &objects, NULL, "one line for each object, with its key"},
        {"profile", 'p', CLI_STRING, &profile, "PROFILE", "only objects of this one (name or id)"},
    };
    const struct cli_spec spec = {
        "relearn cache ls",
        "[--cache DIR] [--objects] [--profile PROFILE] [--json]",
        "Lists the profiles that have objects in the cache, or the objects.",
        options,
        ARRAY_LEN(options),
        0,
        0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    struct digest only;
    struct listing l = {.json = o.json, .rows = BUF_INIT(SIZE_MAX / 2)};
    status st = profile ? parse_profile(profile, &only, &e) : STATUS_OK;
    if (!st)
        st = open_read_only(&o, &c, &e);
    if (st)
        return cli_fail(st, &e);
    stop_install();
    l.only = profile ? &only : NULL;
    st = objects || profile ? list_objects(c, &l) : list_profiles(c, &l);
    buf_done(&l.rows);
    return st ? fail_in("cannot list the cache", st) : 0;
}

/* ---- stats ---- */

static void print_stats_json(const struct cache_stats *s)
{
    print_json(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "objects",
                         count(s->objects), "live_bytes", count(s->live_bytes), "disk_bytes",
                         count(s->disk_bytes), "packs", count(s->packs), "profiles",
                         count(s->profiles), "pins", count(s->pins), "memos", count(s->memos),
                         "index_bytes", count(s->index_bytes), "aside_files", count(s->aside_files),
                         "aside_bytes", count(s->aside_bytes)));
}

static void print_stats(const struct cache_stats *s)
{
    char a[32], b[32];
    printf("objects   %" PRIu64 " of %" PRIu64 " profiles, %" PRIu64 " pins\n", s->objects,
           s->profiles, s->pins);
    printf("packs     %" PRIu64 ", %s on disk, %s of it live\n", s->packs,
           cli_bytes(s->disk_bytes, a), cli_bytes(s->live_bytes, b));
    printf("index     %s, %" PRIu64 " remembered files\n", cli_bytes(s->index_bytes, a), s->memos);
    if (s->aside_files)
        printf("aside     %" PRIu64
               " damaged indexes, %s (relearn cache gc --aside deletes them)\n",
               s->aside_files, cli_bytes(s->aside_bytes, a));
}

static int cache_cmd_stats(int argc, char **argv)
{
    struct common o = {NULL, 0};
    int first;
    const struct cli_option options[] = {COMMON_OPTIONS(o)};
    const struct cli_spec spec = {"relearn cache stats",
                                  "[--cache DIR] [--json]",
                                  "Says how much is in the cache.",
                                  options,
                                  ARRAY_LEN(options),
                                  0,
                                  0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    struct cache_stats s;
    status st = open_read_only(&o, &c, &e);
    if (st)
        return cli_fail(st, &e);
    st = cache_stats(c, &s);
    if (st)
        return fail_in("cannot read the cache", st);
    if (o.json)
        print_stats_json(&s);
    else
        print_stats(&s);
    return 0;
}

/* ---- verify ---- */

struct verifying {
    struct bar bar;
    json_t *bad; /* with --json: their keys */
};

static status verify_progress(void *arg, uint64_t done, uint64_t total)
{
    struct verifying *v = arg;
    const uint64_t mib = 1u << 20;
    return draw(&v->bar, (done + mib - 1) / mib, (total + mib - 1) / mib);
}

static status print_bad(void *arg, const struct cache_entry *x)
{
    struct verifying *v = arg;
    char key[2 * DIGEST_HEX_LEN + 2];
    format_key(&x->key, key);
    if (v->bad)
        json_array_append_new(v->bad, json_string(key));
    else
        printf("damaged: %s in pack %08u at %" PRIu64 "\n", key, x->pack, x->offset);
    return STATUS_OK;
}

static int print_verified(struct verifying *v, const struct cache_verify_result *r, int repaired)
{
    char bytes[32];
    int ok = r->index_ok && (r->bad == 0 || repaired);
    if (v->bad)
        print_json(json_pack("{s:o, s:o, s:O, s:b, s:b}", "objects", count(r->objects), "bytes",
                             count(r->bytes), "damaged", v->bad, "repaired", repaired, "index_ok",
                             r->index_ok));
    else
        printf("%" PRIu64 " objects, %s: %" PRIu64 " damaged%s; index %s\n", r->objects,
               cli_bytes(r->bytes, bytes), r->bad, repaired && r->bad ? " and forgotten" : "",
               r->index_ok ? "good" : "damaged (relearn cache rebuild mends it)");
    return ok ? 0 : 1;
}

static int cache_cmd_verify(int argc, char **argv)
{
    struct common o = {NULL, 0};
    int repair = 0, first;
    const struct cli_option options[] = {
        COMMON_OPTIONS(o),
        {"repair", 0, CLI_FLAG, &repair, NULL,
         "forget damaged objects, so that they are made again"},
    };
    const struct cli_spec spec = {
        "relearn cache verify",
        "[--cache DIR] [--repair] [--json]",
        "Reads every object and compares its checksum. Exit status 1 when some are damaged.",
        options,
        ARRAY_LEN(options),
        0,
        0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    status st = repair ? open_cache(&o, NULL, &c, &e) : open_read_only(&o, &c, &e);
    if (st)
        return cli_fail(st, &e);
    stop_install();
    struct verifying v = {{.label = "verify (MiB)", .quiet = o.json}, o.json ? json_array() : NULL};
    struct cache_verify_result r;
    st = cache_verify(
        c,
        &(struct cache_verify_options){
            .repair = repair, .bad = print_bad, .progress = verify_progress, .arg = &v},
        &r);
    end_bar(&v.bar);
    rc = st ? fail_in("cannot verify the cache", st) : print_verified(&v, &r, repair);
    json_decref(v.bad);
    return rc;
}

/* ---- gc ---- */

static void print_gc(const struct cache_gc_result *r, int json)
{
    char bytes[32];
    if (json)
        print_json(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "evicted", count(r->evicted),
                             "packs_deleted", count(r->packs_deleted), "packs_compacted",
                             count(r->packs_compacted), "bytes_freed", count(r->bytes_freed),
                             "memos_pruned", count(r->memos_pruned), "aside_deleted",
                             count(r->aside_deleted)));
    else
        printf("%s freed: %" PRIu64 " packs deleted, %" PRIu64 " of them rewritten; %" PRIu64
               " objects evicted, %" PRIu64 " remembered files forgotten\n",
               cli_bytes(r->bytes_freed, bytes), r->packs_deleted, r->packs_compacted, r->evicted,
               r->memos_pruned);
}

static int cache_cmd_gc(int argc, char **argv)
{
    struct common o = {NULL, 0};
    uint64_t limit = 0;
    int aside = 0, first;
    const struct cli_option options[] = {
        COMMON_OPTIONS(o),
        {"limit", 0, CLI_SIZE, &limit, "SIZE", "evict what was not used for longest down to this"},
        {"aside", 0, CLI_FLAG, &aside, NULL, "also delete damaged indexes that were put aside"},
    };
    const struct cli_spec spec = {
        "relearn cache gc",
        "[--cache DIR] [--limit SIZE] [--aside] [--json]",
        "Gives space back to the disk. Mounts may go on using the cache meanwhile.",
        options,
        ARRAY_LEN(options),
        0,
        0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    status st = open_cache(&o, &(struct cache_options){.max_bytes = limit}, &c, &e);
    if (st)
        return cli_fail(st, &e);
    stop_install();
    struct bar bar = {.label = "gc", .quiet = o.json};
    struct cache_gc_result r;
    st = cache_gc(c, &(struct cache_gc_options){.drop_aside = aside, .progress = draw, .arg = &bar},
                  &r);
    end_bar(&bar);
    if (st)
        return fail_in("cannot collect garbage", st);
    print_gc(&r, o.json);
    return 0;
}

/* ---- rebuild ---- */

static int cache_cmd_rebuild(int argc, char **argv)
{
    struct common o = {NULL, 0};
    int first;
    const struct cli_option options[] = {COMMON_OPTIONS(o)};
    const struct cli_spec spec = {
        "relearn cache rebuild",
        "[--cache DIR] [--json]",
        "Makes the index anew from the packs. A damaged one is put aside.",
        options,
        ARRAY_LEN(options),
        0,
        0};
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    status st = open_cache(&o, NULL, &c, &e);
    if (st)
        return cli_fail(st, &e);
    stop_install();
    struct bar bar = {.label = "rebuild", .quiet = o.json};
    uint64_t objects = 0;
    st = cache_rebuild(c, draw, &bar, &objects);
    end_bar(&bar);
    if (st)
        return fail_in("cannot rebuild the index", st);
    if (o.json)
        print_json(json_pack("{s:o}", "objects", count(objects)));
    else
        printf("%" PRIu64 " objects\n", objects);
    return 0;
}

/* ---- rm, pin, unpin: one form ---- */

struct target {
    struct common common;
    const char *profile;
    int all;
    enum cache_scope scope;
    struct cache_key key; /* the profile */
    char **keys;          /* CACHE_KEY: n of them */
    int n;
};

/* Exactly one of --all, --profile and keys. */
static int parse_target(const struct cli_spec *spec, struct target *t, struct errmsg *e)
{
    if (!!t->all + !!t->profile + (t->n > 0) != 1)
        return cli_usage_error(spec, "name one of --all, --profile PROFILE, and keys");
    t->scope = t->all ? CACHE_ALL : t->profile ? CACHE_PROFILE : CACHE_KEY;
    status st = t->profile ? parse_profile(t->profile, &t->key.profile, e) : STATUS_OK;
    for (int i = 0; !st && i < t->n; i++)
        st = parse_key(t->keys[i], &t->key, e);
    return st ? cli_fail(st, e) : CLI_GO;
}

typedef status target_fn(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                         uint64_t *done);

static status remove_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                            uint64_t *done)
{
    uint64_t removed = 0;
    status st = cache_remove(c, scope, key, &removed);
    *done += removed;
    return st;
}

static status pin_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                         uint64_t *done)
{
    status st = cache_pin(c, scope, key);
    *done += !st;
    return st;
}

static status unpin_target(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                           uint64_t *done)
{
    status st = cache_unpin(c, scope, key);
    *done += !st;
    return st;
}

static status for_each_target(struct cache *c, const struct target *t, target_fn *fn,
                              uint64_t *done)
{
    if (t->scope != CACHE_KEY)
        return fn(c, t->scope, &t->key, done);
    status st = STATUS_OK;
    for (int i = 0; !st && i < t->n; i++) {
        struct cache_key key;
        st = parse_key(t->keys[i], &key, NULL);
        if (!st)
            st = fn(c, CACHE_KEY, &key, done);
    }
    return st;
}

/* word: what "N objects were" in the result ("removed"). */
static int run_target(int argc, char **argv, const struct cli_spec *head, target_fn *fn,
                      const char *word)
{
    struct target t = {0};
    int first;
    const struct cli_option options[] = {
        COMMON_OPTIONS(t.common),
        {"profile", 'p', CLI_STRING, &t.profile, "PROFILE", "every object of it (name or id)"},
        {"all", 0, CLI_FLAG, &t.all, NULL, "everything"},
    };
    struct cli_spec spec = *head;
    spec.option = options;
    spec.n_options = ARRAY_LEN(options) - (fn == pin_target); /* pinning all has no limit to keep */
    spec.max_args = -1;
    int rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    t.keys = argv + first;
    t.n = argc - first;
    rc = parse_target(&spec, &t, &e);
    if (rc != CLI_GO)
        return rc;
    status st = open_cache(&t.common, NULL, &c, &e);
    if (st)
        return cli_fail(st, &e);
    uint64_t done = 0;
    st = for_each_target(c, &t, fn, &done);
    if (st)
        return fail_in(spec.command, st);
    if (t.common.json)
        print_json(json_pack("{s:o}", word, count(done)));
    else
        printf("%" PRIu64 " %s\n", done, word);
    return 0;
}

static int cache_cmd_rm(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .command = "relearn cache rm",
        .usage = "[--cache DIR] [--json] --all | --profile PROFILE | KEY…",
        .about = "Forgets objects, pinned ones too; they are purified again when they are read."};
    return run_target(argc, argv, &spec, remove_target, "removed");
}

static int cache_cmd_pin(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .command = "relearn cache pin",
        .usage = "[--cache DIR] [--json] --profile PROFILE | KEY…",
        .about = "Keeps objects, also ones that are yet to come, from being evicted."};
    return run_target(argc, argv, &spec, pin_target, "pinned");
}

static int cache_cmd_unpin(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .command = "relearn cache unpin",
        .usage = "[--cache DIR] [--json] --all | --profile PROFILE | KEY…",
        .about = "Lets objects be evicted again."};
    return run_target(argc, argv, &spec, unpin_target, "unpinned");
}

int cmd_cache(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"ls", cache_cmd_ls, "what is in it"},
        {"stats", cache_cmd_stats, "how much is in it"},
        {"verify", cache_cmd_verify, "read everything and compare checksums"},
        {"gc", cache_cmd_gc, "give space back to the disk"},
        {"rebuild", cache_cmd_rebuild, "make the index anew from the packs"},
        {"rm", cache_cmd_rm, "forget objects"},
        {"pin", cache_cmd_pin, "keep objects from being evicted"},
        {"unpin", cache_cmd_unpin, "let them be evicted again"},
    };
    return cli_dispatch("relearn cache", "The cache of purified pixels.", table, ARRAY_LEN(table),
                        argc, argv);
}
