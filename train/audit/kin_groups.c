/* Which images are looked at. */
#include "audit/kin.h"

#include <string.h>

/* A mean over so many is a picture of what they share; of larger images fewer are taken, or telling
   would take minutes. */
enum { EACH = 24, EACH_LARGE = 16, LARGE = 40, GROUPS = 40 };

static int least_count(const struct train_set *set, int *count)
{
    struct train_set_info info = train_set_info(set);
    int least = info.samples;
    for (int i = 0; i < info.samples; i++)
        count[train_set_label(set, i)]++;
    for (int k = 0; k < info.classes; k++)
        least = count[k] < least ? count[k] : least;
    return least;
}

/* sample (GROUPS,each): those of the first group of each class, of the second of each, ... */
static void choose(const struct train_set *set, struct kin_groups *g, int *sample)
{
    struct train_set_info info = train_set_info(set);
    for (int turn = 0, any = 1; any; turn++) {
        any = 0;
        for (int k = 0; k < info.classes && g->n < GROUPS; k++) {
            int found = 0;
            for (int i = 0, seen = 0; i < info.samples && found < g->each; i++)
                if (train_set_label(set, i) == k && seen++ >= turn * g->each)
                    sample[g->n * g->each + found++] = i;
            any |= found == g->each;
            g->n += found == g->each;
        }
    }
}

static status take(struct train_set *set, const struct kin_groups *g, const int *sample,
                   struct errmsg *e)
{
    struct view_frame f = {g->squares.side, g->squares.side, g->squares.channels};
    size_t values = squares_values(g->squares);
    AUTO(mem_free) float *middle = mem_alloc(values * sizeof *middle);
    status st = middle ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < g->n * g->each && !st; i++) {
        struct set_view v;
        st = train_set_view(set, sample[i], &v, e);
        if (st)
            break;
        view_middle(f, v.pixels, v.width, v.height, middle);
        train_set_view_done(&v);
        for (size_t p = 0; p < values; p++)
            g->seen[(size_t)i * values + p] = (uint8_t)middle[p];
        g->label[i] = train_set_label(set, sample[i]);
    }
    return st;
}

status kin_groups_take(struct train_set *set, const struct kin_options *o, struct kin_groups *out,
                       struct errmsg *e)
{
    int side = o->frame.width < o->frame.height ? o->frame.width : o->frame.height;
    AUTO(mem_free)
    int *count = mem_zalloc((size_t)train_set_info(set).classes + 1, sizeof *count);
    if (!count)
        return STATUS_NOMEM;
    int most = side > LARGE ? EACH_LARGE : EACH, least = least_count(set, count);
    struct kin_groups g = {.squares = {side, o->frame.channels},
                           .each = least < most ? least : most};
    size_t images = (size_t)GROUPS * (size_t)g.each, bytes = images * squares_values(g.squares);
    AUTO(mem_free) int *sample = mem_alloc(images * sizeof *sample);
    g.seen = mem_alloc(bytes);
    g.left = mem_alloc(bytes);
    g.label = mem_alloc(images * sizeof *g.label);
    status st = sample && g.seen && g.left && g.label ? STATUS_OK : STATUS_NOMEM;
    if (!st) {
        choose(set, &g, sample);
        st = take(set, &g, sample, e);
    }
    if (st)
        kin_groups_done(&g);
    else
        *out = g;
    return st;
}

void kin_groups_done(struct kin_groups *g)
{
    mem_free(g->seen);
    mem_free(g->left);
    mem_free(g->label);
    *g = (struct kin_groups){.n = 0};
}
