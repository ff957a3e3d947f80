/*
 * A directory as ImageFolder sees it. One walk that follows links is enough: directories right
 * below the root are the classes, in order; files below them with an image's name are the samples.
 * torchvision visits the directories of a class in the order of their path as text ("a-b" before
 * "a/c", since '-' < '/'), which is not the walk's order, so the files are sorted once more.
 */
#include "image.h"

#include <string.h>

struct loader {
    struct image_tree *tree;
    size_t classes_cap, files_cap;
    struct errmsg *e;
};

/* Room for one more element in an array that doubles. */
static status grow(void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return STATUS_OK;
    size_t more = *cap ? *cap * 2 : 64;
    void *p = mem_realloc(*array, more * size);
    if (!p)
        return STATUS_NOMEM;
    *array = p;
    *cap = more;
    return STATUS_OK;
}

static status add_class(struct loader *l, const char *name)
{
    struct image_tree *t = l->tree;
    void *array = t->classes;
    status st = grow(&array, t->n_classes, &l->classes_cap, sizeof *t->classes);
    t->classes = array;
    char *copy = st ? NULL : mem_strdup(name);
    if (!copy)
        return STATUS_NOMEM;
    t->classes[t->n_classes++] = copy;
    return STATUS_OK;
}

static status add_file(struct loader *l, const char *path)
{
    struct image_tree *t = l->tree;
    void *array = t->files;
    status st = grow(&array, t->n_files, &l->files_cap, sizeof *t->files);
    t->files = array;
    char *copy = st ? NULL : mem_strdup(path);
    if (!copy)
        return STATUS_NOMEM;
    t->files[t->n_files++] = (struct image_tree_file){copy, (int)t->n_classes - 1};
    return STATUS_OK;
}

static status on_entry(const struct image_entry *entry, void *arg)
{
    struct loader *l = arg;
    bool top = !strchr(entry->path, '/');
    if (stop_requested())
        return STATUS_CANCELLED;
    if (entry->kind == IMAGE_ENTRY_ERROR)
        return errmsg_set(l->e, entry->error, "%s/%s: %s", l->tree->root, entry->path,
                          entry->error == STATUS_LIMIT ? "a loop of links, or too many levels"
                                                       : status_text(entry->error));
    if (entry->kind == IMAGE_ENTRY_DIR)
        return top ? add_class(l, entry->name) : STATUS_OK;
    if (top || !image_name_is_image(entry->name))
        return STATUS_OK;
    return add_file(l, entry->path);
}

static int by_dir_then_name(const void *a, const void *b)
{
    const struct image_tree_file *x = a, *y = b;
    if (x->class_index != y->class_index)
        return x->class_index < y->class_index ? -1 : 1;
    size_t nx = (size_t)(strrchr(x->path, '/') - x->path);
    size_t ny = (size_t)(strrchr(y->path, '/') - y->path);
    int order = memcmp(x->path, y->path, nx < ny ? nx : ny);
    if (order)
        return order;
    if (nx != ny)
        return nx < ny ? -1 : 1;
    return strcmp(x->path + nx, y->path + ny);
}

static status check(const struct image_tree *t, struct errmsg *e)
{
    if (t->n_classes == 0)
        return errmsg_set(e, STATUS_NOT_FOUND, "%s: no class directories (expected %s/CLASS/IMAGE)",
                          t->root, t->root);
    size_t at = 0;
    for (size_t c = 0; c < t->n_classes; c++) {
        size_t first = at;
        while (at < t->n_files && t->files[at].class_index == (int)c)
            at++;
        if (at == first)
            return errmsg_set(e, STATUS_NOT_FOUND, "%s/%s: no images in this class", t->root,
                              t->classes[c]);
    }
    return STATUS_OK;
}

static status load(struct image_tree *t, const char *root, struct errmsg *e)
{
    static const struct image_walk_opts opts = {.follow_symlinks = true};
    struct loader l = {.tree = t, .e = e};
    t->root = mem_strdup(root);
    status st = t->root ? image_walk(root, &opts, on_entry, &l, e) : STATUS_NOMEM;
    if (st == STATUS_NOMEM)
        return errmsg_set(e, st, "%s: %s", root, status_text(st));
    if (st)
        return st;
    if (t->n_files)
        qsort(t->files, t->n_files, sizeof *t->files, by_dir_then_name);
    return check(t, e);
}

status image_tree_load(const char *root, struct image_tree *out_tree, struct errmsg *e)
{
    struct image_tree tree = IMAGE_TREE_INIT;
    status st = load(&tree, root, e);
    if (st) {
        image_tree_done(&tree);
        return st;
    }
    *out_tree = tree;
    return STATUS_OK;
}

void image_tree_done(struct image_tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < tree->n_classes; i++)
        mem_free(tree->classes[i]);
    for (size_t i = 0; i < tree->n_files; i++)
        mem_free(tree->files[i].path);
    mem_free(tree->classes);
    mem_free(tree->files);
    mem_free(tree->root);
    *tree = (struct image_tree)IMAGE_TREE_INIT;
}
