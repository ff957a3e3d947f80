/* The service over real engines. */
#include "service.h"

static status open_engine(const void *model, void **out_engine, struct errmsg *e)
{
    struct purify_engine *en;
    status st = purify_engine_new(model, &en, e);
    if (!st)
        *out_engine = en;
    return st;
}

static int64_t slots(void *engine, const struct image *img)
{
    return engine_slots(engine, img);
}

static bool groups(void *engine, const struct image *img)
{
    return engine_groups(engine, img);
}

static size_t bytes(void *engine, const struct image *img)
{
    return engine_run_bytes(engine, img);
}

static bool shares(void *engine, const struct engine_run *r)
{
    return engine_shares(engine, r);
}

static int64_t turn(void *const *engine, const struct team *team, struct engine_member *member)
{
    struct purify_engine *en[TEAM_MAX];
    for (int i = 0; i < team->n; i++)
        en[i] = engine[i];
    return engine_team_turn(en, team, member);
}

static void group(void *engine, struct engine_member *member, int n)
{
    engine_run_group(engine, member, n);
}

static void close_engine(void *engine)
{
    purify_engine_free(engine);
}

static const struct service_ops engine_ops = {open_engine, slots, groups,      bytes,       shares,
                                              turn,        group, engine_drop, close_engine};

status purify_service_new(const struct purify_model *m, const struct purify_service_options *opt,
                          struct purify_service **out, struct errmsg *e)
{
    return service_new(&engine_ops, m, opt, out, e);
}
