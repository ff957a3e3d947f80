#ifndef TRAIN_PARAM_JSON_H
#define TRAIN_PARAM_JSON_H
/* Values of a table of parameters as a JSON object, and the way back. Private to train. */
#include "base/base.h"

#include <jansson.h>

/* {"side": 3, "sigma": 1.5}; NULL when there is no memory. */
json_t *train_param_json(const struct param_table *t, const void *values);

/* Parameters that own their values; keys are the table's. */
enum { PARAM_LIST_MAX = 32 };
struct param_list {
    struct param_arg arg[PARAM_LIST_MAX];
    int n;
};
/* The values in j of t's keys. Other keys are ignored; NULL is an empty object. */
status train_param_list(const struct param_table *t, const json_t *j,
                        struct param_list *out) MUST_USE;
void train_param_list_done(struct param_list *l);

#endif
