#include "model.h"

#include "foreign.h"
#include "nets.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

status train_precision_check(enum nn_precision p, struct errmsg *e)
{
    return nn_precision_check(p, "use --precision f32", e);
}

status train_net_unknown(const char *name, struct errmsg *e)
{
    char list[256];
    const struct train_net *net;
    size_t len = 0;
    for (int i = 0; (net = train_net_at(i)) && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", net->name);
    return errmsg_set(e, STATUS_INVALID, "no network is called \"%s\"; there are %s", name, list);
}

/* ---- metadata ---- */

void train_kv_add(struct kv_list *m, const char *key, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    AUTO(buf_done) struct buf b = BUF_INIT((size_t)1 << 24);
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    status st = m->st ? m->st : len < 0 ? STATUS_INVALID : buf_reserve(&b, (size_t)len + 1);
    if (!st && m->n == KV_MAX)
        st = STATUS_LIMIT;
    if (!st) {
        vsnprintf(b.data, (size_t)len + 1, fmt, again);
        text = TAKE(b.data);
    }
    va_end(again);
    va_end(ap);
    if (st) {
        m->st = st;
        return;
    }
    m->text[m->n] = text;
    m->pair[m->n++] = (struct nn_meta){key, text};
}

void train_kv_done(struct kv_list *m)
{
    for (int i = 0; i < m->n; i++)
        mem_free(m->text[i]);
    m->n = 0;
}

double train_kv_double(const struct nn_file *f, const char *key, double absent)
{
    const char *text = nn_file_meta(f, key);
    char *end;
    double v = text ? strtod(text, &end) : absent;
    return text && (end == text || *end) ? absent : v;
}

long long train_kv_int(const struct nn_file *f, const char *key, long long absent)
{
    const char *text = nn_file_meta(f, key);
    char *end;
    errno = 0;
    long long v = text ? strtoll(text, &end, 10) : absent;
    return text && (end == text || *end || errno) ? absent : v;
}

/* `"a,b,c"` with enough digits to come back the same. */
static void add_floats(struct kv_list *m, const char *key, const float *v, int n)
{
    char text[96];
    int len = 0;
    for (int i = 0; i < n; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, i ? ",%.9g" : "%.9g", (double)v[i]);
    train_kv_add(m, key, "%s", text);
}

static bool read_floats(const char *text, int n, float *out)
{
    for (int i = 0; i < n; i++) {
        char *end;
        out[i] = strtof(text, &end);
        if (end == text || *end != (i + 1 < n ? ',' : 0))
            return false;
        text = end + 1;
    }
    return true;
}

/* Names that are no UTF-8 cannot be JSON; such a file names no classes. */
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

/* Builds a graph once so that all parameters exist. */
static status create_params(struct train_model *m, struct errmsg *e)
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

static status model_alloc(const struct train_net *net, struct train_net_shape shape,
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
    st = create_params(m, NULL);
    if (!st)
        *out = TAKE(m);
    return st;
}

/* ---- loading ---- */

static status read_shape(const struct nn_file *f, const char *path,
                         const struct train_model_hint *hint, struct train_net_shape *out,
                         struct errmsg *e)
{
    struct train_net_shape s = hint->shape;
    const char *size = nn_file_meta(f, "image_size");
    int w = 0, h = 0;
    if (size && sscanf(size, "%dx%d", &w, &h) != 2)
        return errmsg_set(e, STATUS_CORRUPT, "%s: image_size is \"%.40s\"", path, size);
    if (!s.width || !s.height) {
        s.width = w;
        s.height = h;
    }
    if (!s.width || !s.height)
        s.width = s.height = hint->size;
    if (!s.channels)
        s.channels = (int)train_kv_int(f, "in_channels", train_foreign_channels(f));
    if (!s.classes)
        s.classes = (int)train_kv_int(f, "classes", train_foreign_classes(f));
    if (!s.width || !s.height)
        return errmsg_set(e, STATUS_INVALID,
                          "%s does not say for images of which size it is (use --size)", path);
    bool good = s.width >= 1 && s.width <= 4096 && s.height >= 1 && s.height <= 4096 &&
                (s.channels == 1 || s.channels == 3) && s.classes >= 1 &&
                s.classes <= TRAIN_CLASSES_MAX;
    if (!good)
        return errmsg_set(e, STATUS_INVALID,
                          "%s does not say (well) for which images and classes it is: %dx%d, %d "
                          "channels, %d classes",
                          path, s.width, s.height, s.channels, s.classes);
    *out = s;
    return STATUS_OK;
}

static status read_scaling(const struct nn_file *f, const char *path,
                           const struct train_model_hint *hint, struct train_model *m,
                           struct errmsg *e)
{
    int c = m->shape.channels;
    const char *mean = nn_file_meta(f, "mean"), *std = nn_file_meta(f, "std");
    if ((mean && !read_floats(mean, c, m->mean)) || (std && !read_floats(std, c, m->std)))
        return errmsg_set(e, STATUS_CORRUPT, "%s: mean or std is not a list of %d numbers", path,
                          c);
    if (hint->mean)
        memcpy(m->mean, hint->mean, (size_t)c * sizeof *m->mean);
    if (hint->std)
        memcpy(m->std, hint->std, (size_t)c * sizeof *m->std);
    return STATUS_OK;
}

static status read_names(const struct nn_file *f, const char *path, struct train_model *m,
                         struct errmsg *e)
{
    const char *text = nn_file_meta(f, "class_names");
    if (!text)
        return STATUS_OK;
    json_t *names = json_loads(text, 0, NULL);
    status st = STATUS_OK;
    if (!json_is_array(names) || json_array_size(names) != (size_t)m->shape.classes)
        st = errmsg_set(e, STATUS_CORRUPT, "%s: class_names is not a list of %d names", path,
                        m->shape.classes);
    if (!st && !(m->class_name = mem_zalloc((size_t)m->shape.classes, sizeof *m->class_name)))
        st = STATUS_NOMEM;
    for (int k = 0; k < m->shape.classes && !st; k++) {
        const char *name = json_string_value(json_array_get(names, (size_t)k));
        m->class_name[k] = mem_strdup(name ? name : "");
        st = m->class_name[k] ? STATUS_OK : STATUS_NOMEM;
    }
    json_decref(names);
    return st;
}

/* NULL and no error: the file does not say, nor does the hint. */
static status named_net(const struct nn_file *f, const struct train_model_hint *hint,
                        const struct train_net **out, struct errmsg *e)
{
    const char *name = hint->arch ? hint->arch : nn_file_meta(f, "architecture");
    if (name && strcmp(name, "percept-vgg") == 0)
        name = "percept";
    *out = name ? train_net_find(name) : NULL;
    return name && !*out && hint->arch ? train_net_unknown(hint->arch, e) : STATUS_OK;
}

/* Everything but the weights themselves. */
static status describe(const struct nn_file *f, const char *path,
                       const struct train_model_hint *hint, const struct train_net *net,
                       struct train_model **out, struct errmsg *e)
{
    AUTO(train_model_free) struct train_model *m = NULL;
    struct train_net_shape shape;
    status st = read_shape(f, path, hint, &shape, e);
    if (!st)
        st = model_alloc(net, shape, &m);
    if (!st)
        st = read_scaling(f, path, hint, m, e);
    if (!st)
        st = read_names(f, path, m, e);
    if (!st)
        st = create_params(m, e);
    if (!st)
        *out = TAKE(m);
    return st;
}

/* The first of our networks that the file holds exactly. */
static status recognise(const struct nn_file *f, const char *path,
                        const struct train_model_hint *hint, struct train_model **out,
                        struct errmsg *e)
{
    const struct train_net *net;
    for (int i = 0; (net = train_net_at(i)); i++) {
        AUTO(train_model_free) struct train_model *m = NULL;
        struct train_model_hint with = *hint;
        /* The sizes of the images change no weight: any will do to compare. */
        with.shape.width = with.shape.width ? with.shape.width : 32;
        with.shape.height = with.shape.height ? with.shape.height : 32;
        if (!describe(f, path, &with, net, &m, NULL) && train_foreign_is(f, m->params))
            return describe(f, path, hint, net, out, e);
    }
    return errmsg_set(e, STATUS_INVALID,
                      "%s does not name a classifier that we have, and its tensors are none's "
                      "(say which with --arch: relearn train --list)",
                      path);
}

status train_model_load(const char *path, const struct train_model_hint *hint,
                        struct train_model **out, struct errmsg *e)
{
    static const struct train_model_hint none;
    if (!hint)
        hint = &none;
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(train_model_free) struct train_model *m = NULL;
    const struct train_net *net = NULL;
    status st = nn_file_open_any(path, &f, e);
    if (!st)
        st = named_net(f, hint, &net, e);
    if (st)
        return st;
    st = net ? describe(f, path, hint, net, &m, e) : recognise(f, path, hint, &m, e);
    if (!st)
        st = train_foreign_load(f, m->params, e);
    if (st)
        return errmsg_prefix(e, st, "cannot use %s", path);
    *out = TAKE(m);
    return STATUS_OK;
}
