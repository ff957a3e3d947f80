/* What a mount says about itself: one JSON object (status.json, `relearn status`) and Prometheus
 * text (metrics). */
#include "fs.h"

#include "json_name.h"
#include "profile_json.h"
#include "sweep.h"
#include <inttypes.h>
#include <string.h>

#include "base/banned.h"

static void add_name(void *arg, const struct name_list_entry *en)
{
    json_t *j = json_object();
    status st = json_name_set(j, "path", en->name);
    if (!st)
        st = json_name_set(j, "why", en->why);
    if (st || json_array_append_new(arg, json_incref(j)))
        log_warn("%s: out of memory: not in the status", en->name);
    json_decref(j);
}

static json_t *names(struct name_list *n)
{
    json_t *list = json_array();
    name_list_each(n, add_name, list);
    return json_pack("{s:I,s:o}", "count", (json_int_t)name_list_count(n), "recent", list);
}

struct figures {
    struct pipeline_stats pipe;
    struct purify_service_stats purify;
    struct cache_stats cache;
    struct sweep_state sweep;
    struct fused_warm_state warm;
    uint64_t parked, killed, nodes, notices, group[FUSED_GROUP_COUNT], failures;
};

static void collect(struct fs *fs, struct figures *f)
{
    memset(f, 0, sizeof *f);
    pipeline_stats(fs->pipeline, &f->pipe);
    purify_service_stats(fs->stack.service, &f->purify);
    f->purify.evaluations -= fs->before.evaluations;
    f->purify.busy_ns -= fs->before.busy_ns;
    if (fs->stack.cache)
        status_ignore(cache_stats(fs->stack.cache, &f->cache), "the figures are then 0");
    f->sweep.phase = "waiting";
    if (fs->sweep) {
        sweep_state(fs->sweep, &f->sweep);
        sweep_warm_state(fs->sweep, &f->warm);
    }
    park_stats(fs->park, &f->parked, &f->killed);
    f->nodes = table_count(fs->table);
    f->notices = fs->notifier ? notifier_sent(fs->notifier) : 0;
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        f->group[g] = fs->lists.group[g] ? name_list_count(fs->lists.group[g]) : 0;
    f->failures = name_list_count(fs->lists.failures);
}

#define N(x) ((json_int_t)(x))

static json_t *json_freeze(const struct fs *fs)
{
    static const struct {
        const char *state, *why;
    } said[] = {
        [FREEZE_OFF] = {"off", ""},
        [FREEZE_INIT] = {"not yet", "the kernel has not said whether it can"},
        [FREEZE_SWEEP] = {"not yet", "not everything is purified"},
        [FREEZE_DONE] = {"yes", ""},
        [FREEZE_NOT] = {"no", NULL},
    };
    enum freeze f = atomic_load(&fs->freezing.state);
    json_t *j = json_pack("{s:s}", "state", said[f].state);
    status_ignore(
        json_name_set(j, "why", f == FREEZE_NOT ? fs->freezing.why_not.text : said[f].why),
        "without memory it is left out");
    return j;
}

static json_t *json_mount(struct fs *fs)
{
    const struct {
        const char *key, *name;
    } path[] = {{"source", fs->path.source},
                {"mountpoint", fs->path.mountpoint},
                {"cache_dir", fs->stack.cache_dir},
                {"log", fs->path.log},
                {"socket", fs->path.socket}};
    json_t *j = json_pack(
        "{s:o,s:I,s:I,s:s,s:b,s:b,s:b,s:o}", "profile", profile_json(&fs->stack.profile), "pid",
        N(getpid()), "uptime_seconds", N((time_real_ns() - fs->started_ns) / 1000000000u), "view",
        "ready", "watching", atomic_load(&fs->watching.all), "sweep_enabled", fs->opt.sweeping,
        "frozen", atomic_load(&fs->freezing.state) == FREEZE_DONE, "freeze", json_freeze(fs));
    for (size_t i = 0; i < ARRAY_LEN(path); i++)
        status_ignore(json_name_set(j, path[i].key, path[i].name), "without memory it is left out");
    return j;
}

static json_t *json_work(const struct figures *f)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "purified",
                     N(f->pipe.purified), "coalesced", N(f->pipe.coalesced), "memory_hits",
                     N(f->pipe.memory_hits), "cache_hits", N(f->pipe.cache_hits), "failed",
                     N(f->pipe.failed), "no_space", N(f->pipe.no_space), "not_stored",
                     N(f->pipe.not_stored), "readers_waiting", N(f->parked), "queued",
                     N(f->pipe.queued[PURIFY_URGENT] + f->pipe.queued[PURIFY_SWEEP]), "in_flight",
                     N(f->pipe.flights), "evaluations", N(f->purify.evaluations), "busy_ms",
                     N(f->purify.busy_ns / 1000000u), "killed_readers", N(f->killed));
}

static json_t *json_cache(const struct fs *fs, const struct figures *f)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "none",
                     TEXT_SHOWN(fs->stack.no_cache.text), "objects", N(f->cache.objects),
                     "disk_bytes", N(f->cache.disk_bytes), "max_bytes", N(f->cache.max_bytes),
                     "hits", N(f->cache.hits), "misses", N(f->cache.misses), "damaged",
                     N(f->cache.damaged), "evicted", N(f->cache.evicted));
}

static json_t *json_view(struct fs *fs, const struct figures *f)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "nodes", N(f->nodes), "lookups",
                     N(atomic_load(&fs->n.lookups)), "opens", N(atomic_load(&fs->n.opens)),
                     "opens_waited", N(atomic_load(&fs->n.opens_waited)), "reads",
                     N(atomic_load(&fs->n.reads)), "invalidations", N(f->notices));
}

static json_t *json_ahead(const struct figures *f)
{
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I}}", "phase", f->sweep.phase, "why",
                     TEXT_SHOWN(f->sweep.why), "seen", N(f->sweep.seen), "purified",
                     N(f->sweep.purified), "failed", N(f->sweep.failed), "warm", "total",
                     N(f->warm.total), "done", N(f->warm.done), "failed", N(f->warm.failed),
                     "not_stored", N(f->warm.not_stored));
}

status report_json(struct fs *fs, struct buf *out)
{
    struct figures f;
    collect(fs, &f);
    json_t *j = json_mount(fs);
    json_object_set_new(j, "version", json_string(RELEARN_VERSION));
    json_object_set_new(j, "work", json_work(&f));
    json_object_set_new(j, "cache", json_cache(fs, &f));
    json_object_set_new(j, "kernel", json_view(fs, &f));
    json_object_set_new(j, "ahead", json_ahead(&f));
    for (int g = 0; g < FUSED_GROUP_COUNT; g++)
        if (fs->lists.group[g])
            json_object_set_new(j, fused_group_name((enum fused_group)g),
                                names(fs->lists.group[g]));
    json_object_set_new(j, "failures", names(fs->lists.failures));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!text)
        return STATUS_NOMEM;
    status st = buf_addf(out, "%s\n", text);
    free(text);
    return st;
}

struct metric {
    const char *name, *type, *help;
    uint64_t value;
};

static status put_metrics(const struct metric *m, size_t n, struct buf *out)
{
    status st = STATUS_OK;
    for (size_t i = 0; i < n && !st; i++)
        st = buf_addf(out,
                      "# HELP relearnfs_%s %s\n# TYPE relearnfs_%s %s\nrelearnfs_%s %" PRIu64 "\n",
                      m[i].name, m[i].help, m[i].name, m[i].type, m[i].name, m[i].value);
    return st;
}

static status work_metrics(const struct figures *f, struct buf *out)
{
    const struct metric metrics[] = {
        {"purified_total", "counter", "images purified", f->pipe.purified},
        {"coalesced_total", "counter", "requests that joined a purification of the same pixels",
         f->pipe.coalesced},
        {"memory_hits_total", "counter", "requests answered with bytes kept in memory",
         f->pipe.memory_hits},
        {"cache_hits_total", "counter", "requests answered from the cache directory",
         f->pipe.cache_hits},
        {"failed_total", "counter", "requests that failed for our reasons", f->pipe.failed},
        {"cache_no_space_total", "counter", "images served but not stored: no space",
         f->pipe.no_space},
        {"cache_not_stored_total", "counter", "images served but not stored: other reasons",
         f->pipe.not_stored},
        {"cache_damaged_total", "counter", "stored images whose check failed", f->cache.damaged},
        {"cache_evicted_total", "counter", "stored images given up for space", f->cache.evicted},
        {"cache_objects", "gauge", "stored images, of all profiles", f->cache.objects},
        {"cache_disk_bytes", "gauge", "size of the cache directory's packs", f->cache.disk_bytes},
        {"queued_urgent", "gauge", "files that readers wait for and no thread has taken",
         f->pipe.queued[PURIFY_URGENT]},
        {"queued_sweep", "gauge", "files ahead of readers that no thread has taken",
         f->pipe.queued[PURIFY_SWEEP]},
        {"in_flight", "gauge", "images with the purifier", f->pipe.flights},
        {"in_flight_bytes", "gauge", "memory of files being worked on", f->pipe.inflight_bytes},
        {"encoded_bytes", "gauge", "encoded images kept in memory", f->pipe.encoded_bytes},
        {"evaluations_total", "counter", "evaluations of the diffusion network",
         f->purify.evaluations},
        {"purifier_busy_ms_total", "counter", "milliseconds of purifying, summed over threads",
         f->purify.busy_ns / 1000000u},
    };
    return put_metrics(metrics, ARRAY_LEN(metrics), out);
}

static status view_metrics(struct fs *fs, const struct figures *f, struct buf *out)
{
    const struct metric metrics[] = {
        {"readers_waiting", "gauge", "requests parked until their image is purified", f->parked},
        {"readers_killed_total", "counter", "parked requests given up since the caller was killed",
         f->killed},
        {"nodes", "gauge", "files and directories the kernel remembers", f->nodes},
        {"lookups_total", "counter", "LOOKUP requests", atomic_load(&fs->n.lookups)},
        {"opens_total", "counter", "OPEN requests", atomic_load(&fs->n.opens)},
        {"opens_waited_total", "counter", "OPEN requests that had to wait",
         atomic_load(&fs->n.opens_waited)},
        {"reads_total", "counter", "READ requests; what the page cache answers is not seen",
         atomic_load(&fs->n.reads)},
        {"read_bytes_total", "counter", "bytes asked for by READ", atomic_load(&fs->n.read_bytes)},
        {"invalidations_total", "counter", "notices sent to the kernel", f->notices},
        {"not_purified_files", "gauge",
         "images, files of images and links out of the source that are not purified",
         f->group[FUSED_GROUP_UNPURIFIED]},
        {"label_files", "gauge", "images of labels, which pass through",
         f->group[FUSED_GROUP_LABEL]},
        {"excluded_files", "gauge", "files that a rule excludes", f->group[FUSED_GROUP_EXCLUDED]},
        {"other_files", "gauge", "files that are no images", f->group[FUSED_GROUP_OTHER]},
        {"failing_files", "gauge", "files that could not be purified for our reasons", f->failures},
        {"sweep_seen_total", "counter", "files the sweep has looked at", f->sweep.seen},
        {"warm_total", "counter", "files announced with relearn warm", f->warm.total},
        {"warm_done_total", "counter", "of them done", f->warm.done},
        {"watching", "gauge", "1 while changes in the source are heard of",
         atomic_load(&fs->watching.all)},
    };
    return put_metrics(metrics, ARRAY_LEN(metrics), out);
}

status report_metrics(struct fs *fs, struct buf *out)
{
    struct figures f;
    collect(fs, &f);
    status st = work_metrics(&f, out);
    return st ? st : view_metrics(fs, &f, out);
}
