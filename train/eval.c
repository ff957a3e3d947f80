/* Forward passes over a loader, and counting of their results. */
#include "model.h"

#include <math.h>
#include <string.h>

enum { BATCH_DEFAULT = 256 };

/* ---- counting ---- */

status train_eval_init(struct train_eval *ev, int classes)
{
    int64_t *confusion = mem_zalloc((size_t)classes * (size_t)classes, sizeof *confusion);
    if (!confusion)
        return STATUS_NOMEM;
    *ev = (struct train_eval){.classes = classes, .confusion = confusion};
    return STATUS_OK;
}

void train_eval_done(struct train_eval *ev)
{
    mem_free(TAKE(ev->confusion));
}

static double cross_entropy(const float *logit, int classes, int label)
{
    double top = logit[0], sum = 0;
    for (int k = 1; k < classes; k++)
        top = logit[k] > top ? logit[k] : top;
    for (int k = 0; k < classes; k++)
        sum += exp(logit[k] - top);
    return top + log(sum) - logit[label];
}

void train_eval_add(struct train_eval *ev, const float *logits, const int32_t *labels, int n)
{
    double loss = ev->loss * (double)ev->samples;
    for (int i = 0; i < n; i++) {
        const float *row = logits + (size_t)i * (size_t)ev->classes;
        if (labels[i] < 0 || labels[i] >= ev->classes)
            continue;
        int best = 0;
        for (int k = 1; k < ev->classes; k++)
            best = row[k] > row[best] ? k : best;
        ev->confusion[(size_t)labels[i] * (size_t)ev->classes + (size_t)best]++;
        ev->correct += best == labels[i];
        ev->samples++;
        loss += cross_entropy(row, ev->classes, labels[i]);
    }
    ev->loss = ev->samples ? loss / (double)ev->samples : 0;
}

double train_eval_accuracy(const struct train_eval *ev)
{
    return ev->samples ? (double)ev->correct / (double)ev->samples : 0;
}

double train_eval_class_accuracy(const struct train_eval *ev, int k)
{
    const int64_t *row = ev->confusion + (size_t)k * (size_t)ev->classes;
    int64_t sum = 0;
    for (int j = 0; j < ev->classes; j++)
        sum += row[j];
    return sum ? (double)row[k] / (double)sum : NAN;
}

/* ---- forward passes ---- */

static status build(struct forward *f, const struct train_model *m, bool with_stages)
{
    struct nn_val stage[TRAIN_STAGES_MAX];
    struct nn_shape in = nn_shape4(f->batch, m->shape.height, m->shape.width, m->shape.channels);
    f->x = nn_input(f->graph, "x", NN_F32, in);
    f->logits = m->net->build(f->graph, m->shape, f->x, false, with_stages ? stage : NULL);
    nn_output(f->graph, f->logits, "logits");
    f->stages = with_stages ? m->net->stages : 0;
    for (int s = 0; s < f->stages; s++) {
        char name[16];
        snprintf(name, sizeof name, "stage%d", s);
        f->stage[s] = nn_global_avg_pool(f->graph, stage[s]);
        f->width[s] = nn_val_shape(f->graph, f->stage[s]).dim[1];
        nn_output(f->graph, f->stage[s], name);
    }
    return nn_graph_status(f->graph, NULL);
}

status train_forward_new(const struct train_model *m, int batch, const struct nn_plan_options *plan,
                         bool with_stages, struct forward **out, struct errmsg *e)
{
    AUTO(train_forward_free) struct forward *f = mem_zalloc(1, sizeof *f);
    if (!f)
        return STATUS_NOMEM;
    f->batch = batch;
    f->classes = m->shape.classes;
    status st = nn_graph_new(m->params, &f->graph);
    if (!st)
        st = build(f, m, with_stages);
    if (st)
        return st;
    st = nn_plan_new(f->graph, plan, &f->plan, e);
    if (st)
        return st;
    f->in = nn_plan_data(f->plan, f->x);
    f->out = nn_plan_data(f->plan, f->logits);
    for (int s = 0; s < f->stages; s++)
        f->pooled[s] = nn_plan_data(f->plan, f->stage[s]);
    *out = TAKE(f);
    return STATUS_OK;
}

void train_forward_free(struct forward *f)
{
    if (!f)
        return;
    nn_plan_free(f->plan);
    nn_graph_free(f->graph);
    mem_free(f);
}

status train_forward_evaluate(struct forward *f, struct train_loader *l, struct progress *p,
                              struct train_eval *ev, struct errmsg *e)
{
    uint64_t start = time_mono_ns();
    const struct train_batch *b;
    status st = nn_plan_refresh(f->plan);
    if (!st)
        st = train_loader_start(l, 0, 0);
    size_t row = (size_t)nn_shape_count(nn_val_shape(f->graph, f->x)) / (size_t)f->batch;
    while (!st && !(st = train_loader_next(l, &b, e)) && b) {
        if (stop_requested())
            return STATUS_CANCELLED;
        memcpy(f->in, b->x, (size_t)f->batch * row * sizeof(float));
        st = nn_plan_run(f->plan);
        if (st)
            break;
        train_eval_add(ev, f->out, b->label, b->n);
        if (p) {
            char extra[32];
            snprintf(extra, sizeof extra, "accuracy %.4f", train_eval_accuracy(ev));
            progress_update(p, (uint64_t)ev->samples, extra);
        }
    }
    double seconds = (double)(time_mono_ns() - start) * 1e-9;
    ev->images_per_s = seconds > 0 ? (double)ev->samples / seconds : 0;
    return st;
}

struct train_loader_options train_forward_loader(const struct train_model *m, int batch,
                                                 int threads)
{
    struct train_loader_options o = {.batch = batch, .threads = threads};
    memcpy(o.mean, m->mean, sizeof o.mean);
    memcpy(o.std, m->std, sizeof o.std);
    return o;
}

/* ---- a directory ---- */

static status check_classes(const struct train_model *m, const struct train_set *set,
                            const char *dir, struct errmsg *e)
{
    struct train_set_info info = train_set_info(set);
    if (info.classes != m->shape.classes)
        return errmsg_set(e, STATUS_INVALID, "%s has %d classes, the network %d", dir, info.classes,
                          m->shape.classes);
    for (int k = 0; k < info.classes && m->class_name; k++)
        if (strcmp(m->class_name[k], train_set_class(set, k)) != 0)
            return errmsg_set(e, STATUS_INVALID,
                              "class %d of %s is \"%s\", the network's is \"%s\"", k, dir,
                              train_set_class(set, k), m->class_name[k]);
    if (info.width != m->shape.width || info.height != m->shape.height)
        return errmsg_set(e, STATUS_INVALID,
                          "images of %s are %dx%d, the network's are %dx%d (resize with --size %d)",
                          dir, info.width, info.height, m->shape.width, m->shape.height,
                          m->shape.width);
    return STATUS_OK;
}

status train_evaluator_open(struct evaluator *v, const struct train_model *m,
                            const struct train_eval_options *opt, struct errmsg *e)
{
    const struct nn_plan_options plan = {.threads = opt->threads, .precision = opt->precision};
    struct train_data_options data = opt->data;
    data.channels = m->shape.channels;
    data.threads = opt->threads;
    *v = (struct evaluator){0};
    status st = train_precision_check(opt->precision, e);
    if (!st)
        st = train_set_open(&data, &v->set, e);
    if (!st)
        st = check_classes(m, v->set, data.dir, e);
    if (st)
        return st;
    int batch = opt->batch ? opt->batch : BATCH_DEFAULT;
    v->samples = train_set_info(v->set).samples;
    struct train_loader_options lo =
        train_forward_loader(m, batch < v->samples ? batch : v->samples, opt->threads);
    st = train_loader_new(v->set, &lo, &v->loader, e);
    return st ? st : train_forward_new(m, lo.batch, &plan, false, &v->forward, e);
}

void train_evaluator_close(struct evaluator *v)
{
    train_forward_free(TAKE(v->forward));
    train_loader_free(TAKE(v->loader));
    train_set_free(TAKE(v->set));
}

static status evaluate(struct evaluator *v, bool quiet, struct train_eval *out, struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, v->forward->classes);
    if (st)
        return st;
    struct progress p;
    progress_init(&p, "evaluating", 0, (uint64_t)v->samples, quiet);
    st = train_forward_evaluate(v->forward, v->loader, &p, &ev, e);
    if (st) {
        train_eval_done(&ev);
        return st;
    }
    progress_done(&p, (uint64_t)ev.samples, NULL);
    *out = ev;
    return STATUS_OK;
}

status train_evaluate(const struct train_model *m, const struct train_eval_options *opt,
                      struct train_eval *out, struct errmsg *e)
{
    struct train_eval_options once = *opt;
    once.data.memory_bytes = 1; /* every image is seen once */
    struct evaluator v;
    status st = train_evaluator_open(&v, m, &once, e);
    if (!st)
        st = evaluate(&v, opt->quiet, out, e);
    train_evaluator_close(&v);
    return st;
}
