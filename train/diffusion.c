/*
 * Training of the noise predictor. The step number names everything random in a step (times, noise,
 * and through the epoch the batch), so a checkpoint needs no generator state.
 *
 *     x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,   loss = mean (eps - net(x_t, t))^2     (Ho et
 * al., eq. 14)
 */
#include "loop.h"
#include "model.h"
#include "stream.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { LOG_EVERY = 100, SAVE_EVERY = 1000 };

struct diffusion {
    const struct train_diffusion_options *opt;
    struct purify_unet cfg;
    int threads, batch;
    struct train_set *set;
    struct train_loader *loader;
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_optim *optim;
    struct nn_ema *ema;
    float *x, *t, *eps; /* inputs: (batch,size,size,C), (batch), as x */
    const float *loss;
    size_t row;            /* floats of one image */
    float *signal, *noise; /* (t_max): sqrt(abar), sqrt(1-abar) */
    struct digest from;    /* of the weights started from */
    int step;              /* next */
    double window;    /* sum of losses since the last log line; its length is step % LOG_EVERY */
    double last_mean; /* of the last finished window */
    uint64_t window_start_ns;
    int window_first;
    struct progress progress;
    double seconds;
    int64_t images;
};

struct train_diffusion_options train_diffusion_default(void)
{
    return (struct train_diffusion_options){
        .cfg = {.size = 32,
                .ch = 64,
                .levels = 3,
                .ch_mult = {1, 2, 2},
                .res_blocks = 1,
                .mid_attn = true,
                .groups = 32,
                .total = 1000,
                .beta = PURIFY_BETA_LINEAR,
                .t_max = 1000},
        .steps = 20000,
        .batch = 64,
        .warmup = 200,
        .lr = 2e-4f, /* Ho et al. 2020, appendix B, as is the average's decay */
        .ema = .9999f,
        .flip = true,
        .downscale = 1,
    };
}

/* ---- setting up ---- */

static status check_options(const struct train_diffusion_options *o, struct errmsg *e)
{
    if (!o->data_dir || !o->out_file)
        return errmsg_set(e, STATUS_INVALID, "data directory and output file must be given");
    if (o->steps < 1 || o->batch < 1 || o->warmup < 0 || o->save_every < 0)
        return errmsg_set(e, STATUS_INVALID, "steps and batch must be positive");
    if (!(o->lr > 0) || !(o->ema >= 0 && o->ema < 1))
        return errmsg_set(e, STATUS_INVALID, "the learning rate must be positive, 0 <= ema < 1");
    return train_precision_check(o->precision, e);
}

/* The network that is fine-tuned says what it is; t_max alone may be narrowed. */
static status read_from(struct diffusion *d, struct nn_file **out, struct errmsg *e)
{
    int t_max = d->opt->cfg.t_max;
    status st = nn_file_open(d->opt->from, out, e);
    if (!st)
        st = purify_unet_from_file(*out, &d->cfg, e);
    if (!st)
        st = nn_file_digest(*out, &d->from);
    if (st)
        return errmsg_prefix(e, st, "cannot start from %s", d->opt->from);
    if (t_max > 0 && t_max < d->cfg.t_max)
        d->cfg.t_max = t_max;
    return STATUS_OK;
}

static status open_data(struct diffusion *d, struct errmsg *e)
{
    const struct train_diffusion_options *o = d->opt;
    struct train_data_options data = {.dir = o->data_dir,
                                      .flat = true,
                                      .limit = o->limit,
                                      .downscale = o->downscale,
                                      .min_side = d->cfg.size,
                                      .channels = d->cfg.in_channels,
                                      .skip_bad = o->skip_bad,
                                      .threads = d->threads};
    status st = train_set_open(&data, &d->set, e);
    if (st)
        return st;
    struct train_set_info info = train_set_info(d->set);
    d->cfg.in_channels = info.channels;
    d->batch = o->batch < info.samples ? o->batch : info.samples;
    struct train_loader_options lo = {.batch = d->batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .crop = d->cfg.size,
                                      .flip = o->flip,
                                      .seed = o->seed,
                                      .mean = {.5f, .5f, .5f},
                                      .std = {.5f, .5f, .5f},
                                      .threads = d->threads};
    return train_loader_new(d->set, &lo, &d->loader, e);
}

static status build(struct diffusion *d, struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = d->threads, .precision = d->opt->precision};
    int s = d->cfg.size, c = d->cfg.in_channels;
    status st = nn_params_new(&d->params);
    if (!st)
        st = nn_graph_new(d->params, &d->graph);
    if (st)
        return st;
    struct nn_val x = nn_input(d->graph, "x", NN_F32, nn_shape4(d->batch, s, s, c));
    struct nn_val t = nn_input(d->graph, "t", NN_F32, nn_shape1(d->batch));
    struct nn_val eps = nn_input(d->graph, "eps", NN_F32, nn_shape4(d->batch, s, s, c));
    struct nn_val y = purify_unet_build(d->graph, &d->cfg, x, t, true);
    struct nn_val loss = nn_mean(d->graph, nn_mse(d->graph, y, eps));
    nn_param_gradients(d->graph, loss, NULL, 0, NULL);
    nn_output(d->graph, loss, "loss");
    st = nn_graph_status(d->graph, e);
    if (!st)
        st = nn_params_init(d->params, d->opt->seed);
    if (!st)
        st = nn_plan_new(d->graph, &po, &d->plan, e);
    if (st)
        return st;
    d->x = nn_plan_data(d->plan, x);
    d->t = nn_plan_data(d->plan, t);
    d->eps = nn_plan_data(d->plan, eps);
    d->loss = nn_plan_data(d->plan, loss);
    d->row = (size_t)s * (size_t)s * (size_t)c;
    return STATUS_OK;
}

static status make_tables(struct diffusion *d)
{
    int n = d->cfg.t_max;
    d->signal = mem_alloc((size_t)n * sizeof *d->signal);
    d->noise = mem_alloc((size_t)n * sizeof *d->noise);
    if (!d->signal || !d->noise)
        return STATUS_NOMEM;
    for (int t = 0; t < n; t++) {
        double a = purify_alpha_bar(d->cfg.beta, d->cfg.total, t);
        d->signal[t] = (float)sqrt(a);
        d->noise[t] = (float)sqrt(1 - a);
    }
    return STATUS_OK;
}

static status setup(struct diffusion *d, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *from = NULL;
    status st = d->opt->from ? read_from(d, &from, e) : STATUS_OK;
    if (!st)
        st = open_data(d, e);
    if (!st)
        st = purify_unet_check(&d->cfg, e);
    if (!st)
        st = build(d, e);
    if (!st && from)
        st = nn_params_load(d->params, from, "", e);
    if (!st)
        st = make_tables(d);
    if (!st)
        st = nn_optim_new(d->params,
                          &(struct nn_optim_options){.kind = NN_ADAM, .threads = d->threads},
                          &d->optim);
    return st ? st : nn_ema_new(d->params, d->opt->ema, d->threads, &d->ema);
}

static void diffusion_done(struct diffusion *d)
{
    mem_free(d->signal);
    mem_free(d->noise);
    nn_ema_free(d->ema);
    nn_optim_free(d->optim);
    nn_plan_free(d->plan);
    nn_graph_free(d->graph);
    nn_params_free(d->params);
    train_loader_free(d->loader);
    train_set_free(d->set);
}

/* ---- files ---- */

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

static status save_checkpoint(struct diffusion *d, struct errmsg *e)
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

static status resume(struct diffusion *d, struct errmsg *e)
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

static status write_log(struct diffusion *d, struct errmsg *e)
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

static status save_result(struct diffusion *d, struct errmsg *e)
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

/* ---- steps ---- */

static void fill_inputs(struct diffusion *d, const struct train_batch *b)
{
    uint64_t seed = d->opt->seed, number = (uint64_t)d->step;
    struct nn_rng times = stream(seed, STREAM_TIME, number);
    nn_rng_normal(stream(seed, STREAM_NOISE, number), 0, d->eps, (size_t)d->batch * d->row);
    for (int i = 0; i < d->batch; i++) {
        int t = stream_below(nn_rng_u32(times, (uint64_t)i), d->cfg.t_max);
        float a = d->signal[t], s = d->noise[t];
        const float *clean = b->x + (size_t)i * d->row, *eps = d->eps + (size_t)i * d->row;
        float *out = d->x + (size_t)i * d->row;
        d->t[i] = (float)t;
        for (size_t j = 0; j < d->row; j++)
            out[j] = a * clean[j] + s * eps[j];
    }
}

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    (void)e;
    fill_inputs(arg, b);
    return STATUS_OK;
}

/* Up over the warm-up, then down to 0 by half a cosine: a short run ends converged. */
static float rate(const void *arg, int64_t at)
{
    const struct train_diffusion_options *o = ((const struct diffusion *)arg)->opt;
    int step = (int)at;
    if (step < o->warmup)
        return o->lr * (float)(step + 1) / (float)o->warmup;
    double done =
        (double)(step - o->warmup) / (double)(o->steps > o->warmup ? o->steps - o->warmup : 1);
    return o->lr * (float)(.5 * (1 + cos(3.14159265358979323846 * done)));
}

static status close_window(struct diffusion *d, struct errmsg *e)
{
    int n = d->step % LOG_EVERY ? d->step % LOG_EVERY : LOG_EVERY;
    d->last_mean = d->window / n;
    d->window = 0;
    status st = write_log(d, e);
    d->window_start_ns = time_mono_ns();
    d->window_first = d->step;
    return st;
}

static status after_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct diffusion *d = arg;
    int every = d->opt->save_every ? d->opt->save_every : SAVE_EVERY;
    status st = STATUS_OK;
    (void)b;
    nn_ema_update(d->ema);
    d->window += loss;
    d->step++;
    d->images += d->batch;
    if (d->step % LOG_EVERY == 0 || d->step == d->opt->steps)
        st = close_window(d, e);
    if (!st && d->step % every == 0 && d->step < d->opt->steps)
        st = save_checkpoint(d, e);
    int n = d->step % LOG_EVERY;
    char extra[64];
    snprintf(extra, sizeof extra, "loss %.4f", n ? d->window / n : d->last_mean);
    progress_update(&d->progress, (uint64_t)d->step * (uint64_t)d->batch, extra);
    return st;
}

static status run_steps(struct diffusion *d, struct errmsg *e)
{
    struct train_loop l = {.loader = d->loader,
                           .params = d->params,
                           .plan = d->plan,
                           .loss = d->loss,
                           .optim = d->optim,
                           .clip = 1,
                           .threads = d->threads,
                           .step = d->step,
                           .arg = d,
                           .load = load,
                           .rate = rate,
                           .after = after_step};
    return train_loop_run(&l, d->opt->steps, e);
}

status train_diffusion_run(const struct train_diffusion_options *opt,
                           struct train_diffusion_result *out, struct errmsg *e)
{
    status st = check_options(opt, e);
    if (st)
        return st;
    struct diffusion d = {.opt = opt, .cfg = opt->cfg, .last_mean = NAN};
    d.threads = opt->threads ? opt->threads : cpu_count();
    st = setup(&d, e);
    if (!st && opt->resume)
        st = resume(&d, e);
    if (!st)
        st = nn_plan_refresh(d.plan);
    if (!st) {
        nn_plan_seed(d.plan, opt->seed, (uint64_t)d.step);
        d.window_start_ns = time_mono_ns();
        d.window_first = d.step;
        uint64_t per = (uint64_t)d.batch, start = time_mono_ns();
        progress_init(&d.progress, "training", (uint64_t)d.step * per, (uint64_t)opt->steps * per,
                      opt->quiet);
        st = run_steps(&d, e);
        d.seconds = (double)(time_mono_ns() - start) * 1e-9;
        if (!st) {
            progress_done(&d.progress, (uint64_t)d.step * per, NULL);
            st = save_result(&d, e);
        }
        if (st == STATUS_CANCELLED) {
            st = save_checkpoint(&d, e);
            if (!st)
                st = errmsg_set(e, STATUS_CANCELLED,
                                "stopped at step %d of %d (go on with --resume)", d.step,
                                opt->steps);
        }
    }
    if (!st)
        *out = (struct train_diffusion_result){.steps = d.step,
                                               .loss = d.last_mean,
                                               .images_per_s =
                                                   d.seconds > 0 ? (double)d.images / d.seconds : 0,
                                               .parameters = nn_params_elements(d.params, true)};
    diffusion_done(&d);
    return st;
}
