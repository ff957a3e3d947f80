/* Training of a restorer: what a checkpoint and the result say of it, and the run. */
#include "restore.h"

#include <math.h>

static void describe(const void *arg, struct kv_list *m)
{
    const struct restore *r = arg;
    const struct train_restore_options *o = r->opt;
    struct purify_meta network;
    AUTO(buf_done) struct buf families = BUF_INIT(4096);
    purify_restorer_to_meta(&r->cfg, &network);
    for (int i = 0; i < network.n; i++)
        train_kv_add(m, network.pair[i].key, "%s", network.pair[i].value);
    status st = family_mix_text(&r->mix, &families);
    if (st && !m->st)
        m->st = st;
    train_kv_add(m, "train.size", "%d", o->size);
    train_kv_add(m, "train.families", "%s", st ? "" : families.data);
    train_kv_add(m, "train.group", "%d", o->group);
    train_kv_add(m, "train.coherence", "%.9g", (double)o->coherence);
    if (o->noise > 0) {
        train_kv_add(m, "train.noise", "%.9g", (double)o->noise);
        train_kv_add(m, "train.noise_share", "%.9g", (double)o->noise_share);
    }
    if (!r->pairs.n)
        return;
    train_kv_add(m, "train.pairs", "%d", r->pairs.n);
    train_kv_add(m, "train.pair_share", "%.9g", (double)o->pair_share);
    train_kv_add(m, "train.pair_transfer", "%.9g", (double)o->pair_transfer);
}

/* What became of the families, and which pairs they were. */
static status finish(const void *arg, struct kv_list *m, struct errmsg *e)
{
    const struct restore *r = arg;
    struct train_restore_family family[TRAIN_FAMILIES_MAX];
    AUTO(buf_done) struct buf removed = BUF_INIT(4096);
    int n = train_restore_families(r, family);
    status st = STATUS_OK;
    for (int i = 0; i < n && !st; i++)
        if (isfinite(family[i].removed))
            st = buf_addf(&removed, "%s%s:%.4g/%.4g", removed.len ? "," : "", family[i].name,
                          family[i].removed, family[i].removed_coherent);
    if (st)
        return st;
    train_kv_add(m, "train.removed", "%s", removed.len ? removed.data : "");
    if (!r->pairs.n)
        return STATUS_OK;
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    st = pairs_digest(&r->pairs, &digest, e);
    if (st)
        return st;
    digest_hex(&digest, hex);
    train_kv_add(m, "pairs_digest", "%s", hex);
    return STATUS_OK;
}

status train_restore_run(const struct train_restore_options *opt, struct train_restore_result *out,
                         struct errmsg *e)
{
    static const struct fit_ops ops = {.describe = describe,
                                       .load = train_restore_load,
                                       .observe = train_restore_observe,
                                       .close = train_restore_close,
                                       .log = train_restore_log,
                                       .save = train_restore_save,
                                       .resume = train_restore_resume,
                                       .finish = finish};
    struct train_restore_result result;
    struct restore r = {.opt = opt, .cfg = opt->cfg, .fit = {.opt = &opt->fit, .ops = &ops}};
    r.fit.arg = &r;
    r.fit.last_mean = NAN;
    status st = train_restore_setup(&r, e);
    if (!st)
        st = train_fit_run(&r.fit, &result.fit, e);
    if (!st) {
        result.families = train_restore_families(&r, result.family);
        *out = result;
    }
    train_restore_done(&r);
    return st;
}
