/* How many files of a path would have to be purified. */
#include "sweep_parts.h"

#include "examine_path.h"
#include "source_walk.h"

#include "base/banned.h"

struct check {
    struct fs *fs;
    struct fused_warm_check *io;
};

static status check_visit(void *arg, int dirfd, const char *name, const char *path)
{
    struct check *c = arg;
    struct fused_warm_check *io = c->io;
    struct fused_pipeline *p = c->fs->pipeline;
    struct fused_file f;
    struct errmsg e = {""};
    io->files++;
    if (examine_path(c->fs, dirfd, name, path, &f)) {
        io->missing++;
        return STATUS_OK;
    }
    uint64_t images = f.verdict.list.count ? f.verdict.list.count : 1, cached = 0;
    status st = f.fd < 0 ? STATUS_OK : fused_identify(p, &f, &e);
    if (!st && f.verdict.list.count)
        st = pipeline_list_stored(p, &f, sweep_is_ending, c->fs, &cached);
    else if (!st)
        cached = fused_is_cached(p, &f.verdict);
    if (f.fd >= 0)
        close(f.fd);
    io->group[f.verdict.group]++;
    if (f.verdict.group == FUSED_GROUP_IMAGE) {
        io->cached += st ? 0 : cached;
        io->absent += images - (st ? 0 : cached);
    }
    return STATUS_OK;
}

status sweep_check(struct sweep *s, const char *path, struct fused_warm_check *io, struct errmsg *e)
{
    struct check c = {s->fs, io};
    return source_walk(s->fs, path, check_visit, &c, e);
}
