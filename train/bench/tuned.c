/* A profile whose restorer is fine-tuned on pairs of a protected tree. */
#include "bench/bench.h"

#define RESTORER "restore" /* in the profile's chain */

static status load(const struct matrix_member *by, struct purify_profile **out, struct errmsg *e)
{
    struct purify_profile *p = *out = mem_alloc(sizeof *p);
    return p ? purify_profile_load(by->profile, p, e) : STATUS_NOMEM;
}

status bench_restorer(const struct purify_profile *p, char **out, struct errmsg *e)
{
    return purify_profile_model(p, RESTORER, out, e);
}

status bench_tune_from(const struct matrix_member *by, char **out, struct errmsg *e)
{
    AUTO(mem_free) struct purify_profile *p = NULL;
    status st = load(by, &p, e);
    return st ? st : bench_restorer(p, out, e);
}

status bench_tuned_profile(const struct matrix_member *by, const char *dir, struct errmsg *e)
{
    AUTO(mem_free) struct purify_profile *p = NULL;
    AUTO(mem_free) char *path = mem_printf("%s" BENCH_TUNED_PROFILE, dir);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    status st = path ? load(by, &p, e) : STATUS_NOMEM;
    /* As seen from the profile: who shares the folder may have it under another path. */
    if (!st)
        st = purify_profile_set(p, RESTORER ".model", "." BENCH_TUNED_WEIGHTS, e);
    if (!st)
        st = purify_profile_text(p, &text);
    return st ? st : io_write_file(path, text.data, text.len, e);
}
