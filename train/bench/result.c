/* What is known of a cell, as it is on disk. */
#include "bench/bench.h"
#include "bench/claim.h"

#include <math.h>
#include <string.h>

const char *const train_bench_states[TRAIN_BENCH_STATE_COUNT + 1] = {"open", "claimed", "failed",
                                                                     "done", NULL};
const char *const train_bench_figures[TRAIN_BENCH_FIGURE_COUNT + 1] = {"last", "best",     "train",
                                                                       "psnr", "coherent", NULL};

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
    const json_t *f = json_object_get(j, "figures"), *psnr = json_object_get(f, "psnr_db");
    out->figure[TRAIN_BENCH_LAST] = number(json_object_get(f, "test_accuracy"), NAN);
    out->figure[TRAIN_BENCH_BEST] = number(json_object_get(f, "best_test_accuracy"), NAN);
    out->figure[TRAIN_BENCH_TRAIN] = number(json_object_get(f, "train_accuracy"), NAN);
    out->figure[TRAIN_BENCH_PSNR] = number(psnr, psnr ? INFINITY : NAN);
    out->figure[TRAIN_BENCH_COHERENT] = number(json_object_get(f, "coherent"), NAN);
    out->seconds = json_is_true(json_object_get(j, "resumed"))
                       ? NAN
                       : number(json_object_get(json_object_get(j, "seconds"), "train"), NAN);
    const json_t *seconds = json_object_get(j, "seconds");
    out->tune_s = number(json_object_get(seconds, bench_tree_verbs[BENCH_TUNED]), NAN);
    out->purify_s = number(json_object_get(seconds, bench_tree_verbs[BENCH_PURIFIED]), NAN);
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
                                     .victim = b->matrix.victim[c->victim].name,
                                     .seed = c->seed,
                                     .figure = {NAN, NAN, NAN, NAN, NAN},
                                     .seconds = NAN,
                                     .tune_s = NAN,
                                     .purify_s = NAN};
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
