/*
 * What gradients of classifiers make. Published protections of this kind are signed steps along the
 * gradient of a network's loss, within a bound: error-minimising ones go towards the image's own
 * label (EMN, Huang et al., ICLR 2021; HYPO, Tao et al., NeurIPS 2021; AUE, Wang et al., 2024),
 * error-maximising ones away from it or towards another (TAP, Fowl et al., NeurIPS 2021; NTGA, whose
 * released code makes one step). A class-wise one is made for many images at once and is theirs in
 * common, a sample-wise one for one image. All of that is drawn anew, with small networks of our own
 * (families/gradients.h), which are no one's key.
 *
 * A step's perturbations are made with one network, in the same number of steps, so that their
 * gradients are evaluated together.
 *
 * The default share is near that of `filtered`, which imitates such textures and gave it up: what is
 * imitated is of more kinds than six networks can be, what networks make has the places and the
 * phases of real images in it. Each alone leaves out what the other has.
 */
#include "families/gradients.h"

#include "set.h"
#include "stream.h"

#include <string.h>

enum {
    ROWS = 12, /* images that a perturbation is made for, at the most, unless a group is larger */
    STEPS_MAX = 5,
    WORD_ONE_STEP = 1, /* of a step's stream, whose first says which network */
    WORD_STEPS
};

/* ---- life ---- */

static void end(void *state)
{
    struct gradients *s = state;
    if (!s)
        return;
    for (int i = 0; i < GRADIENTS_NETS; i++)
        gradients_network_done(&s->net[i]);
    gradients_pool_done(&s->pool);
    mem_free(s->clean);
    mem_free(s->x);
    mem_free(s->label);
    mem_free(s);
}

static status begin(const struct family_source *source, struct family_frame f, void **out_state,
                    struct errmsg *e)
{
    struct gradients *s = *out_state = mem_zalloc(1, sizeof *s);
    (void)e;
    if (!s)
        return STATUS_NOMEM;
    s->source = *source;
    s->frame = f;
    s->rows = source->group > ROWS ? source->group : ROWS;
    size_t values = (size_t)s->rows * family_count(f);
    for (int i = 0; i < GRADIENTS_NETS; i++)
        s->net[i].generation = -1;
    s->clean = mem_alloc(values * sizeof *s->clean);
    s->x = mem_alloc(values * sizeof *s->x);
    s->label = mem_alloc((size_t)s->rows * sizeof *s->label);
    if (!s->clean || !s->x || !s->label)
        return STATUS_NOMEM; /* end() frees */
    return gradients_pool_init(s);
}

/* ---- a step ---- */

static int steps_of(const struct gradients *s, const struct family_step *step)
{
    struct nn_rng r = stream(s->source.seed, STREAM_CRAFT, step->number);
    if (nn_rng_u32(r, WORD_ONE_STEP) & 1)
        return 1;
    return 2 + stream_below(nn_rng_u32(r, WORD_STEPS), STEPS_MAX - 1);
}

static status make_step(void *state, const struct family_step *step, struct errmsg *e)
{
    struct gradients *s = state;
    struct gradients_network *net = NULL;
    int steps = steps_of(s, step);
    status st = gradients_network_at(s, step->number, &net, e);
    for (int g = 0; g < step->groups && !st;) {
        struct gradients_craft c[2 * ROWS];
        int n = 0, used = 0;
        memset(s->x, 0, (size_t)s->rows * family_count(s->frame) * sizeof *s->x);
        for (int i = 0; i < s->rows; i++)
            s->label[i] = -1;
        while (g < step->groups && n < (int)ARRAY_LEN(c) &&
               used + gradients_images(s, step, &step->group[g]) <= s->rows) {
            c[n] = gradients_place(s, net, step, &step->group[g++], used);
            used += c[n++].images;
        }
        st = gradients_craft(s, net, c, n, steps);
    }
    return st;
}

const struct family_ops family_gradients = {
    .is = {.name = "gradients",
           .summary = "steps along the gradients of small classifiers that are trained on the way",
           .share = 20,
           FAMILY_TOLD_NOISE},
    .strides = true,
    .begin_on = begin,
    .end = end,
    .make_step = make_step,
};
