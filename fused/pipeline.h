#ifndef FUSED_PIPELINE_H
#define FUSED_PIPELINE_H
/*
 * The private side of the pipeline: how it is made, ended and observed.
 *
 *     pipeline_new, fetches
 *     pipeline_stop
 *     the purifier is freed: every flight is answered
 *     the cache is closed: every "stored" callback has come
 *     pipeline_free
 */
#include "fused.h"

/* What the pipeline needs of a purifier; the real one is a struct purify_service, tests have their
   own. The contract is that of purify_submit, purify_promote, purify_demote and purify_cancel. */
struct pipeline_purifier {
    void *ctx;
    status (*submit)(void *ctx, struct purify_job *job, enum purify_priority prio);
    void (*promote)(void *ctx, struct purify_job *job);
    void (*demote)(void *ctx, struct purify_job *job);
    void (*cancel)(void *ctx, struct purify_job *job);
    int queue_depth; /* as purify_service_ahead */
};

/* The real one. */
struct pipeline_purifier pipeline_purifier_of(struct purify_service *service);

struct pipeline_options {
    struct cache *cache; /* NULL: nothing is kept */
    struct pipeline_purifier purifier;
    struct jail *jail; /* where images are decoded; NULL: in this process */
    struct digest profile;
    uint64_t max_pixels;     /* larger images pass through; 0: the decoder's limit */
    uint64_t encoded_bytes;  /* 0: 256 MiB */
    uint64_t inflight_bytes; /* decoded images that wait or are purified; 0: 512 MiB. One larger
                                image is let in alone */
    int threads; /* that read and decode; 0: two per CPU, since they wait for the disk */
    /* The source does not change and its file system never gives a number twice: a file's identity
       is believed to name bytes that were read before. */
    bool immutable;
    const struct fused_rules *rules; /* NULL: none */
};

status pipeline_new(const struct pipeline_options *opt, struct fused_pipeline **out) MUST_USE;
/* Fetches that wait for a thread are answered CANCELLED, and new ones too. */
void pipeline_stop(struct fused_pipeline *p);
void pipeline_free(struct fused_pipeline *p);

struct pipeline_stats {
    uint64_t memory_hits; /* bytes were still in memory */
    uint64_t cache_hits;  /* pixels were in the cache */
    uint64_t purified;    /* flights that ended well */
    uint64_t coalesced;   /* fetches that joined a flight */
    uint64_t damaged;     /* fetches whose image turned out damaged */
    uint64_t failed;
    uint64_t no_space;   /* purified, served, but the disk or the limit was full */
    uint64_t not_stored; /* the same for other reasons */
    uint64_t queued[PURIFY_PRIORITY_COUNT]; /* wait for a thread */
    uint64_t flights;                       /* with the purifier */
    uint64_t urgent;                        /* urgent fetches without an answer */
    uint64_t inflight_bytes;
    uint64_t encoded_bytes;
};
void pipeline_stats(struct fused_pipeline *p, struct pipeline_stats *out);

/* So many fetches at once keep the purifier busy, in groups: for callers that have many. */
unsigned pipeline_queue_depth(const struct fused_pipeline *p);

/* A reference to the encoded bytes when they are still in memory, else NULL. */
struct fused_bytes *pipeline_memory(struct fused_pipeline *p, const struct digest *source);

enum pipeline_state { PIPELINE_IDLE, PIPELINE_QUEUED, PIPELINE_RUNNING };
/* What is being done for this file: nothing, waiting here, or handed to the purifier. */
enum pipeline_state pipeline_state_of(struct fused_pipeline *p, const struct cache_file_id *id,
                                      const struct fused_verdict *v);

/* How many of a list's images are stored: reads the whole file, on the calling thread. stop:
   nonzero: CANCELLED. AGAIN: it changed meanwhile. */
status pipeline_list_stored(struct fused_pipeline *p, const struct fused_file *file,
                            int (*stop)(void *arg), void *arg, uint64_t *out) MUST_USE;

/* ---- source.c: one source file ---- */
struct source_bytes {
    uint8_t *data; /* owned */
    size_t len;
};
/* Reads the whole file. LIMIT: too large. AGAIN: it is not, or no longer, what *id says. */
status source_read(int fd, const struct cache_file_id *id, const struct image_limits *lim,
                   struct source_bytes *out, struct errmsg *e) MUST_USE;
/* CORRUPT, UNSUPPORTED and LIMIT: it is the file's fault, not ours. */
bool source_is_at_fault(status st);
/* What is kept of its metadata; *out is NULL when there is none. AGAIN: the file's bytes are no longer
   those of *source. */
status source_metadata(int fd, const struct cache_file_id *id, const struct digest *source,
                       const struct image_info *info, const struct image_limits *lim,
                       uint8_t **out) MUST_USE;
/* AGAIN when fd is no longer the file that *id was taken of: what was read from it may be torn. */
status source_unchanged(int fd, const struct cache_file_id *id) MUST_USE;

/* ---- memo.c: what is remembered of a file's bytes ---- */
/* NOT_FOUND, or *v is completed: group, reason, has_pixels, pixels. c may be NULL. */
status memo_read(struct cache *c, struct fused_verdict *v) MUST_USE;
void memo_write(struct cache *c, const struct fused_verdict *v);
/* It is served as it is, for this reason; its size stays what it was. */
void verdict_unpurified(struct fused_verdict *v, const char *why);

#endif
