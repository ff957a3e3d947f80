/* Purified pixels from the cache and into it, and the bytes that are made of them. */
#include "pipeline_parts.h"

#include <string.h>

#include "base/banned.h"

/* Encoded on the thread that asks, when the pixels are stored: a JPEG of so many pixels takes some
   milliseconds. */
enum { NOW_PIXELS_MAX = 1 << 20 };
static const uint64_t space_log_ns = 60 * 1000000000ull; /* a full disk stays full */

/* The bytes of an image that stands by itself in its file, or of one of many. */
static status encode(struct fused_pipeline *p, const struct fused_verdict *v,
                     const struct image *img, const uint8_t *metadata, struct fused_bytes **out,
                     struct errmsg *e)
{
    const struct image_info *info = &v->info;
    struct fused_bytes *b;
    status st = bytes_new(info->encoded_size, &b);
    if (st)
        return st;
    if (v->list.count) {
        image_list_encode(&v->list, img->pixels, bytes_writable(b));
    } else {
        st = image_encode(img, info, metadata, metadata ? info->metadata_bytes : 0,
                          bytes_writable(b), b->len, e);
        if (!st)
            lru_put(p->lru, &v->source, b);
    }
    if (st) {
        fused_bytes_unref(b);
        return st;
    }
    *out = b;
    return STATUS_OK;
}

void fetch_deliver(struct fused_pipeline *p, struct fused_fetch *f, uint8_t *pixels)
{
    status st = STATUS_OK;
    if (f->want_bytes) {
        const struct image_info *info = &f->file.verdict.info;
        struct image view = {info->width, info->height, info->channels, pixels, f->img.alpha};
        st = encode(p, &f->file.verdict, &view, f->metadata, &f->bytes, &f->err);
    }
    fetch_finish(p, f, st);
}

/* ---- the cache ---- */

static struct cache_key key_of(const struct fused_pipeline *p, const struct digest *pixels)
{
    return (struct cache_key){.pixels = *pixels, .profile = p->opt.profile};
}

status stored_pixels(struct fused_pipeline *p, const struct digest *pixels,
                     const struct image_info *info, struct cache_object *out)
{
    if (!p->opt.cache)
        return STATUS_NOT_FOUND;
    struct cache_key key = key_of(p, pixels);
    struct cache_object o;
    status st = cache_get(p->opt.cache, &key, &o);
    if (st)
        return st;
    if (o.shape.width != (uint32_t)info->width || o.shape.height != (uint32_t)info->height ||
        o.shape.channels != (uint32_t)info->channels) {
        cache_object_done(&o);
        return STATUS_NOT_FOUND;
    }
    *out = o;
    return STATUS_OK;
}

bool fused_is_cached(struct fused_pipeline *p, const struct fused_verdict *v)
{
    if (v->group != FUSED_GROUP_IMAGE || !v->has_pixels || !p->opt.cache)
        return false;
    struct cache_key key = key_of(p, &v->pixels);
    return cache_has(p->opt.cache, &key) == STATUS_OK;
}

static void on_stored(void *arg, status st)
{
    struct fused_pipeline *p = arg;
    if (!st)
        return;
    pipeline_count(p, st == STATUS_NO_SPACE ? &p->stats.no_space : &p->stats.not_stored);
    unsigned dropped;
    if (log_gate_pass(&p->space_gate, space_log_ns, &dropped))
        log_warn("the cache did not store a purified image (and %u more): %s; served all the same",
                 dropped, status_text(st));
}

void store_pixels(struct fused_pipeline *p, const struct digest *pixels, const struct image *img)
{
    if (!p->opt.cache)
        return;
    struct cache_key key = key_of(p, pixels);
    struct cache_shape shape = {(uint32_t)img->width, (uint32_t)img->height,
                                (uint32_t)img->channels};
    status st =
        cache_try_put(p->opt.cache, &key, shape, img->pixels, image_pixel_bytes(img), on_stored, p);
    if (st)
        on_stored(p, st);
}

/* ---- answers that need no purifier ---- */

status stored_bytes(struct fused_pipeline *p, const struct fused_file *file,
                    struct fused_bytes **out, struct errmsg *e)
{
    const struct fused_verdict *v = &file->verdict;
    struct cache_object o;
    AUTO(mem_free) uint8_t *metadata = NULL;
    status st = stored_pixels(p, &v->pixels, &v->info, &o);
    if (st)
        return st;
    st = source_metadata(file->fd, &file->id, &v->source, &v->info, &p->limits, &metadata);
    if (!st) {
        struct image view = {v->info.width, v->info.height, v->info.channels, o.pixels, NULL};
        st = encode(p, v, &view, metadata, out, e);
    }
    cache_object_done(&o);
    return st;
}

struct fused_bytes *pipeline_memory(struct fused_pipeline *p, const struct digest *source)
{
    struct fused_bytes *b = lru_get(p->lru, source);
    if (b)
        pipeline_count(p, &p->stats.memory_hits);
    return b;
}

status fused_fetch_now(struct fused_pipeline *p, const struct fused_file *file,
                       struct fused_bytes **out, struct errmsg *e)
{
    const struct fused_verdict *v = &file->verdict;
    if (!v->has_source)
        return STATUS_NOT_FOUND;
    struct fused_bytes *b = pipeline_memory(p, &v->source);
    if (b) {
        *out = b;
        return STATUS_OK;
    }
    if (!v->has_pixels || v->info.has_alpha ||
        (uint64_t)v->info.width * (uint64_t)v->info.height > NOW_PIXELS_MAX)
        return STATUS_NOT_FOUND;
    status st = stored_bytes(p, file, out, e);
    if (!st)
        pipeline_count(p, &p->stats.cache_hits);
    return st;
}
