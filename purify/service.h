#ifndef PURIFY_SERVICE_H
#define PURIFY_SERVICE_H
/* What a service runs, as an interface, so that tests can put a fake in place of engines with
   networks. */
#include "engine.h"

struct service_ops {
    /* One engine for one worker. Called on the thread that makes the service. */
    status (*open)(const void *ctx, void **out_engine, struct errmsg *e);
    /* As engine_slots, engine_groups and engine_run_bytes. May be called while the engine is working. */
    int64_t (*slots)(void *engine, const struct image *img);
    bool (*groups)(void *engine, const struct image *img);
    size_t (*bytes)(void *engine, const struct image *img);
    /* As engine_shares. */
    bool (*shares)(void *engine, const struct engine_run *r);
    /* As engine_team_turn. */
    int64_t (*turn)(void *const *engine, const struct team *team, struct engine_member *member);
    /* As engine_run_group: PURIFY_MICRO_BATCH images that engine_groups allows. */
    void (*group)(void *engine, struct engine_member *member, int n);
    /* As engine_drop. */
    void (*drop)(struct engine_run *r);
    void (*close)(void *engine);
};
/* ops must outlive the service. */
status service_new(const struct service_ops *ops, const void *ctx,
                   const struct purify_service_options *opt, struct purify_service **out,
                   struct errmsg *e) MUST_USE;

#endif
