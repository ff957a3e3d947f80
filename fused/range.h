#ifndef FUSED_RANGE_H
#define FUSED_RANGE_H
/*
 * Some images of a file that holds many, through the pipeline: a few at a time, so that a file of
 * any length costs bounded memory, and one that fails ends it.
 *
 *     struct range *r;
 *     st = range_new(p, &options, &r);
 *     range_start(r);              // image() for each, then done(), which may free r
 *     range_free(r);
 */
#include "pipeline.h"

/* On threads of the pipeline and the purifier, in any order, several at the same time; b lives
   during the call, NULL without want_bytes. A failure ends the range. */
typedef status range_image_fn(void *arg, uint64_t index, struct fused_bytes *b);
/* Once, after the last image(); perhaps before range_start returns. */
typedef void range_done_fn(void *arg, status st, const struct errmsg *e);

struct range_options {
    const struct fused_file *file; /* of a list; its fd and name are kept alive until done */
    uint64_t from, to;             /* images from..to-1; at least one */
    bool want_bytes;
    enum purify_priority priority;
    range_image_fn *image;
    range_done_fn *done;
    void *arg;
};

struct range;
status range_new(struct fused_pipeline *p, const struct range_options *opt,
                 struct range **out) MUST_USE;
void range_start(struct range *r);
/* Nobody waits for it any more: what was begun goes on behind the rest, no more is begun, and it
   ends as CANCELLED. From any thread, also during range_start; before done() returns. */
void range_abandon(struct range *r);
void range_free(struct range *r); /* not before done() was called; NULL allowed */

#endif
