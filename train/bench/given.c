#include "bench/given.h"

#include <string.h>

status given_put(struct given *g, const struct given_item *item)
{
    int at = 0;
    while (at < g->n && strcmp(g->item[at].key, item->key) < 0)
        at++;
    if (at < g->n && strcmp(g->item[at].key, item->key) == 0) {
        g->item[at] = *item;
        return STATUS_OK;
    }
    if (g->n == GIVEN_MAX)
        return STATUS_LIMIT;
    memmove(&g->item[at + 1], &g->item[at], (size_t)(g->n - at) * sizeof *g->item);
    g->item[at] = *item;
    g->n++;
    return STATUS_OK;
}

status given_merge(struct given *g, const struct given *over)
{
    status st = STATUS_OK;
    for (int i = 0; i < over->n && !st; i++)
        st = given_put(g, &over->item[i]);
    return st;
}

const char *given_value(const struct given *g, const char *key)
{
    for (int i = 0; i < g->n; i++)
        if (strcmp(g->item[i].key, key) == 0)
            return g->item[i].value;
    return NULL;
}

json_t *given_json(const struct given *g)
{
    json_t *j = json_object();
    for (int i = 0; j && i < g->n; i++)
        if (json_object_set_new(j, g->item[i].key, json_string(g->item[i].value))) {
            json_decref(j);
            return NULL;
        }
    return j;
}

/* ---- rows of tables ---- */

/* The row's text for what `value` says. */
static status normal(const struct param *row, const char *value, char out[PARAM_TEXT_MAX],
                     struct errmsg *e)
{
    AUTO(mem_free) char *values = mem_zalloc(1, row->offset + PARAM_TEXT_MAX);
    AUTO(buf_done) struct buf text = BUF_INIT(PARAM_TEXT_MAX - 1);
    if (!values)
        return STATUS_NOMEM;
    status st = param_set_row(row, values, value, e);
    if (!st)
        st = param_get(row, values, &text);
    if (!st)
        snprintf(out, PARAM_TEXT_MAX, "%s", text.data ? text.data : "");
    return st;
}

status given_row(struct given *g, const char *prefix, const struct param *row, bool flag,
                 const char *value, int line, struct errmsg *e)
{
    struct given_item item = {.flag = flag, .line = line};
    snprintf(item.key, sizeof item.key, "%s%s", prefix, row->key);
    for (char *c = item.key; *c; c++)
        *c = *c == '_' ? '-' : *c;
    status st = normal(row, value, item.value, e);
    return st ? st : given_put(g, &item);
}

void given_keys(const struct param_table *t, const char *prefix, struct buf *out)
{
    for (int i = 0; i < t->n; i++)
        status_ignore(buf_addf(out, "%s%s%s", out->len ? ", " : "", prefix, t->row[i].key),
                      "the list is cut there");
}
