#include "jcdp.h"

#include <math.h>
#include <string.h>

enum {
    PHASED_PERCEPT_T = 10
}; /* phased: pixel guidance above, perceptual at and below; the
      released code's constant, in steps of the full chain */

struct step {
    int t;
    float sqrt_abar, sqrt_noise;  /* diffusing an image to this step */
    float x0_from_x, x0_from_eps; /* x0 = x0_from_x x - x0_from_eps eps */
    float mean_from_x, mean_from_x0;
    float pixel, percept; /* on (y - x) and on -gradient; 0: not asked */
    float noise;
};
struct jcdp {
    int rounds, steps;
    size_t n;                               /* floats of a micro-batch */
    float *protected_image, *x, *y, *noise; /* (batch,elements) each */
    struct step step[];
};

bool jcdp_guides_pixel(const struct purify_jcdp *p)
{
    return p->guidance != PURIFY_GUIDE_NONE && p->pixel_scale > 0;
}

bool jcdp_guides_percept(const struct purify_jcdp *p)
{
    return p->guidance != PURIFY_GUIDE_NONE && p->perceptual_scale > 0;
}

static void plan_step(struct step *s, const struct purify_schedule *c, int i,
                      const struct purify_jcdp *p, size_t elements)
{
    double abar = c->alpha_bar[i], before = i > 0 ? c->alpha_bar[i - 1] : 1;
    double posterior = c->beta[i] * (1 - before) / (1 - abar);
    double eta = i < p->deterministic_steps ? 0 : (double)p->eta;
    double rest = 1 - before - eta * eta * posterior;
    double a = sqrt((rest > 0 ? rest : 0) / (1 - abar));
    double guide = c->variance[i] * sqrt(1 - abar) / sqrt(abar);
    bool joint = p->guidance == PURIFY_GUIDE_JOINT;
    bool pixel = jcdp_guides_pixel(p) && (joint || c->t[i] > PHASED_PERCEPT_T);
    bool percept = jcdp_guides_percept(p) && (joint || c->t[i] <= PHASED_PERCEPT_T);
    *s = (struct step){
        .t = c->t[i],
        .sqrt_abar = (float)sqrt(abar),
        .sqrt_noise = (float)sqrt(1 - abar),
        .x0_from_x = (float)(1 / sqrt(abar)),
        .x0_from_eps = (float)(sqrt(1 - abar) / sqrt(abar)),
        .mean_from_x = (float)a,
        .mean_from_x0 = (float)(sqrt(before) - a * sqrt(abar)),
        .pixel = pixel ? (float)(guide * (double)p->pixel_scale * 2 / (double)elements) : 0,
        .percept = percept ? (float)(guide * (double)p->perceptual_scale) : 0,
        .noise = i > 0 ? (float)(eta * sqrt(c->variance[i])) : 0,
    };
}

status jcdp_new(const struct purify_jcdp *p, const struct purify_unet *cfg, int batch,
                size_t elements, struct jcdp **out)
{
    AUTO(purify_schedule_free) struct purify_schedule *c = NULL;
    status st = purify_schedule_new(cfg->beta, cfg->total, p->t_start, p->steps, p->variance, &c);
    if (st)
        return st;
    AUTO(jcdp_free)
    struct jcdp *j = mem_zalloc(1, sizeof *j + (size_t)p->steps * sizeof j->step[0]);
    if (!j)
        return STATUS_NOMEM;
    j->rounds = p->rounds;
    j->steps = p->steps;
    j->n = (size_t)batch * elements;
    j->protected_image = mem_alloc_aligned(4 * j->n * sizeof(float));
    if (!j->protected_image)
        return STATUS_NOMEM;
    j->x = j->protected_image + j->n;
    j->y = j->x + j->n;
    j->noise = j->y + j->n;
    for (int i = 0; i < p->steps; i++)
        plan_step(&j->step[i], c, i, p, elements);
    *out = TAKE(j);
    return STATUS_OK;
}

void jcdp_free(struct jcdp *j)
{
    if (j)
        mem_free(j->protected_image);
    mem_free(j);
}

/* ---- the loops over pixels: single passes without calls, for the vectoriser ---- */

static void diffuse(const struct step *s, size_t n, const float *restrict image,
                    const float *restrict noise, float *restrict out)
{
    for (size_t k = 0; k < n; k++)
        out[k] = s->sqrt_abar * image[k] + s->sqrt_noise * noise[k];
}

static void denoise(const struct step *s, size_t n, const float *restrict eps, float *restrict x)
{
    for (size_t k = 0; k < n; k++) {
        float x0 = s->x0_from_x * x[k] - s->x0_from_eps * eps[k];
        x0 = x0 < -1 ? -1 : x0;
        x0 = x0 > 1 ? 1 : x0;
        x[k] = s->mean_from_x * x[k] + s->mean_from_x0 * x0;
    }
}

/* to += gain from */
static void add(float gain, size_t n, const float *restrict from, float *restrict to)
{
    for (size_t k = 0; k < n; k++)
        to[k] += gain * from[k];
}

/* y <- gain_pixel (y - x) - gain_percept gradient: the move that guidance makes */
static void pull(const struct step *s, size_t n, const float *restrict x,
                 const float *restrict gradient, float *restrict y)
{
    for (size_t k = 0; k < n; k++)
        y[k] = s->pixel * (y[k] - x[k]);
    if (gradient)
        add(-s->percept, n, gradient, y);
}

/* Leaves the guidance's move in j->y. Both gradients are taken at x before the step. */
static status guide(struct jcdp *j, const struct jcdp_env *env, const struct step *s, int round,
                    int step)
{
    const float *gradient = NULL;
    env->noise(env->ctx, JCDP_REFERENCE, round, step, j->noise);
    diffuse(s, j->n, j->protected_image, j->noise, j->y);
    if (s->percept > 0) {
        status st = env->percept_gradient(env->ctx, j->x, j->y, &gradient);
        if (st)
            return st;
    }
    pull(s, j->n, j->x, gradient, j->y);
    return STATUS_OK;
}

static status take_step(struct jcdp *j, const struct jcdp_env *env, int round, int step)
{
    const struct step *s = &j->step[step];
    const float *eps;
    bool guided = s->pixel > 0 || s->percept > 0;
    if (env->stop && env->stop(env->ctx))
        return STATUS_CANCELLED;
    status st = env->eps(env->ctx, j->x, s->t, &eps);
    if (!st && guided)
        st = guide(j, env, s, round, step);
    if (st)
        return st;
    denoise(s, j->n, eps, j->x);
    if (guided)
        add(1, j->n, j->y, j->x);
    if (s->noise > 0) {
        env->noise(env->ctx, JCDP_STEP, round, step, j->noise);
        add(s->noise, j->n, j->noise, j->x);
    }
    return STATUS_OK;
}

status jcdp_run(struct jcdp *j, const struct jcdp_env *env, float *z)
{
    int last = j->steps - 1;
    memcpy(j->protected_image, z, j->n * sizeof *z);
    for (int round = 0; round < j->rounds; round++) {
        env->noise(env->ctx, JCDP_JUMP, round, last, j->noise);
        diffuse(&j->step[last], j->n, z, j->noise, j->x);
        for (int step = last; step >= 0; step--) {
            status st = take_step(j, env, round, step);
            if (st)
                return st;
        }
        memcpy(z, j->x, j->n * sizeof *z);
    }
    return STATUS_OK;
}
