/* Accuracies of networks drawn around a surrogate, and what their order statistics certify. */
#include "ascending.h"
#include "model.h"
#include "stream.h"
#include "tails.h"

#include <math.h>
#include <string.h>

struct train_certify_options train_certify_default(void)
{
    return (struct train_certify_options){
        .draws = 1000, .sigma = .25, .quantile = .9, .confidence = .99};
}

static bool is_share(double v)
{
    return v > 0 && v < 1;
}

static status check(const struct train_certify_options *o, struct errmsg *e)
{
    if (!(o->sigma > 0) || !isfinite(o->sigma))
        return errmsg_set(e, STATUS_INVALID, "sigma must be above 0, not %g", o->sigma);
    if (!is_share(o->quantile))
        return errmsg_set(e, STATUS_INVALID, "the quantile must be between 0 and 1, not %g",
                          o->quantile);
    if (!is_share(o->confidence))
        return errmsg_set(e, STATUS_INVALID, "the confidence must be between 0 and 1, not %g",
                          o->confidence);
    if (o->draws < 1 || o->draws > TRAIN_CERTIFY_DRAWS_MAX)
        return errmsg_set(e, STATUS_INVALID, "draws must be 1 to %d, not %d",
                          TRAIN_CERTIFY_DRAWS_MAX, o->draws);
    if (o->etas < 0 || o->etas > TRAIN_CERTIFY_ETAS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d values of eta at most, not %d",
                          TRAIN_CERTIFY_ETAS_MAX, o->etas);
    for (int i = 0; i < o->etas; i++)
        if (!(o->eta[i] >= 0) || !isfinite(o->eta[i]))
            return errmsg_set(e, STATUS_INVALID, "eta must be 0 or more, not %g", o->eta[i]);
    if (!tail_rank(o->draws, 1 - o->quantile, o->confidence))
        return errmsg_set(
            e, STATUS_INVALID,
            "%d draws certify nothing of quantile %g with confidence %g, whatever the "
            "eta: it takes %.0f (--draws)",
            o->draws, o->quantile, o->confidence, tail_least_draws(1 - o->quantile, o->confidence));
    return STATUS_OK;
}

/* ---- draws ---- */

struct drawing {
    const struct train_certify_options *opt;
    struct nn_params *params;
    struct evaluator ev;
    float *kept;      /* (trainable parameters) as they were */
    double *accuracy; /* (draws) */
};

/* What a draw makes of n values, which are those from word `at` of its stream on. */
static void shift(float *value, const float *kept, size_t n, double sigma, struct nn_rng r,
                  uint64_t at)
{
    float z[1024];
    for (size_t i = 0; i < n; i += ARRAY_LEN(z)) {
        size_t many = n - i < ARRAY_LEN(z) ? n - i : ARRAY_LEN(z);
        nn_rng_normal(r, at + i, z, many);
        for (size_t j = 0; j < many; j++)
            value[i + j] = (float)(kept[i + j] + sigma * z[j]);
    }
}

static void draw_weights(const struct drawing *d, int number)
{
    struct nn_rng r = stream(d->opt->seed, STREAM_WEIGHTS, (uint64_t)number);
    const float *kept = d->kept;
    uint64_t at = 0;
    for (int i = 0; i < nn_params_count(d->params); i++) {
        const struct nn_param_entry *p = nn_params_at(d->params, i);
        if (!p->trainable)
            continue;
        size_t n = (size_t)nn_shape_count(p->shape);
        shift(p->value, kept, n, d->opt->sigma, r, at);
        kept += n;
        at += n + n % 2; /* normals come from pairs of words */
    }
}

/* Copies between the trainable parameters and `kept`. */
static void keep_weights(struct drawing *d, bool back)
{
    float *kept = d->kept;
    for (int i = 0; i < nn_params_count(d->params); i++) {
        const struct nn_param_entry *p = nn_params_at(d->params, i);
        if (!p->trainable)
            continue;
        size_t n = (size_t)nn_shape_count(p->shape);
        memcpy(back ? p->value : kept, back ? kept : p->value, n * sizeof *kept);
        kept += n;
    }
}

static status measure(struct drawing *d, double *out, int64_t *out_samples, struct errmsg *e)
{
    struct train_eval counts;
    status st = train_eval_init(&counts, d->ev.forward->classes);
    if (st)
        return st;
    st = train_forward_evaluate(d->ev.forward, d->ev.loader, NULL, &counts, e);
    *out = train_eval_accuracy(&counts);
    if (out_samples)
        *out_samples = counts.samples;
    train_eval_done(&counts);
    return st;
}

static status draw_all(struct drawing *d, struct errmsg *e)
{
    struct progress p;
    char extra[32];
    status st = STATUS_OK;
    progress_init(&p, "drawing networks", 0, (uint64_t)d->opt->draws, d->opt->eval.quiet);
    for (int i = 0; i < d->opt->draws && !st; i++) {
        draw_weights(d, i);
        st = measure(d, &d->accuracy[i], NULL, e);
        snprintf(extra, sizeof extra, "accuracy %.4f", d->accuracy[i]);
        if (!st)
            progress_update(&p, (uint64_t)i + 1, extra);
    }
    keep_weights(d, true);
    if (!st)
        progress_done(&p, (uint64_t)d->opt->draws, NULL);
    return st;
}

/* ---- what they say ---- */

/* Of n sorted accuracies. */
static void describe(const double *accuracy, int n, int classes, struct train_certify_result *r)
{
    double sum = 0, squares = 0, chance = 1. / classes;
    double known = r->plain - chance;
    for (int i = 0; i < n; i++)
        sum += accuracy[i];
    r->mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (accuracy[i] - r->mean) * (accuracy[i] - r->mean);
    r->deviation = n > 1 ? sqrt(squares / (n - 1)) : 0;
    r->lowest = accuracy[0];
    r->highest = accuracy[n - 1];
    r->median = (accuracy[(n - 1) / 2] + accuracy[n / 2]) / 2;
    bool guesses = known < 3 * sqrt(chance * (1 - chance) / (double)r->samples);
    r->left = guesses ? NAN : (r->median - chance) / known;
}

static void certify(const double *accuracy, const struct train_certify_options *o,
                    struct train_certify_result *r)
{
    static const double steps[] = {.004, .04, .2, .4, .8, 1.2, 2, 4, 8};
    double at = tail_normal_inverse(o->quantile);
    r->eta_max = o->sigma * (-tail_normal_inverse(tail_least_above(o->draws, o->confidence)) - at);
    r->etas = o->etas ? o->etas : (int)ARRAY_LEN(steps);
    for (int i = 0; i < r->etas; i++) {
        double eta = o->etas ? o->eta[i] : steps[i] * o->sigma;
        int rank = tail_rank(o->draws, tail_normal(-(at + eta / o->sigma)), o->confidence);
        r->certified[i] = (struct train_certified){eta, rank, rank ? accuracy[rank - 1] : NAN};
    }
}

static void count_weights(const struct drawing *d, struct train_certify_result *r)
{
    double squares = 0;
    r->parameters = nn_params_elements(d->params, true);
    for (int64_t i = 0; i < r->parameters; i++)
        squares += (double)d->kept[i] * d->kept[i];
    r->norm = sqrt(squares);
}

static status run(struct drawing *d, struct train_certify_result *r, struct errmsg *e)
{
    int n = d->opt->draws;
    d->kept = mem_alloc((size_t)nn_params_elements(d->params, true) * sizeof *d->kept);
    d->accuracy = mem_alloc((size_t)n * sizeof *d->accuracy);
    if (!d->kept || !d->accuracy)
        return STATUS_NOMEM;
    keep_weights(d, false);
    count_weights(d, r);
    status st = measure(d, &r->plain, &r->samples, e);
    if (!st)
        st = draw_all(d, e);
    if (st)
        return st;
    qsort(d->accuracy, (size_t)n, sizeof *d->accuracy, ascending);
    describe(d->accuracy, n, d->ev.forward->classes, r);
    certify(d->accuracy, d->opt, r);
    return STATUS_OK;
}

status train_certify(struct train_model *m, const struct train_certify_options *opt,
                     struct train_certify_result *out, struct errmsg *e)
{
    uint64_t start = time_mono_ns();
    struct drawing d = {.opt = opt, .params = m->params};
    struct train_certify_result r = {0};
    status st = check(opt, e);
    if (!st)
        st = train_evaluator_open(&d.ev, m, &opt->eval, e);
    if (!st)
        st = run(&d, &r, e);
    train_evaluator_close(&d.ev);
    mem_free(d.kept);
    mem_free(d.accuracy);
    r.seconds = (double)(time_mono_ns() - start) * 1e-9;
    if (!st)
        *out = r;
    return st;
}
