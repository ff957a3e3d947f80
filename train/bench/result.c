/* What is known of a cell, on disk. */
#include "bench/bench.h"
#include "bench/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <time.h>

const char *const train_bench_states[TRAIN_BENCH_STATE_COUNT + 1] = {"open", "claimed", "failed",
                                                                     "done", NULL};
const char *const train_bench_figures[TRAIN_BENCH_FIGURE_COUNT + 1] = {"last", "best", "train",
                                                                       "psnr", NULL};

/* ---- writing ---- */

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

/* Seconds that a tree and those it was made of took; and its PSNR. */
static void tree_figures(const struct train_bench *b, int tree, json_t *seconds, json_t **out_psnr)
{
    static const char *const names[] = {
        [BENCH_CLEAN] = "copy", [BENCH_PROTECTED] = "protect", [BENCH_PURIFIED] = "purify"};
    for (int i = tree; i >= 0; i = b->tree[i].source) {
        json_t *stamp = NULL;
        if (bench_read(b, "trees", b->tree[i].id, &stamp, NULL))
            continue;
        json_object_set(seconds, names[b->tree[i].kind], json_object_get(stamp, "seconds"));
        if (i == tree)
            *out_psnr = json_incref(json_object_get(stamp, "psnr_db"));
        json_decref(stamp);
    }
}

static json_t *result_json(const struct train_bench *b, const struct bench_cell *c,
                           const struct bench_figures *f, json_t *train)
{
    const struct matrix *m = &b->matrix;
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    json_t *psnr = NULL, *seconds = json_pack("{s:f}", "train", f->seconds);
    tree_figures(b, c->tree, seconds, &psnr);
    json_t *figures = json_pack(
        "{s:O, s:O, s:O, s:O, s:O, s:o}", "test_accuracy", json_object_get(train, "test_accuracy"),
        "best_test_accuracy", json_object_get(train, "best_test_accuracy"), "best_epoch",
        json_object_get(train, "best_epoch"), "train_accuracy",
        json_object_get(train, "train_accuracy"), "train_loss",
        json_object_get(train, "train_loss"), "psnr_db", psnr ? psnr : json_null());
    return json_pack("{s:s, s:s, s:s, s:I, s:O, s:o, s:o, s:o, s:b, s:s}", "protection",
                     m->protection[c->protection].name, "countermeasure",
                     m->countermeasure[c->countermeasure].name, "victim", m->victim[c->victim],
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

status bench_result_write(const struct train_bench *b, const struct bench_cell *c,
                          const struct bench_figures *f, struct errmsg *e)
{
    json_t *train = json_loads(f->train_json, 0, NULL);
    if (!json_is_number(json_object_get(train, "test_accuracy"))) {
        json_decref(train);
        return errmsg_set(e, STATUS_CORRUPT, "relearn train printed no test accuracy");
    }
    status st = put_json(b, "results", c->id, result_json(b, c, f, train), e);
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

/* ---- reading ---- */

static const struct bench_cell *chosen(const struct train_bench *b, int i)
{
    const struct bench_cell *c = b->cell;
    for (;; c++)
        if (c->chosen && i-- == 0)
            return c;
}

int train_bench_cells(const struct train_bench *b)
{
    int n = 0;
    for (int i = 0; i < b->n_cells; i++)
        n += b->cell[i].chosen;
    return n;
}

static double number(const json_t *j, double absent)
{
    return json_is_number(j) ? json_number_value(j) : absent;
}

static status read_result(const struct train_bench *b, struct train_bench_cell *out,
                          struct errmsg *e)
{
    json_t *j = NULL;
    status st = bench_read(b, "results", out->id, &j, e);
    if (st)
        return st;
    const json_t *f = json_object_get(j, "figures");
    out->figure[TRAIN_BENCH_LAST] = number(json_object_get(f, "test_accuracy"), NAN);
    out->figure[TRAIN_BENCH_BEST] = number(json_object_get(f, "best_test_accuracy"), NAN);
    out->figure[TRAIN_BENCH_TRAIN] = number(json_object_get(f, "train_accuracy"), NAN);
    out->figure[TRAIN_BENCH_PSNR] = number(json_object_get(f, "psnr_db"), INFINITY);
    out->seconds = json_is_true(json_object_get(j, "resumed"))
                       ? NAN
                       : number(json_object_get(json_object_get(j, "seconds"), "train"), NAN);
    out->state = TRAIN_BENCH_DONE;
    json_decref(j);
    return STATUS_OK;
}

status train_bench_cell(const struct train_bench *b, int i, struct train_bench_cell *out,
                        struct errmsg *e)
{
    const struct bench_cell *c = chosen(b, i);
    AUTO(mem_free) char *claims = mem_printf("%s/claims", b->out);
    *out = (struct train_bench_cell){.protection = b->matrix.protection[c->protection].name,
                                     .countermeasure =
                                         b->matrix.countermeasure[c->countermeasure].name,
                                     .victim = b->matrix.victim[c->victim],
                                     .seed = c->seed,
                                     .figure = {NAN, NAN, NAN, NAN},
                                     .seconds = NAN};
    memcpy(out->id, c->id, sizeof out->id);
    if (!claims)
        return STATUS_NOMEM;
    status st = read_result(b, out, e);
    if (st != STATUS_NOT_FOUND)
        return st;
    json_t *failed = NULL;
    if (claim_held(claims, c->id, CLAIM_STALE_S)) {
        out->state = TRAIN_BENCH_CLAIMED;
    } else if (bench_read(b, "failed", c->id, &failed, NULL) == STATUS_OK) {
        const char *why = json_string_value(json_object_get(failed, "why"));
        out->state = TRAIN_BENCH_FAILED;
        snprintf(out->why, sizeof out->why, "%s", why ? why : "");
        json_decref(failed);
    }
    return STATUS_OK;
}

double train_bench_time_left(const struct train_bench *b)
{
    double sum = 0;
    int measured = 0, open = 0;
    for (int i = 0; i < train_bench_cells(b); i++) {
        struct train_bench_cell c;
        if (train_bench_cell(b, i, &c, NULL))
            continue;
        open += c.state != TRAIN_BENCH_DONE;
        measured += isfinite(c.seconds);
        sum += isfinite(c.seconds) ? c.seconds : 0;
    }
    return open == 0 ? 0 : measured ? sum / measured * open / b->jobs : NAN;
}
