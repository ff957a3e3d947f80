/* The restorer's configuration in the metadata of its weights file. */
#include "meta.h"

#define ARCHITECTURE "restorer"

void purify_restorer_to_meta(const struct purify_restorer *cfg, struct purify_meta *out)
{
    out->n = 0;
    meta_add(out, "architecture", ARCHITECTURE);
    meta_add(out, "in_channels", "%d", cfg->in_channels);
    meta_add_list(out, "width", cfg->width, cfg->levels);
    meta_add(out, "blocks", "%d", cfg->blocks);
}

status purify_restorer_from_file(const struct nn_file *f, struct purify_restorer *out,
                                 struct errmsg *e)
{
    static const char *const architecture[] = {ARCHITECTURE};
    enum { ANY = 1 << 20 }; /* purify_restorer_check says what is allowed */
    struct meta_reader r = {.file = f, .e = e};
    struct purify_restorer cfg = {0};
    meta_architecture(&r, architecture, 1);
    meta_int(&r, "in_channels", 1, ANY, &cfg.in_channels);
    meta_list(&r, "width", PURIFY_LEVELS_MAX, cfg.width, &cfg.levels);
    meta_int(&r, "blocks", 1, ANY, &cfg.blocks);
    if (r.st)
        return r.st;
    status st = purify_restorer_check(&cfg, e);
    if (!st)
        *out = cfg;
    return st;
}
