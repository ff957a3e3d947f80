#include "family.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define FAMILY_ROW(name) &family_##name,
static const struct family_ops *const families[] = {FAMILIES(FAMILY_ROW)};
#undef FAMILY_ROW
static_assert(ARRAY_LEN(families) <= FAMILY_MIX_MAX, "a mix has no room for all families");
static_assert(ARRAY_LEN(families) < TRAIN_FAMILIES_MAX, "a result has no room for all families");

const struct train_family *train_family_at(int i)
{
    return i >= 0 && i < (int)ARRAY_LEN(families) ? &families[i]->is : NULL;
}

static const struct family_ops *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (strcmp(families[i]->is.name, name) == 0)
            return families[i];
    return NULL;
}

static const char *name_at(int i)
{
    const struct train_family *is = train_family_at(i);
    return is ? is->name : NULL;
}

static status add(struct family_mix *m, const struct family_ops *ops, double share,
                  struct errmsg *e)
{
    for (int i = 0; i < m->n; i++)
        if (m->entry[i].ops == ops)
            return errmsg_set(e, STATUS_INVALID, "family %s is named twice", ops->is.name);
    m->entry[m->n++] = (struct family_entry){.ops = ops, .share = share};
    return STATUS_OK;
}

/* NAME:SHARE; the text is cut into pieces. */
static status add_text(struct family_mix *m, char *text, struct errmsg *e)
{
    char *colon = strchr(text, ':'), *end = NULL;
    double share = colon ? strtod(colon + 1, &end) : 0;
    if (!colon || end == colon + 1 || *end || !(share > 0) || !isfinite(share))
        return errmsg_set(e, STATUS_INVALID,
                          "\"%s\" is not NAME:SHARE, a family and a number over 0", text);
    *colon = 0;
    const struct family_ops *ops = find(text);
    return ops ? add(m, ops, share, e) : errmsg_unknown(e, "family", text, name_at);
}

static status add_all(struct family_mix *m, const char *text, struct errmsg *e)
{
    status st = STATUS_OK;
    for (size_t i = 0; !text && !st && i < ARRAY_LEN(families); i++)
        st = add(m, families[i], families[i]->is.share, e);
    AUTO(mem_free) char *copy = mem_strdup(text ? text : "");
    if (!copy)
        return STATUS_NOMEM;
    char *save = NULL;
    for (char *one = copy; !st && (one = strtok_r(one, ",", &save)); one = NULL)
        st = add_text(m, one, e);
    return st || m->n ? st : errmsg_set(e, STATUS_INVALID, "no family is named");
}

status family_mix_parse(const char *text, struct family_mix *out, struct errmsg *e)
{
    struct family_mix m = {.n = 0};
    double sum = 0;
    status st = add_all(&m, text, e);
    if (st)
        return st;
    for (int i = 0; i < m.n; i++)
        sum += m.entry[i].share;
    for (int i = 0; i < m.n; i++)
        m.entry[i].share /= sum;
    *out = m;
    return STATUS_OK;
}

status family_mix_begin(struct family_mix *m, const struct family_source *s, struct family_frame f,
                        struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n && !st; i++) {
        const struct family_ops *ops = m->entry[i].ops;
        if (ops->begin_on)
            st = ops->begin_on(s, f, &m->entry[i].state, e);
        else if (ops->begin)
            st = ops->begin(f, &m->entry[i].state, e);
    }
    return st;
}

void family_mix_done(struct family_mix *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->entry[i].ops->end)
            m->entry[i].ops->end(m->entry[i].state);
    *m = (struct family_mix){.n = 0};
}

int family_mix_pick(const struct family_mix *m, double number)
{
    int i = 0;
    for (double left = number; i < m->n - 1 && left >= m->entry[i].share; i++)
        left -= m->entry[i].share;
    return i;
}

status family_mix_text(const struct family_mix *m, struct buf *out)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n && !st; i++)
        st = buf_addf(out, "%s%s:%.4g", i ? "," : "", m->entry[i].ops->is.name,
                      100 * m->entry[i].share);
    return st;
}

status family_buffer(size_t floats, void **out_state)
{
    *out_state = mem_alloc(floats * sizeof(float));
    return *out_state ? STATUS_OK : STATUS_NOMEM;
}

void family_buffer_end(void *state)
{
    mem_free(state);
}
