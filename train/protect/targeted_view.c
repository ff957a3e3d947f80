/* How the surrogate of a targeted method sees an image, and the way back. */
#include "protect/targeted.h"

enum { SHIFT_PART = 8 };

static void scale(const struct targeted *t, float *x)
{
    float mean = t->model->net->mean, std = t->model->net->std;
    for (size_t p = 0; p < t->row; p++)
        x[p] = (x[p] - mean) / std;
}

static void add(const struct targeted *t, const float *x, const float *delta, float *out)
{
    for (size_t p = 0; p < t->row; p++)
        out[p] = x[p] + delta[p];
}

void targeted_show(const struct targeted *t, const float *x, const float *delta, float *out)
{
    add(t, x, delta, out);
    scale(t, out);
}

void targeted_draw_view(const struct targeted *t, double strength, struct nn_rng r, uint64_t step,
                        struct targeted_view *out)
{
    int side = t->frame.width < t->frame.height ? t->frame.width : t->frame.height;
    if (t->recipe->sight == SIGHT_STRONG)
        out->strong = strong_draw(r, STRONG_WORDS * step, strength, t->frame);
    else if (t->recipe->sight == SIGHT_SHIFTED)
        out->shift = shift_draw(r, 3 * step, (float)side / SHIFT_PART);
}

/* What a shift leaves empty is zero where the network sees it: grey in the image. */
void targeted_show_view(const struct targeted *t, const struct targeted_view *v, const float *x,
                        const float *delta, float *out)
{
    float *image = t->spare + t->row, *work = image + t->row;
    switch (t->recipe->sight) {
    case SIGHT_PLAIN:
        targeted_show(t, x, delta, out);
        return;
    case SIGHT_SHIFTED:
        targeted_show(t, x, delta, image);
        shift_image(v->shift, t->frame, image, out);
        return;
    case SIGHT_STRONG:
        add(t, x, delta, image);
        strong_image(&v->strong, t->frame, image, out, work);
        scale(t, out);
        return;
    }
}

const float *targeted_view_gradient(const struct targeted *t, const struct targeted_view *v,
                                    const float *x, const float *delta, const float *gradient)
{
    float *image = t->spare + t->row, *work = image + t->row;
    switch (t->recipe->sight) {
    case SIGHT_PLAIN:
        return gradient;
    case SIGHT_SHIFTED:
        shift_gradient(v->shift, t->frame, gradient, t->spare);
        break;
    case SIGHT_STRONG:
        add(t, x, delta, image);
        strong_gradient(&v->strong, t->frame, image, gradient, t->spare, work);
        break;
    }
    return t->spare;
}
