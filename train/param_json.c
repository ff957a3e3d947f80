#include "param_json.h"

#include <string.h>

static json_t *value_json(const struct param *p, const void *values)
{
    const void *v = (const char *)values + p->offset;
    switch (p->kind) {
    case PARAM_INT:
        return json_integer(*(const int *)v);
    case PARAM_U64:
        return json_integer((json_int_t) * (const uint64_t *)v);
    case PARAM_FLOAT:
        return json_real((double)*(const float *)v);
    case PARAM_DOUBLE:
        return json_real(*(const double *)v);
    case PARAM_BOOL:
        return json_boolean(*(const bool *)v);
    case PARAM_ENUM:
        return json_string(p->names[*(const int *)v]);
    case PARAM_TEXT:
        return json_string(v);
    }
    return NULL;
}

json_t *train_param_json(const struct param_table *t, const void *values)
{
    json_t *j = json_object();
    for (int i = 0; j && i < t->n; i++)
        if (json_object_set_new(j, t->row[i].key, value_json(&t->row[i], values))) {
            json_decref(j);
            return NULL;
        }
    return j;
}

static char *value_text(const struct param *p, const json_t *v)
{
    if (json_is_integer(v) && p->kind != PARAM_U64)
        return mem_printf("%lld", (long long)json_integer_value(v));
    if (json_is_integer(v))
        return mem_printf("%llu", (unsigned long long)json_integer_value(v));
    if (json_is_real(v))
        return mem_printf("%.17g", json_real_value(v));
    if (json_is_boolean(v))
        return mem_strdup(json_is_true(v) ? "yes" : "no");
    return mem_strdup(json_is_string(v) ? json_string_value(v) : "");
}

status train_param_list(const struct param_table *t, const json_t *j, struct param_list *out)
{
    *out = (struct param_list){.n = 0};
    for (int i = 0; i < t->n; i++) {
        const json_t *v = json_object_get(j, t->row[i].key);
        if (!v)
            continue;
        CHECK(out->n < PARAM_LIST_MAX);
        char *text = value_text(&t->row[i], v);
        if (!text) {
            train_param_list_done(out);
            return STATUS_NOMEM;
        }
        out->arg[out->n++] = (struct param_arg){t->row[i].key, text};
    }
    return STATUS_OK;
}

void train_param_list_done(struct param_list *l)
{
    for (int i = 0; i < l->n; i++)
        mem_free((char *)l->arg[i].value);
    l->n = 0;
}
