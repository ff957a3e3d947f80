/*
 * A run: set up, then epochs of steps. `position` says what is next; it is saved after every epoch
 * and when the user stops, so at any moment the files describe a state from which the same bits
 * follow.
 */
#include "run.h"

#include <math.h>
#include <string.h>

enum {
    CALIBRATION_BATCHES = 20 /* running statistics with momentum .1 are then within .9^20 = 12 % */
};

/* Running statistics of the network, so that its ACM is not that of uncentred inputs. */
static status calibrate(struct run *r, struct errmsg *e)
{
    const struct train_batch *b;
    status st = train_loader_start(r->loader, 0, 0);
    for (int i = 0; i < CALIBRATION_BATCHES && !st; i++) {
        st = stop_requested() ? STATUS_CANCELLED : train_loader_next(r->loader, &b, e);
        if (st || !b)
            break;
        train_run_load_batch(r, b);
        st = nn_plan_run(r->plan);
    }
    return st;
}

/* The measurement before training: where the course of each stage begins. */
static status measure_start(struct run *r, struct epoch_report *rep, struct errmsg *e)
{
    rep->measured = true;
    status st = calibrate(r, e);
    if (!st)
        st = train_probe_measure(r->probe, r->forward, rep->acm);
    if (st)
        return st;
    if (r->recipe->measured)
        r->recipe->measured(r, rep->acm);
    return train_run_init_params(r); /* watching changes nothing */
}

static status test(struct run *r, struct epoch_report *rep, struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, r->model->shape.classes);
    if (st)
        return st;
    st = train_forward_evaluate(r->forward, r->test_loader, NULL, &ev, e);
    if (!st) {
        rep->tested = true;
        rep->test_loss = ev.loss;
        r->at.test_accuracy = train_eval_accuracy(&ev);
        if (!(r->at.best_test >= r->at.test_accuracy)) {
            r->at.best_test = r->at.test_accuracy;
            r->at.best_epoch = r->at.epoch;
        }
        st = train_run_write_test(r, &ev, e);
    }
    train_eval_done(&ev);
    return st;
}

static bool test_is_due(const struct run *r)
{
    int every = r->opt->test_every;
    return r->test && (r->at.epoch == r->opt->epochs || (every && r->at.epoch % every == 0));
}

static status finish_epoch(struct run *r, struct epoch_report *rep, struct errmsg *e)
{
    status st = STATUS_OK;
    r->at.last_loss = r->at.loss_sum / (double)r->at.seen;
    r->at.last_accuracy = (double)r->at.correct / (double)r->at.seen;
    r->at.epoch++;
    r->at.batch = 0;
    if (r->probe) {
        rep->measured = true;
        st = train_probe_measure(r->probe, r->forward, rep->acm);
    }
    if (!st && r->sal) {
        rep->sharp = true;
        st = train_sal_measure(r->sal, e);
    }
    if (!st && r->recipe->after_epoch)
        st = r->recipe->after_epoch(r, rep, e);
    if (!st && test_is_due(r))
        st = test(r, rep, e);
    return st ? st : train_run_append_log(r, rep, e);
}

/*
 * Nothing of the position changes on disk before all of it is known. A stop in here takes the
 * position back to before it, and what was measured is measured again; after a rollback, whose
 * weights are those of another position, the last checkpoint is where to go on from (*out_savable).
 */
static status end_epoch(struct run *r, float lr, bool *out_savable, struct errmsg *e)
{
    const struct position before = r->at;
    struct epoch_report rep = {.lr = lr, .trained = true};
    size_t size = r->recipe->state_size;
    AUTO(mem_free) void *state = mem_alloc(size ? size : 1);
    if (!state)
        return STATUS_NOMEM;
    if (size)
        memcpy(state, r->state, size);
    status st = finish_epoch(r, &rep, e);
    if (st) {
        r->at = before;
        if (size)
            memcpy(r->state, state, size);
        *out_savable = !rep.rolled_back;
        return st;
    }
    r->at.loss_sum = 0;
    r->at.correct = r->at.seen = 0;
    return train_run_save(r, e);
}

static status stopped(struct run *r, bool savable, struct errmsg *e)
{
    int epoch = r->at.epoch + 1 < r->opt->epochs ? r->at.epoch + 1 : r->opt->epochs;
    status st = savable ? train_run_save(r, e) : STATUS_OK;
    return st ? st
              : errmsg_set(e, STATUS_CANCELLED, "stopped in epoch %d of %d (go on with --resume)",
                           epoch, r->opt->epochs);
}

static status run_epochs(struct run *r, struct errmsg *e)
{
    uint64_t per_epoch = (uint64_t)train_loader_batches(r->loader) * (uint64_t)r->batch;
    uint64_t first = (uint64_t)r->at.step * (uint64_t)r->batch;
    progress_init(&r->progress, "training", first, per_epoch * (uint64_t)r->opt->epochs,
                  r->opt->quiet);
    status st = STATUS_OK;
    while (!st && r->at.epoch < r->opt->epochs) {
        bool savable = true;
        int64_t epoch_step = (int64_t)r->at.epoch * train_loader_batches(r->loader);
        st = train_run_epoch(r, e);
        if (!st)
            st = end_epoch(r, train_run_rate(r, epoch_step), &savable, e);
        if (st == STATUS_CANCELLED)
            return stopped(r, savable, e);
    }
    if (!st)
        progress_done(&r->progress, per_epoch * (uint64_t)r->opt->epochs, NULL);
    return st;
}

static status begin(struct run *r, struct errmsg *e)
{
    struct epoch_report start = {.trained = false};
    r->at = (struct position){
        .last_loss = NAN, .last_accuracy = NAN, .test_accuracy = NAN, .best_test = NAN};
    r->kept = r->opt->resume;
    status st = out_tree_init(&r->dirs, 0);
    if (!st)
        st = train_run_prepare_dir(r, e);
    if (!st && r->probe)
        st = measure_start(r, &start, e);
    if (!st && r->opt->resume)
        st = train_run_resume(r, e);
    if (!st && r->probe && r->at.log_bytes == 0)
        st = train_run_append_log(r, &start, e);
    if (!st && r->recipe->begin)
        st = r->recipe->begin(r, e);
    if (st)
        return st;
    nn_plan_seed(r->plan, r->opt->seed, (uint64_t)r->at.step);
    return nn_plan_refresh(r->plan);
}

static struct train_result result_of(const struct run *r, uint64_t start_ns)
{
    return (struct train_result){
        .epochs = r->at.epoch,
        .train_loss = r->at.last_loss,
        .train_accuracy = r->at.last_accuracy,
        .test_accuracy = r->at.test_accuracy,
        .best_test_accuracy = r->at.best_test,
        .best_epoch = r->at.best_epoch,
        .images_per_s = r->train_seconds > 0 ? (double)r->train_images / r->train_seconds : 0,
        .seconds = (double)(time_mono_ns() - start_ns) * 1e-9,
        .bad_files = train_set_info(r->set).bad};
}

status train_run(const struct train_options *opt, struct train_result *out, struct errmsg *e)
{
    uint64_t start = time_mono_ns();
    status st = train_run_check(opt, e);
    if (st)
        return st;
    struct run r = {.opt = opt, .recipe = recipe_find(opt->recipe)};
    r.threads = opt->threads ? opt->threads : cpu_count();
    st = train_run_setup(&r, e);
    if (!st && train_set_info(r.set).bad)
        log_warn("%d files were left out because they do not decode; the first: %s",
                 train_set_info(r.set).bad, train_set_info(r.set).first_bad);
    if (!st)
        st = begin(&r, e);
    if (!st)
        st = run_epochs(&r, e);
    if (!st)
        st = train_run_finish(&r, e);
    if (st == STATUS_CANCELLED && e && !e->text[0])
        errmsg_set(e, st,
                   r.kept ? "stopped (go on with --resume)" : "stopped before the first step");
    if (!st)
        *out = result_of(&r, start);
    else if (r.prepared && !r.kept)
        train_run_undo(&r);
    train_run_done(&r);
    return st;
}
