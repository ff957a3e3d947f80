#ifndef FUSED_PIPELINE_PARTS_H
#define FUSED_PIPELINE_PARTS_H
/*
 * What the parts of the pipeline share:
 *
 *     pipeline.c   workers; where fetches begin and end
 *     admission.c  what a fetch costs in memory, and the queues in which it waits for that
 *     miss.c       a worker's share of a fetch: read, identify, decode
 *     flights.c    purification, once for all fetches of the same pixels
 *     serve.c      purified pixels from the cache and into it, and the bytes made of them
 *     identify.c   what is known of a file without purifying it
 *
 * Invariants
 *  1. Every fetch that fused_fetch_start was given ends in fetch_finish, once; nothing else calls
 *     done().
 *  2. A fetch is at any time in one place: a queue, the hands of one thread, or the waiters of one
 *     flight.
 *  3. A flight is in the table from its creation until on_purified, flight_from_cache or a refusal
 *     takes it out; by then the pixels are in the cache's queue: a newcomer finds one or the other.
 *  4. Memory is admitted by size class, for small and for large images, each with a share of the
 *     limit that the other cannot take, so that no small image waits until a large one is purified,
 *     nor the other way round. In each class the bytes admitted are within its share, or one fetch
 *     is alone over it. Sweep fetches stay below a quarter of the share, so that a reader never
 *     waits for memory that a sweep holds. One worker at least takes no large images.
 *  5. stats.urgent counts the unfinished fetches whose priority is urgent: whoever changes a
 *     priority changes it, too.
 *
 *     start -> queue[urgent|sweep][class] -> worker: read, SHA-256, memory, memo and cache
 *                                              |     decode, pixel digest
 *                                            flight (known: join, promote;
 *                                              |    new: cache, or submit, or wait in `overflow`
 *                                              |    until the purifier takes it)
 *                                            on_purified: store, encode for each waiter -> finish
 *
 * Two openers of one unknown file both decode it; only the purification is shared. That is cheap
 * beside it.
 */
#include "pipeline.h"

#include "bytes.h"
#include "locks.h"
#include <pthread.h>

enum { FLIGHT_CHAINS = 4096, WORKERS_MAX = 64 };
enum size_class { SIZE_SMALL, SIZE_LARGE, SIZE_COUNT };

/* One purification. */
struct flight {
    struct digest pixels;
    struct fused_pipeline *pipeline;
    struct purify_job job;
    struct image img; /* the purifier's until on_purified */
    struct fused_fetch *waiters;
    enum purify_priority priority;
    bool submitted;
    struct flight *chain;
    struct flight *overflow_next;
};

struct fetch_queue {
    struct fused_fetch *head, **tail;
    uint64_t count;
};

struct fused_pipeline {
    struct pipeline_options opt;
    struct image_limits limits;
    struct lru *lru;
    pthread_t worker[WORKERS_MAX];
    int workers;
    struct log_gate failure_gate, space_gate;

    pthread_mutex_t lock;
    pthread_cond_t work; /* a queue, inflight_bytes or stopping changed */
    bool stopping;       /* guarded by lock, as all below */
    struct fetch_queue queue[PURIFY_PRIORITY_COUNT][SIZE_COUNT];
    uint64_t class_bytes[SIZE_COUNT]; /* admitted */
    int large_running;                /* workers that have a large image in hand */
    struct flight *flight[FLIGHT_CHAINS];
    /* Flights that the purifier did not take yet, oldest first. */
    struct flight *overflow, **overflow_tail;
    struct pipeline_stats stats;
};

/* ---- pipeline.c ---- */
/* The one place that answers a fetch. f may be gone after it. */
void fetch_finish(struct fused_pipeline *p, struct fused_fetch *f, status st);
void pipeline_count(struct fused_pipeline *p, uint64_t *counter);

/* ---- admission.c ---- */
bool fetch_is_large(const struct fused_pipeline *p, const struct fused_fetch *f);
enum size_class fetch_class(const struct fused_fetch *f);
/* f is decoded: gives back what only reading and decoding took. */
void fetch_keeps_pixels_only(struct fused_pipeline *p, struct fused_fetch *f);
/* The next three with p->lock held. */
void queue_push(struct fused_pipeline *p, struct fused_fetch *f);
/* False: it is not there. */
bool queue_remove(struct fetch_queue *q, struct fused_fetch *f);
/* The next fetch that there is memory for, admitted; or NULL. */
struct fused_fetch *queue_next(struct fused_pipeline *p);

/* ---- miss.c ---- */
/* Takes f, which was admitted, to its end or into a flight. */
void miss_run(struct fused_pipeline *p, struct fused_fetch *f);

/* ---- flights.c ---- */
/* f is decoded and its pixels are known: joins the flight of the same pixels or starts one. */
void flight_join_or_start(struct fused_pipeline *p, struct fused_fetch *f);
/* Called with p->lock held, as the next. NULL: none. */
struct flight *flight_find(struct fused_pipeline *p, const struct digest *pixels);
/* After a waiter of fl stopped being urgent. */
void flight_demote_if_unwanted(struct fused_pipeline *p, struct flight *fl);
/* p->stopping is set: refuses what waits and cancels what runs. */
void flights_stop(struct fused_pipeline *p);

/* ---- serve.c ---- */
/* NOT_FOUND, or the purified pixels, for cache_object_done. */
status stored_pixels(struct fused_pipeline *p, const struct digest *pixels,
                     const struct image_info *info, struct cache_object *out) MUST_USE;
void store_pixels(struct fused_pipeline *p, const struct digest *pixels, const struct image *img);
/* The bytes of an image without alpha, which only the source has. NOT_FOUND: the purifier is
   needed. */
status stored_bytes(struct fused_pipeline *p, const struct fused_file *file,
                    struct fused_bytes **out, struct errmsg *e) MUST_USE;
/* Ends f with these purified pixels (as encoded for it); f->img has the alpha. */
void fetch_deliver(struct fused_pipeline *p, struct fused_fetch *f, uint8_t *pixels);

#endif
