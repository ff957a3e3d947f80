/* The files of a run: config.json, log.jsonl and test.json. */
#include "report/report.h"

#include <math.h>
#include <string.h>

enum { RUN_BYTES_MAX = 1 << 28 };

static const char *const series_keys[REPORT_ACM] = {
    [REPORT_EPOCH] = "epoch",
    [REPORT_TEST_ACCURACY] = "test_accuracy",
    [REPORT_TRAIN_ACCURACY] = "train_accuracy",
    [REPORT_TEST_LOSS] = "test_loss",
    [REPORT_TRAIN_LOSS] = "train_loss",
    [REPORT_LR] = "lr",
    [REPORT_IMAGES_PER_S] = "images_per_s",
    [REPORT_SECONDS] = "seconds",
    [REPORT_AGREEMENT] = "agreement",
    [REPORT_SAL] = "sal",
};

const char *report_series_key(int series)
{
    return series < REPORT_ACM ? series_keys[series] : series < REPORT_SCALE ? "acm" : "scale";
}

int report_series_stage(int series)
{
    return series < REPORT_ACM     ? -1
           : series < REPORT_SCALE ? series - REPORT_ACM
                                   : series - REPORT_SCALE;
}

double report_number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *report_text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

const char *report_option(const struct report_run *r, const char *key)
{
    return report_text(json_object_get(r->config, "options"), key);
}

double report_last(const struct report_run *r, enum report_series s)
{
    for (int i = r->n - 1; i >= 0; i--)
        if (isfinite(r->series[s][i]))
            return r->series[s][i];
    return NAN;
}

const json_t *report_protected_by(const struct report_run *r)
{
    const json_t *by = json_object_get(r->config, "protected_by");
    return json_is_object(by) ? by : NULL;
}

const json_t *report_purified_by(const struct report_run *r)
{
    const json_t *by = json_object_get(r->config, "purified_by");
    return json_is_object(by) ? by : NULL;
}

/* NAN: no layer has a number. */
static double mean_of(const json_t *layers)
{
    const char *key;
    json_t *value;
    double sum = 0;
    int n = 0;
    json_object_foreach((json_t *)layers, key, value)
    {
        if (!json_is_number(value))
            continue;
        sum += json_number_value(value);
        n++;
    }
    return n ? sum / n : NAN;
}

static double value_of(const json_t *line, int series)
{
    int stage = report_series_stage(series);
    if (series == REPORT_SAL)
        return mean_of(json_object_get(line, report_series_key(series)));
    if (stage < 0)
        return report_number(line, report_series_key(series));
    const json_t *v =
        json_array_get(json_object_get(line, report_series_key(series)), (size_t)stage);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static status add_line(struct report_run *r, const json_t *line)
{
    int i = r->n++;
    for (int s = 0; s < REPORT_SERIES_COUNT; s++) {
        double v = r->series[s][i] = value_of(line, s);
        int *stages = s < REPORT_ACM ? NULL : s < REPORT_SCALE ? &r->stages : &r->slowed;
        if (stages && isfinite(v) && report_series_stage(s) >= *stages)
            *stages = report_series_stage(s) + 1;
    }
    double tested = r->series[REPORT_TEST_ACCURACY][i], took = r->series[REPORT_SECONDS][i];
    if (isfinite(tested)) {
        r->last = tested;
        if (!(r->best >= tested)) {
            r->best = tested;
            r->best_epoch = (int)r->series[REPORT_EPOCH][i];
        }
    }
    r->seconds += isfinite(took) ? took : 0;
    const char *ended = json_string_value(json_object_get(line, "ended"));
    if (!ended)
        return STATUS_OK;
    mem_free(r->ended);
    r->ended = mem_strdup(ended);
    return r->ended ? STATUS_OK : STATUS_NOMEM;
}

static status read_log(const char *dir, struct report_run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/log.jsonl", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, RUN_BYTES_MAX, &data, &len, e) : STATUS_NOMEM;
    if (st)
        return st;
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += ((char *)data)[i] == '\n';
    for (int s = 0; s < REPORT_SERIES_COUNT; s++)
        if (!(r->series[s] = mem_zalloc(lines, sizeof(double))))
            return STATUS_NOMEM;
    int number_of = 0;
    for (char *at = data, *end = at + len; at < end && !st; number_of++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        json_t *j = json_loadb(at, (size_t)(stop - at), 0, NULL);
        if (json_is_object(j))
            st = add_line(r, j);
        else
            st =
                errmsg_set(e, STATUS_CORRUPT, "%s: line %d is no JSON object", path, number_of + 1);
        json_decref(j);
        at = stop + 1;
    }
    return st;
}

/* A run has it once it was tested, and those of older versions have none. */
static status read_test(const char *dir, struct report_run *r)
{
    AUTO(mem_free) char *path = mem_printf("%s/test.json", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    if (!path)
        return STATUS_NOMEM;
    if (!io_read_file(path, RUN_BYTES_MAX, &data, &len, NULL))
        r->test = json_loadb(data, len, 0, NULL);
    return STATUS_OK;
}

static status read_config(const char *dir, struct report_run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/config.json", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, RUN_BYTES_MAX, &data, &len, e) : STATUS_NOMEM;
    if (st)
        return st;
    r->config = json_loadb(data, len, 0, NULL);
    return json_is_object(r->config) ? STATUS_OK
                                     : errmsg_set(e, STATUS_CORRUPT, "%s is no JSON object", path);
}

static const char *base_name(const char *path, size_t *out_len)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t at = end;
    while (at > 0 && path[at - 1] != '/')
        at--;
    *out_len = end - at;
    return path + at;
}

status report_read_run(const char *dir, struct report_run *r, struct errmsg *e)
{
    size_t len;
    const char *name = base_name(dir, &len);
    *r = (struct report_run){.dir = dir, .best = NAN, .last = NAN};
    r->name = len ? mem_printf("%.*s", (int)len, name) : mem_strdup(dir);
    status st = r->name ? read_config(dir, r, e) : STATUS_NOMEM;
    if (!st)
        st = read_test(dir, r);
    return st ? st : read_log(dir, r, e);
}

void report_run_done(struct report_run *r)
{
    json_decref(r->config);
    json_decref(r->test);
    json_decref(r->facts);
    mem_free(r->name);
    mem_free(r->ended);
    for (int s = 0; s < REPORT_SERIES_COUNT; s++)
        mem_free(r->series[s]);
}
