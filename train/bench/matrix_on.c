/*
 * Protections of images that are protected already: a mixture gives each class, or each part of the
 * images, another method, by one protection on another. Which one is a name, like those of lists;
 * what no list has is added behind what they have.
 */
#include "bench/matrix.h"

#include <string.h>

/* Its place; what is not there yet is read. */
static status find(struct matrix *m, int by, int *out, struct errmsg *e)
{
    const struct matrix_member *w = &m->protection[by];
    int i = 0;
    while (i < m->n_protections + m->n_more_protections &&
           strcmp(m->protection[i].name, w->on) != 0)
        i++;
    *out = i;
    if (i < m->n_protections + m->n_more_protections)
        return STATUS_OK;
    struct matrix_member *new = &m->protection[i];
    m->n_more_protections++;
    memcpy(new->name, w->on, sizeof new->name);
    new->line = w->on_line;
    return matrix_member_read(m, true, new, e);
}

/* One that stands on itself, by whatever way, is found after at most as many steps as there are. */
static status check_end(const struct matrix *m, const struct matrix_member *w, struct errmsg *e)
{
    const struct matrix_member *at = w;
    for (int i = 0; at; i++, at = at->source)
        if (i > m->n_protections + m->n_more_protections)
            return matrix_fail(
                m, w->on_line,
                errmsg_set(e, STATUS_INVALID,
                           "%s is made on %s, and that in the end on itself: one of them must be "
                           "on clean images",
                           w->name, w->on),
                e);
    return STATUS_OK;
}

int matrix_count_on(const struct matrix *m)
{
    int n = 0;
    for (int i = 0; i < m->n_lines; i++)
        n += matrix_section(&m->lines[i], "protection") && strcmp(m->lines[i].key, "on") == 0;
    return n;
}

status matrix_link_on(struct matrix *m, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n_protections + m->n_more_protections && !st; i++) {
        int source = 0;
        if (!m->protection[i].on[0])
            continue;
        st = find(m, i, &source, e);
        if (!st)
            m->protection[i].source = &m->protection[source];
    }
    for (int i = 0; i < m->n_protections + m->n_more_protections && !st; i++)
        st = check_end(m, &m->protection[i], e);
    return st;
}
