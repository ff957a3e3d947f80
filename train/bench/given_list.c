/* Options that were given, as a list. */
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
