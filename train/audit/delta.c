#include "audit/delta.h"

#include "stream.h"

#include <math.h>

enum { ROUNDS = 3, WORD_LINEAR = 100, WORD_TEXTURE };
static const float grey = 128; /* that deltas are put on, to be looked at as an image */

struct measuring {
    struct pairs pairs;
    struct view_frame frame;
    int *pair_of;             /* (n) of a sample of the protected set */
    struct delta_image *each; /* (n) of that set's samples, as is what follows */
    bool *seen;               /* (n) it differs in the middle */
    int *row;                 /* of those that are read; -1: it is not */
    int *label;               /* (rows) 0..classes-1 */
    int rows, classes;
    float *feature; /* (rows,values of the frame or of the texture) */
};

/* ---- sizes ---- */

static size_t values_of(struct view_frame f)
{
    return (size_t)f.width * (size_t)f.height * (size_t)f.channels;
}

static status size_up(void *arg, int i, struct errmsg *e)
{
    const struct measuring *m = arg;
    const struct delta_pairs of = {&m->pairs, m->pair_of, m->frame};
    size_t n = values_of(m->frame);
    AUTO(mem_free) float *delta = mem_alloc(2 * n * sizeof *delta);
    status st = delta ? delta_of(&of, i, delta, delta + n, &m->each[i], e) : STATUS_NOMEM;
    for (size_t v = 0; v < n && !st; v++)
        m->seen[i] |= delta[v] < 0 || delta[v] > 0;
    return st;
}

/* ---- readings ---- */

/* Which images are read: those that were changed, of classes that have enough of them. */
static status choose_rows(struct measuring *m)
{
    const struct train_set *set = m->pairs.protected;
    size_t classes = (size_t)train_set_info(set).classes;
    AUTO(mem_free) int *count = mem_zalloc(classes, sizeof *count);
    AUTO(mem_free) int *name = mem_zalloc(classes, sizeof *name);
    if (!count || !name)
        return STATUS_NOMEM;
    for (int i = 0; i < m->pairs.n; i++)
        count[train_set_label(set, i)] += m->seen[i];
    for (size_t k = 0; k < classes; k++)
        name[k] = count[k] >= TRAIN_AUDIT_EACH_MIN ? m->classes++ : -1;
    for (int i = 0; i < m->pairs.n; i++) {
        int k = name[train_set_label(set, i)];
        m->row[i] = m->seen[i] && k >= 0 ? m->rows : -1;
        if (m->row[i] >= 0)
            m->label[m->rows++] = k;
    }
    return STATUS_OK;
}

static status take_values(void *arg, int i, struct errmsg *e)
{
    const struct measuring *m = arg;
    const struct delta_pairs of = {&m->pairs, m->pair_of, m->frame};
    size_t n = values_of(m->frame);
    AUTO(mem_free) float *spare = mem_alloc(n * sizeof *spare);
    if (m->row[i] < 0)
        return STATUS_OK;
    return spare ? delta_of(&of, i, m->feature + (size_t)m->row[i] * n, spare, NULL, e)
                 : STATUS_NOMEM;
}

static status take_texture(void *arg, int i, struct errmsg *e)
{
    const struct measuring *m = arg;
    const struct delta_pairs of = {&m->pairs, m->pair_of, m->frame};
    size_t n = values_of(m->frame), size = view_size(VIEW_TEXTURE, m->frame);
    AUTO(mem_free) float *delta = mem_alloc(2 * n * sizeof *delta);
    if (m->row[i] < 0)
        return STATUS_OK;
    status st = delta ? delta_of(&of, i, delta, delta + n, NULL, e) : STATUS_NOMEM;
    for (size_t v = 0; v < n && !st; v++)
        delta[v] += grey;
    return st ? st
              : view_make(VIEW_TEXTURE, m->frame, delta, m->feature + (size_t)m->row[i] * size);
}

static status read_features(const struct measuring *m, size_t size, struct nn_rng r,
                            struct train_audit_reading *out)
{
    struct ridge_data d = {m->feature, m->rows, size, m->label, m->classes};
    struct ridge_result result;
    status st = ridge_read(&d, r, ROUNDS, &result);
    if (!st)
        *out = audit_reading(&result, m->classes);
    return st;
}

static status read_all(struct measuring *m, uint64_t seed, struct train_audit_delta *out,
                       struct errmsg *e)
{
    size_t values = values_of(m->frame), texture = view_size(VIEW_TEXTURE, m->frame);
    m->feature =
        mem_alloc((size_t)m->rows * (values > texture ? values : texture) * sizeof *m->feature);
    status st =
        m->feature ? train_set_for_each(m->pairs.protected, take_values, m, e) : STATUS_NOMEM;
    if (!st)
        st = delta_share(m->feature, m->rows, values, m->label, m->classes, out);
    if (!st)
        st = read_features(m, values, stream(seed, STREAM_AUDIT, WORD_LINEAR), &out->linear);
    if (!st)
        st = train_set_for_each(m->pairs.protected, take_texture, m, e);
    return st ? st
              : read_features(m, texture, stream(seed, STREAM_AUDIT, WORD_TEXTURE), &out->texture);
}

/* ---- all ---- */

static status measure(struct measuring *m, uint64_t seed, struct train_audit_delta *out,
                      struct errmsg *e)
{
    size_t n = (size_t)m->pairs.n;
    m->pair_of = mem_zalloc(n, sizeof *m->pair_of);
    m->each = mem_zalloc(n, sizeof *m->each);
    m->seen = mem_zalloc(n, sizeof *m->seen);
    m->row = mem_zalloc(n, sizeof *m->row);
    m->label = mem_zalloc(n, sizeof *m->label);
    if (!m->pair_of || !m->each || !m->seen || !m->row || !m->label)
        return STATUS_NOMEM;
    for (int i = 0; i < m->pairs.n; i++)
        m->pair_of[m->pairs.protected_at[i]] = i;
    status st = train_set_for_each(m->pairs.protected, size_up, m, e);
    if (!st)
        st = choose_rows(m);
    if (st)
        return st;
    delta_sum_up(m->each, m->pairs.n, out);
    out->classes = m->classes;
    return m->classes < 2 ? STATUS_OK : read_all(m, seed, out, e);
}

status delta_measure(const struct train_data_options *data, const char *clean_dir,
                     struct view_frame f, uint64_t seed, struct train_audit_delta *out,
                     struct errmsg *e)
{
    const struct pairs_options o = {.clean_dir = clean_dir,
                                    .protected_dir = data->dir,
                                    .size = VIEW_SIDE_MIN,
                                    .channels = f.channels,
                                    .limit = data->limit,
                                    .labelled = true,
                                    .threads = data->threads};
    const struct train_audit_reading none = {NAN, NAN, NAN};
    struct measuring m = {.frame = f};
    *out = (struct train_audit_delta){
        .linear = none, .texture = none, .mean_norm = NAN, .shared = NAN, .shared_across = NAN};
    status st = pairs_open(&o, &m.pairs, e);
    if (!st)
        st = measure(&m, seed, out, e);
    pairs_done(&m.pairs);
    mem_free(m.pair_of);
    mem_free(m.each);
    mem_free(m.seen);
    mem_free(m.row);
    mem_free(m.label);
    mem_free(m.feature);
    return st;
}

double delta_agreement(const struct train_audit_delta *d)
{
    double most =
        d->linear.agreement > d->texture.agreement ? d->linear.agreement : d->texture.agreement;
    return d->classes < 2 ? -INFINITY : most;
}
