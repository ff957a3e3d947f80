/* Values of [bench] that are not just text. */
#include "bench/matrix.h"

#include <string.h>

static status take_number(const struct matrix *m, enum matrix_key key, uint64_t most, uint64_t *out,
                          struct errmsg *e)
{
    const struct matrix_line *l = m->set[key];
    if (!l)
        return STATUS_OK;
    char *end;
    unsigned long long v = strtoull(l->value, &end, 10);
    bool digits = l->value[0] && l->value[strspn(l->value, "0123456789")] == 0;
    if (!digits || strlen(l->value) > 19 || v > most)
        return matrix_fail(m, l->line,
                           errmsg_set(e, STATUS_INVALID,
                                      "%s must be a whole number from 0 to %llu, not '%.40s'",
                                      l->key, (unsigned long long)most, l->value),
                           e);
    *out = v;
    return STATUS_OK;
}

status matrix_take_numbers(struct matrix *m, struct errmsg *e)
{
    uint64_t images = 0, size = 0, channels = 0;
    status st = take_number(m, MATRIX_IMAGES, INT32_MAX, &images, e);
    if (!st)
        st = take_number(m, MATRIX_SIZE, 1 << 16, &size, e);
    if (!st)
        st = take_number(m, MATRIX_CHANNELS, 3, &channels, e);
    if (!st && channels == 2)
        st = matrix_fail(m, m->set[MATRIX_CHANNELS]->line,
                         errmsg_set(e, STATUS_INVALID, "channels must be 1 or 3"), e);
    m->images = (int)images;
    m->size = (int)size;
    m->channels = (int)channels;
    return st;
}

status matrix_take_seeds(struct matrix *m, struct errmsg *e)
{
    if (!m->set[MATRIX_SEEDS]) {
        m->n_seeds = 1; /* 0 */
        return STATUS_OK;
    }
    char names[MATRIX_LIST_MAX][MATRIX_NAME_MAX];
    status st = matrix_names(m, MATRIX_SEEDS, names, &m->n_seeds, e);
    for (int i = 0; i < m->n_seeds && !st; i++) {
        if (names[i][strspn(names[i], "0123456789")] || strlen(names[i]) > 18)
            return matrix_fail(
                m, m->set[MATRIX_SEEDS]->line,
                errmsg_set(e, STATUS_INVALID, "'%s' is no seed (a whole number)", names[i]), e);
        m->seed[i] = strtoull(names[i], NULL, 10);
    }
    return st;
}
