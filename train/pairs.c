#include "pairs.h"

#include "stream.h"

#include <stdlib.h>
#include <string.h>

/* Samples of a set in the order of their stems. */
struct named {
    const char *path;
    size_t stem;
    int sample;
};

static int compare_stems(const void *va, const void *vb)
{
    const struct named *a = va, *b = vb;
    size_t least = a->stem < b->stem ? a->stem : b->stem;
    int order = memcmp(a->path, b->path, least);
    return order ? order : (a->stem > b->stem) - (a->stem < b->stem);
}

static struct named *sorted(const struct train_set *s)
{
    int n = train_set_info(s).samples;
    struct named *out = mem_zalloc((size_t)n, sizeof *out);
    for (int i = 0; out && i < n; i++) {
        const char *path = train_set_path(s, i);
        out[i] = (struct named){path, train_path_stem(path), i};
    }
    if (out)
        qsort(out, (size_t)n, sizeof *out, compare_stems);
    return out;
}

static status no_partner(const char *has, const struct named *what, const char *lacks,
                         struct errmsg *e)
{
    return errmsg_set(e, STATUS_INVALID, "%s has %s, but %s has no %.*s.*: pairs need both", has,
                      what->path, lacks, (int)what->stem, what->path);
}

static status twice(const char *dir, const struct named *a, int n, struct errmsg *e)
{
    for (int i = 1; i < n; i++)
        if (compare_stems(a + i - 1, a + i) == 0)
            return errmsg_set(e, STATUS_INVALID,
                              "%s has %s and %s: which of them is half of a pair is not clear", dir,
                              a[i - 1].path, a[i].path);
    return STATUS_OK;
}

static status match(struct pairs *p, const struct pairs_options *o, const struct named *clean,
                    const struct named *protected, struct errmsg *e)
{
    int n = train_set_info(p->clean).samples, m = train_set_info(p->protected).samples;
    status st = twice(o->clean_dir, clean, n, e);
    if (!st)
        st = twice(o->protected_dir, protected, m, e);
    for (int i = 0; (i < n || i < m) && !st; i++) {
        int order = i == n ? 1 : i == m ? -1 : compare_stems(clean + i, protected + i);
        if (order < 0)
            st = no_partner(o->clean_dir, clean + i, o->protected_dir, e);
        else if (order > 0)
            st = no_partner(o->protected_dir, protected + i, o->clean_dir, e);
        else {
            p->clean_at[i] = clean[i].sample;
            p->protected_at[i] = protected[i].sample;
        }
    }
    p->n = n;
    return st;
}

/* The order is bytewise, so that between images of a folder there may be a subfolder's: those of a
   folder that do not follow each other count as two. */
static status find_folders(struct pairs *p)
{
    AUTO(mem_free) int *of = mem_alloc((size_t)p->n * sizeof *of);
    int folders;
    status st = of ? train_set_folders(p->clean, of, &folders) : STATUS_NOMEM;
    if (st)
        return st;
    for (int i = 0; i < p->n; i++) {
        bool same = i > 0 && of[p->clean_at[i]] == of[p->clean_at[i - 1]];
        p->folder[i].first = same ? p->folder[i - 1].first : i;
    }
    for (int i = p->n; i-- > 0;) {
        bool same = i + 1 < p->n && p->folder[i + 1].first == p->folder[i].first;
        p->folder[i].end = same ? p->folder[i + 1].end : i + 1;
    }
    return STATUS_OK;
}

/* Of the headers alone. */
static status check_sizes(const struct pairs *p, const struct pairs_options *o, struct errmsg *e)
{
    for (int i = 0; i < p->n; i++) {
        int w, h, other_w, other_h;
        status st = train_set_size(p->clean, p->clean_at[i], &w, &h, e);
        if (!st)
            st = train_set_size(p->protected, p->protected_at[i], &other_w, &other_h, e);
        if (st)
            return st;
        if (w != other_w || h != other_h)
            return errmsg_set(
                e, STATUS_INVALID, "%s/%s is %dx%d pixels, %s/%s %dx%d: pairs have one size",
                o->clean_dir, train_set_path(p->clean, p->clean_at[i]), w, h, o->protected_dir,
                train_set_path(p->protected, p->protected_at[i]), other_w, other_h);
        if (w < o->size || h < o->size)
            return errmsg_set(e, STATUS_INVALID, "%s/%s is %dx%d pixels, smaller than %d",
                              o->clean_dir, train_set_path(p->clean, p->clean_at[i]), w, h,
                              o->size);
    }
    return STATUS_OK;
}

static status open_set(const struct pairs_options *o, const char *dir, struct train_set **out,
                       struct errmsg *e)
{
    const struct train_data_options data = {.dir = dir,
                                            .flat = !o->labelled,
                                            .limit = o->limit,
                                            .min_side = o->size,
                                            .channels = o->channels,
                                            .threads = o->threads};
    return train_set_open(&data, out, e);
}

status pairs_open(const struct pairs_options *o, struct pairs *out, struct errmsg *e)
{
    struct pairs p = {.n = 0};
    status st = open_set(o, o->clean_dir, &p.clean, e);
    if (!st)
        st = open_set(o, o->protected_dir, &p.protected, e);
    if (!st) {
        size_t n = (size_t)train_set_info(p.clean).samples;
        AUTO(mem_free) struct named *clean = sorted(p.clean);
        AUTO(mem_free) struct named *protected = sorted(p.protected);
        p.clean_at = mem_zalloc(n, sizeof *p.clean_at);
        p.protected_at = mem_zalloc(n, sizeof *p.protected_at);
        p.folder = mem_zalloc(n, sizeof *p.folder);
        bool all = clean && protected && p.clean_at && p.protected_at && p.folder;
        st = all ? match(&p, o, clean, protected, e) : STATUS_NOMEM;
    }
    if (!st)
        st = check_sizes(&p, o, e);
    if (!st)
        st = find_folders(&p);
    if (st)
        pairs_done(&p);
    else
        *out = p;
    return st;
}

void pairs_done(struct pairs *p)
{
    train_set_free(p->clean);
    train_set_free(p->protected);
    mem_free(p->clean_at);
    mem_free(p->protected_at);
    mem_free(p->folder);
    *p = (struct pairs){.n = 0};
}

status pairs_cut(const struct pairs *p, int i, struct nn_rng place, uint64_t at, bool flip,
                 int size, uint8_t *clean, uint8_t *protected, struct errmsg *e)
{
    struct set_view a, b;
    status st = train_set_view(p->clean, p->clean_at[i], &a, e);
    if (st)
        return st;
    st = train_set_view(p->protected, p->protected_at[i], &b, e);
    if (!st) {
        struct augment_placing where = set_view_place(&a, size, flip, place, at);
        int channels = train_set_info(p->clean).channels;
        if (a.width != b.width || a.height != b.height)
            st = errmsg_set(e, STATUS_INVALID, "the pair of %s changed its size meanwhile",
                            train_set_path(p->clean, p->clean_at[i]));
        else {
            set_view_cut(&a, where, size, channels, clean);
            set_view_cut(&b, where, size, channels, protected);
        }
        train_set_view_done(&b);
    }
    train_set_view_done(&a);
    return st;
}

int pairs_beside(const struct pairs *p, int i, uint32_t draw)
{
    const struct pairs_folder *f = &p->folder[i];
    return f->first + stream_below(draw, f->end - f->first);
}

status pairs_digest(const struct pairs *p, struct digest *out, struct errmsg *e)
{
    struct digest of[2];
    status st = train_set_digest(p->clean, &of[0], e);
    if (!st)
        st = train_set_digest(p->protected, &of[1], e);
    return st ? st : digest_sha256(&(struct digest_part){of, sizeof of}, 1, out);
}
