#include "audit/delta.h"
#include "audit/kin.h"
#include "audit/ridge.h"

#include "set.h"
#include "stream.h"

#include <math.h>

enum { SIDE_MAX = 64, ROUNDS = 3 };
_Static_assert((int)VIEW_COUNT == (int)TRAIN_AUDIT_SIGN_COUNT, "a sign is a view");

const char *const train_audit_signs[TRAIN_AUDIT_SIGN_COUNT + 1] = {
    [TRAIN_AUDIT_PATTERN] = "pattern",
    [TRAIN_AUDIT_TEXTURE] = "texture",
    [TRAIN_AUDIT_SPOT] = "spot",
};
const char *const train_audit_verdicts[] = {
    [TRAIN_AUDIT_CLEAR] = "no sign of a protection",
    [TRAIN_AUDIT_UNCLEAR] = "unclear",
    [TRAIN_AUDIT_PROTECTED] = "protected",
};
const char *const train_audit_kinds[TRAIN_AUDIT_KIND_COUNT + 1] = {
    [TRAIN_AUDIT_SAMPLE_WISE] = "sample-wise",
    [TRAIN_AUDIT_PARTLY] = "partly class-wise",
    [TRAIN_AUDIT_CLASS_WISE] = "class-wise",
    [TRAIN_AUDIT_UNIVERSAL] = "universal",
};

struct audit {
    const struct train_audit_options *opt;
    struct train_set *set;
    struct train_set_info info;
    struct view_frame frame;
    int *label;     /* (samples) */
    float *feature; /* (samples, the largest view) */
};

/* ---- what is looked at ---- */

static status check_classes(const struct audit *a, struct errmsg *e)
{
    AUTO(mem_free) int *count = mem_zalloc((size_t)a->info.classes + 1, sizeof *count);
    if (!count)
        return STATUS_NOMEM;
    for (int i = 0; i < a->info.samples; i++)
        count[a->label[i]]++;
    if (a->info.classes < 2)
        return errmsg_set(e, STATUS_INVALID,
                          "%s has one class; what a class's images share shows beside others only",
                          a->opt->data.dir);
    for (int k = 0; k < a->info.classes; k++)
        if (count[k] < TRAIN_AUDIT_EACH_MIN)
            return errmsg_set(
                e, STATUS_INVALID, "%s: %d images of class %s, and %d or more of each are needed",
                a->opt->data.dir, count[k], train_set_class(a->set, k), TRAIN_AUDIT_EACH_MIN);
    return STATUS_OK;
}

/* The least width and height of all, and not more than SIDE_MAX. */
static status choose_frame(struct audit *a, struct errmsg *e)
{
    a->frame = (struct view_frame){SIDE_MAX, SIDE_MAX, a->info.channels};
    for (int i = 0; i < a->info.samples; i++) {
        int w, h;
        status st = train_set_size(a->set, i, &w, &h, e);
        if (st)
            return st;
        if (w < VIEW_SIDE_MIN || h < VIEW_SIDE_MIN)
            return errmsg_set(e, STATUS_INVALID, "%s/%s has %dx%d pixels, and %d a side are needed",
                              a->opt->data.dir, train_set_path(a->set, i), w, h, VIEW_SIDE_MIN);
        a->frame.width = w < a->frame.width ? w : a->frame.width;
        a->frame.height = h < a->frame.height ? h : a->frame.height;
    }
    return STATUS_OK;
}

static int audit_limit(const struct train_audit_options *o)
{
    return o->data.limit > 0 ? o->data.limit : TRAIN_AUDIT_LIMIT;
}

static status begin(struct audit *a, struct errmsg *e)
{
    struct train_data_options data = a->opt->data;
    if (data.limit > TRAIN_AUDIT_LIMIT_MAX)
        return errmsg_set(e, STATUS_INVALID, "more than %d images are not needed",
                          TRAIN_AUDIT_LIMIT_MAX);
    data.limit = audit_limit(a->opt);
    data.any_size = true;
    status st = train_set_open(&data, &a->set, e);
    if (st)
        return st;
    a->info = train_set_info(a->set);
    size_t n = (size_t)a->info.samples, most = 0;
    a->label = mem_alloc(n * sizeof *a->label);
    if (!a->label)
        return STATUS_NOMEM;
    for (int i = 0; i < a->info.samples; i++)
        a->label[i] = train_set_label(a->set, i);
    st = check_classes(a, e);
    if (!st)
        st = choose_frame(a, e);
    if (st)
        return st;
    for (int v = 0; v < VIEW_COUNT; v++)
        most = view_size((enum view)v, a->frame) > most ? view_size((enum view)v, a->frame) : most;
    a->feature = mem_alloc(n * most * sizeof *a->feature);
    return a->feature ? STATUS_OK : STATUS_NOMEM;
}

/* ---- a view of all ---- */

struct train_audit_reading audit_reading(const struct ridge_result *r, int classes)
{
    double chance = 1. / classes;
    return (struct train_audit_reading){r->accuracy, r->deviation,
                                        (r->accuracy - chance) / (1 - chance)};
}

struct looking {
    const struct audit *a;
    enum view view;
};

static status look(void *arg, int i, struct errmsg *e)
{
    const struct looking *l = arg;
    struct view_frame f = l->a->frame;
    struct set_view v;
    AUTO(mem_free)
    float *image =
        mem_alloc((size_t)f.height * (size_t)f.width * (size_t)f.channels * sizeof *image);
    if (stop_requested())
        return STATUS_CANCELLED;
    status st = image ? train_set_view(l->a->set, i, &v, e) : STATUS_NOMEM;
    if (st)
        return st;
    view_middle(f, v.pixels, v.width, v.height, image);
    train_set_view_done(&v);
    return view_make(l->view, f, image, l->a->feature + (size_t)i * view_size(l->view, f));
}

static status read_sign(struct audit *a, enum view v, struct train_audit_result *out,
                        struct errmsg *e)
{
    struct looking l = {a, v};
    struct ridge_data d = {a->feature, a->info.samples, view_size(v, a->frame), a->label,
                           a->info.classes};
    struct ridge_result r;
    status st = train_set_for_each(a->set, look, &l, e);
    if (!st)
        st = ridge_read(&d, stream(a->opt->seed, STREAM_AUDIT, (uint64_t)v), ROUNDS, &r);
    if (st)
        return st;
    out->sign[v] = audit_reading(&r, a->info.classes);
    out->held_out = r.held_out;
    return STATUS_OK;
}

static enum train_audit_verdict verdict_of(double agreement)
{
    return agreement >= TRAIN_AUDIT_SURE    ? TRAIN_AUDIT_PROTECTED
           : agreement >= TRAIN_AUDIT_DOUBT ? TRAIN_AUDIT_UNCLEAR
                                            : TRAIN_AUDIT_CLEAR;
}

static void judge(struct train_audit_result *r)
{
    for (int v = 0; v < TRAIN_AUDIT_SIGN_COUNT; v++)
        if (r->sign[v].agreement > r->sign[r->strongest].agreement)
            r->strongest = (enum train_audit_sign)v;
    r->verdict = verdict_of(r->sign[r->strongest].agreement);
    enum train_audit_verdict by_delta = verdict_of(delta_agreement(&r->delta));
    r->by_delta = by_delta > r->verdict;
    r->verdict = r->by_delta ? by_delta : r->verdict;
}

/* What was added, where that is known. */
static status read_delta(struct audit *a, struct train_audit_result *out, struct errmsg *e)
{
    if (!a->opt->clean_dir)
        return STATUS_OK;
    struct train_data_options data = a->opt->data;
    data.limit = audit_limit(a->opt);
    out->has_delta = true;
    return delta_measure(&data, a->opt->clean_dir, a->frame, a->opt->seed, &out->delta, e);
}

/* After what there is has been judged. */
static status read_family(const struct audit *a, struct train_audit_result *out, struct errmsg *e)
{
    const struct kin_options o = {.frame = a->frame,
                                  .seed = a->opt->seed,
                                  .threads = a->opt->data.threads,
                                  .quiet = a->opt->quiet};
    if (!a->opt->family || out->verdict != TRAIN_AUDIT_PROTECTED)
        return STATUS_OK;
    return kin_tell(a->set, &o, &out->family, e);
}

status train_audit(const struct train_audit_options *opt, struct train_audit_result *out,
                   struct errmsg *e)
{
    struct audit a = {.opt = opt};
    struct progress p;
    *out = (struct train_audit_result){0};
    status st = begin(&a, e);
    if (!st)
        progress_init(&p, "reading signs", 0, VIEW_COUNT, opt->quiet);
    for (int v = 0; v < VIEW_COUNT && !st; v++) {
        st = read_sign(&a, (enum view)v, out, e);
        if (!st)
            progress_update(&p, (uint64_t)v + 1, train_audit_signs[v]);
    }
    if (!st)
        st = read_delta(&a, out, e);
    if (!st) {
        progress_done(&p, VIEW_COUNT, NULL);
        out->samples = a.info.samples;
        out->classes = a.info.classes;
        out->width = a.frame.width;
        out->height = a.frame.height;
        judge(out);
        st = read_family(&a, out, e);
    }
    train_set_free(a.set);
    mem_free(a.label);
    mem_free(a.feature);
    return st;
}
