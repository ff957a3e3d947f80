/* What becomes of a cell, on disk. */
#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

static json_t *machine_json(int threads)
{
    char line[256], cpu[200] = "?", host[256] = "?";
    AUTO(file_close) FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(cpu, sizeof cpu, "%s", strchr(line, ':') + 2);
            cpu[strcspn(cpu, "\n")] = 0;
            break;
        }
    gethostname(host, sizeof host - 1);
    return json_pack("{s:s, s:i, s:s}", "cpu", cpu, "threads", threads, "host", host);
}

/* Seconds that a tree and those it was made of took; and how far it is from the clean one. */
static void tree_figures(const struct train_bench *b, int tree, json_t *seconds, json_t *figures)
{
    json_t *stamp = NULL;
    bench_add_seconds(b, tree, seconds);
    if (bench_read(b, "trees", b->tree[tree].id, &stamp, NULL))
        return;
    json_object_set(figures, "psnr_db", json_object_get(stamp, "psnr_db"));
    json_object_set(figures, "coherent", json_object_get(stamp, "coherent"));
    json_decref(stamp);
}

static json_t *result_json(const struct train_bench *b, const struct bench_cell *c,
                           const struct bench_figures *f, json_t *train)
{
    const struct matrix *m = &b->matrix;
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    json_t *seconds = json_pack("{s:f}", "train", f->seconds);
    json_t *figures = json_pack("{s:O, s:O?, s:O?, s:O?, s:O?}", "test_accuracy",
                                json_object_get(train, "test_accuracy"), "best_test_accuracy",
                                json_object_get(train, "best_test_accuracy"), "best_epoch",
                                json_object_get(train, "best_epoch"), "train_accuracy",
                                json_object_get(train, "train_accuracy"), "train_loss",
                                json_object_get(train, "train_loss"));
    tree_figures(b, c->tree, seconds, figures);
    return json_pack("{s:s, s:s, s:s, s:I, s:O, s:o, s:o, s:o, s:b, s:s}", "protection",
                     m->protection[c->protection].name, "countermeasure",
                     m->countermeasure[c->countermeasure].name, "victim", m->victim[c->victim].name,
                     "seed", (json_int_t)c->seed, "description", c->description, "figures", figures,
                     "seconds", seconds, "machine", machine_json(b->threads), "resumed", f->resumed,
                     "finished", when);
}

/* Under its name, unless another has written it meanwhile. */
static status put(const char *path, const char *text, struct errmsg *e)
{
    AUTO(mem_free) char *aside = mem_printf("%s.new.%ld", path, (long)getpid());
    status st = aside ? io_write_file(aside, text, strlen(text), e) : STATUS_NOMEM;
    if (st)
        return st;
    int err = link(aside, path) < 0 ? errno : 0;
    if (err == 0 || err == EEXIST) {
        (void)unlink(aside);
        return STATUS_OK;
    }
    st = io_rename(AT_FDCWD, aside, path); /* a file system without hard links */
    return st ? errmsg_set(e, st, "cannot write %s: %s", path, status_text(st)) : STATUS_OK;
}

static status put_json(const struct train_bench *b, const char *folder, const char *id, json_t *j,
                       struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(b, folder, id, ".json");
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    status st = path && text ? put(path, text, e) : STATUS_NOMEM;
    free(text);
    json_decref(j);
    return st;
}

static status check_figures(const struct train_bench *b, const struct bench_cell *c,
                            const json_t *train, struct errmsg *e)
{
    const json_t *accuracy = json_object_get(train, "test_accuracy");
    const char *who = bench_command(b, c) ? "the command" : "relearn train";
    if (!json_is_number(accuracy))
        return errmsg_set(e, STATUS_CORRUPT, "%s printed no {\"test_accuracy\": …} last", who);
    double v = json_number_value(accuracy);
    return v >= 0 && v <= 1 ? STATUS_OK
                            : errmsg_set(e, STATUS_CORRUPT,
                                         "%s printed a test accuracy of %g, not of 0 to 1", who, v);
}

status bench_result_write(const struct train_bench *b, const struct bench_cell *c,
                          const struct bench_figures *f, struct errmsg *e)
{
    json_t *train = json_loads(f->train_json, 0, NULL);
    status st = check_figures(b, c, train, e);
    if (!st)
        st = put_json(b, "results", c->id, result_json(b, c, f, train), e);
    json_decref(train);
    AUTO(mem_free) char *failed = bench_path(b, "failed", c->id, ".json");
    if (!st && failed)
        (void)unlink(failed);
    return st;
}

status bench_failure_write(const struct train_bench *b, const struct bench_cell *c, const char *why,
                           struct errmsg *e)
{
    AUTO(mem_free) char *old = bench_path(b, "failed", c->id, ".json");
    if (old)
        (void)unlink(old);
    return put_json(
        b, "failed", c->id,
        json_pack("{s:o, s:O}", "why", json_string(TEXT_SHOWN(why)), "description", c->description),
        e);
}
