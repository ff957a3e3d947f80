/* What the pipeline knows of a file without purifying it: by its header, its bytes, the memo. */
#include "pipeline_parts.h"

#include "examine.h"

#include "base/banned.h"

/* What another mount of an immutable source learned. */
static void recall(struct fused_pipeline *p, const struct cache_file_id *id,
                   struct fused_verdict *v)
{
    if (!p->opt.immutable || !p->opt.cache || cache_file_get(p->opt.cache, id, &v->source))
        return;
    v->has_source = true;
    status_ignore(memo_read(p->opt.cache, v), "then it is decoded again");
}

status fused_examine(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e)
{
    struct fused_verdict v;
    status st = examine_file(&p->limits, p->opt.rules, io, &v, e);
    if (st)
        return st;
    if (v.group == FUSED_GROUP_IMAGE && !v.list.count)
        recall(p, &io->id, &v);
    io->verdict = v;
    return STATUS_OK;
}

status fused_identify(struct fused_pipeline *p, struct fused_file *io, struct errmsg *e)
{
    struct fused_verdict *v = &io->verdict;
    if (v->group != FUSED_GROUP_IMAGE || v->list.count)
        return STATUS_OK;
    if (!v->has_source) {
        uint64_t n;
        status st = digest_sha256_fd(io->fd, io->id.size, &v->source, &n);
        if (!st)
            st = n == io->id.size ? source_unchanged(io->fd, &io->id) : STATUS_AGAIN;
        if (st)
            return errmsg_set(e, st, "%s", status_text(st));
        v->has_source = true;
    }
    if (!v->has_pixels)
        status_ignore(memo_read(p->opt.cache, v), "then it is decoded again");
    return STATUS_OK;
}
