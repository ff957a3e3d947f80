#ifndef FUSED_LIST_COPY_H
#define FUSED_LIST_COPY_H
/* A file that holds many images, written to another one with all of them purified. */
#include "pipeline.h"

struct list_copy {
    struct fused_pipeline *pipeline;
    const struct fused_file *from; /* examined */
    int to;                        /* open for writing, empty */
    /* Each may be NULL. */
    void (*copied)(void *arg); /* an image was; from any thread */
    int (*stop)(void *arg);    /* nonzero: CANCELLED. From any thread */
    void *arg;
};
/* Waits until it is done. AGAIN: the file is not, or no longer, what was examined. If *out_reading,
   it was `from` that failed, and e says why; else it was `to`. */
status list_copy(const struct list_copy *c, int *out_reading, struct errmsg *e) MUST_USE;

#endif
