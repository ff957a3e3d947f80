/* Going through all objects: cache_list and cache_verify. */
#include "store.h"

enum { LIST_ROWS = 256 };

static struct cache_entry entry_of(const struct index_row *row)
{
    uint64_t len = 0;
    if (!record_shape_ok(row->shape, &len))
        len = 0;
    return (struct cache_entry){.key = row->key,
                                .shape = row->shape,
                                .bytes = record_bytes(len),
                                .used = row->used,
                                .pack = row->pack,
                                .offset = row->offset,
                                .pinned = row->pinned};
}

static status next_rows(struct cache *c, int64_t after, struct index_row rows[LIST_ROWS],
                        int *out_n)
{
    struct index *x;
    status st = maintain_reader(c, &x);
    if (st)
        return st;
    st = index_page(x, after, rows, LIST_ROWS, out_n);
    reader_release(c, x, st);
    return st;
}

status cache_list(struct cache *c, cache_list_fn *fn, void *arg)
{
    struct index_row rows[LIST_ROWS];
    int n = LIST_ROWS;
    int64_t after = 0;
    status st = STATUS_OK;
    while (!st && n == LIST_ROWS) {
        st = next_rows(c, after, rows, &n);
        for (int i = 0; !st && i < n; i++) {
            struct cache_entry entry = entry_of(&rows[i]);
            after = rows[i].id;
            st = fn(arg, &entry);
        }
    }
    return st;
}

/* ---- verify ---- */

struct verify {
    struct cache *c;
    const struct cache_verify_options *opt;
    struct cache_verify_result result;
    uint64_t total;
};

static status forget(struct cache *c, const struct index_row *row)
{
    bool dropped = false;
    pthread_mutex_lock(&c->write_lock);
    status st = index_ready(c, NULL);
    if (!st)
        st = index_drop(c->index, row, &dropped);
    if (dropped)
        atomic_fetch_add(&c->n.damaged, 1);
    return maintain_end(c, st);
}

static status found_bad(struct verify *v, const struct index_row *row)
{
    v->result.bad++;
    status st = v->opt->repair ? forget(v->c, row) : STATUS_OK;
    if (!st && v->opt->bad) {
        struct cache_entry entry = entry_of(row);
        st = v->opt->bad(v->opt->arg, &entry);
    }
    return st;
}

static status verify_row(struct verify *v, const struct index_row *row)
{
    struct cache_object o = {0};
    struct index_row place;
    status st = object_fetch(v->c, &row->key, &o, &place);
    cache_object_done(&o);
    v->result.objects++;
    v->result.bytes += entry_of(row).bytes;
    if (st == STATUS_EXISTS)
        st = found_bad(v, &place);
    else if (st == STATUS_NOT_FOUND) /* removed meanwhile */
        st = STATUS_OK;
    if (!st && v->opt->progress)
        st = v->opt->progress(v->opt->arg, v->result.bytes, v->total);
    return st;
}

static status check_index(struct cache *c, bool *out_ok, uint64_t *out_total)
{
    struct index_totals t = {0};
    struct index *x;
    status st = maintain_reader(c, &x);
    if (st)
        return st;
    status check = index_self_check(x);
    st = index_totals(x, &t);
    reader_release(c, x, st ? st : check);
    if (check && check != STATUS_CORRUPT)
        return check;
    *out_ok = !check;
    *out_total = t.live_bytes;
    return st;
}

status cache_verify(struct cache *c, const struct cache_verify_options *opt,
                    struct cache_verify_result *out)
{
    static const struct cache_verify_options nothing;
    struct verify v = {.c = c, .opt = opt ? opt : &nothing};
    struct index_row rows[LIST_ROWS];
    int n = LIST_ROWS;
    int64_t after = 0;
    if (v.opt->repair && c->opt.read_only)
        return STATUS_DENIED;
    status_ignore(queue_wait(c), "it is told to whoever flushes");
    status st = check_index(c, &v.result.index_ok, &v.total);
    while (!st && n == LIST_ROWS) {
        st = next_rows(c, after, rows, &n);
        for (int i = 0; !st && i < n; i++) {
            after = rows[i].id;
            st = verify_row(&v, &rows[i]);
        }
    }
    if (!st)
        *out = v.result;
    return st;
}
