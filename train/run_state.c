/*
 * What a run keeps on disk, and in which order: the log line of an epoch first, then the checkpoint
 * that counts it (log_bytes). A crash between the two leaves a line too many, which resuming cuts
 * off. Doubles are kept as hexadecimal floats, so a resumed run adds to the very sums it left.
 */
#include "run.h"

#include <math.h>

static void position_to_kv(const struct run *r, struct kv_list *m)
{
    const struct position *p = &r->at;
    train_kv_add(m, "run.epoch", "%d", p->epoch);
    train_kv_add(m, "run.batch", "%d", p->batch);
    train_kv_add(m, "run.step", "%lld", (long long)p->step);
    train_kv_add(m, "run.loss_sum", "%a", p->loss_sum);
    train_kv_add(m, "run.correct", "%lld", (long long)p->correct);
    train_kv_add(m, "run.seen", "%lld", (long long)p->seen);
    train_kv_add(m, "run.last_loss", "%a", p->last_loss);
    train_kv_add(m, "run.last_accuracy", "%a", p->last_accuracy);
    train_kv_add(m, "run.test_accuracy", "%a", p->test_accuracy);
    train_kv_add(m, "run.best_test", "%a", p->best_test);
    train_kv_add(m, "run.best_epoch", "%d", p->best_epoch);
    train_kv_add(m, "run.log_bytes", "%lld", (long long)p->log_bytes);
    if (r->recipe->save)
        r->recipe->save(r, m);
}

static void position_from_kv(struct run *r, const struct nn_file *f)
{
    struct position *p = &r->at;
    p->epoch = (int)train_kv_int(f, "run.epoch", -1);
    p->batch = (int)train_kv_int(f, "run.batch", -1);
    p->step = train_kv_int(f, "run.step", -1);
    p->loss_sum = train_kv_double(f, "run.loss_sum", 0);
    p->correct = train_kv_int(f, "run.correct", 0);
    p->seen = train_kv_int(f, "run.seen", 0);
    p->last_loss = train_kv_double(f, "run.last_loss", NAN);
    p->last_accuracy = train_kv_double(f, "run.last_accuracy", NAN);
    p->test_accuracy = train_kv_double(f, "run.test_accuracy", NAN);
    p->best_test = train_kv_double(f, "run.best_test", NAN);
    p->best_epoch = (int)train_kv_int(f, "run.best_epoch", 0);
    p->log_bytes = train_kv_int(f, "run.log_bytes", 0);
    if (r->recipe->load)
        r->recipe->load(r, f);
}

static status save_as(struct run *r, const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, name);
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    train_model_to_kv(r->model, &m);
    position_to_kv(r, &m);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save %s", name);
    return nn_checkpoint_save(path, r->model->params, r->optim, NULL, m.pair, m.n, e);
}

status train_run_save(struct run *r, struct errmsg *e)
{
    status st = save_as(r, "checkpoint.safetensors", e);
    if (!st)
        train_run_drop_replaced(r);
    return st;
}

status train_run_save_good(struct run *r, struct errmsg *e)
{
    return save_as(r, "good.safetensors", e);
}

static status load_from(struct run *r, const char *name, bool position, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, name);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    status st = path ? nn_file_open(path, &f, e) : STATUS_NOMEM;
    if (!st)
        st = nn_checkpoint_load(f, r->model->params, r->optim, NULL, e);
    if (!st && position)
        position_from_kv(r, f);
    return st ? errmsg_prefix(e, st, "cannot go on from %s", path ? path : name) : STATUS_OK;
}

status train_run_load_good(struct run *r, struct errmsg *e)
{
    return load_from(r, "good.safetensors", false, e);
}

status train_run_resume(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = train_run_path(r, "checkpoint.safetensors");
    if (!path)
        return STATUS_NOMEM;
    /* Stopped before the first checkpoint: from the beginning, which gives the same bits. */
    if (!train_run_file_exists(path))
        return train_run_cut_log(r, e);
    status st = load_from(r, "checkpoint.safetensors", true, e);
    if (st)
        return st;
    const struct position *p = &r->at;
    int batches = train_loader_batches(r->loader);
    if (p->epoch < 0 || p->epoch > r->opt->epochs || p->batch < 0 || p->batch > batches ||
        p->step != (int64_t)p->epoch * batches + p->batch || p->log_bytes < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s: its position contradicts itself", path);
    return train_run_cut_log(r, e);
}

status train_run_finish(struct run *r, struct errmsg *e)
{
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(mem_free) char *path = train_run_path(r, "weights.safetensors");
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    status st = train_set_digest(r->set, &d, e);
    if (st)
        return st;
    digest_hex(&d, hex);
    train_model_to_kv(r->model, &m);
    train_kv_add(&m, "recipe", "%s", r->recipe->is.name);
    train_kv_add(&m, "precision", "%s", nn_precision_names[r->opt->precision]);
    train_kv_add(&m, "train_steps", "%lld", (long long)r->at.step);
    train_kv_add(&m, "train_epochs", "%d", r->at.epoch);
    train_kv_add(&m, "data_digest", "%s", hex);
    if (r->from)
        train_kv_add(&m, "init_digest", "%s", r->init_digest);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save weights.safetensors");
    st = nn_params_save(r->model->params, path, m.pair, m.n, false, e);
    return st ? st : train_run_write_config(r, hex, e);
}
