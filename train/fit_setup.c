#include "fit.h"

#include <string.h>

status train_fit_check(const struct train_fit_options *o, struct errmsg *e)
{
    if (!o->data_dir || !o->out_file)
        return errmsg_set(e, STATUS_INVALID, "data directory and output file must be given");
    if (o->steps < 1 || o->batch < 1 || o->warmup < 0 || o->save_every < 0)
        return errmsg_set(e, STATUS_INVALID, "steps and batch must be positive");
    if (!(o->lr > 0) || !(o->ema >= 0 && o->ema < 1))
        return errmsg_set(e, STATUS_INVALID, "the learning rate must be positive, 0 <= ema < 1");
    if (o->note && (strlen(o->note) > TRAIN_NOTE_MAX || strcmp(TEXT_SHOWN(o->note), o->note) != 0))
        return errmsg_set(e, STATUS_INVALID,
                          "a note is one line of UTF-8, of at most %d bytes and without control "
                          "characters",
                          TRAIN_NOTE_MAX);
    return train_precision_check(o->precision, e);
}

status train_fit_from(struct fit *f, struct errmsg *e)
{
    if (!f->opt->from)
        return STATUS_OK;
    status st = nn_file_open(f->opt->from, &f->from, e);
    if (!st)
        st = nn_file_digest(f->from, &f->from_digest);
    return st ? errmsg_prefix(e, st, "cannot start from %s", f->opt->from) : st;
}

/* No batch is larger than the set. */
static status choose_batch(struct fit *f, int multiple, int samples, struct errmsg *e)
{
    int wanted = f->opt->batch;
    if (wanted % multiple)
        return errmsg_set(e, STATUS_INVALID,
                          "a batch of %d is no multiple of %d images, which are a group", wanted,
                          multiple);
    if (samples < multiple)
        return errmsg_set(e, STATUS_INVALID, "%s has %d images, fewer than the %d of a group",
                          f->opt->data_dir, samples, multiple);
    f->batch = wanted < samples ? wanted : samples - samples % multiple;
    return STATUS_OK;
}

status train_fit_data(struct fit *f, const struct fit_images *images, struct errmsg *e)
{
    const struct train_fit_options *o = f->opt;
    f->threads = o->threads ? o->threads : cpu_count();
    struct train_data_options data = {.dir = o->data_dir,
                                      .flat = true,
                                      .limit = o->limit,
                                      .downscale = o->downscale,
                                      .min_side = images->size,
                                      .channels = images->channels,
                                      .skip_bad = o->skip_bad,
                                      .threads = f->threads};
    status st = train_set_open(&data, &f->set, e);
    if (!st)
        st = choose_batch(f, images->multiple ? images->multiple : 1,
                          train_set_info(f->set).samples, e);
    if (st)
        return st;
    struct train_loader_options lo = {.batch = f->batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .crop = images->size,
                                      .flip = o->flip,
                                      .augment = o->augment,
                                      .seed = o->seed,
                                      .threads = f->threads};
    for (int c = 0; c < TRAIN_CHANNELS_MAX; c++) {
        lo.mean[c] = images->mean;
        lo.std[c] = images->std;
    }
    return train_loader_new(f->set, &lo, &f->loader, e);
}

status train_fit_graph(struct fit *f)
{
    status st = nn_params_new(&f->params);
    return st ? st : nn_graph_new(f->params, &f->graph);
}

status train_fit_plan(struct fit *f, struct nn_val loss, struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = f->threads, .precision = f->opt->precision};
    nn_param_gradients(f->graph, loss, NULL, 0, NULL);
    nn_output(f->graph, loss, "loss");
    status st = nn_graph_status(f->graph, e);
    if (!st)
        st = nn_params_init(f->params, f->opt->seed);
    if (!st)
        st = nn_plan_new(f->graph, &po, &f->plan, e);
    if (!st && f->from)
        st = nn_params_load(f->params, f->from, "", e);
    if (st)
        return st;
    f->loss = nn_plan_data(f->plan, loss);
    const struct nn_optim_options adam = {.kind = NN_ADAM, .threads = f->threads};
    st = nn_optim_new(f->params, &adam, &f->optim);
    return st ? st : nn_ema_new(f->params, f->opt->ema, f->threads, &f->ema);
}

void train_fit_done(struct fit *f)
{
    nn_ema_free(f->ema);
    nn_optim_free(f->optim);
    nn_plan_free(f->plan);
    nn_graph_free(f->graph);
    nn_params_free(f->params);
    nn_file_close(f->from);
    mem_free(f->note);
    train_loader_free(f->loader);
    train_set_free(f->set);
}
