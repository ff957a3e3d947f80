#include "audit/imitate.h"

#include "protect/protect.h"
#include "stream.h"

#include <string.h>

/* Pieces of what is larger by this may share no pixel's place, and most of them still hold what is in
   one place only. */
enum { WIDER = 8, TILE_LEAST = 2, TILES = 3 };
/* That share a perturbation which is made with networks: with more of them that takes longer. */
enum { GRADIENT_IMAGES = 12 };
static const float least_amplitude = 4, most_amplitude = 16; /* grey levels of published bounds */

/* Words of a group's stream (STREAM_AUDIT_GROUP), two of each image from WORD_PLACE on. */
enum { WORD_AMPLITUDE, WORD_TILE, WORD_PLACE };
/* Streams of what is drawn (STREAM_DELTA) are numbered by group and image. */
enum { GROUP_SHIFT = 16 };

static struct family_frame frame_of(struct squares s, int wider)
{
    return (struct family_frame){s.side + wider, s.side + wider, s.channels};
}

/* Those rows of all that make one thing, whatever the image. */
static void keep_what_is_cut(struct imitate *m)
{
    int n = 0;
    for (int i = 0; i < m->mix.n; i++) {
        const struct family_ops *ops = m->mix.entry[i].ops;
        bool cut = ops->make && !ops->of_image;
        m->wide_of[i] = cut ? n : -1;
        if (cut)
            m->wide.entry[n++] = m->wide.entry[i];
    }
    m->wide.n = n;
}

status imitate_begin(struct imitate *m, struct train_set *set, struct errmsg *e)
{
    const struct family_source source = {.set = set,
                                         .seed = m->seed,
                                         .group = m->group < GRADIENT_IMAGES ? m->group
                                                                             : GRADIENT_IMAGES,
                                         .threads = m->threads,
                                         .precision = NN_PREC_F32};
    size_t values = (size_t)m->group * squares_values(m->squares);
    status st = family_mix_parse(NULL, &m->mix, e);
    if (!st)
        st = family_mix_parse(NULL, &m->wide, e);
    if (st)
        return st;
    keep_what_is_cut(m);
    m->delta = mem_alloc(values * sizeof *m->delta);
    m->x = mem_alloc(values * sizeof *m->x);
    m->large = mem_alloc(family_count(frame_of(m->squares, WIDER)) * sizeof *m->large);
    if (!m->delta || !m->x || !m->large)
        return STATUS_NOMEM;
    st = family_mix_begin(&m->mix, &source, frame_of(m->squares, 0), e);
    return st ? st : family_mix_begin(&m->wide, &source, frame_of(m->squares, WIDER), e);
}

void imitate_done(struct imitate *m)
{
    family_mix_done(&m->mix);
    family_mix_done(&m->wide);
    mem_free(m->delta);
    mem_free(m->x);
    mem_free(m->large);
}

bool imitate_has(const struct imitate *m, int family, enum imitate_way way)
{
    const struct family_ops *ops = m->mix.entry[family].ops;
    if (!ops->is.told) /* nothing is the same in any way */
        return way == IMITATE_SAME;
    return way == IMITATE_PIECES ? m->wide_of[family] >= 0 : way != IMITATE_TILES || ops->strides;
}

/* ---- one group ---- */

static struct family_draw draw(const struct imitate *m, const struct imitate_group *g, int image)
{
    struct nn_rng r = stream(m->seed, STREAM_AUDIT_GROUP, g->number);
    return (struct family_draw){
        .r = stream(m->seed, STREAM_DELTA, g->number << GROUP_SHIFT | (uint64_t)image),
        .amplitude = stream_uniform(r, WORD_AMPLITUDE, least_amplitude, most_amplitude)};
}

/* The piece of image i. */
static void cut(const struct imitate *m, const struct imitate_group *g, int i, float *out)
{
    struct nn_rng r = stream(m->seed, STREAM_AUDIT_GROUP, g->number);
    uint64_t at = WORD_PLACE + 2 * (uint64_t)i;
    int left = stream_below(nn_rng_u32(r, at), WIDER + 1);
    int top = stream_below(nn_rng_u32(r, at + 1), WIDER + 1);
    size_t c = (size_t)m->squares.channels, row = (size_t)m->squares.side * c;
    for (int y = 0; y < m->squares.side; y++, out += row)
        memcpy(out, m->large + ((size_t)(top + y) * (row + WIDER * c) + (size_t)left * c),
               row * sizeof *out);
}

static status make_pieces(struct imitate *m, const struct imitate_group *g)
{
    const struct family_entry *f = &m->wide.entry[m->wide_of[g->family]];
    status st = f->ops->make(f->state, frame_of(m->squares, WIDER), draw(m, g, 0), NULL, m->large);
    for (int i = 0; i < m->group && !st; i++)
        cut(m, g, i, m->delta + (size_t)i * squares_values(m->squares));
    return st;
}

static status make_each(struct imitate *m, const struct imitate_group *g)
{
    const struct family_entry *f = &m->mix.entry[g->family];
    size_t n = squares_values(m->squares);
    status st = STATUS_OK;
    for (int i = 0; i < m->group && !st; i++) {
        float *to = m->delta + (size_t)i * n;
        const uint8_t *image = f->ops->of_image ? g->clean + (size_t)i * n : NULL;
        if (g->way == IMITATE_OWN || i == 0 || image)
            st = f->ops->make(f->state, frame_of(m->squares, 0),
                              draw(m, g, g->way == IMITATE_OWN ? i : 0), image, to);
        else
            memcpy(to, m->delta, n * sizeof *to);
    }
    return st;
}

/* Of a row that makes a step's at once: a group is a step. */
static status make_step(struct imitate *m, const struct imitate_group *g, struct errmsg *e)
{
    const struct family_entry *f = &m->mix.entry[g->family];
    size_t n = squares_values(m->squares);
    int each = g->way == IMITATE_OWN ? m->group : 1;
    struct train_batch batch = {.n = m->group, .x = m->x, .index = g->index};
    struct family_step step = {.number = g->number, .batch = &batch, .groups = each};
    AUTO(mem_free) struct family_group *group = mem_zalloc((size_t)m->group, sizeof *group);
    if (!group)
        return STATUS_NOMEM;
    for (size_t p = 0; p < (size_t)m->group * n; p++)
        m->x[p] = (float)g->clean[p] / 255;
    for (int i = 0; i < each; i++)
        group[i] = (struct family_group){i, draw(m, g, i), m->delta + (size_t)i * n};
    step.group = group;
    status st = f->ops->make_step(f->state, &step, e);
    for (int i = each; i < m->group && !st; i++)
        memcpy(m->delta + (size_t)i * n, m->delta, n * sizeof *m->delta);
    return st;
}

/* What is in the corner, over and over, on all. */
static void repeat(struct imitate *m, const struct imitate_group *g)
{
    struct nn_rng r = stream(m->seed, STREAM_AUDIT_GROUP, g->number);
    int side = m->squares.side, c = m->squares.channels;
    int tile = TILE_LEAST << stream_below(nn_rng_u32(r, WORD_TILE), TILES);
    size_t n = squares_values(m->squares);
    for (int p = 0; p < side * side; p++) {
        int from = p / side % tile * side + p % side % tile; /* not after p */
        memcpy(m->delta + (size_t)(p * c), m->delta + (size_t)(from * c),
               (size_t)c * sizeof *m->delta);
    }
    for (int i = 1; i < m->group; i++)
        memcpy(m->delta + (size_t)i * n, m->delta, n * sizeof *m->delta);
}

static bool is_grey(const uint8_t *image, size_t n, size_t channels)
{
    bool grey = true;
    for (size_t p = 0; p < n; p++)
        grey &= image[p] == image[p - p % channels];
    return grey;
}

status imitate_make(struct imitate *m, const struct imitate_group *g, uint8_t *out,
                    struct errmsg *e)
{
    const struct family_ops *ops = m->mix.entry[g->family].ops;
    size_t n = squares_values(m->squares), c = (size_t)m->squares.channels;
    status st = ops->make_step             ? make_step(m, g, e)
                : g->way == IMITATE_PIECES ? make_pieces(m, g)
                                           : make_each(m, g);
    if (st)
        return errmsg_prefix(e, st, "family %s", ops->is.name);
    if (g->way == IMITATE_TILES)
        repeat(m, g);
    for (int i = 0; i < m->group; i++) {
        const uint8_t *clean = g->clean + (size_t)i * n;
        const float *delta = m->delta + (size_t)i * n;
        bool grey = is_grey(clean, n, c); /* who protects a grey image leaves it grey */
        for (size_t p = 0; p < n; p++, out++)
            *out = protect_quantise(clean[p], delta[grey ? p - p % c : p] / 255, TRAIN_ROUND);
    }
    return STATUS_OK;
}
