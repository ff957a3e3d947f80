#include "pickle_stack.h"

void pickle_fail(struct pickle *p, status st, const char *why)
{
    if (!p->st)
        p->st = errmsg_set(p->e, st, "the pickle at byte %zu: %s", p->at, why);
}

void pickle_corrupt(struct pickle *p)
{
    pickle_fail(p, STATUS_CORRUPT, "damaged or cut off");
}

/* ---- bytes ---- */

const unsigned char *pickle_take(struct pickle *p, uint64_t n)
{
    if (p->st || n > p->len - p->at) {
        pickle_corrupt(p);
        return NULL;
    }
    p->at += (size_t)n;
    return p->data + p->at - n;
}

uint64_t pickle_take_little(struct pickle *p, int bytes)
{
    const unsigned char *b = pickle_take(p, (uint64_t)bytes);
    uint64_t v = 0;
    for (int i = 0; b && i < bytes; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

/* ---- values ---- */

static void too_large(struct pickle *p)
{
    pickle_fail(p, STATUS_LIMIT, "more values than are read");
}

static bool grow(struct pickle *p, void **at, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return true;
    if (need > PICKLE_VALUES_MAX) {
        too_large(p);
        return false;
    }
    size_t more = need < 8 ? 8 : need * 2 < PICKLE_VALUES_MAX ? need * 2 : PICKLE_VALUES_MAX;
    void *new = mem_realloc(*at, more * size);
    if (!new) {
        pickle_fail(p, STATUS_NOMEM, "out of memory");
        return false;
    }
    *at = new;
    *cap = more;
    return true;
}

void pickle_add(struct pickle *p, struct pickle_list *l, value *v)
{
    if (++p->added > PICKLE_ADDED_MAX)
        too_large(p);
    else if (grow(p, (void **)&l->at, &l->cap, l->n + 1, sizeof *l->at))
        l->at[l->n++] = v;
}

value *pickle_make(struct pickle *p, enum pickle_kind kind)
{
    if (p->st || !grow(p, (void **)&p->made, &p->cap_made, p->n_made + 1, sizeof *p->made))
        return NULL;
    value *v = mem_zalloc(1, sizeof *v);
    if (!v) {
        pickle_fail(p, STATUS_NOMEM, "out of memory");
        return NULL;
    }
    v->kind = kind;
    return p->made[p->n_made++] = v;
}

void pickle_push(struct pickle *p, value *v)
{
    if (v)
        pickle_add(p, &p->stack, v);
}

static size_t floor_of(const struct pickle *p)
{
    return p->n_marks ? p->marks[p->n_marks - 1] : 0;
}

value *pickle_pop(struct pickle *p)
{
    if (p->st || p->stack.n <= floor_of(p)) {
        pickle_corrupt(p);
        return NULL;
    }
    return p->stack.at[--p->stack.n];
}

value *pickle_peek(const struct pickle *p)
{
    return !p->st && p->stack.n > floor_of(p) ? p->stack.at[p->stack.n - 1] : NULL;
}

value *pickle_top(struct pickle *p, enum pickle_kind kind)
{
    value *v = pickle_peek(p);
    if (!pickle_is(v, kind)) {
        pickle_corrupt(p);
        return NULL;
    }
    return v;
}

void pickle_push_tuple(struct pickle *p, size_t n)
{
    value *v = pickle_make(p, PICKLE_TUPLE);
    if (!v || p->stack.n - floor_of(p) < n) {
        pickle_corrupt(p);
        return;
    }
    for (size_t i = p->stack.n - n; i < p->stack.n; i++)
        pickle_add(p, &v->list, p->stack.at[i]);
    p->stack.n -= n;
    pickle_push(p, v);
}

void pickle_append(struct pickle *p, size_t n, enum pickle_kind kind, size_t by)
{
    if (p->st || n % by || p->stack.n - floor_of(p) < n + 1) {
        pickle_corrupt(p);
        return;
    }
    p->stack.n -= n;
    value *to = pickle_top(p, kind);
    for (size_t i = 0; to && i < n; i++)
        pickle_add(p, &to->list, p->stack.at[p->stack.n + i]);
}

/* ---- marks ---- */

void pickle_mark(struct pickle *p)
{
    if (grow(p, (void **)&p->marks, &p->cap_marks, p->n_marks + 1, sizeof *p->marks))
        p->marks[p->n_marks++] = p->stack.n;
}

size_t pickle_unmark(struct pickle *p)
{
    if (p->st || p->n_marks == 0) {
        pickle_corrupt(p);
        return 0;
    }
    return p->stack.n - p->marks[--p->n_marks];
}

/* ---- memo ---- */

void pickle_memo_put(struct pickle *p, uint64_t index)
{
    if (p->st || p->stack.n <= floor_of(p) || index > p->len) {
        pickle_corrupt(p); /* indexes count up by one; more than there are bytes cannot be */
        return;
    }
    if (!grow(p, (void **)&p->memo.at, &p->memo.cap, (size_t)index + 1, sizeof *p->memo.at))
        return;
    while (p->memo.n <= index)
        p->memo.at[p->memo.n++] = NULL;
    p->memo.at[index] = p->stack.at[p->stack.n - 1];
}

void pickle_memo_get(struct pickle *p, uint64_t index)
{
    if (p->st || index >= p->memo.n || !p->memo.at[index])
        pickle_corrupt(p);
    else
        pickle_push(p, p->memo.at[index]);
}
