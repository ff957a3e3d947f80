#include "audit/kin.h"

#include "audit/centres.h"
#include "audit/imitate.h"
#include "audit/marks.h"
#include "stream.h"

enum { TIMES = 8, TIMES_LARGE = 5, LARGE = 40 }; /* each family in each way; of larger images */

struct telling {
    const struct kin_options *o;
    struct kin_groups groups;
    struct residue *residue;
    struct train_set *set; /* what is left of the images */
    struct imitate imitate;
    int times, n, labels; /* of imitations; those there are, and what they are */
    int family[FAMILY_MIX_MAX * IMITATE_WAYS]; /* of a label */
    float *feature;                            /* (n,MARKS) */
    int *label;
    uint8_t *carrying, *left; /* (each,side,side,C) of one group */
    int *index;
    struct centres *centres;
    struct progress progress;
};

static size_t group_values(const struct telling *t)
{
    return (size_t)t->groups.each * squares_values(t->groups.squares);
}

static status begin(struct telling *t, struct train_set *set, struct errmsg *e)
{
    struct kin_groups *g = &t->groups;
    status st = kin_groups_take(set, t->o, g, e);
    if (!st)
        st = residue_open(t->o->threads, &t->residue, e);
    if (!st)
        st = residue_left(t->residue, g->squares, g->seen, g->n * g->each, g->left, e);
    if (st)
        return st;
    struct set_made made = {.n = g->n * g->each,
                            .classes = train_set_info(set).classes,
                            .width = g->squares.side,
                            .height = g->squares.side,
                            .channels = g->squares.channels,
                            .pixels = g->left,
                            .label = g->label};
    st = train_set_make(&made, &t->set);
    t->imitate =
        (struct imitate){.squares = g->squares, .group = g->each, .seed = t->o->seed, .threads = 1};
    return st ? st : imitate_begin(&t->imitate, t->set, e);
}

/* What there will be, and room for it. */
static status plan(struct telling *t)
{
    t->times = t->groups.squares.side > LARGE ? TIMES_LARGE : TIMES;
    for (int k = 0; k < t->imitate.mix.n; k++)
        for (int way = 0; way < IMITATE_WAYS; way++)
            t->n += imitate_has(&t->imitate, k, (enum imitate_way)way) ? t->times : 0;
    t->feature = mem_alloc((size_t)t->n * MARKS * sizeof *t->feature);
    t->label = mem_alloc((size_t)t->n * sizeof *t->label);
    t->carrying = mem_alloc(group_values(t));
    t->left = mem_alloc(group_values(t));
    t->index = mem_alloc((size_t)t->groups.each * sizeof *t->index);
    return t->feature && t->label && t->carrying && t->left && t->index ? STATUS_OK : STATUS_NOMEM;
}

/* Number i, on one of the set's groups. */
static status imitate(struct telling *t, int i, int family, enum imitate_way way, struct errmsg *e)
{
    const struct kin_groups *g = &t->groups;
    int base = i % g->n;
    for (int k = 0; k < g->each; k++)
        t->index[k] = base * g->each + k;
    struct imitate_group group = {.family = family,
                                  .way = way,
                                  .number = (uint64_t)i,
                                  .index = t->index,
                                  .clean = g->left + (size_t)base * group_values(t)};
    status st = imitate_make(&t->imitate, &group, t->carrying, e);
    if (!st)
        st = residue_left(t->residue, g->squares, t->carrying, g->each, t->left, e);
    return st ? st
              : marks_make(g->squares, t->carrying, t->left, g->each,
                           t->feature + (size_t)i * MARKS);
}

static status imitate_all(struct telling *t, struct errmsg *e)
{
    status st = plan(t);
    int i = 0;
    for (int k = 0; k < t->imitate.mix.n && !st; k++)
        for (int way = 0; way < IMITATE_WAYS && !st; way++) {
            if (!imitate_has(&t->imitate, k, (enum imitate_way)way))
                continue;
            t->family[t->labels] = k;
            for (int time = 0; time < t->times && !st; time++, i++) {
                t->label[i] = t->labels;
                st = imitate(t, i, k, (enum imitate_way)way, e);
                progress_update(&t->progress, (uint64_t)i + 1, NULL);
            }
            t->labels++;
        }
    return st;
}

static status vote(struct telling *t, struct train_audit_family *out)
{
    const struct kin_groups *g = &t->groups;
    struct centres_data d = {t->feature, t->n, MARKS, t->label, t->labels};
    status st = centres_new(&d, &t->centres);
    for (int i = 0; i < g->n && !st; i++) {
        float marks[MARKS];
        int label = 0;
        double odd = 0;
        size_t at = (size_t)i * group_values(t);
        st = marks_make(g->squares, g->seen + at, g->left + at, g->each, marks);
        if (!st)
            st = centres_nearest(t->centres, marks, &label, &odd);
        if (!st)
            kin_vote(out, &t->imitate.mix.entry[t->family[label]].ops->is, odd);
    }
    return st;
}

static void end(struct telling *t)
{
    centres_free(t->centres);
    imitate_done(&t->imitate);
    train_set_free(t->set);
    residue_close(t->residue);
    kin_groups_done(&t->groups);
    mem_free(t->feature);
    mem_free(t->label);
    mem_free(t->carrying);
    mem_free(t->left);
    mem_free(t->index);
}

status kin_tell(struct train_set *set, const struct kin_options *o, struct train_audit_family *out,
                struct errmsg *e)
{
    struct train_audit_family f = {.kin = TRAIN_AUDIT_KIN_NONE};
    struct telling t = {.o = o};
    progress_init(&t.progress, "imitating families", 0, 0, o->quiet);
    status st = begin(&t, set, e);
    if (!st)
        st = imitate_all(&t, e);
    if (!st)
        st = vote(&t, &f);
    if (!st) {
        progress_done(&t.progress, (uint64_t)t.n, NULL);
        f.images = t.groups.each;
        kin_count(&f);
        *out = f;
    }
    end(&t);
    return st;
}
