/*
 * The chain, checks and identity of a profile. Reading and finding files: profile_file.c.
 *
 * Canonical form, hashed with SHA-256 to the id: "relearnfs jcdp 1" where the chain is that alone
 * (there was nothing else when the form was fixed), otherwise "relearnfs chain 1" and before each
 * purifier's parameters a line "[NAME VERSION]". A version is raised when the purifier itself
 * changes. Then key=value for every parameter in the table's order. The profile's name is no part
 * of it.
 */
#include "profile.h"

#include <string.h>

enum { CANONICAL_MAX = 1 << 16 };

static bool is_jcdp(const struct purify_link *l)
{
    return strcmp(l->ops->name, "jcdp") == 0;
}

bool profile_is_plain(const struct purify_profile *p)
{
    return p->n == 1 && is_jcdp(&p->link[0]);
}

static void link_init(struct purify_link *l, const struct purifier_ops *ops)
{
    CHECK(ops->params.size <= sizeof l->values);
    memset(l, 0, sizeof *l);
    l->ops = ops;
    param_defaults(&ops->params, l->values);
}

void purify_profile_init(struct purify_profile *p)
{
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "unnamed");
    p->n = 1;
    link_init(&p->link[0], purifier_find("jcdp"));
}

int profile_find(const struct purify_profile *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->link[i].ops->name, name) == 0)
            return i;
    return -1;
}

struct purify_jcdp *purify_profile_jcdp(struct purify_profile *p)
{
    int i = profile_find(p, "jcdp");
    return i < 0 ? NULL : (struct purify_jcdp *)p->link[i].values;
}

/* ---- setting ---- */

static const char *name_at(int i)
{
    return purifier_table[i] ? purifier_table[i]->name : NULL;
}

/* Appends the link named by n characters of text to q's chain, with its values in old if it was
   there. */
static status add_link(struct purify_profile *q, const struct purify_profile *old, const char *text,
                       size_t n, struct errmsg *e)
{
    char name[48];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name), text);
    const struct purifier_ops *ops = purifier_find(name);
    if (!ops)
        return errmsg_unknown(e, "purifier", name, name_at);
    if (profile_find(q, name) >= 0)
        return errmsg_set(e, STATUS_INVALID, "the chain has %s twice", name);
    if (q->n == PURIFY_CHAIN_MAX)
        return errmsg_set(e, STATUS_LIMIT, "the chain has more than %d purifiers",
                          PURIFY_CHAIN_MAX);
    int i = profile_find(old, name);
    if (i < 0)
        link_init(&q->link[q->n], ops);
    else
        q->link[q->n] = old->link[i];
    q->n++;
    return STATUS_OK;
}

status profile_set_chain(struct purify_profile *p, const char *text, struct errmsg *e)
{
    struct purify_profile q = *p;
    q.n = 0;
    for (const char *at = text;; at++) {
        at += strspn(at, " \t");
        size_t n = strcspn(at, ","), used = n;
        while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        status st = add_link(&q, p, at, n, e);
        if (st)
            return st;
        at += used;
        if (!*at)
            break;
    }
    *p = q;
    return STATUS_OK;
}

/* The link that a key without a purifier's name belongs to: the only one that has the key, or the
   only one. */
static status link_with(const struct purify_profile *p, const char *key, int *out, struct errmsg *e)
{
    int found = -1;
    for (int i = 0; i < p->n; i++) {
        if (!param_find(&p->link[i].ops->params, key))
            continue;
        if (found >= 0)
            return errmsg_set(e, STATUS_INVALID, "both %s and %s have \"%.40s\": say %s.%.40s",
                              p->link[found].ops->name, p->link[i].ops->name, key,
                              p->link[i].ops->name, key);
        found = i;
    }
    *out = found >= 0 ? found : 0;
    if (found >= 0)
        return STATUS_OK;
    for (int i = 0; purifier_table[i]; i++)
        if (param_find(&purifier_table[i]->params, key))
            return errmsg_set(e, STATUS_INVALID,
                              "\"%.40s\" is a key of %s, which is not in the chain", key,
                              purifier_table[i]->name);
    return p->n == 1 ? STATUS_OK /* param_set says which keys there are */
                     : errmsg_set(e, STATUS_INVALID,
                                  "no purifier of the chain has the key \"%.40s\"", key);
}

status purify_profile_set(struct purify_profile *p, const char *key, const char *value,
                          struct errmsg *e)
{
    const char *dot = strchr(key, '.');
    int i;
    if (strcmp(key, "chain") == 0)
        return profile_set_chain(p, value, e);
    if (dot) {
        char name[48];
        snprintf(name, sizeof name, "%.*s", (int)(dot - key), key);
        i = profile_find(p, name);
        if (i < 0)
            return errmsg_set(e, STATUS_INVALID, "\"%.40s\" is not in the chain", name);
        key = dot + 1;
    } else {
        status st = link_with(p, key, &i, e);
        if (st)
            return st;
    }
    return param_set(&p->link[i].ops->params, p->link[i].values, key, value, e);
}

/* ---- identity ---- */

static status add_canonical(const struct purify_link *l, struct buf *b)
{
    return l->ops->canonical ? l->ops->canonical(&l->ops->params, l->values, b)
                             : param_text(&l->ops->params, l->values, b);
}

status profile_id(const struct purify_profile *p, struct digest *out)
{
    AUTO(buf_done) struct buf b = BUF_INIT(CANONICAL_MAX);
    bool alone = profile_is_plain(p);
    status st = alone ? buf_addf(&b, "relearnfs jcdp %d\n", p->link[0].ops->version)
                      : buf_addf(&b, "relearnfs chain 1\n");
    for (int i = 0; i < p->n && !st; i++) {
        const struct purify_link *l = &p->link[i];
        if (!alone)
            st = buf_addf(&b, "[%s %d]\n", l->ops->name, l->ops->version);
        if (!st)
            st = add_canonical(l, &b);
    }
    return st ? st : digest_sha256(&(struct digest_part){b.data, b.len}, 1, out);
}

/* ---- finishing ---- */

status profile_finish(struct purify_profile *p, struct profile_fault *out_fault, struct errmsg *e)
{
    struct purify_profile q = *p;
    status st = STATUS_OK;
    for (int i = 0; i < q.n && !st; i++) {
        struct purify_link *l = &q.link[i];
        *out_fault = (struct profile_fault){i, NULL};
        st = param_check(&l->ops->params, l->values, &out_fault->key, e);
        if (!st && l->ops->finish)
            st = l->ops->finish(l->values, &out_fault->key, e);
    }
    if (st)
        return st;
    out_fault->key = NULL;
    st = profile_id(&q, &q.id);
    if (!st)
        *p = q;
    return st;
}

status purify_profile_finish(struct purify_profile *p, struct errmsg *e)
{
    struct profile_fault fault;
    return profile_finish(p, &fault, e);
}

/* ---- what it says of itself ---- */

static status add_values(const struct purify_link *l, struct buf *b)
{
    const struct param_table *t = &l->ops->params;
    status st = STATUS_OK;
    for (int i = 0; i < t->n && !st; i++) {
        const struct param *row = &t->row[i];
        if (row->kind == PARAM_TEXT && !((const char *)l->values)[row->offset])
            continue;
        st = buf_addf(b, "%s = ", row->key);
        if (!st)
            st = param_get(row, l->values, b);
        if (!st)
            st = buf_addf(b, "\n");
    }
    return st;
}

status purify_profile_chain(const struct purify_profile *p, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF_INIT(CANONICAL_MAX);
    status st = STATUS_OK;
    for (int i = 0; i < p->n && !st; i++)
        st = buf_addf(&b, "%s%s", i ? ", " : "", p->link[i].ops->name);
    return st ? st : buf_add(out, b.data, b.len);
}

status purify_profile_text(const struct purify_profile *p, struct buf *out)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&p->id, hex);
    AUTO(buf_done) struct buf b = BUF_INIT(CANONICAL_MAX);
    status st = buf_addf(&b, "# profile %s\n# id %s\n[purify]\n", p->name, hex);
    if (!st && profile_is_plain(p)) {
        st = add_values(&p->link[0], &b);
        return st ? st : buf_add(out, b.data, b.len);
    }
    if (!st)
        st = buf_addf(&b, "chain = ");
    if (!st)
        st = purify_profile_chain(p, &b);
    if (!st)
        st = buf_addf(&b, "\n");
    for (int i = 0; i < p->n && !st; i++) {
        if (!p->link[i].ops->params.n)
            continue;
        st = buf_addf(&b, "\n[%s]\n", p->link[i].ops->name);
        if (!st)
            st = add_values(&p->link[i], &b);
    }
    return st ? st : buf_add(out, b.data, b.len);
}

int purify_profile_evaluations(const struct purify_profile *p)
{
    int sum = 0;
    for (int i = 0; i < p->n; i++)
        sum += p->link[i].ops->evaluations ? p->link[i].ops->evaluations(p->link[i].values) : 0;
    return sum;
}

bool purify_profile_weights(const struct purify_profile *p, int i, struct purify_weights *out)
{
    for (int k = 0; k < p->n; k++) {
        const struct purify_link *l = &p->link[k];
        int n = 0;
        while (l->ops->weights && l->ops->weights(l->values, n, out))
            if (n++ == i)
                return true;
        i -= n;
    }
    return false;
}

status purify_profile_model(const struct purify_profile *p, const char *purifier, char **out,
                            struct errmsg *e)
{
    struct purify_weights w;
    int i = profile_find(p, purifier);
    const struct purifier_ops *ops = i >= 0 ? p->link[i].ops : NULL;
    if (!ops || !ops->weights || !ops->weights(p->link[i].values, 0, &w))
        return errmsg_set(e, STATUS_INVALID, "profile %s has no %s with a model", p->name,
                          purifier);
    return profile_weights_path(w.file, out);
}
