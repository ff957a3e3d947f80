/* Options of `relearn restore train` on pairs. */
#include "bench/given.h"

#include <stddef.h>
#include <string.h>

/* Only their kinds and limits are asked for: the command has the defaults. */
struct tuning {
    int batch, group, pair_limit, size, steps, warmup, precision;
    double coherence, ema, lr, pair_share, pair_transfer;
    char families[PARAM_TEXT_MAX];
    uint64_t seed;
};
#define ROW(key, kind, least, most)                                                                \
    {                                                                                              \
#key, kind, offsetof(struct tuning, key), .lo = least, .hi = most, .standard = "",         \
                                                  .about = ""                                      \
    }
static const struct param tune_rows[] = {
    ROW(batch, PARAM_INT, 1, 1 << 20),
    ROW(coherence, PARAM_DOUBLE, 0, 1e6),
    ROW(ema, PARAM_DOUBLE, 0, 1),
    ROW(families, PARAM_TEXT, 0, 0),
    ROW(group, PARAM_INT, 1, 1 << 16),
    ROW(lr, PARAM_DOUBLE, 0, 1e3),
    ROW(pair_limit, PARAM_INT, 1, 1 << 30),
    ROW(pair_share, PARAM_DOUBLE, 0, 1),
    ROW(pair_transfer, PARAM_DOUBLE, 0, 1),
    {"precision", PARAM_ENUM, offsetof(struct tuning, precision), .names = nn_precision_names,
     .standard = "f32", .about = ""},
    ROW(seed, PARAM_U64, 0, 0),
    ROW(size, PARAM_INT, 2, 4096),
    ROW(steps, PARAM_INT, 1, 1 << 30),
    ROW(warmup, PARAM_INT, 0, 1 << 30),
};
#undef ROW
static const struct param_table tune_table = PARAM_TABLE(tune_rows, struct tuning);
#define PREFIX "tune-"
#define PAIRS "pairs"

status given_tune(struct given *g, const char *key, const char *value, int line, struct errmsg *e)
{
    if (strcmp(key, PAIRS) == 0)
        return given_row(g, "", param_find(&tune_table, "pair_limit"), false, value, line, e);
    if (strncmp(key, PREFIX, strlen(PREFIX)) != 0)
        return STATUS_NOT_FOUND;
    const struct param *row = param_find(&tune_table, key + strlen(PREFIX));
    if (row)
        return given_row(g, "", row, false, value, line, e);
    AUTO(buf_done) struct buf names = BUF_INIT(400);
    given_keys(&tune_table, PREFIX, &names);
    return errmsg_set(e, STATUS_INVALID, "tuning has no '%.48s'; it has %s", key,
                      names.data ? names.data : "");
}
