/* Array archives to ImageFolder trees, as plain PNG. A run that was stopped leaves nothing and is
 * simply repeated. */
#include "archive.h"
#include "out_tree.h"
#include "train.h"

#include <string.h>

struct unpack {
    const struct train_unpack_options *opt;
    struct archive archive;
    char **class_name;
    int classes; /* 0 when flat */
    int n;
};

static int count_classes(const struct unpack *u)
{
    int most = -1;
    for (size_t i = 0; i < archive_count(&u->archive); i++) {
        int label = archive_label(&u->archive, i);
        most = label > most ? label : most;
    }
    return most + 1;
}

static bool is_folder_name(const char *s)
{
    return *s && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static status given_names(struct unpack *u, struct errmsg *e)
{
    const char *at = u->opt->class_names;
    for (int k = 0; k < u->classes; k++) {
        size_t len = at ? strcspn(at, ",") : 0;
        u->class_name[k] = mem_printf("%.*s", (int)len, at ? at : "");
        if (!u->class_name[k])
            return STATUS_NOMEM;
        if (!is_folder_name(u->class_name[k]))
            return errmsg_set(e, STATUS_INVALID,
                              "class %d of %d gets no usable folder name from \"%s\"", k,
                              u->classes, u->opt->class_names);
        for (int o = 0; o < k; o++)
            if (strcmp(u->class_name[o], u->class_name[k]) == 0)
                return errmsg_set(e, STATUS_INVALID, "two classes are both called \"%s\"",
                                  u->class_name[k]);
        at = at && at[len] ? at + len + 1 : NULL;
    }
    return at ? errmsg_set(e, STATUS_INVALID, "more class names than the %d classes", u->classes)
              : STATUS_OK;
}

/* All of one width, so that the order of names is the order of labels. */
static status digit_names(struct unpack *u)
{
    int width = snprintf(NULL, 0, "%d", u->classes - 1);
    for (int k = 0; k < u->classes; k++)
        if (!(u->class_name[k] = mem_printf("%0*d", width, k)))
            return STATUS_NOMEM;
    return STATUS_OK;
}

static status name_classes(struct unpack *u, struct errmsg *e)
{
    if (u->opt->flat)
        return STATUS_OK;
    if (!archive_has_labels(&u->archive))
        return errmsg_set(e, STATUS_INVALID, "%s has no labels (give --labels, or --flat for none)",
                          u->opt->images);
    u->classes = count_classes(u);
    if (u->classes > TRAIN_CLASSES_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s has labels up to %d", u->opt->images,
                          u->classes - 1);
    u->class_name = mem_zalloc((size_t)u->classes, sizeof *u->class_name);
    if (!u->class_name)
        return STATUS_NOMEM;
    return u->opt->class_names ? given_names(u, e) : digit_names(u);
}

static status make_dirs(const struct unpack *u, struct out_tree *t, struct errmsg *e)
{
    status st = out_tree_dir(t, u->opt->out_dir, e);
    for (int k = 0; k < u->classes && !st; k++) {
        AUTO(mem_free) char *dir = mem_printf("%s/%s", u->opt->out_dir, u->class_name[k]);
        st = dir ? out_tree_dir(t, dir, e) : STATUS_NOMEM;
    }
    return st;
}

static char *path_of(const void *arg, int i)
{
    const struct unpack *u = arg;
    if (!u->classes)
        return mem_printf("%s/%05d.png", u->opt->out_dir, i);
    int label = archive_label(&u->archive, (size_t)i);
    return mem_printf("%s/%s/%05d.png", u->opt->out_dir, u->class_name[label], i);
}

static status write_one(const struct unpack *u, struct out_tree *t, int i, struct errmsg *e)
{
    AUTO(image_done) struct image img = IMAGE_INIT;
    AUTO(mem_free) char *path = path_of(u, i);
    if (!path)
        return STATUS_NOMEM;
    status st = archive_get(&u->archive, (size_t)i, &img);
    return st ? st : out_tree_png(t, i, path, &img, e);
}

static status write_all(const struct unpack *u, struct errmsg *e)
{
    struct progress p;
    struct out_tree tree;
    progress_init(&p, "unpacking", 0, (uint64_t)u->n, u->opt->quiet);
    status st = out_tree_init(&tree, u->n);
    if (!st)
        st = make_dirs(u, &tree, e);
    for (int i = 0; i < u->n && !st; i++) {
        st = stop_requested() ? STATUS_CANCELLED : write_one(u, &tree, i, e);
        progress_update(&p, (uint64_t)i + 1, NULL);
    }
    if (!st)
        progress_done(&p, (uint64_t)u->n, NULL);
    else
        out_tree_undo(&tree, path_of, u);
    out_tree_done(&tree);
    return st;
}

status train_unpack(const struct train_unpack_options *opt, int *out_images, struct errmsg *e)
{
    struct unpack u = {.opt = opt};
    if (!opt->images || !opt->out_dir || opt->limit < 0)
        return errmsg_set(e, STATUS_INVALID, "images and output directory must be given");
    status st = archive_open(opt->images, opt->labels, opt->part, &u.archive, e);
    if (st)
        return st;
    size_t count = archive_count(&u.archive);
    u.n = (int)(opt->limit && (size_t)opt->limit < count ? (size_t)opt->limit : count);
    st = name_classes(&u, e);
    if (!st)
        st = write_all(&u, e);
    for (int k = 0; k < u.classes && u.class_name; k++)
        mem_free(u.class_name[k]);
    mem_free(u.class_name);
    archive_close(&u.archive);
    if (st == STATUS_CANCELLED)
        st = errmsg_set(e, st, "stopped; %s is as it was", opt->out_dir);
    if (!st)
        *out_images = u.n;
    return st;
}
