#include "recipes/staged.h"

#include "nets.h"
#include "recipe.h"
#include "run.h"

#include <string.h>

/* ---- control ---- */

void train_staged_init(struct train_staged *s, const struct train_staged_options *opt, int stages,
                       const double *acm)
{
    *s = (struct train_staged){.opt = *opt, .stages = stages, .rollbacks_left = opt->rollbacks};
    for (int i = 0; i < stages; i++) {
        s->start[i] = acm[i];
        s->scale[i] = 1;
    }
}

static double adapt(const struct train_staged_options *o, double scale, bool signal)
{
    double next = signal ? scale * o->slow : scale / o->slow;
    return next < o->floor ? o->floor : next > 1 ? 1 : next;
}

struct train_staged_verdict train_staged_step(struct train_staged *s, const double *acm)
{
    struct train_staged_verdict v = {.any = false};
    for (int i = 0; i < s->stages - 1; i++) {
        /* A measurement that is not a number is a signal too: nothing good clusters like that. */
        v.signal[i] = !(acm[i] <= s->opt.rise * s->start[i]);
        v.any = v.any || v.signal[i];
        s->scale[i] = adapt(&s->opt, s->scale[i], v.signal[i]);
    }
    for (int i = s->stages - 2; i >= 0; i--)
        if (s->scale[i] > s->scale[i + 1])
            s->scale[i] = s->scale[i + 1];
    v.rollback = v.any && !s->signalled && s->rollbacks_left > 0;
    s->rollbacks_left -= v.rollback;
    s->signalled = v.any && !v.rollback;
    return v;
}

/* ---- hooks ---- */

static const struct param rows[] = {
    {"rise", PARAM_DOUBLE, offsetof(struct train_staged_options, rise), .lo = 1.0001, .hi = 1e6,
     .standard = "2", .about = "ACM over its start that signals"},
    {"slow", PARAM_DOUBLE, offsetof(struct train_staged_options, slow), .lo = .0001, .hi = .9999,
     .standard = "0.1", .about = "factor of a slowed stage"},
    {"floor", PARAM_DOUBLE, offsetof(struct train_staged_options, floor), .lo = 1e-6, .hi = 1,
     .standard = "0.001", .about = "least factor"},
    {"rollbacks", PARAM_INT, offsetof(struct train_staged_options, rollbacks), .lo = 0, .hi = 1e6,
     .standard = "0", .about = "epochs that may be undone"},
};

struct state {
    struct train_staged control;
    struct train_staged_verdict verdict; /* on the last epoch */
    double scale[TRAIN_STAGES_MAX];      /* that it was trained with */
};

static void measured(struct run *r, const double *acm)
{
    struct state *s = r->state;
    train_staged_init(&s->control, r->params, r->model->net->stages, acm);
}

static void apply_scales(struct run *r)
{
    const struct state *state = r->state;
    for (int i = 0; i < nn_params_count(r->model->params); i++) {
        struct nn_param_entry *p = nn_params_at(r->model->params, i);
        int s = train_net_stage_of(r->model->net, p->name);
        p->lr_scale = s < 0 ? 1 : (float)state->control.scale[s];
    }
}

static status begin(struct run *r, struct errmsg *e)
{
    const struct state *s = r->state;
    apply_scales(r);
    return s->control.opt.rollbacks && r->at.step == 0 ? train_run_save_good(r, e) : STATUS_OK;
}

static status after_epoch(struct run *r, struct epoch_report *rep, struct errmsg *e)
{
    struct state *s = r->state;
    memcpy(s->scale, s->control.scale, sizeof s->scale);
    s->verdict = train_staged_step(&s->control, rep->acm);
    apply_scales(r);
    if (s->verdict.rollback) {
        rep->rolled_back = true;
        status st = train_run_load_good(r, e);
        return st ? st : nn_plan_refresh(r->plan);
    }
    bool keep = s->control.opt.rollbacks && !s->verdict.any;
    return keep ? train_run_save_good(r, e) : STATUS_OK;
}

static void log_line(const struct run *r, json_t *line)
{
    const struct state *s = r->state;
    json_t *signal = json_array();
    for (int i = 0; i < s->control.stages; i++)
        json_array_append_new(signal, json_boolean(s->verdict.signal[i]));
    json_object_set_new(line, "signal", signal);
    json_object_set_new(line, "scale", train_run_reals(s->scale, s->control.stages));
    json_object_set_new(line, "rollback", json_boolean(s->verdict.rollback));
}

static void save(const struct run *r, struct kv_list *m)
{
    static const char *const start[TRAIN_STAGES_MAX] = {"st.start.0", "st.start.1", "st.start.2",
                                                        "st.start.3", "st.start.4", "st.start.5"};
    static const char *const scale[TRAIN_STAGES_MAX] = {"st.scale.0", "st.scale.1", "st.scale.2",
                                                        "st.scale.3", "st.scale.4", "st.scale.5"};
    const struct train_staged *c = &((const struct state *)r->state)->control;
    for (int s = 0; s < c->stages; s++) {
        train_kv_add(m, start[s], "%a", c->start[s]);
        train_kv_add(m, scale[s], "%a", c->scale[s]);
    }
    train_kv_add(m, "st.rollbacks_left", "%d", c->rollbacks_left);
    train_kv_add(m, "st.signalled", "%d", c->signalled);
}

static void load(struct run *r, const struct nn_file *f)
{
    struct train_staged *c = &((struct state *)r->state)->control;
    for (int s = 0; s < c->stages; s++) {
        char key[16];
        snprintf(key, sizeof key, "st.start.%d", s);
        c->start[s] = train_kv_double(f, key, c->start[s]);
        snprintf(key, sizeof key, "st.scale.%d", s);
        c->scale[s] = train_kv_double(f, key, 1);
    }
    c->rollbacks_left = (int)train_kv_int(f, "st.rollbacks_left", 0);
    c->signalled = train_kv_int(f, "st.signalled", 0) != 0;
}

const struct recipe_ops recipe_staged = {
    .is = {.name = "staged",
           .summary = "ST-style: the same, with shallow stages slowed when their activations "
                      "cluster by label",
           .params = PARAM_TABLE(rows, struct train_staged_options)},
    .measures = true,
    .state_size = sizeof(struct state),
    .measured = measured,
    .begin = begin,
    .after_epoch = after_epoch,
    .log = log_line,
    .save = save,
    .load = load,
};
