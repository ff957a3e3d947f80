#ifndef PURIFY_SERVICE_H
#define PURIFY_SERVICE_H
/* The seam between the service and what it runs, so that its races are tested without networks. */
#include "engine.h"

struct service_ops {
    /* One engine for one worker. Called on the thread that makes the service. */
    status (*open)(const void *ctx, void **out_engine, struct errmsg *e);
    /* As engine_groups. Called with the service's lock held. */
    bool (*groups)(void *engine, const struct image *img);
    /* As engine_run_group: one image of any kind, or PURIFY_MICRO_BATCH such that `groups`. */
    void (*run)(void *engine, struct engine_member *member, int n);
    void (*close)(void *engine);
};
/* ops must outlive the service. */
status service_new(const struct service_ops *ops, const void *ctx,
                   const struct purify_service_options *opt, struct purify_service **out,
                   struct errmsg *e) MUST_USE;

#endif
