#include "protect/ntk_flow.h"

#include <math.h>
#include <string.h>

enum { STEPS_LEAST = 256, LANES = 8 };

/* Columns of (n,classes) matrices lie one after another. */
struct course {
    const struct ntk_flow *f;
    size_t n, width, size; /* n; of a row of theta; n * classes */
    int steps;
    double step, ridge;
    double *a;    /* (steps+1,classes,n): A after each step */
    double *by_a; /* (classes,n): of the loss */
    double *by_f; /* (held,classes) */
};

static double dot(const double *a, const double *b, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* No eigenvalue is above the largest sum of a row, and a step by 1/4 of its inverse is a small one. */
static void choose_steps(struct course *c)
{
    double most = 0, trace = 0, time = c->f->time / (double)c->size;
    for (size_t i = 0; i < c->n; i++) {
        const double *row = c->f->theta + i * c->width;
        double sum = 0;
        for (size_t j = 0; j < c->n; j++)
            sum += fabs(row[j]);
        most = fmax(most, sum);
        trace += row[i];
    }
    c->ridge = c->f->ridge * trace / (double)c->n;
    c->steps = (int)fmax(STEPS_LEAST, ceil(4 * time * (most + c->ridge)));
    c->step = time / c->steps;
}

/* out = in + step * (y - K in), y 1 in the class of an image or, without labels, 0. */
static void advance(const struct course *c, const double *in, bool labels, double *out)
{
    for (int k = 0; k < c->f->classes; k++)
        for (size_t i = 0; i < c->n; i++) {
            const double *v = in + (size_t)k * c->n;
            double y = labels && c->f->label[i] == k ? 1 : 0;
            double kv = dot(c->f->theta + i * c->width, v, c->n) + c->ridge * v[i];
            out[(size_t)k * c->n + i] = v[i] + c->step * (y - kv);
        }
}

static status train(const struct course *c)
{
    memset(c->a, 0, c->size * sizeof *c->a);
    for (int s = 0; s < c->steps; s++) {
        if (stop_requested())
            return STATUS_CANCELLED;
        advance(c, c->a + (size_t)s * c->size, true, c->a + (size_t)(s + 1) * c->size);
    }
    return STATUS_OK;
}

/* Of prediction f (classes), which becomes the gradient. Returns whether it is right. */
static bool entropy(double *f, int classes, int label, double *loss)
{
    int best = 0;
    double sum = 0;
    for (int k = 1; k < classes; k++)
        best = f[k] > f[best] ? k : best;
    double most = f[best], own = f[label] - most;
    for (int k = 0; k < classes; k++)
        sum += f[k] = exp(f[k] - most);
    for (int k = 0; k < classes; k++)
        f[k] = f[k] / sum - (k == label);
    *loss += log(sum) - own;
    return best == label;
}

static void predict(const struct course *c, struct ntk_loss *out)
{
    const struct ntk_flow *f = c->f;
    const double *a = c->a + (size_t)c->steps * c->size;
    size_t classes = (size_t)f->classes, wrong = 0;
    double loss = 0;
    memset(c->by_f, 0, (size_t)f->held * classes * sizeof *c->by_f);
    for (size_t i = 0; i < c->n; i++)
        for (size_t v = 0; v < (size_t)f->held; v++)
            for (size_t k = 0; k < classes; k++)
                c->by_f[v * classes + k] += f->theta[i * c->width + c->n + v] * a[k * c->n + i];
    for (size_t v = 0; v < (size_t)f->held; v++)
        wrong += !entropy(c->by_f + v * classes, f->classes, f->label[c->n + v], &loss);
    *out = (struct ntk_loss){loss / f->held, (double)wrong / f->held};
}

/* From what predict left, back through all steps. */
static status differentiate(const struct course *c, double *grad)
{
    const struct ntk_flow *f = c->f;
    const double *a = c->a + (size_t)c->steps * c->size;
    size_t classes = (size_t)f->classes;
    double trace = 0;
    memset(grad, 0, c->n * c->width * sizeof *grad);
    for (size_t k = 0; k < classes; k++)
        for (size_t i = 0; i < c->n; i++) {
            double sum = 0;
            for (size_t v = 0; v < (size_t)f->held; v++) {
                double by = c->by_f[v * classes + k] / f->held;
                sum += by * f->theta[i * c->width + c->n + v];
                grad[i * c->width + c->n + v] += by * a[k * c->n + i];
            }
            c->by_a[k * c->n + i] = sum;
        }
    for (int s = c->steps - 1; s >= 0; s--) {
        const double *before = c->a + (size_t)s * c->size;
        if (stop_requested())
            return STATUS_CANCELLED;
        for (size_t k = 0; k < classes; k++)
            for (size_t i = 0; i < c->n; i++) {
                double by = c->step * c->by_a[k * c->n + i];
                for (size_t j = 0; j < c->n; j++)
                    grad[i * c->width + j] -= by * before[k * c->n + j];
            }
        double *next = c->a + (size_t)(s + 1) * c->size; /* is not needed any more */
        advance(c, c->by_a, false, next);
        memcpy(c->by_a, next, c->size * sizeof *next);
    }
    for (size_t i = 0; i < c->n; i++)
        trace += grad[i * c->width + i];
    for (size_t i = 0; i < c->n; i++)
        grad[i * c->width + i] += f->ridge / (double)c->n * trace;
    return STATUS_OK;
}

status ntk_flow_loss(const struct ntk_flow *f, double *grad, struct ntk_loss *out)
{
    struct course c = {.f = f,
                       .n = (size_t)f->n,
                       .width = (size_t)(f->n + f->held),
                       .size = (size_t)f->n * (size_t)f->classes};
    choose_steps(&c);
    AUTO(mem_free) double *a = c.a = mem_alloc(((size_t)c.steps + 1) * c.size * sizeof *a);
    AUTO(mem_free) double *by_a = c.by_a = mem_alloc(c.size * sizeof *by_a);
    AUTO(mem_free)
    double *by_f = c.by_f = mem_alloc((size_t)f->held * (size_t)f->classes * sizeof *by_f);
    if (!a || !by_a || !by_f)
        return STATUS_NOMEM;
    struct ntk_loss loss;
    status st = train(&c);
    if (st)
        return st;
    predict(&c, &loss);
    st = grad ? differentiate(&c, grad) : STATUS_OK;
    if (!st)
        *out = loss;
    return st;
}
