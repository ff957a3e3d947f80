/*
 * Perturbations along the gradients of a network. One is made for the first image of its group, for
 * all of the group, or for the images after them in the batch as well, by the sum of their losses:
 *
 *     delta <- clip(delta -+ size * sign(sum over images of dL(clip(x + delta), label)/dx))
 *
 * which is a step of EMN and TAP with several images (towards a label: minus; away from it: plus).
 */
#include "families/gradients.h"

#include "clamp.h"

#include "stream.h"

#include <string.h>

/* Words of a group's stream. */
enum { WORD_IMAGES, WORD_AIM, WORD_LABEL, WORD_START, WORD_OF_VALUE = 16 };
/* How far all steps together could go, in amplitudes, so that each value can reach either bound
   (Madry et al., ICLR 2018). */
static const float stretch = 2.5f;

enum aim { TOWARDS_OWN, AWAY_FROM_OWN, TOWARDS_ANOTHER, AIMS };

int gradients_images(const struct gradients *s, const struct family_step *step,
                     const struct family_group *g)
{
    const int images[] = {1, 1, s->source.group, s->rows}; /* half of them are sample-wise */
    int n = images[stream_below(nn_rng_u32(g->draw.r, WORD_IMAGES), ARRAY_LEN(images))];
    return n < step->batch->n ? n : step->batch->n;
}

struct gradients_craft gradients_place(struct gradients *s, const struct gradients_network *n,
                                       const struct family_step *step, const struct family_group *g,
                                       int row)
{
    struct nn_rng r = g->draw.r;
    enum aim aim = (enum aim)stream_below(nn_rng_u32(r, WORD_AIM), AIMS);
    int another = stream_below(nn_rng_u32(r, WORD_LABEL), GRADIENTS_CLASSES);
    struct gradients_craft c = {.group = g,
                                .row = row,
                                .images = gradients_images(s, step, g),
                                .away = aim == AWAY_FROM_OWN,
                                .random_start = nn_rng_u32(r, WORD_START) & 1};
    size_t values = family_count(s->frame);
    for (int i = 0; i < c.images; i++) {
        int from = (g->first + i) % step->batch->n;
        int own = gradients_label(s, n, step->batch->index[from]);
        s->label[row + i] = aim == TOWARDS_ANOTHER || own < 0 ? another : own;
        memcpy(s->clean + (size_t)(row + i) * values, step->batch->x + (size_t)from * values,
               values * sizeof *s->clean);
    }
    return c;
}

/* From a random place within the bound, or from nothing; a single step always from nothing. */
static void start(const struct gradients *s, const struct gradients_craft *c, bool random)
{
    float most = c->group->draw.amplitude;
    for (size_t p = 0; p < family_count(s->frame); p++)
        c->group->out[p] =
            random ? stream_uniform(c->group->draw.r, WORD_OF_VALUE + p, -most, most) : 0;
}

/* What the network sees of the images that carry the perturbation as it is now. */
static void show(struct gradients *s, const struct gradients_network *n,
                 const struct gradients_craft *c)
{
    const struct train_net *net = n->model->net;
    size_t values = family_count(s->frame), at = (size_t)c->row * values;
    for (int i = 0; i < c->images; i++)
        for (size_t p = 0; p < values; p++, at++)
            s->x[at] = (clamp(s->clean[at] + c->group->out[p] / 255, 0, 1) - net->mean) / net->std;
}

/* grad (rows,H,W,C) */
static void move(const struct gradients *s, const struct gradients_craft *c, const float *grad,
                 float size)
{
    size_t values = family_count(s->frame);
    float most = c->group->draw.amplitude, *out = c->group->out;
    const float *first = grad + (size_t)c->row * values;
    for (size_t p = 0; p < values; p++) {
        float sum = 0;
        for (int i = 0; i < c->images; i++)
            sum += first[(size_t)i * values + p];
        float sign = (float)((sum > 0) - (sum < 0)) * (c->away ? 1.f : -1.f);
        out[p] = clamp(out[p] + sign * size * most, -most, most);
    }
}

status gradients_craft(struct gradients *s, const struct gradients_network *n,
                       const struct gradients_craft *c, int n_craft, int steps)
{
    float size = steps == 1 ? 1 : stretch / (float)steps;
    status st = STATUS_OK;
    for (int i = 0; i < n_craft; i++)
        start(s, &c[i], steps > 1 && c[i].random_start);
    for (int t = 0; t < steps && !st; t++) {
        const float *grad = NULL;
        for (int i = 0; i < n_craft; i++)
            show(s, n, &c[i]);
        st = train_attack_gradient(n->attack, s->x, s->label, &grad);
        for (int i = 0; i < n_craft && !st; i++)
            move(s, &c[i], grad, size);
    }
    return st;
}
