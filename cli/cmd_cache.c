/* relearn cache: inspects and maintains a cache directory. */
#include "cmd_cache.h"
#include "purify/purify.h"

#include <inttypes.h>
#include <string.h>

#include "base/banned.h"

/* None of these commands creates a cache. */
static status must_be_cache(const char *dir, struct errmsg *e)
{
    AUTO(mem_free) char *packs = mem_printf("%s/packs", dir);
    if (!packs)
        return errmsg_set(e, STATUS_NOMEM, "cannot open cache %s: out of memory", dir);
    return access(packs, F_OK) == 0
               ? STATUS_OK
               : errmsg_set(e, STATUS_NOT_FOUND, "%s is no cache (name one with --cache)", dir);
}

static status open_cache(const struct cache_call *call, bool writes, bool makes_space,
                         struct cache **out, struct errmsg *e)
{
    AUTO(mem_free) char *standard = NULL;
    if (!call->dir) {
        status st = path_cache_dir(&standard);
        if (st)
            return errmsg_set(e, st, "cannot tell where the cache is (name it with --cache)");
    }
    const char *dir = call->dir ? call->dir : standard;
    const struct cache_options opt = {.max_bytes = call->limit ? call->limit : CACHE_NO_LIMIT,
                                      .min_free_bytes = CACHE_NO_LIMIT,
                                      .read_only = !writes,
                                      .must_write = true,
                                      .make_space = makes_space};
    status st = must_be_cache(dir, e);
    if (!st)
        st = cache_open(dir, &opt, out, e);
    if (st == STATUS_CORRUPT && !writes)
        return errmsg_prefix(e, st, "damaged (relearn cache rebuild mends it)");
    return st;
}

int cache_work_failed(const char *what, status st)
{
    struct errmsg e;
    errmsg_set(&e, st, "%s: %s", what, status_text(st));
    return cli_fail(st, &e);
}

json_t *cache_count(uint64_t n)
{
    return json_integer((json_int_t)n);
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

void cache_key_text(const struct cache_key *k, char out[CACHE_KEY_TEXT])
{
    digest_hex(&k->profile, out);
    out[DIGEST_HEX_LEN] = '/';
    digest_hex(&k->pixels, out + DIGEST_HEX_LEN + 1);
}

/* ---- one command line ---- */

static status parse_words(struct cache_call *call, char **word, int n, struct errmsg *e)
{
    status st =
        call->profile_name ? parse_profile(call->profile_name, &call->profile, e) : STATUS_OK;
    if (st || !n)
        return st;
    call->key = mem_zalloc((size_t)n, sizeof *call->key);
    if (!call->key)
        return errmsg_set(e, STATUS_NOMEM, "cannot read %d keys: out of memory", n);
    for (; !st && call->n_keys < n; call->n_keys++)
        st = parse_key(word[call->n_keys], &call->key[call->n_keys], e);
    return st;
}

static int work_on_cache(const struct cache_subcommand *sub, struct cache_call *call, char **word,
                         int n)
{
    AUTO(cache_close) struct cache *c = NULL;
    struct errmsg e = {""};
    status st = parse_words(call, word, n, &e);
    if (!st)
        st = open_cache(call, sub->writes || call->repair, sub->makes_space, &c, &e);
    if (st)
        return cli_fail(st, &e);
    return sub->work(call, c);
}

int cache_command(const struct cache_subcommand *sub, int argc, char **argv)
{
    struct cache_call call = {.dir = NULL};
    const struct {
        unsigned taken;
        struct cli_option option;
    } all[] = {
        {0, {"cache", 0, CLI_STRING, &call.dir, "DIR", "default ~/.cache/relearnfs"}},
        {0, {"json", 0, CLI_FLAG, &call.json, NULL, "print JSON"}},
        {TAKES_OBJECTS,
         {"objects", 0, CLI_FLAG, &call.objects, NULL, "one line for each object, with its key"}},
        {TAKES_PROFILE,
         {"profile", 'p', CLI_STRING, &call.profile_name, "PROFILE",
          "the objects of this one (name or id)"}},
        {TAKES_REPAIR,
         {"repair", 0, CLI_FLAG, &call.repair, NULL,
          "forget damaged objects, so that they are made again"}},
        {TAKES_LIMIT,
         {"limit", 0, CLI_SIZE, &call.limit, "SIZE",
          "evict what was not used for longest down to this"}},
        {TAKES_ASIDE,
         {"aside", 0, CLI_FLAG, &call.aside, NULL,
          "also delete damaged indexes that were put aside"}},
        {TAKES_ALL, {"all", 0, CLI_FLAG, &call.all, NULL, "everything"}},
    };
    struct cli_option option[ARRAY_LEN(all)];
    struct cli_spec spec = {
        sub->command, sub->usage, sub->about, option, 0, 0, sub->takes & TAKES_KEYS ? -1 : 0};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if ((all[i].taken & sub->takes) == all[i].taken)
            option[spec.n_options++] = all[i].option;
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (sub->takes & TAKES_KEYS && call.all + !!call.profile_name + (first < argc) != 1)
        return cli_usage_error(&spec, "name one of %s--profile PROFILE, and keys",
                               sub->takes & TAKES_ALL ? "--all, " : "");
    rc = work_on_cache(sub, &call, argv + first, argc - first);
    mem_free(call.key);
    return rc;
}

/* ---- stats ---- */

static void print_stats_json(const struct cache_stats *s)
{
    cli_print_json(json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "objects",
        cache_count(s->objects), "live_bytes", cache_count(s->live_bytes), "disk_bytes",
        cache_count(s->disk_bytes), "packs", cache_count(s->packs), "profiles",
        cache_count(s->profiles), "pins", cache_count(s->pins), "memos", cache_count(s->memos),
        "files", cache_count(s->files), "index_bytes", cache_count(s->index_bytes), "aside_files",
        cache_count(s->aside_files), "aside_bytes", cache_count(s->aside_bytes)));
}

static void print_stats(const struct cache_stats *s)
{
    char a[32], b[32];
    printf("objects   %" PRIu64 " of %" PRIu64 " profiles, %" PRIu64 " pins\n", s->objects,
           s->profiles, s->pins);
    printf("packs     %" PRIu64 ", %s on disk, %s of it live\n", s->packs,
           text_bytes(s->disk_bytes, a), text_bytes(s->live_bytes, b));
    printf("index     %s, %" PRIu64 " remembered images\n", text_bytes(s->index_bytes, a),
           s->memos);
    if (s->aside_files)
        printf("aside     %" PRIu64
               " damaged indexes, %s (relearn cache gc --aside deletes them)\n",
               s->aside_files, text_bytes(s->aside_bytes, a));
}

static int stats(const struct cache_call *call, struct cache *c)
{
    struct cache_stats s;
    status st = cache_stats(c, &s);
    if (st)
        return cache_work_failed("cannot read the cache", st);
    if (call->json)
        print_stats_json(&s);
    else
        print_stats(&s);
    return 0;
}

static int cache_cmd_stats(int argc, char **argv)
{
    static const struct cache_subcommand sub = {.command = "relearn cache stats",
                                                .usage = "[--cache DIR] [--json]",
                                                .about = "Says how much is in the cache.",
                                                .work = stats};
    return cache_command(&sub, argc, argv);
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
