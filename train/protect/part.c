/*
 * Which images are protected when not all of them are. Of each class that is named (or of all) the
 * same fraction, in an order that the seed alone decides: of two fractions the smaller is a part of
 * the larger, and what one leaves begins `after` it. Methods are prepared with all images, so that an image's perturbation is the same
 * however many others are protected.
 */
#include "protect/protect.h"

#include "stream.h"

#include <string.h>

static status unknown_class(const struct protect_job *j, const char *name, struct errmsg *e)
{
    AUTO(buf_done) struct buf list = BUF_INIT(400);
    for (int k = 0; k < j->info.classes; k++)
        status_ignore(buf_addf(&list, "%s%s", k ? ", " : "", train_set_class(j->set, k)),
                      "cut there");
    return errmsg_set(e, STATUS_INVALID, "%s has no class \"%.48s\" (--classes); it has %s",
                      j->opt->src_dir, name, list.data ? list.data : "none");
}

static status read_classes(const struct protect_job *j, bool *named, struct errmsg *e)
{
    AUTO(mem_free) char *text = mem_strdup(j->opt->classes);
    if (!text)
        return STATUS_NOMEM;
    char *rest = text, *name;
    while ((name = strsep(&rest, ","))) {
        int k = 0;
        while (k < j->info.classes && strcmp(train_set_class(j->set, k), name) != 0)
            k++;
        if (k == j->info.classes)
            return unknown_class(j, name, e);
        named[k] = true;
    }
    return STATUS_OK;
}

/* How many images of a class of n: the nearest to the fraction, and one at least. .34 + .33 are .67,
   though not to a computer. */
static int share(double fraction, int n)
{
    int want = (int)(fraction * n + .5 + 1e-6);
    return want > 0 || n == 0 ? want : 1;
}

static status choose(struct protect_job *j, const bool *named)
{
    int n = j->info.samples, classes = j->info.classes;
    double after = j->opt->after, end = after + (j->opt->fraction > 0 ? j->opt->fraction : 1);
    AUTO(mem_free) int *order = mem_alloc((size_t)n * sizeof *order);
    AUTO(mem_free) int *want = mem_zalloc((size_t)classes, sizeof *want);
    AUTO(mem_free) int *skip = mem_zalloc((size_t)classes, sizeof *skip);
    j->chosen = mem_zalloc((size_t)n, sizeof *j->chosen);
    if (!order || !want || !skip || !j->chosen)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        want[train_set_label(j->set, i)]++;
    for (int k = 0; k < classes; k++) {
        skip[k] = after > 0 ? share(after, want[k]) : 0;
        want[k] = named[k] ? share(end < 1 ? end : 1, want[k]) - skip[k] : 0;
    }
    nn_rng_shuffle(stream(j->opt->seed, STREAM_PART, 0), order, n);
    for (int i = 0; i < n; i++) {
        int *left = &want[train_set_label(j->set, order[i])];
        if (skip[train_set_label(j->set, order[i])]-- > 0)
            continue;
        j->chosen[order[i]] = *left > 0;
        *left -= *left > 0;
    }
    return STATUS_OK;
}

status protect_choose(struct protect_job *j, struct errmsg *e)
{
    const struct train_protect_options *o = j->opt;
    j->n_chosen = j->info.samples;
    if (!(o->fraction >= 0) || o->fraction > 1)
        return errmsg_set(e, STATUS_INVALID, "--fraction must be above 0 and at most 1");
    if (!(o->after >= 0) || o->after >= 1)
        return errmsg_set(e, STATUS_INVALID, "--after must be 0 or more, and below 1");
    if (!o->classes && !(o->fraction > 0 && o->fraction < 1) && !(o->after > 0))
        return STATUS_OK;
    AUTO(mem_free) bool *named = mem_zalloc((size_t)j->info.classes, sizeof *named);
    if (!named)
        return STATUS_NOMEM;
    for (int k = 0; k < j->info.classes && !o->classes; k++)
        named[k] = true;
    status st = o->classes ? read_classes(j, named, e) : STATUS_OK;
    if (!st)
        st = choose(j, named);
    j->n_chosen = 0;
    for (int i = 0; i < j->info.samples && !st; i++)
        j->n_chosen += j->chosen[i];
    if (!st && j->n_chosen == 0)
        st = errmsg_set(e, STATUS_INVALID,
                        "no image is left behind the first %g of each class (--after)", o->after);
    return st;
}

bool protect_is_chosen(const struct protect_job *j, int i)
{
    return !j->chosen || j->chosen[i];
}

status protect_record_part(const struct protect_job *j, json_t *out)
{
    if (!j->chosen)
        return STATUS_OK;
    json_t *part = json_pack("{s:i, s:o}", "images", j->n_chosen, "paths", json_array());
    json_t *paths = json_object_get(part, "paths");
    bool good = json_object_set_new(out, "part", part) == 0;
    if (j->opt->fraction > 0)
        good = good && json_object_set_new(part, "fraction", json_real(j->opt->fraction)) == 0;
    if (j->opt->after > 0)
        good = good && json_object_set_new(part, "after", json_real(j->opt->after)) == 0;
    if (j->opt->classes)
        good = good && json_object_set_new(part, "classes", json_string(j->opt->classes)) == 0;
    size_t root = strlen(j->opt->dst_dir) + 1;
    for (int i = 0; i < j->info.samples && good; i++) {
        AUTO(mem_free) char *path = protect_is_chosen(j, i) ? protect_target(j, i) : NULL;
        if (protect_is_chosen(j, i))
            good = path && json_array_append_new(paths, json_string(path + root)) == 0;
    }
    return good ? STATUS_OK : STATUS_NOMEM;
}
