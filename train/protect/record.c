/* protection.json: what was done to a tree, so that it can be done again. */
#include "param_json.h"
#include "protect/protect.h"

#include <math.h>
#include <string.h>

static json_t *record_strength(const struct protect_job *j, json_t *r)
{
    if (r && j->method->eps > 0)
        json_object_set_new(r, "eps", json_real(j->eps));
    return r;
}

/* What had been done to the images before. */
static void record_before(const struct protect_job *j, json_t *r)
{
    enum { RECORD_BYTES_MAX = 1 << 28 };
    AUTO(mem_free) char *path = mem_printf("%s/protection.json", j->opt->src_dir);
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    if (!path || io_read_file(path, RECORD_BYTES_MAX, &text, &len, NULL))
        return;
    json_t *before = json_loadb(text, len, 0, NULL);
    if (json_is_object(before))
        json_object_set(r, "on", before);
    json_decref(before);
}

static json_t *record(const struct protect_job *j)
{
    json_t *r = record_strength(j, json_pack("{s:s}", "method", j->method->name));
    json_t *rest =
        json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:i}", "quantise",
                  train_quantise_name(j->quantise), "seed", (json_int_t)j->opt->seed, "images",
                  j->info.samples, "classes", j->info.classes, "width", j->info.width, "height",
                  j->info.height, "channels", j->info.channels, "mean_l2", j->result.mean_l2,
                  "max_abs", j->result.max_abs, "left_out", j->info.bad);
    bool good = r && rest && json_object_update(r, rest) == 0;
    json_decref(rest);
    if (good && (j->least_width < j->info.width || j->least_height < j->info.height)) {
        json_object_set_new(r, "least_width", json_integer(j->least_width));
        json_object_set_new(r, "least_height", json_integer(j->least_height));
    }
    if (good && isfinite(j->result.psnr_db))
        json_object_set_new(r, "psnr_db", json_real(j->result.psnr_db));
    if (good)
        good = protect_record_part(j, r) == STATUS_OK;
    if (good)
        record_before(j, r);
    if (good && j->method->describe)
        j->method->describe(j, r);
    json_t *params = good ? train_param_json(&j->method->params, j->param) : NULL;
    good = params && json_object_update_missing(r, params) == 0;
    json_decref(params);
    if (good)
        return r;
    json_decref(r);
    return NULL;
}

status protect_write_record(const struct protect_job *j, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/protection.json", j->opt->dst_dir);
    json_t *r = record(j);
    char *text = r ? json_dumps(r, JSON_INDENT(2)) : NULL;
    json_decref(r);
    status st = path && text ? io_write_file(path, text, strlen(text), e) : STATUS_NOMEM;
    free(text);
    return st;
}
