/* The unlearnable distance of two runs, from what they logged of their layers. train.h says what it
   is. */
#include "ud.h"

#include "ascending.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES_MAX = 1 << 28 };

/* The SAL of a run's layers: all that its log says of it. */
struct course {
    const char *dir;
    int layers, epochs;
    char **name;   /* (layers), as in the first line that has them */
    double *value; /* (epochs,layers) */
};

static void course_done(struct course *c)
{
    for (int i = 0; c->name && i < c->layers; i++)
        mem_free(c->name[i]);
    mem_free(c->name);
    mem_free(c->value);
}

/* ---- reading ---- */

static status take_names(struct course *c, const json_t *sal, int lines, struct errmsg *e)
{
    int n = (int)json_object_size(sal);
    c->name = mem_zalloc((size_t)n + 1, sizeof *c->name);
    c->value = mem_zalloc((size_t)n * (size_t)lines + 1, sizeof *c->value);
    if (!c->name || !c->value)
        return STATUS_NOMEM;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)sal, key, value)
    {
        if (!(c->name[c->layers++] = mem_strdup(key)))
            return STATUS_NOMEM;
    }
    return n >= 2 ? STATUS_OK
                  : errmsg_set(e, STATUS_INVALID,
                               "%s: %d layer has no two clusters that a threshold could be between",
                               c->dir, n);
}

static status take_line(struct course *c, const json_t *line, int number, int lines,
                        struct errmsg *e)
{
    const json_t *sal = json_object_get(line, "sal");
    if (json_is_object(line) && !sal)
        return STATUS_OK;
    status st = sal && !c->name ? take_names(c, sal, lines, e) : STATUS_OK;
    bool good = json_is_object(sal) && (int)json_object_size(sal) == c->layers;
    for (int i = 0; !st && good && i < c->layers; i++) {
        const json_t *v = json_object_get(sal, c->name[i]);
        good = json_is_number(v);
        c->value[(size_t)c->epochs * (size_t)c->layers + (size_t)i] = json_number_value(v);
    }
    c->epochs++;
    return st || good ? st
                      : errmsg_set(e, STATUS_CORRUPT,
                                   "%s/log.jsonl: line %d does not have the SAL of each layer",
                                   c->dir, number);
}

static status read_course(const char *dir, struct course *c, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/log.jsonl", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    int lines = 1, number = 0;
    c->dir = dir;
    status st = path ? io_read_file(path, LOG_BYTES_MAX, &data, &len, e) : STATUS_NOMEM;
    for (size_t i = 0; !st && i < len; i++)
        lines += ((char *)data)[i] == '\n';
    for (char *at = data, *end = st ? at : at + len; at < end && !st;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        json_t *j = json_loadb(at, (size_t)(stop - at), 0, NULL);
        st = take_line(c, j, ++number, lines, e);
        json_decref(j);
        at = stop + 1;
    }
    if (!st && !c->epochs)
        st = errmsg_set(e, STATUS_NOT_FOUND, "%s has no SAL in its log (relearn train --sal)", dir);
    return st;
}

static status check_alike(const struct course *a, const struct course *b, struct errmsg *e)
{
    if (a->epochs != b->epochs)
        return errmsg_set(e, STATUS_INVALID,
                          "the SAL of %s is of %d epochs, that of %s of %d: it falls as a network "
                          "learns, so they cannot be compared",
                          a->dir, a->epochs, b->dir, b->epochs);
    bool same = a->layers == b->layers;
    for (int i = 0; same && i < a->layers; i++)
        same = strcmp(a->name[i], b->name[i]) == 0;
    return same ? STATUS_OK
                : errmsg_set(e, STATUS_INVALID,
                             "%s and %s are runs of different networks: their layers are not the "
                             "same",
                             a->dir, b->dir);
}

/* ---- figures ---- */

double train_ud_threshold(double *v, int n)
{
    double all = 0, low = 0, most = -1, best = NAN;
    qsort(v, (size_t)n, sizeof *v, ascending);
    for (int i = 0; i < n; i++)
        all += v[i];
    /* The least sum of squares within is the largest between: n_low n_high (difference of means)^2. */
    for (int i = 1; i < n; i++) {
        low += v[i - 1];
        double mean_low = low / i, mean_high = (all - low) / (n - i);
        double apart = (mean_high - mean_low) * (mean_high - mean_low) * i * (n - i);
        if (apart > most) {
            most = apart;
            best = (mean_low + mean_high) / 2;
        }
    }
    return best;
}

static double count_above(const struct course *c, double threshold)
{
    int above = 0;
    for (int i = 0; i < c->epochs * c->layers; i++)
        above += c->value[i] > threshold;
    return (double)above / c->epochs;
}

static status compare(const struct course *clean, const struct course *other, struct train_ud *out)
{
    size_t n = (size_t)clean->layers;
    AUTO(mem_free) double *sorted = mem_alloc(n * sizeof *sorted);
    if (!sorted)
        return STATUS_NOMEM;
    struct train_ud u = {.layers = clean->layers, .epochs = clean->epochs};
    for (int k = 0; k < u.epochs; k++) {
        memcpy(sorted, clean->value + (size_t)k * n, n * sizeof *sorted);
        u.threshold += train_ud_threshold(sorted, u.layers) / u.epochs;
    }
    u.clean_count = count_above(clean, u.threshold);
    u.count = count_above(other, u.threshold);
    u.distance = u.clean_count > 0 ? u.count / u.clean_count : NAN;
    *out = u;
    return STATUS_OK;
}

status train_ud(const char *clean_run_dir, const char *run_dir, struct train_ud *out,
                struct errmsg *e)
{
    struct course clean = {.layers = 0}, other = {.layers = 0};
    status st = read_course(clean_run_dir, &clean, e);
    if (!st)
        st = read_course(run_dir, &other, e);
    if (!st)
        st = check_alike(&clean, &other, e);
    if (!st)
        st = compare(&clean, &other, out);
    course_done(&clean);
    course_done(&other);
    return st;
}
