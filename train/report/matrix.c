#include "report/matrix.h"

#include <math.h>

enum { CLASSES_MAX = 2000 }; /* a page with more would hold a picture of many megabytes */

/* K, or 0 for what is no square of numbers. */
static int classes_of(const json_t *rows)
{
    size_t k = json_array_size(rows);
    if (k < 1 || k > CLASSES_MAX)
        return 0;
    for (size_t i = 0; i < k; i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_array_size(row) != k)
            return 0;
        for (size_t j = 0; j < k; j++)
            if (!json_is_integer(json_array_get(row, j)) ||
                json_integer_value(json_array_get(row, j)) < 0 ||
                json_integer_value(json_array_get(row, j)) > (json_int_t)1 << 40) /* sums fit */
                return 0;
    }
    return (int)k;
}

status report_matrix_add(struct report_matrix *m, const struct report_run *r)
{
    const json_t *rows = json_object_get(r->test, "confusion");
    int k = classes_of(rows);
    if (!k || (m->classes && m->classes != k))
        return STATUS_OK;
    if (!m->cell && !(m->cell = mem_zalloc((size_t)k * (size_t)k, sizeof *m->cell)))
        return STATUS_NOMEM;
    m->classes = k;
    m->names = json_object_get(r->config, "class_names");
    for (size_t i = 0; i < (size_t)k; i++)
        for (size_t j = 0; j < (size_t)k; j++)
            m->cell[i * (size_t)k + j] +=
                json_integer_value(json_array_get(json_array_get(rows, i), j));
    return STATUS_OK;
}

int64_t report_matrix_at(const struct report_matrix *m, int label, int predicted)
{
    return m->cell[(size_t)label * (size_t)m->classes + (size_t)predicted];
}

int64_t report_matrix_row(const struct report_matrix *m, int label)
{
    int64_t sum = 0;
    for (int j = 0; j < m->classes; j++)
        sum += report_matrix_at(m, label, j);
    return sum;
}

/* Of the images of a class, the part taken for another (or, if it is the same, for what it is). */
double report_matrix_share(const struct report_matrix *m, int label, int predicted)
{
    int64_t sum = report_matrix_row(m, label);
    return sum ? (double)report_matrix_at(m, label, predicted) / (double)sum : NAN;
}

bool report_matrix_alike(const struct report_matrix *a, const struct report_matrix *b)
{
    return a->classes == b->classes && (json_equal(a->names, b->names) || a->names == b->names);
}

void report_matrix_name(struct html *h, const struct report_matrix *m, int k)
{
    const char *name = (int)json_array_size(m->names) == m->classes
                           ? json_string_value(json_array_get(m->names, (size_t)k))
                           : NULL;
    if (name)
        train_html_text(h, name);
    else
        train_html_raw(h, "class %d", k);
}
