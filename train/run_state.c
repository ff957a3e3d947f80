/*
 * What a run keeps on disk, and in which order: the log line of an epoch first, then the checkpoint
 * that counts it (log_bytes). A crash between the two leaves a line too many, which resuming cuts
 * off. Doubles are kept as hexadecimal floats, so a resumed run adds to the very sums it left.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

static char *path_in(const struct run *r, const char *name)
{
    return mem_printf("%s/%s", r->opt->out_dir, name);
}

/* ---- the directory ---- */

static bool exists(const char *path)
{
    struct stat sb;
    return path && stat(path, &sb) == 0;
}

static status remove_file(const struct run *r, const char *name, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, name);
    if (!path)
        return STATUS_NOMEM;
    if (unlink(path) == 0 || errno == ENOENT)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot remove %s: %s", path, strerror(err));
}

static const char *const files[] = {"checkpoint.safetensors", "weights.safetensors",
                                    "good.safetensors", "log.jsonl", "config.json"};
#define ASIDE                                                                                      \
    ".replaced" /* what the files of a run are called until the new one has a checkpoint */

/* Where `from` does not exist nothing is done. */
static status move(const struct run *r, const char *name, const char *from, const char *to,
                   struct errmsg *e)
{
    AUTO(mem_free) char *old = mem_printf("%s/%s%s", r->opt->out_dir, name, from);
    AUTO(mem_free) char *new = mem_printf("%s/%s%s", r->opt->out_dir, name, to);
    if (!old || !new)
        return STATUS_NOMEM;
    if (!exists(old))
        return STATUS_OK;
    status st = io_rename(AT_FDCWD, old, new);
    return st ? errmsg_set(e, st, "cannot rename %s: %s", old, status_text(st)) : STATUS_OK;
}

void train_run_undo(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        status_ignore(remove_file(r, files[i], NULL), "the failure is being told already");
        status_ignore(move(r, files[i], ASIDE, "", NULL), "as above");
    }
    out_tree_undo(&r->dirs, NULL, NULL);
}

static void let_go(struct run *r)
{
    for (size_t i = 0; i < ARRAY_LEN(files) && !r->kept; i++) {
        AUTO(mem_free) char *path = mem_printf("%s/%s" ASIDE, r->opt->out_dir, files[i]);
        if (path)
            (void)unlink(path); /* left behind it costs room and nothing else */
    }
    r->kept = true;
}

status train_run_prepare_dir(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *config = path_in(r, "config.json");
    if (!config)
        return STATUS_NOMEM;
    if (r->opt->resume)
        return train_run_compare_config(r, e);
    if (exists(config) && !r->opt->force)
        return errmsg_set(e, STATUS_EXISTS,
                          "%s holds a run (use --resume to go on with it, --force to replace it)",
                          r->opt->out_dir);
    r->prepared = true;
    status st = out_tree_dir(&r->dirs, r->opt->out_dir, e);
    for (size_t i = 0; i < ARRAY_LEN(files) && !st; i++)
        st = move(r, files[i], "", ASIDE, e);
    return st ? st : train_run_write_config(r, NULL, e);
}

/* ---- log.jsonl ---- */

json_t *train_run_reals(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, isfinite(v[i]) ? json_real(v[i]) : json_null());
    return a;
}

static json_t *log_json(const struct run *r, const struct epoch_report *rep)
{
    int stages = r->model->net->stages;
    json_t *j = json_pack("{s:i, s:I, s:s}", "epoch", r->at.epoch, "step", (json_int_t)r->at.step,
                          "precision", nn_precision_names[r->opt->precision]);
    if (j && rep->trained) {
        json_object_set_new(j, "lr", json_real(rep->lr));
        json_object_set_new(j, "train_loss", json_real(r->at.last_loss));
        json_object_set_new(j, "train_accuracy", json_real(r->at.last_accuracy));
        json_object_set_new(j, "seconds", json_real(r->epoch_seconds));
        json_object_set_new(j, "images_per_s", json_real(r->epoch_rate));
    }
    if (j && rep->tested) {
        json_object_set_new(j, "test_accuracy", json_real(r->at.test_accuracy));
        json_object_set_new(j, "test_loss",
                            isfinite(rep->test_loss) ? json_real(rep->test_loss) : json_null());
    }
    if (j && rep->measured)
        json_object_set_new(j, "acm", train_run_reals(rep->acm, stages));
    if (j && rep->trained && r->recipe->log)
        r->recipe->log(r, j);
    return j;
}

status train_run_append_log(struct run *r, const struct epoch_report *rep, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "log.jsonl");
    AUTO(fd_close) int fd = -1;
    if (!path)
        return STATUS_NOMEM;
    json_t *j = log_json(r, rep);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    AUTO(mem_free) char *line = text ? mem_printf("%s\n", text) : NULL;
    free(text);
    if (!line)
        return STATUS_NOMEM;
    status st = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666, &fd);
    if (!st)
        st = io_pwrite(fd, line, strlen(line), r->at.log_bytes);
    if (st)
        return errmsg_set(e, st, "cannot write %s: %s", path, status_text(st));
    r->at.log_bytes += (int64_t)strlen(line);
    return STATUS_OK;
}

/* ---- checkpoints ---- */

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
    AUTO(mem_free) char *path = path_in(r, name);
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
        let_go(r);
    return st;
}

status train_run_save_good(struct run *r, struct errmsg *e)
{
    return save_as(r, "good.safetensors", e);
}

static status load_from(struct run *r, const char *name, bool position, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, name);
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

static status cut_log(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "log.jsonl");
    struct stat sb;
    if (!path)
        return STATUS_NOMEM;
    if (r->at.log_bytes == 0 && !exists(path))
        return STATUS_OK;
    if (stat(path, &sb) || sb.st_size < r->at.log_bytes)
        return errmsg_set(e, STATUS_CORRUPT, "%s is shorter than the checkpoint says", path);
    if (truncate(path, r->at.log_bytes) == 0)
        return STATUS_OK;
    int err = errno;
    return errmsg_set(e, status_from_errno(err), "cannot cut %s: %s", path, strerror(err));
}

status train_run_resume(struct run *r, struct errmsg *e)
{
    AUTO(mem_free) char *path = path_in(r, "checkpoint.safetensors");
    if (!path)
        return STATUS_NOMEM;
    /* Stopped before the first checkpoint: from the beginning, which gives the same bits. */
    if (!exists(path))
        return cut_log(r, e);
    status st = load_from(r, "checkpoint.safetensors", true, e);
    if (st)
        return st;
    const struct position *p = &r->at;
    int batches = train_loader_batches(r->loader);
    if (p->epoch < 0 || p->epoch > r->opt->epochs || p->batch < 0 || p->batch > batches ||
        p->step != (int64_t)p->epoch * batches + p->batch || p->log_bytes < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s: its position contradicts itself", path);
    return cut_log(r, e);
}

status train_run_finish(struct run *r, struct errmsg *e)
{
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(mem_free) char *path = path_in(r, "weights.safetensors");
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
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save weights.safetensors");
    st = nn_params_save(r->model->params, path, m.pair, m.n, false, e);
    return st ? st : train_run_write_config(r, hex, e);
}
