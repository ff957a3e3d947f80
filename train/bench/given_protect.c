/* Options of `relearn protect`. */
#include "bench/given.h"

#include "protect/protect.h"

#include <stddef.h>
#include <string.h>

static const char *const quantises[] = {"round", "truncate", "positive-half", NULL};

/* Only their kinds and limits are asked for: the command has the defaults. */
struct protecting {
    uint64_t seed;
    double after, eps, fraction;
    char classes[PARAM_TEXT_MAX];
    int quantise;
};
static const struct param protect_rows[] = {
    {"after", PARAM_DOUBLE, offsetof(struct protecting, after), .lo = 0, .hi = .999999,
     .standard = "0", .about = ""},
    {"classes", PARAM_TEXT, offsetof(struct protecting, classes), .standard = "", .about = ""},
    {"eps", PARAM_DOUBLE, offsetof(struct protecting, eps), .lo = 0, .hi = 255, .standard = "0",
     .about = ""},
    {"fraction", PARAM_DOUBLE, offsetof(struct protecting, fraction), .lo = 1e-6, .hi = 1,
     .standard = "1", .about = ""},
    {"quantise", PARAM_ENUM, offsetof(struct protecting, quantise), .names = quantises,
     .standard = "round", .about = ""},
    {"seed", PARAM_U64, offsetof(struct protecting, seed), .standard = "0", .about = ""},
};
static const struct param_table protect_table = PARAM_TABLE(protect_rows, struct protecting);

static const struct param_table *protect_params(const char *method)
{
    const char *name;
    for (int i = 0; (name = train_protect_method(i, NULL)); i++)
        if (strcmp(name, method) == 0)
            return train_protect_params(i);
    return NULL;
}

status given_protect(struct given *g, const char *method, const char *key, const char *value,
                     int line, struct errmsg *e)
{
    const struct param_table *own = protect_params(method);
    AUTO(buf_done) struct buf names = BUF_INIT(400);
    if (!own)
        return protect_unknown(method, e);
    const struct param *row = param_find(&protect_table, key);
    row = row ? row : param_find(own, key);
    if (row)
        return given_row(g, "", row, false, value, line, e);
    given_keys(&protect_table, "", &names);
    given_keys(own, "", &names);
    return errmsg_set(e, STATUS_INVALID, "%s has no '%.48s'; it has method, on, %s", method, key,
                      names.data ? names.data : "");
}
