/* What is in the files that a matrix names, and in the data, apart from the images of all cells. */
#include "bench/plan.h"

static status profile_ids(const struct matrix *m, struct plan_by *out, struct errmsg *e)
{
    AUTO(mem_free) struct purify_profile *p = mem_alloc(sizeof *p);
    status st = p ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < m->n_countermeasures && !st; i++) {
        const struct matrix_member *w = &m->countermeasure[i];
        if (!w->profile)
            continue;
        st = purify_profile_load(w->profile, p, e);
        AUTO(mem_free) char *from = NULL;
        if (!st && w->tune.n)
            st = bench_restorer(p, &from, e);
        if (st)
            return matrix_fail(m, w->line, st, e);
        digest_hex(&p->id, out[i].profile);
    }
    return st;
}

static status clean_digests(const struct train_bench *b, struct plan_by *out, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < b->matrix.n_countermeasures && !st; i++) {
        const struct matrix_member *w = &b->matrix.countermeasure[i];
        AUTO(train_set_free) struct train_set *all = NULL;
        struct digest digest;
        if (!w->dilute)
            continue;
        st = bench_dilute_open(b, w->dilute, &all, e);
        if (st)
            return matrix_fail(&b->matrix, w->dilute_line, st, e);
        st = train_set_digest(all, &digest, e);
        if (!st)
            digest_hex(&digest, out[i].clean);
    }
    return st;
}

/* The first weights of a countermeasure's trainings: its own, or those of all. */
static const struct given_item *init_of(const struct matrix *m, const struct matrix_member *w)
{
    const struct given *const of[] = {&w->given, &m->train};
    for (size_t k = 0; k < ARRAY_LEN(of); k++)
        for (int i = 0; i < of[k]->n; i++)
            if (given_is_path(&of[k]->item[i]))
                return &of[k]->item[i];
    return NULL;
}

static status init_digests(const struct matrix *m, struct plan_by *out, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n_countermeasures && !st; i++) {
        const struct given_item *init = init_of(m, &m->countermeasure[i]);
        AUTO(mem_free) char *path = init ? matrix_path(m, init->value) : NULL;
        AUTO(nn_file_close) struct nn_file *f = NULL;
        struct digest digest;
        if (!init)
            continue;
        st = path ? nn_file_open_any(path, &f, e) : STATUS_NOMEM;
        if (!st)
            st = nn_file_digest(f, &digest);
        if (st)
            return matrix_fail(m, init->line, st, e);
        digest_hex(&digest, out[i].init);
    }
    return st;
}

status plan_countermeasures(const struct train_bench *b, struct plan_by *out, struct errmsg *e)
{
    status st = profile_ids(&b->matrix, out, e);
    if (!st)
        st = init_digests(&b->matrix, out, e);
    return st ? st : clean_digests(b, out, e);
}
