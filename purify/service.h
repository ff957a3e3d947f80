#ifndef PURIFY_SERVICE_H
#define PURIFY_SERVICE_H
/* The seam between the service and what it runs, so that its races are tested without networks. */
#include "engine.h"

struct service_ops {
    /* One engine for one worker. Called on the thread that makes the service. */
    status (*open)(const void *ctx, void **out_engine, struct errmsg *e);
    /* As engine_run. */
    status (*run)(void *engine, struct image *img, const struct engine_hooks *hooks,
                  uint64_t *out_evaluations, struct errmsg *e);
    void (*close)(void *engine);
};
/* ops must outlive the service. */
status service_new(const struct service_ops *ops, const void *ctx,
                   const struct purify_service_options *opt, struct purify_service **out,
                   struct errmsg *e) MUST_USE;

#endif
