/* The estimator's configuration in the metadata of its weights file. */
#include "meta.h"

#define ARCHITECTURE "filter-estimator"

void purify_estimator_to_meta(const struct purify_estimator *cfg, struct purify_meta *out)
{
    out->n = 0;
    meta_add(out, "architecture", ARCHITECTURE);
    meta_add(out, "in_channels", "%d", cfg->in_channels);
    meta_add(out, "size", "%d", cfg->size);
    meta_add(out, "side", "%d", cfg->side);
    meta_add_list(out, "width", cfg->width, cfg->levels);
}

status purify_estimator_from_file(const struct nn_file *f, struct purify_estimator *out,
                                  struct errmsg *e)
{
    static const char *const architecture[] = {ARCHITECTURE};
    enum { ANY = 1 << 20 }; /* purify_estimator_check says what is allowed */
    struct meta_reader r = {.file = f, .e = e};
    struct purify_estimator cfg = {0};
    meta_architecture(&r, architecture, 1);
    meta_int(&r, "in_channels", 1, ANY, &cfg.in_channels);
    meta_int(&r, "size", 1, ANY, &cfg.size);
    meta_int(&r, "side", 1, ANY, &cfg.side);
    meta_list(&r, "width", PURIFY_LEVELS_MAX, cfg.width, &cfg.levels);
    if (r.st)
        return r.st;
    status st = purify_estimator_check(&cfg, e);
    if (!st)
        *out = cfg;
    return st;
}
