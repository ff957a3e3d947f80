/* One file through the pipeline: examined, given to it, and counted when it comes back. */
#include "sweep_parts.h"

#include "examine_path.h"
#include "range.h"
#include <string.h>

#include "base/banned.h"

/* One file on its way through the pipeline. */
struct sweep_file {
    struct sweep *sweep;
    enum sweep_origin origin;
    struct fused_file file;
    struct fused_fetch fetch; /* of an image */
    struct range *range;      /* of a list of images */
    uint64_t lost;            /* with a list: stats.no_space when it began */
    unsigned fetches;         /* at once */
    char path[];
};

void sweep_count(struct sweep *s, enum sweep_origin origin, const struct sweep_outcome *o)
{
    struct fused_warm_state *w = &s->warm_state;
    pthread_mutex_lock(&s->lock);
    s->state.purified += o->purified;
    s->state.failed += o->failed;
    s->unfit += o->failed && origin == SWEEP_TREE;
    if (origin == SWEEP_WARM) {
        w->done++;
        w->failed += o->failed;
        w->not_stored += o->not_stored;
        w->group[o->group] += !o->failed;
    }
    pthread_mutex_unlock(&s->lock);
}

static void file_end(struct sweep_file *a, const struct sweep_outcome *o)
{
    struct sweep *s = a->sweep;
    sweep_count(s, a->origin, o);
    close(a->file.fd);
    unsigned fetches = a->fetches;
    range_free(a->range);
    mem_free(a);
    pthread_mutex_lock(&s->lock);
    s->under_way -= fetches;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void note_outcome(struct sweep_file *a, status st, const struct errmsg *e)
{
    struct name_list *failures = a->sweep->fs->lists.failures;
    if (!st)
        name_list_remove(failures, &a->file.id);
    else if (st != STATUS_CANCELLED && st != STATUS_AGAIN)
        name_list_add(failures, &a->file.id, a->path, errmsg_text(e, st));
}

/* The callback of an image's fetch. */
static void file_fetched(struct fused_fetch *f, status st)
{
    struct sweep_file *a = f->arg;
    if (!st)
        fs_fetched(a->sweep->fs, NULL, &f->file);
    note_outcome(a, st, &f->err);
    struct sweep_outcome o = {.group = f->file.verdict.group,
                              .purified = !st && f->file.verdict.group == FUSED_GROUP_IMAGE,
                              .failed = st && st != STATUS_CANCELLED};
    file_end(a, &o);
}

/* Of one image of a list: nothing is purified to be thrown away. */
static status file_image(void *arg, uint64_t index, struct fused_bytes *b)
{
    struct sweep_file *a = arg;
    struct pipeline_stats ps;
    (void)index, (void)b;
    pipeline_stats(a->sweep->fs->pipeline, &ps);
    return ps.no_space > a->lost ? STATUS_NO_SPACE : STATUS_OK;
}

static void file_listed(void *arg, status st, const struct errmsg *e)
{
    struct sweep_file *a = arg;
    bool full = st == STATUS_NO_SPACE;
    if (!st)
        fs_list_stored(a->sweep->fs, &a->file);
    note_outcome(a, full ? STATUS_OK : st, e);
    struct sweep_outcome o = {.group = FUSED_GROUP_IMAGE,
                              .purified = !st,
                              .failed = st && !full && st != STATUS_CANCELLED,
                              .not_stored = full};
    file_end(a, &o);
}

int sweep_is_ending(void *arg)
{
    struct fs *fs = arg;
    return atomic_load(&fs->ending);
}

/* Whether everything of an image or a list is stored: reads it. */
static bool is_stored(struct fs *fs, struct fused_file *io)
{
    struct errmsg e;
    uint64_t n = 0;
    if (io->verdict.list.count)
        return pipeline_list_stored(fs->pipeline, io, sweep_is_ending, fs, &n) == STATUS_OK &&
               n == io->verdict.list.count;
    return fused_identify(fs->pipeline, io, &e) == STATUS_OK &&
           (io->verdict.group != FUSED_GROUP_IMAGE || fused_is_cached(fs->pipeline, &io->verdict));
}

/* Whether the file is to go through the pipeline. */
static bool is_wanted(struct sweep *s, struct fused_file *io, struct sweep_outcome *o)
{
    const struct fused_verdict *v = &io->verdict;
    if (v->group != FUSED_GROUP_IMAGE)
        return false;
    if (v->size >= HELD_BYTES_MIN && !v->list.count) {
        pthread_mutex_lock(&s->lock);
        s->too_large++;
        pthread_mutex_unlock(&s->lock);
    }
    if (cache_keeps(s->fs) && !cache_is_full(&s->room))
        return !fused_is_cached(s->fs->pipeline, v);
    /* Nothing is purified to be thrown away; what is stored already is found out all the same. */
    o->not_stored = !is_stored(s->fs, io);
    o->group = v->group;
    return false;
}

/* Gives what a is about to the pipeline. */
static status file_begin(struct sweep_file *a)
{
    struct sweep *s = a->sweep;
    struct fused_pipeline *p = s->fs->pipeline;
    struct pipeline_stats ps;
    a->fetches = 1;
    fused_fetch_init(&a->fetch, &a->file, 0, file_fetched, a);
    a->fetch.want_bytes = false;
    if (a->file.verdict.list.count) {
        const struct range_options o = {.file = &a->file,
                                        .to = a->file.verdict.list.count,
                                        .priority = PURIFY_SWEEP,
                                        .image = file_image,
                                        .done = file_listed,
                                        .arg = a};
        pipeline_stats(p, &ps);
        a->lost = ps.no_space;
        a->fetches = pipeline_queue_depth(p);
        status st = range_new(p, &o, &a->range);
        if (st)
            return st;
    }
    pthread_mutex_lock(&s->lock);
    s->under_way += a->fetches;
    pthread_mutex_unlock(&s->lock);
    if (a->range)
        range_start(a->range);
    else
        fused_fetch_start(p, &a->fetch, PURIFY_SWEEP);
    return STATUS_OK;
}

void sweep_work_on(struct sweep *s, enum sweep_origin origin, int base_fd, const char *name,
                   const char *path)
{
    struct fused_file f;
    if (examine_path(s->fs, base_fd, name, path, &f)) {
        sweep_count(s, origin, &(struct sweep_outcome){.failed = origin != SWEEP_HINT});
        return;
    }
    struct sweep_outcome o = {.group = f.verdict.group};
    bool wanted = f.fd >= 0 && is_wanted(s, &f, &o);
    struct sweep_file *a = wanted ? mem_zalloc(1, sizeof *a + strlen(path) + 1) : NULL;
    if (a) {
        a->sweep = s;
        a->origin = origin;
        a->file = f;
        a->file.name = memcpy(a->path, path, strlen(path) + 1);
        if (file_begin(a) == STATUS_OK)
            return;
    }
    mem_free(a);
    if (f.fd >= 0)
        close(f.fd);
    o.failed = wanted && origin != SWEEP_HINT; /* for want of memory */
    sweep_count(s, origin, &o);
}
