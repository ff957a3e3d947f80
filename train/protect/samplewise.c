#include "protect/samplewise.h"

float *samplewise_delta(const struct samplewise *m, int sample)
{
    return m->delta.v + (size_t)sample * m->surrogate->row;
}

static const float *delta_of(const void *arg, int sample, int label)
{
    (void)label;
    return samplewise_delta(arg, sample);
}

status samplewise_init(const struct protect_job *j, const struct surrogate_param *p, float decay,
                       struct samplewise *m, struct errmsg *e)
{
    AUTO(mem_free) char *folder = protect_folder(j);
    status st = folder ? surrogate_new(j, p, decay, delta_of, m, &m->surrogate, e) : STATUS_NOMEM;
    if (st)
        return st;
    size_t n = (size_t)j->info.samples;
    m->frame = (struct shift_frame){j->info.width, j->info.height, j->info.channels};
    m->sample = mem_alloc(n * sizeof *m->sample);
    if (!m->sample)
        return STATUS_NOMEM;
    for (int i = 0; i < j->info.samples; i++)
        m->sample[i] = i;
    return floats_init(&m->delta, n * m->surrogate->row, FLOATS_MEMORY, folder, e);
}

void samplewise_done(struct samplewise *m)
{
    surrogate_free(m->surrogate);
    floats_done(&m->delta);
    mem_free(m->sample);
}

/* ---- training ---- */

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct samplewise *m = arg;
    char extra[32];
    (void)b;
    (void)e;
    snprintf(extra, sizeof extra, "loss %.3f", loss);
    progress_update(&m->progress, (uint64_t)++m->surrogate->step, extra);
    return STATUS_OK;
}

void samplewise_teach(struct samplewise *m, const char *what, int64_t steps,
                      status (*load)(void *arg, const struct train_batch *b, struct errmsg *e),
                      float (*rate)(const void *arg, int64_t step))
{
    struct surrogate *s = m->surrogate;
    m->loop = (struct train_loop){.loader = s->loader,
                                  .params = s->model->params,
                                  .plan = s->learning.plan,
                                  .loss = s->learning.loss,
                                  .optim = s->optim,
                                  .threads = s->job->threads,
                                  .arg = m,
                                  .load = load,
                                  .rate = rate,
                                  .after = after};
    progress_init(&m->progress, what, 0, (uint64_t)steps, s->job->opt->quiet);
}

status samplewise_learn(struct samplewise *m, int64_t end, struct errmsg *e)
{
    status st = train_loop_run(&m->loop, end, e);
    return st ? st : train_attack_refresh(m->surrogate->attack);
}

status samplewise_measure(struct protect_job *j, struct samplewise *m, struct errmsg *e)
{
    j->result.rounds = m->surrogate->param->rounds;
    j->result.precision = m->surrogate->param->precision;
    return surrogate_measure(m->surrogate, m->sample, j->info.samples, &j->result.surrogate_error,
                             e);
}
