/* Checkpoints, log and result of a fit. */
#include "fit.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void options_to_kv(const struct fit *f, struct kv_list *m)
{
    const struct train_fit_options *o = f->opt;
    f->ops->describe(f->arg, m);
    train_kv_add(m, "train.batch", "%d", f->batch);
    train_kv_add(m, "train.lr", "%.9g", (double)o->lr);
    train_kv_add(m, "train.warmup", "%d", o->warmup);
    train_kv_add(m, "train.ema", "%.9g", (double)o->ema);
    train_kv_add(m, "train.flip", "%d", o->flip);
    if (o->augment)
        train_kv_add(m, "train.augment", "%s", o->augment);
    train_kv_add(m, "train.downscale", "%d", o->downscale);
    train_kv_add(m, "train.seed", "%llu", (unsigned long long)o->seed);
    train_kv_add(m, "train.precision", "%s", nn_precision_names[o->precision]);
    train_kv_add(m, "train.images", "%d", train_set_info(f->set).samples);
    if (o->from) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&f->from_digest, hex);
        train_kv_add(m, "train.from", "%s", hex);
    }
}

/* What was trained on, and why, says the file to people. It is no option: a training may go on with
   another note, and from another place. */
static void note_to_kv(const struct fit *f, struct kv_list *m)
{
    const char *note = f->opt->note ? f->opt->note : f->note;
    if (note)
        train_kv_add(m, "note", "%s", note);
}

static void data_name_to_kv(const struct fit *f, struct kv_list *m)
{
    char full[PATH_MAX];
    const char *path = realpath(f->opt->data_dir, full) ? full : f->opt->data_dir;
    const char *slash = strrchr(path, '/');
    train_kv_add(m, "data_name", "%s", TEXT_SHOWN(slash && slash[1] ? slash + 1 : path));
}

static char *checkpoint_path(const struct fit *f)
{
    return mem_printf("%s.checkpoint", f->opt->out_file);
}

status train_fit_save(struct fit *f, struct errmsg *e)
{
    AUTO(mem_free) char *path = checkpoint_path(f);
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    options_to_kv(f, &m);
    note_to_kv(f, &m);
    train_kv_add(&m, "run.step", "%d", f->step);
    train_kv_add(&m, "run.window", "%a", f->window);
    train_kv_add(&m, "run.last_mean", "%a", f->last_mean);
    if (f->ops->save)
        f->ops->save(f->arg, &m);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save a checkpoint");
    return nn_checkpoint_save(path, f->params, f->optim, f->ema, m.pair, m.n, e);
}

/* Options that checkpoints did not name yet when they could only be these. */
static const char *unnamed(const char *key)
{
    if (strcmp(key, "train.precision") == 0)
        return nn_precision_names[TRAIN_PRECISION_UNNAMED];
    if (strcmp(key, "train.weighting") == 0)
        return train_weighting_names[TRAIN_WEIGHT_CONSTANT];
    return NULL;
}

static bool has_key(const struct kv_list *m, const char *key)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->pair[i].key, key) == 0)
            return true;
    return false;
}

/* A checkpoint is gone on with by the options that made it alone, all of them. */
static status check_options(const struct fit *f, const struct nn_file *file, const char *path,
                            struct errmsg *e)
{
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    options_to_kv(f, &m);
    if (m.st)
        return m.st;
    for (int i = 0; i < m.n; i++) {
        const char *then = nn_file_meta(file, m.pair[i].key);
        if (!then)
            then = unnamed(m.pair[i].key);
        if (!then || strcmp(then, m.pair[i].value) != 0)
            return errmsg_set(e, STATUS_INVALID, "%s was made with %s %s, not %s", path,
                              m.pair[i].key, then ? then : "absent", m.pair[i].value);
    }
    for (int i = 0; i < nn_file_meta_count(file); i++) {
        struct nn_meta then = nn_file_meta_at(file, i);
        if (strncmp(then.key, "train.", strlen("train.")) == 0 && !has_key(&m, then.key))
            return errmsg_set(e, STATUS_INVALID, "%s was made with %s %s, which is not asked for",
                              path, then.key, then.value);
    }
    return STATUS_OK;
}

status train_fit_resume(struct fit *f, struct errmsg *e)
{
    AUTO(mem_free) char *path = checkpoint_path(f);
    AUTO(nn_file_close) struct nn_file *file = NULL;
    if (!path)
        return STATUS_NOMEM;
    status st = nn_file_open(path, &file, e);
    if (st)
        return errmsg_prefix(e, st, "nothing to resume");
    st = check_options(f, file, path, e);
    if (st)
        return st;
    st = nn_checkpoint_load(file, f->params, f->optim, f->ema, e);
    if (st)
        return errmsg_prefix(e, st, "cannot go on from %s", path);
    f->step = (int)train_kv_int(file, "run.step", -1);
    f->window = train_kv_double(file, "run.window", 0);
    f->last_mean = train_kv_double(file, "run.last_mean", NAN);
    if (f->step < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s holds no step number", path);
    const char *note = nn_file_meta(file, "note");
    if (note && !(f->note = mem_strdup(note)))
        return STATUS_NOMEM;
    if (f->ops->resume)
        f->ops->resume(f->arg, file);
    return STATUS_OK;
}

static status make_line(const struct fit *f, struct buf *line)
{
    double seconds = (double)(time_mono_ns() - f->window_start_ns) * 1e-9;
    int images = (f->step - f->window_first) * f->batch;
    status st = buf_addf(
        line, "{\"step\":%d,\"loss\":%.9g,\"images_per_s\":%.6g,\"precision\":\"%s\"", f->step,
        f->last_mean, seconds > 0 ? images / seconds : 0, nn_precision_names[f->opt->precision]);
    if (!st && f->ops->log)
        st = f->ops->log(f->arg, line);
    return st ? st : buf_addf(line, "}\n");
}

status train_fit_log(struct fit *f, struct errmsg *e)
{
    if (!f->opt->log_file)
        return STATUS_OK;
    AUTO(buf_done) struct buf line = BUF_INIT(1 << 16);
    AUTO(fd_close) int fd = -1;
    status st = make_line(f, &line);
    if (st)
        return st;
    st = io_open(AT_FDCWD, f->opt->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666, &fd);
    if (!st)
        st = io_write(fd, line.data, line.len);
    return st ? errmsg_set(e, st, "cannot write %s: %s", f->opt->log_file, status_text(st)) : st;
}

status train_fit_finish(struct fit *f, struct errmsg *e)
{
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    status st = train_set_digest(f->set, &digest, e);
    if (st)
        return st;
    digest_hex(&digest, hex);
    options_to_kv(f, &m);
    train_kv_add(&m, "train.steps", "%d", f->step);
    train_kv_add(&m, "train.loss", "%.6g", f->last_mean);
    train_kv_add(&m, "data_digest", "%s", hex);
    data_name_to_kv(f, &m);
    note_to_kv(f, &m);
    if (f->ops->finish)
        st = f->ops->finish(f->arg, &m, e);
    if (!st)
        st = m.st;
    if (st)
        return st;
    nn_ema_swap(f->ema);
    st = nn_params_save(f->params, f->opt->out_file, m.pair, m.n, f->opt->half, e);
    nn_ema_swap(f->ema);
    AUTO(mem_free) char *checkpoint = checkpoint_path(f);
    if (!st && checkpoint)
        (void)unlink(checkpoint); /* left behind it would only be stale */
    return st;
}
