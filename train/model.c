#include "model.h"

#include "nets.h"

#include <jansson.h>
#include <string.h>

status train_precision_check(enum nn_precision p, struct errmsg *e)
{
    return nn_precision_check(p, "use --precision f32", e);
}

static const char *net_name_at(int i)
{
    const struct train_net *net = train_net_at(i);
    return net ? net->name : NULL;
}

status train_net_unknown(const char *name, struct errmsg *e)
{
    return errmsg_unknown(e, "network", name, net_name_at);
}

/* ---- life ---- */

void train_model_free(struct train_model *m)
{
    if (!m)
        return;
    for (int k = 0; m->class_name && k < m->shape.classes; k++)
        mem_free(m->class_name[k]);
    mem_free(m->class_name);
    nn_params_free(m->params);
    mem_free(m);
}

status model_create_params(struct train_model *m, struct errmsg *e)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    status st = nn_graph_new(m->params, &g);
    if (st)
        return st;
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(1, m->shape.height, m->shape.width, m->shape.channels));
    m->net->build(g, m->shape, x, false, NULL);
    return nn_graph_status(g, e);
}

status model_alloc(const struct train_net *net, struct train_net_shape shape,
                   struct train_model **out)
{
    AUTO(train_model_free) struct train_model *m = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    m->net = net;
    m->shape = shape;
    for (int c = 0; c < TRAIN_CHANNELS_MAX; c++) {
        m->mean[c] = net->mean;
        m->std[c] = net->std;
    }
    status st = nn_params_new(&m->params);
    if (st)
        return st;
    *out = TAKE(m);
    return STATUS_OK;
}

status train_model_new(const struct train_net *net, struct train_net_shape shape,
                       const struct train_set *set, struct train_model **out)
{
    AUTO(train_model_free) struct train_model *m = NULL;
    status st = model_alloc(net, shape, &m);
    if (st)
        return st;
    m->class_name = mem_zalloc((size_t)shape.classes, sizeof *m->class_name);
    if (!m->class_name)
        return STATUS_NOMEM;
    for (int k = 0; k < shape.classes; k++)
        if (!(m->class_name[k] = mem_strdup(train_set_class(set, k))))
            return STATUS_NOMEM;
    st = model_create_params(m, NULL);
    if (!st)
        *out = TAKE(m);
    return st;
}

/* ---- metadata ---- */

/* `"a,b,c"` with enough digits to come back the same. */
static void add_floats(struct kv_list *m, const char *key, const float *v, int n)
{
    char text[96];
    int len = 0;
    for (int i = 0; i < n; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, i ? ",%.9g" : "%.9g", (double)v[i]);
    train_kv_add(m, key, "%s", text);
}

/* Names that are not UTF-8 cannot be written as JSON; the file then names no classes. */
static void add_names(struct kv_list *m, const struct train_model *model)
{
    json_t *names = json_array();
    bool utf8 = true;
    for (int k = 0; k < model->shape.classes && utf8; k++)
        utf8 = json_array_append_new(names, json_string(model->class_name[k])) == 0;
    char *text = utf8 ? json_dumps(names, JSON_COMPACT) : NULL;
    if (text)
        train_kv_add(m, "class_names", "%s", text);
    free(text);
    json_decref(names);
}

void train_model_to_kv(const struct train_model *m, struct kv_list *out)
{
    if (strcmp(m->net->name, "percept") == 0) {
        struct purify_percept_cfg cfg = train_net_percept_cfg(m->shape);
        struct purify_meta meta;
        purify_percept_to_meta(&cfg, &meta);
        for (int i = 0; i < meta.n; i++)
            train_kv_add(out, meta.pair[i].key, "%s", meta.pair[i].value);
    } else {
        train_kv_add(out, "architecture", "%s", m->net->name);
        train_kv_add(out, "in_channels", "%d", m->shape.channels);
        train_kv_add(out, "classes", "%d", m->shape.classes);
    }
    train_kv_add(out, "image_size", "%dx%d", m->shape.width, m->shape.height);
    add_floats(out, "mean", m->mean, m->shape.channels);
    add_floats(out, "std", m->std, m->shape.channels);
    if (m->class_name)
        add_names(out, m);
}
