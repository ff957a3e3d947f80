/* Which files are the samples of a set. */
#include "set_state.h"

#include <string.h>

status set_list_classes(struct train_set *s, struct errmsg *e)
{
    AUTO(image_tree_done) struct image_tree tree = IMAGE_TREE_INIT;
    status st = image_tree_load(s->dir, &tree, e);
    if (st)
        return st;
    if (tree.n_classes < 2)
        return errmsg_set(e, STATUS_INVALID, "%s has one class folder only, %s", s->dir,
                          tree.classes[0]);
    if (tree.n_classes > TRAIN_CLASSES_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s has %zu class folders, more than %d", s->dir,
                          tree.n_classes, TRAIN_CLASSES_MAX);
    if (tree.n_files > INT32_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%s has more than 2^31 images", s->dir);
    s->sample = mem_zalloc(tree.n_files, sizeof *s->sample);
    s->class_name = mem_zalloc(tree.n_classes, sizeof *s->class_name);
    if (!s->sample || !s->class_name)
        return STATUS_NOMEM;
    for (; s->classes < (int)tree.n_classes; s->classes++)
        s->class_name[s->classes] = TAKE(tree.classes[s->classes]);
    for (; s->n < (int)tree.n_files; s->n++) {
        s->sample[s->n].path = TAKE(tree.files[s->n].path);
        s->sample[s->n].label = tree.files[s->n].class_index;
    }
    return STATUS_OK;
}

struct listing {
    struct train_set *set;
    size_t cap;
};

static status list_one(const struct image_entry *entry, void *arg)
{
    struct listing *l = arg;
    struct train_set *s = l->set;
    if (entry->kind != IMAGE_ENTRY_FILE || !image_name_is_image(entry->name))
        return STATUS_OK;
    if ((size_t)s->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct sample *grown = cap > INT32_MAX ? NULL : mem_realloc(s->sample, cap * sizeof *grown);
        if (!grown)
            return STATUS_NOMEM;
        memset(grown + l->cap, 0, (cap - l->cap) * sizeof *grown);
        s->sample = grown;
        l->cap = cap;
    }
    char *path = mem_strdup(entry->path);
    if (!path)
        return STATUS_NOMEM;
    s->sample[s->n].path = path;
    s->sample[s->n++].label = -1;
    return STATUS_OK;
}

status set_list_flat(struct train_set *s, struct errmsg *e)
{
    struct listing l = {s, 0};
    struct image_walk_opts opts = {.follow_symlinks = true};
    status st = image_walk(s->dir, &opts, list_one, &l, e);
    if (!st && s->n == 0)
        st = errmsg_set(e, STATUS_NOT_FOUND, "no image below %s", s->dir);
    return st;
}

/* Keeps samples that are evenly spaced over the list, in which folders stand together. */
static void limit_flat(struct train_set *s, int limit)
{
    for (int i = 1; i < limit; i++) {
        int from = (int)((int64_t)i * s->n / limit);
        if (from == i)
            continue;
        mem_free(s->sample[i].path);
        s->sample[i].path = TAKE(s->sample[from].path);
    }
    for (int i = limit; i < s->n; i++)
        mem_free(TAKE(s->sample[i].path));
    s->n = limit;
}

/* Keeps the 1st of each class, the 2nd of each, ... until limit. Samples of a class stand together
   in the list. */
status set_apply_limit(struct train_set *s)
{
    int limit = s->opt.limit, classes = s->classes;
    if (limit <= 0 || limit >= s->n)
        return STATUS_OK;
    if (!classes) {
        limit_flat(s, limit);
        return STATUS_OK;
    }
    AUTO(mem_free) int *first = mem_zalloc((size_t)classes + 1, sizeof *first);
    AUTO(mem_free) int *take = mem_zalloc((size_t)classes, sizeof *take);
    if (!first || !take)
        return STATUS_NOMEM;
    for (int i = 0; i < s->n; i++)
        first[s->sample[i].label + 1]++;
    for (int k = 0; k < classes; k++)
        first[k + 1] += first[k];
    for (int left = limit; left > 0;)
        for (int k = 0; k < classes && left > 0; k++)
            if (take[k] < first[k + 1] - first[k]) {
                take[k]++;
                left--;
            }
    int kept = 0;
    for (int k = 0; k < classes; k++)
        for (int i = first[k]; i < first[k + 1]; i++) {
            if (i - first[k] < take[k]) {
                struct sample moved = {s->sample[i].path, s->sample[i].label, NULL};
                s->sample[i].path = NULL;
                s->sample[kept].path = moved.path;
                s->sample[kept++].label = moved.label;
            } else {
                mem_free(TAKE(s->sample[i].path));
            }
        }
    s->n = kept;
    return STATUS_OK;
}

/* The folder's path with the last slash; 0: the directory itself. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static int compare_folders(const void *a, const void *b, void *arg)
{
    const struct train_set *s = arg;
    const char *pa = s->sample[*(const int *)a].path, *pb = s->sample[*(const int *)b].path;
    size_t na = folder_length(pa), nb = folder_length(pb);
    int order = memcmp(pa, pb, na < nb ? na : nb);
    return order ? order : (na > nb) - (na < nb);
}

status train_set_folders(const struct train_set *s, int *out, int *out_n)
{
    AUTO(mem_free) int *order = mem_alloc((size_t)s->n * sizeof *order);
    int n = 0;
    if (!order)
        return STATUS_NOMEM;
    for (int i = 0; i < s->n; i++)
        order[i] = i;
    /* The folder of some images may stand between others, as the list goes down into each. */
    qsort_r(order, (size_t)s->n, sizeof *order, compare_folders, (void *)s);
    for (int i = 0; i < s->n; i++) {
        bool same = i > 0 && compare_folders(&order[i - 1], &order[i], (void *)s) == 0;
        bool in_root = folder_length(s->sample[order[i]].path) == 0;
        out[order[i]] = in_root ? -1 : same ? n - 1 : n++;
    }
    *out_n = n;
    return STATUS_OK;
}
