/* Everything that serving needs, in the order in which it is opened; closed so that every callback
   still finds its pipeline. */
#include "pipeline.h"

#include "jail.h"

#include <string.h>

#include "base/banned.h"

static status submit(void *ctx, struct purify_job *job, enum purify_priority prio)
{
    return purify_submit(ctx, job, prio);
}

static void promote(void *ctx, struct purify_job *job)
{
    purify_promote(ctx, job);
}

static void demote(void *ctx, struct purify_job *job)
{
    purify_demote(ctx, job);
}

static void cancel(void *ctx, struct purify_job *job)
{
    purify_cancel(ctx, job);
}

struct pipeline_purifier pipeline_purifier_of(struct purify_service *service)
{
    return (struct pipeline_purifier){.ctx = service,
                                      .submit = submit,
                                      .promote = promote,
                                      .demote = demote,
                                      .cancel = cancel,
                                      .queue_depth = purify_service_ahead(service)};
}

/* Its processes are started while there is little to copy of this one. As many as the pipeline's
   threads: none waits for another's image. */
static void start_jail(struct fused_stack *s)
{
    struct errmsg e = {""};
    status st = jail_new(&(struct jail_options){.decoders = 2 * cpu_count()}, &s->jail, &e);
    if (st)
        log_warn("images are decoded in this process, not in one that can do nothing else: %s",
                 errmsg_text(&e, st));
}

/* A disk that is full or fails is no reason not to serve; what the user can mend by another
   directory is said instead. */
static status open_cache(const struct fused_stack_options *opt, struct fused_stack *s,
                         struct errmsg *e)
{
    struct errmsg why = {""};
    const struct cache_options co = {.max_bytes = opt->cache_bytes,
                                     .min_free_bytes = opt->min_free_bytes};
    status st = cache_open(s->cache_dir, &co, &s->cache, &why);
    if (!st && cache_read_only(s->cache))
        log_warn("what is purified is not kept: %s", cache_read_only(s->cache));
    if (!st)
        return STATUS_OK;
    if (st != STATUS_NO_SPACE && st != STATUS_IO)
        return errmsg_set(e, st, "%s", errmsg_text(&why, st));
    s->cache = NULL;
    errmsg_set(&s->no_cache, st, "%s", errmsg_text(&why, st));
    log_warn("nothing is kept of what is purified: %s", s->no_cache.text);
    return STATUS_OK;
}

static status open_parts(const struct fused_stack_options *opt, struct fused_stack *s,
                         struct errmsg *e)
{
    if (!opt->unconfined)
        start_jail(s);
    status st = purify_profile_load(opt->profile ? opt->profile : "default", &s->profile, e);
    if (st)
        return st;
    if (opt->cache_dir)
        s->cache_dir = mem_strdup(opt->cache_dir);
    else
        st = path_cache_dir(&s->cache_dir);
    if (st || !s->cache_dir)
        return errmsg_set(e, st ? st : STATUS_NOMEM, "where the cache is could not be told: %s",
                          status_text(st ? st : STATUS_NOMEM));
    st = open_cache(opt, s, e);
    if (st)
        return st;
    st = purify_model_load(&s->profile, &s->model, e);
    if (st)
        return st;
    struct purify_service_options so = {.threads = opt->threads, .idle_sweep = opt->idle_sweep};
    st = purify_service_new(s->model, &so, &s->service, e);
    if (st)
        return st;
    struct pipeline_options po = {
        .cache = s->cache,
        .jail = s->jail,
        .purifier = pipeline_purifier_of(s->service),
        .profile = s->profile.id,
        .max_pixels = opt->max_pixels ? opt->max_pixels : (uint64_t)purify_max_pixels(),
        .immutable = opt->immutable,
        .rules = opt->rules,
        .encoded_bytes = opt->encoded_bytes,
    };
    st = pipeline_new(&po, &s->pipeline);
    return st ? errmsg_set(e, st, "the pipeline did not start: %s", status_text(st)) : STATUS_OK;
}

status fused_stack_open(const struct fused_stack_options *opt, struct fused_stack *out,
                        struct errmsg *e)
{
    struct fused_stack s;
    memset(&s, 0, sizeof s);
    status st = open_parts(opt, &s, e);
    if (st) {
        status_ignore(fused_stack_close(&s), "it failed before it held anything");
        return st;
    }
    *out = s;
    return STATUS_OK;
}

status fused_stack_close(struct fused_stack *s)
{
    if (s->pipeline)
        pipeline_stop(s->pipeline);
    purify_service_free(s->service);
    purify_model_free(s->model);
    status st = cache_close(s->cache);
    pipeline_free(s->pipeline);
    jail_free(s->jail);
    mem_free(s->cache_dir);
    memset(s, 0, sizeof *s);
    return st;
}
