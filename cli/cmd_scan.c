/* relearn scan: what will be purified, what not, and what it costs, before anything is. */
#include "tree.h"

#include <inttypes.h>
#include <math.h>

#include "base/banned.h"

/* What a thread, and all of them, take. */
struct speed {
    double alone_seconds, tiles_per_second;
    int threads;
};

static void on_progress(void *arg, const struct fused_scan_result *now)
{
    struct cli_tree *t = arg;
    progress_update(&t->bar, now->files, NULL);
}

static status measure(const struct purify_model *m, int threads, struct speed *out,
                      struct errmsg *e)
{
    AUTO(purify_engine_free) struct purify_engine *en = NULL;
    struct purify_cost cost;
    status st = purify_engine_new(m, &en, e);
    if (!st)
        st = purify_engine_measure(en, &cost, e);
    if (st)
        return st;
    out->threads = threads > 0 ? threads : cpu_count();
    out->alone_seconds = cost.alone_seconds;
    out->tiles_per_second = out->threads / cost.bulk_seconds;
    return STATUS_OK;
}

/* "2 h 10 min", "3 min 20 s", "4 s": not more exact than it is. */
static const char *duration(double seconds, char out[32])
{
    uint64_t s = (uint64_t)ceil(seconds);
    if (s >= 48 * 3600)
        snprintf(out, 32, "%" PRIu64 " days %" PRIu64 " h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        snprintf(out, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else
        snprintf(out, 32, "%" PRIu64 " s", s);
    return out;
}

static void print_text(const struct cli_tree *t, const struct fused_scan_result *r,
                       const struct speed *speed)
{
    char bytes[32], total[32], one[32];
    cli_files_print(&t->files, r->group, "to purify");
    if (!r->group[FUSED_GROUP_IMAGE])
        return;
    printf("cache: at most %s more (what is in it already is not purified again)\n",
           text_bytes(r->cache_bytes, bytes));
    printf("time:  about %s here for %.1f Mpixel in %" PRIu64
           " tiles (%.4g tiles/s on %d threads)\n",
           duration((double)r->work / speed->tiles_per_second, total), (double)r->pixels * 1e-6,
           r->work, speed->tiles_per_second, speed->threads);
    printf("       the largest image: %s\n",
           duration((double)r->largest_work * speed->alone_seconds, one));
}

static void print_json(struct cli_tree *t, const struct fused_scan_result *r,
                       const struct speed *speed)
{
    json_t *out = cli_files_json(&t->files, r->group);
    json_t *more =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:i}", "skipped", (json_int_t)r->skipped,
                  "source_bytes", (json_int_t)r->bytes, "pixels", (json_int_t)r->pixels, "tiles",
                  (json_int_t)r->work, "cache_bytes", (json_int_t)r->cache_bytes, "seconds",
                  (double)r->work / speed->tiles_per_second, "largest_seconds",
                  (double)r->largest_work * speed->alone_seconds, "threads", speed->threads);
    json_object_update(out, more);
    json_decref(more);
    cli_print_json(out);
}

static int run(struct cli_tree *t, struct fused_scan *scan)
{
    struct errmsg e = {""};
    struct purify_profile profile;
    AUTO(purify_model_free) struct purify_model *model = NULL;
    struct fused_scan_result r;
    struct speed speed;
    status st = purify_profile_load(t->profile, &profile, &e);
    if (!st)
        st = purify_model_load(&profile, &model, &e);
    scan->model = model;
    if (!st)
        st = fused_scan(scan, &r, &e);
    if (!st)
        progress_done(&t->bar, r.files, NULL);
    if (!st)
        st = measure(model, t->threads, &speed, &e);
    if (st)
        return cli_fail(st, &e);
    if (t->files.json)
        print_json(t, &r, &speed);
    else
        print_text(t, &r, &speed);
    return r.failed || r.group[FUSED_GROUP_UNPURIFIED] ? 1 : 0;
}

/* clang-format off */
static const char about[] =
    "Says what would be purified of a file or tree. It also says what not and why, how large the cache will\n"
    "become, and how long it will take here, by pixels, for which a few tiles are purified. Only headers\n"
    "are read: damage that only decoding finds is not seen. Exit status 1: some image would not be purified.";
/* clang-format on */

int cmd_scan(int argc, char **argv)
{
    struct cli_tree t = {.profile = "default"};
    const struct cli_option options[] = {CLI_TREE_OPTIONS(t)};
    const struct cli_spec spec = {
        "relearn scan", "[OPTION]… SRC", about, options, ARRAY_LEN(options), 1, 1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    struct fused_scan scan = {.src = argv[first],
                              .rules = &t.rules,
                              .max_pixels = t.max_pixels,
                              .follow = t.follow,
                              .progress = on_progress,
                              .named = cli_tree_named,
                              .failed = cli_tree_failed,
                              .stop = cli_tree_stop,
                              .arg = &t};
    rc = cli_tree_begin(&t, &spec, "scan");
    if (rc == CLI_GO)
        rc = run(&t, &scan);
    cli_tree_done(&t);
    return rc;
}
