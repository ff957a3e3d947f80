#include "report.h"

#include <math.h>
#include <string.h>

enum { LOG_BYTES_MAX = 1 << 28, CURVES = 2 + TRAIN_STAGES_MAX };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

double report_number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static status alloc_series(struct report_run *r, int lines)
{
    double **all[CURVES + 1] = {&r->epoch, &r->train, &r->test};
    for (int s = 0; s < TRAIN_STAGES_MAX; s++)
        all[3 + s] = &r->acm[s];
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!(*all[i] = mem_zalloc((size_t)lines, sizeof(double))))
            return STATUS_NOMEM;
    return STATUS_OK;
}

static void add_line(struct report_run *r, const json_t *j)
{
    int i = r->n++;
    r->epoch[i] = report_number(j, "epoch");
    r->train[i] = report_number(j, "train_accuracy");
    r->test[i] = report_number(j, "test_accuracy");
    const json_t *acm = json_object_get(j, "acm");
    for (int s = 0; s < TRAIN_STAGES_MAX; s++) {
        const json_t *v = json_array_get(acm, (size_t)s);
        r->acm[s][i] = json_is_number(v) ? json_number_value(v) : NAN;
        if (json_is_number(v) && s >= r->stages)
            r->stages = s + 1;
    }
    if (isfinite(r->test[i])) {
        r->last = r->test[i];
        if (!(r->best >= r->test[i])) {
            r->best = r->test[i];
            r->best_epoch = (int)r->epoch[i];
        }
    }
    double s = report_number(j, "seconds");
    r->seconds += isfinite(s) ? s : 0;
    r->images_per_s = report_number(j, "images_per_s");
}

static status read_log(const char *dir, struct report_run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/log.jsonl", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, LOG_BYTES_MAX, &data, &len, e) : STATUS_NOMEM;
    if (st)
        return st;
    int lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += ((char *)data)[i] == '\n';
    st = alloc_series(r, lines + 1);
    int number_of = 0;
    for (char *at = data, *end = at + len; at < end && !st; number_of++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        json_t *j = json_loadb(at, (size_t)(stop - at), 0, NULL);
        if (json_is_object(j))
            add_line(r, j);
        else
            st =
                errmsg_set(e, STATUS_CORRUPT, "%s: line %d is no JSON object", path, number_of + 1);
        json_decref(j);
        at = stop + 1;
    }
    return st;
}

status report_read_run(const char *dir, struct report_run *r, struct errmsg *e)
{
    *r = (struct report_run){.name = base_name(dir), .best = NAN, .last = NAN, .images_per_s = NAN};
    AUTO(mem_free) char *path = mem_printf("%s/config.json", dir);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, LOG_BYTES_MAX, &data, &len, e) : STATUS_NOMEM;
    if (st)
        return st;
    r->config = json_loadb(data, len, 0, NULL);
    if (!json_is_object(r->config))
        return errmsg_set(e, STATUS_CORRUPT, "%s is no JSON object", path);
    return read_log(dir, r, e);
}

void report_run_done(struct report_run *r)
{
    json_decref(r->config);
    mem_free(r->epoch);
    mem_free(r->train);
    mem_free(r->test);
    for (int s = 0; s < TRAIN_STAGES_MAX; s++)
        mem_free(r->acm[s]);
}
