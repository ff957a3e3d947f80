/* A classifier of a weights file: one of a run, or one that others trained with PyTorch. */
#include "model.h"

#include "foreign.h"

#include <jansson.h>
#include <string.h>

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
        st = model_create_params(m, e);
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
