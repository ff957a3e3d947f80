/* What a fetch costs in memory, the queues in which it waits for that, and who is next. */
#include "pipeline_parts.h"

#include "base/banned.h"

/* Of inflight_bytes: what makes an image large, and the share of its class (small ones have the
   rest). 32 MiB and 384 MiB by default: ten photographs of 12 Mpixel at once. */
enum { LARGE_DIVISOR = 16, LARGE_SHARE_NUM = 3, LARGE_SHARE_DEN = 4 };

/* ---- memory ---- */

static uint64_t samples_of(const struct image_info *info)
{
    return (uint64_t)info->width * (uint64_t)info->height *
           (uint64_t)(info->channels + info->has_alpha);
}

/* Bytes that reading and decoding f take at most: the file, the pixels, and what decoders keep
   beside them: a progressive JPEG's coefficients (two bytes each), libwebp's four bytes a pixel and
   tables, rows and planes of the others. The jail holds them to more than this (jail.h). */
static uint64_t cost_of(const struct fused_fetch *f)
{
    static const unsigned per_sample[IMAGE_FORMAT_COUNT] = {
        [IMAGE_PNG] = 2, [IMAGE_JPEG] = 4, [IMAGE_WEBP] = 6,
        [IMAGE_BMP] = 2, [IMAGE_GIF] = 3,  [IMAGE_TIFF] = 3,
    };
    const struct fused_verdict *v = &f->file.verdict;
    const struct image_info *info = &v->info;
    if (v->list.count)
        return 2 * v->list.bytes;
    return samples_of(info) * per_sample[info->source_format] + f->file.id.size;
}

bool fetch_is_large(const struct fused_pipeline *p, const struct fused_fetch *f)
{
    return cost_of(f) > p->opt.inflight_bytes / LARGE_DIVISOR;
}

enum size_class fetch_class(const struct fused_fetch *f)
{
    return f->large ? SIZE_LARGE : SIZE_SMALL;
}

void fetch_keeps_pixels_only(struct fused_pipeline *p, struct fused_fetch *f)
{
    uint64_t kept = samples_of(&f->file.verdict.info) + f->file.verdict.info.metadata_bytes;
    if (kept >= f->admitted)
        return;
    pthread_mutex_lock(&p->lock);
    p->stats.inflight_bytes -= f->admitted - kept;
    p->class_bytes[fetch_class(f)] -= f->admitted - kept;
    f->admitted = kept;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

/* ---- queues ---- */

void queue_push(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fetch_queue *q = &p->queue[f->priority][fetch_class(f)];
    f->next = NULL;
    *q->tail = f;
    q->tail = &f->next;
    q->count++;
}

bool queue_remove(struct fetch_queue *q, struct fused_fetch *f)
{
    for (struct fused_fetch **at = &q->head; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            if (!f->next)
                q->tail = at;
            q->count--;
            return true;
        }
    return false;
}

/* Called with p->lock held. */
static bool is_admissible(const struct fused_pipeline *p, enum purify_priority prio,
                          enum size_class size)
{
    const struct fused_fetch *f = p->queue[prio][size].head;
    uint64_t large = p->opt.inflight_bytes / LARGE_SHARE_DEN * LARGE_SHARE_NUM;
    uint64_t max = size == SIZE_LARGE ? large : p->opt.inflight_bytes - large;
    if (prio == PURIFY_SWEEP)
        max /= 4;
    if (!f || (size == SIZE_LARGE && p->workers > 1 && p->large_running >= p->workers - 1))
        return false;
    return !p->class_bytes[size] || p->class_bytes[size] + cost_of(f) <= max;
}

struct fused_fetch *queue_next(struct fused_pipeline *p)
{
    for (int prio = 0; prio < PURIFY_PRIORITY_COUNT; prio++)
        for (int size = 0; size < SIZE_COUNT; size++) {
            if (!is_admissible(p, (enum purify_priority)prio, (enum size_class)size))
                continue;
            struct fused_fetch *f = p->queue[prio][size].head;
            queue_remove(&p->queue[prio][size], f);
            f->admitted = cost_of(f);
            p->stats.inflight_bytes += f->admitted;
            p->class_bytes[size] += f->admitted;
            return f;
        }
    return NULL;
}
