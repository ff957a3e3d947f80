/* A worker's share of a fetch: the file is read, identified and decoded. */
#include "pipeline_parts.h"

#include "jail.h"

#include "base/banned.h"

/* The file's own fault: it is served as it is, now and later. */
static void finish_damaged(struct fused_pipeline *p, struct fused_fetch *f, status st)
{
    verdict_unpurified(&f->file.verdict, errmsg_text(&f->err, st));
    memo_write(p->opt.cache, &f->file.verdict);
    f->err.text[0] = 0;
    fetch_finish(p, f, STATUS_OK);
}

/* Decodes into f. The header must say what it said when a size was promised. */
static status decode(struct fused_pipeline *p, struct fused_fetch *f,
                     const struct source_bytes *src)
{
    struct image_info info;
    status st =
        p->opt.jail
            ? jail_decode(p->opt.jail, src->data, src->len, &p->limits, &f->img, &info, &f->err)
            : image_decode(src->data, src->len, &p->limits, &f->img, &info, &f->err);
    if (st)
        return st;
    if (info.encoded_size != f->file.verdict.size)
        return STATUS_AGAIN;
    f->file.verdict.info = info;
    if (info.metadata_bytes) {
        f->metadata = mem_alloc(info.metadata_bytes);
        st = f->metadata
                 ? image_metadata(src->data, src->len, &info, &p->limits, f->metadata, &f->err)
                 : STATUS_NOMEM;
        if (st)
            return st;
    }
    return purify_pixel_digest(&f->img, &f->file.verdict.pixels);
}

/* Reads the file and learns its digest. AGAIN: it changed. */
static status read_source(struct fused_pipeline *p, struct fused_fetch *f, struct source_bytes *src)
{
    struct digest source;
    status st = source_read(f->file.fd, &f->file.id, &p->limits, src, &f->err);
    if (!st)
        st = digest_sha256(&(struct digest_part){src->data, src->len}, 1, &source);
    if (!st && f->same_bytes && !digest_equal(&source, &f->file.verdict.source))
        st = STATUS_AGAIN;
    if (st)
        return st;
    f->file.verdict.source = source;
    f->file.verdict.has_source = true;
    if (p->opt.immutable && p->opt.cache)
        status_ignore(cache_file_put(p->opt.cache, &f->file.id, &source),
                      "it is read again when it is needed");
    return STATUS_OK;
}

/* True when f needs no decoding, and was answered. */
static bool known_bytes(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fused_verdict *v = &f->file.verdict;
    bool known = memo_read(p->opt.cache, v) == STATUS_OK;
    if (f->want_bytes && v->group == FUSED_GROUP_IMAGE)
        f->bytes = pipeline_memory(p, &v->source);
    if (!f->bytes && !known)
        return false;
    status st = STATUS_OK;
    if (!f->bytes && v->group == FUSED_GROUP_IMAGE) {
        if (!f->want_bytes)
            st = fused_is_cached(p, v) ? STATUS_OK : STATUS_NOT_FOUND;
        else if (v->info.has_alpha)
            st = STATUS_NOT_FOUND; /* the flight finds the pixels in the cache, too */
        else
            st = stored_bytes(p, &f->file, &f->bytes, &f->err);
        if (!st)
            pipeline_count(p, &p->stats.cache_hits);
    }
    if (st && st != STATUS_AGAIN)
        return false;
    fetch_finish(p, f, st);
    return true;
}

static void run_file(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct source_bytes src = {NULL, 0};
    status st = read_source(p, f, &src);
    if (!st && known_bytes(p, f)) {
        mem_free(src.data);
        return;
    }
    if (!st)
        st = decode(p, f, &src);
    mem_free(src.data);
    if (source_is_at_fault(st)) {
        finish_damaged(p, f, st);
    } else if (st) {
        fetch_finish(p, f, st);
    } else {
        f->file.verdict.has_pixels = true;
        memo_write(p->opt.cache, &f->file.verdict);
        fetch_keeps_pixels_only(p, f);
        flight_join_or_start(p, f);
    }
}

/* One of many images, which stand in their file as they are: to read it is to know its pixels. */
static status read_listed(const struct fused_file *file, uint64_t index, struct image *out_img,
                          struct digest *out_pixels)
{
    const struct image_list *l = &file->verdict.list;
    AUTO(mem_free) uint8_t *bytes = mem_alloc(l->bytes);
    size_t n = 0;
    if (!bytes)
        return STATUS_NOMEM;
    status st = io_pread(file->fd, bytes, l->bytes, (off_t)(image_list_at(l, index)), &n);
    if (!st)
        st = n == l->bytes ? source_unchanged(file->fd, &file->id) : STATUS_AGAIN;
    if (!st)
        st = image_list_decode(l, bytes, out_img);
    return st ? st : purify_pixel_digest(out_img, out_pixels);
}

static void run_listed(struct fused_pipeline *p, struct fused_fetch *f)
{
    struct fused_verdict *v = &f->file.verdict;
    status st = read_listed(&f->file, f->index, &f->img, &v->pixels);
    v->has_pixels = !st;
    bool stored = !st && !f->want_bytes && fused_is_cached(p, v);
    if (stored)
        pipeline_count(p, &p->stats.cache_hits);
    if (st || stored) {
        fetch_finish(p, f, st);
        return;
    }
    fetch_keeps_pixels_only(p, f);
    flight_join_or_start(p, f);
}

status pipeline_list_stored(struct fused_pipeline *p, const struct fused_file *file,
                            int (*stop)(void *arg), void *arg, uint64_t *out)
{
    struct fused_verdict v = file->verdict;
    uint64_t n = 0;
    v.has_pixels = true;
    for (uint64_t i = 0; i < v.list.count; i++) {
        AUTO(image_done) struct image img = IMAGE_INIT;
        if (stop(arg))
            return STATUS_CANCELLED;
        status st = read_listed(file, i, &img, &v.pixels);
        if (st)
            return st;
        n += fused_is_cached(p, &v);
    }
    *out = n;
    return STATUS_OK;
}

void miss_run(struct fused_pipeline *p, struct fused_fetch *f)
{
    if (f->file.verdict.list.count)
        run_listed(p, f);
    else
        run_file(p, f);
}
