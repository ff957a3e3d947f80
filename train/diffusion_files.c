/* Checkpoints, log and result of a training of a noise predictor. */
#include "diffusion.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>

static void options_to_kv(const struct diffusion *d, struct kv_list *m)
{
    const struct train_diffusion_options *o = d->opt;
    struct purify_meta unet;
    purify_unet_to_meta(&d->cfg, &unet);
    for (int i = 0; i < unet.n; i++)
        train_kv_add(m, unet.pair[i].key, "%s", unet.pair[i].value);
    train_kv_add(m, "train.batch", "%d", d->batch);
    train_kv_add(m, "train.lr", "%.9g", (double)o->lr);
    train_kv_add(m, "train.warmup", "%d", o->warmup);
    train_kv_add(m, "train.ema", "%.9g", (double)o->ema);
    train_kv_add(m, "train.flip", "%d", o->flip);
    train_kv_add(m, "train.downscale", "%d", o->downscale);
    train_kv_add(m, "train.seed", "%llu", (unsigned long long)o->seed);
    train_kv_add(m, "train.precision", "%s", nn_precision_names[o->precision]);
    train_kv_add(m, "train.images", "%d", train_set_info(d->set).samples);
    if (o->from) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&d->from, hex);
        train_kv_add(m, "train.from", "%s", hex);
    }
}

static char *checkpoint_path(const struct diffusion *d)
{
    return mem_printf("%s.checkpoint", d->opt->out_file);
}

status train_diffusion_save(struct diffusion *d, struct errmsg *e)
{
    AUTO(mem_free) char *path = checkpoint_path(d);
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    options_to_kv(d, &m);
    train_kv_add(&m, "run.step", "%d", d->step);
    train_kv_add(&m, "run.window", "%a", d->window);
    train_kv_add(&m, "run.last_mean", "%a", d->last_mean);
    if (!path || m.st)
        return errmsg_set(e, STATUS_NOMEM, "cannot save a checkpoint");
    return nn_checkpoint_save(path, d->params, d->optim, d->ema, m.pair, m.n, e);
}

status train_diffusion_resume(struct diffusion *d, struct errmsg *e)
{
    AUTO(mem_free) char *path = checkpoint_path(d);
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    options_to_kv(d, &m);
    if (!path || m.st)
        return STATUS_NOMEM;
    status st = nn_file_open(path, &f, e);
    if (st)
        return errmsg_prefix(e, st, "nothing to resume");
    for (int i = 0; i < m.n; i++) {
        const char *then = nn_file_meta(f, m.pair[i].key);
        if (!then && strcmp(m.pair[i].key, "train.precision") == 0)
            then = nn_precision_names[TRAIN_PRECISION_UNNAMED];
        if (!then || strcmp(then, m.pair[i].value) != 0)
            return errmsg_set(e, STATUS_INVALID, "%s was made with %s %s, not %s", path,
                              m.pair[i].key, then ? then : "absent", m.pair[i].value);
    }
    st = nn_checkpoint_load(f, d->params, d->optim, d->ema, e);
    if (st)
        return errmsg_prefix(e, st, "cannot go on from %s", path);
    d->step = (int)train_kv_int(f, "run.step", -1);
    d->window = train_kv_double(f, "run.window", 0);
    d->last_mean = train_kv_double(f, "run.last_mean", NAN);
    if (d->step < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s holds no step number", path);
    return STATUS_OK;
}

status train_diffusion_log(struct diffusion *d, struct errmsg *e)
{
    if (!d->opt->log_file)
        return STATUS_OK;
    double seconds = (double)(time_mono_ns() - d->window_start_ns) * 1e-9;
    int images = (d->step - d->window_first) * d->batch;
    AUTO(mem_free)
    char *line = mem_printf(
        "{\"step\":%d,\"loss\":%.9g,\"images_per_s\":%.6g,\"precision\":\"%s\"}\n", d->step,
        d->last_mean, seconds > 0 ? images / seconds : 0, nn_precision_names[d->opt->precision]);
    AUTO(fd_close) int fd = -1;
    if (!line)
        return STATUS_NOMEM;
    status st =
        io_open(AT_FDCWD, d->opt->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666, &fd);
    if (!st)
        st = io_write(fd, line, strlen(line));
    return st ? errmsg_set(e, st, "cannot write %s: %s", d->opt->log_file, status_text(st)) : st;
}

status train_diffusion_finish(struct diffusion *d, struct errmsg *e)
{
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    AUTO(train_kv_done) struct kv_list m = {.n = 0};
    status st = train_set_digest(d->set, &digest, e);
    if (st)
        return st;
    digest_hex(&digest, hex);
    options_to_kv(d, &m);
    train_kv_add(&m, "train.steps", "%d", d->step);
    train_kv_add(&m, "train.loss", "%.6g", d->last_mean);
    train_kv_add(&m, "data_digest", "%s", hex);
    if (m.st)
        return m.st;
    nn_ema_swap(d->ema);
    st = nn_params_save(d->params, d->opt->out_file, m.pair, m.n, d->opt->half, e);
    nn_ema_swap(d->ema);
    AUTO(mem_free) char *checkpoint = checkpoint_path(d);
    if (!st && checkpoint)
        (void)unlink(checkpoint); /* left behind it would only be stale */
    return st;
}
