/* relearn cache verify, gc, rebuild: the ones that take long and show how far they are. */
#include "cmd_cache.h"

#include <inttypes.h>

#include "base/banned.h"

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
    char key[CACHE_KEY_TEXT];
    cache_key_text(&x->key, key);
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
        cli_print_json(json_pack("{s:o, s:o, s:O, s:b, s:b}", "objects", cache_count(r->objects),
                                 "bytes", cache_count(r->bytes), "damaged", v->bad, "repaired",
                                 repaired, "index_ok", r->index_ok));
    else
        printf("%" PRIu64 " objects, %s: %" PRIu64 " damaged%s; index %s\n", r->objects,
               text_bytes(r->bytes, bytes), r->bad, repaired && r->bad ? " and forgotten" : "",
               r->index_ok ? "good" : "damaged (relearn cache rebuild mends it)");
    return ok ? 0 : 1;
}

static int verify(const struct cache_call *call, struct cache *c)
{
    struct verifying v = {{.label = "verify (MiB)", .quiet = call->json},
                          call->json ? json_array() : NULL};
    struct cache_verify_result r;
    stop_install();
    status st = cache_verify(
        c,
        &(struct cache_verify_options){
            .repair = call->repair, .bad = print_bad, .progress = verify_progress, .arg = &v},
        &r);
    end_bar(&v.bar);
    int rc = st ? cache_work_failed("cannot verify the cache", st)
                : print_verified(&v, &r, call->repair);
    json_decref(v.bad);
    return rc;
}

int cache_cmd_verify(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache verify",
        .usage = "[--cache DIR] [--repair] [--json]",
        .about =
            "Reads every object and compares its checksum. Exit status 1 when some are damaged.",
        .takes = TAKES_REPAIR,
        .work = verify};
    return cache_command(&sub, argc, argv);
}

/* ---- gc ---- */

static void print_gc(const struct cache_gc_result *r, int json)
{
    char bytes[32];
    if (json)
        cli_print_json(json_pack(
            "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "evicted", cache_count(r->evicted),
            "packs_deleted", cache_count(r->packs_deleted), "packs_compacted",
            cache_count(r->packs_compacted), "bytes_freed", cache_count(r->bytes_freed),
            "memos_pruned", cache_count(r->memos_pruned), "files_pruned",
            cache_count(r->files_pruned), "aside_deleted", cache_count(r->aside_deleted)));
    else
        printf("%s freed: %" PRIu64 " packs deleted, %" PRIu64 " of them rewritten; %" PRIu64
               " objects evicted, %" PRIu64 " remembered images forgotten\n",
               text_bytes(r->bytes_freed, bytes), r->packs_deleted, r->packs_compacted, r->evicted,
               r->memos_pruned);
}

static int gc(const struct cache_call *call, struct cache *c)
{
    struct bar bar = {.label = "gc", .quiet = call->json};
    struct cache_gc_result r;
    stop_install();
    status st = cache_gc(
        c, &(struct cache_gc_options){.drop_aside = call->aside, .progress = draw, .arg = &bar},
        &r);
    end_bar(&bar);
    if (st)
        return cache_work_failed("cannot collect garbage", st);
    print_gc(&r, call->json);
    return 0;
}

int cache_cmd_gc(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache gc",
        .usage = "[--cache DIR] [--limit SIZE] [--aside] [--json]",
        .about = "Gives space back to the disk. Mounts may go on using the cache meanwhile.",
        .takes = TAKES_LIMIT | TAKES_ASIDE,
        .writes = true,
        .makes_space = true,
        .work = gc};
    return cache_command(&sub, argc, argv);
}

/* ---- rebuild ---- */

static int rebuild(const struct cache_call *call, struct cache *c)
{
    struct bar bar = {.label = "rebuild", .quiet = call->json};
    uint64_t objects = 0;
    stop_install();
    status st = cache_rebuild(c, draw, &bar, &objects);
    end_bar(&bar);
    if (st)
        return cache_work_failed("cannot rebuild the index", st);
    if (call->json)
        cli_print_json(json_pack("{s:o}", "objects", cache_count(objects)));
    else
        printf("%" PRIu64 " objects\n", objects);
    return 0;
}

int cache_cmd_rebuild(int argc, char **argv)
{
    static const struct cache_subcommand sub = {
        .command = "relearn cache rebuild",
        .usage = "[--cache DIR] [--json]",
        .about = "Makes the index anew from the packs. A damaged one is put aside.",
        .writes = true,
        .work = rebuild};
    return cache_command(&sub, argc, argv);
}
