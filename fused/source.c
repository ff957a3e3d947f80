/* Reading a source file: identity, decoding, the head that holds its metadata. */
#include "pipeline.h"

#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

struct cache_file_id fused_file_id(const struct stat *sb)
{
    return (struct cache_file_id){
        .device = sb->st_dev,
        .inode = sb->st_ino,
        .size = (uint64_t)sb->st_size,
        .mtime_ns = (int64_t)sb->st_mtim.tv_sec * 1000000000 + sb->st_mtim.tv_nsec,
        .ctime_ns = (int64_t)sb->st_ctim.tv_sec * 1000000000 + sb->st_ctim.tv_nsec,
    };
}

bool fused_same_file(const struct cache_file_id *a, const struct cache_file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

void source_image_done(struct source_image *s)
{
    image_done(&s->img);
    mem_free(s->head);
    s->head = NULL;
}

bool source_is_at_fault(status st)
{
    return st == STATUS_CORRUPT || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
}

/* AGAIN when fd is no longer the file that *id was taken of: what was read from it may be torn. */
static status unchanged(int fd, const struct cache_file_id *id)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return STATUS_IO;
    struct cache_file_id now = fused_file_id(&sb);
    return fused_same_file(&now, id) ? STATUS_OK : STATUS_AGAIN;
}

status source_digest(int fd, const struct cache_file_id *id, struct digest *out)
{
    AUTO(mem_free) uint8_t *data = mem_alloc(id->size);
    size_t n;
    if (!data)
        return STATUS_NOMEM;
    status st = io_pread(fd, data, id->size, 0, &n);
    if (!st)
        st = n == id->size ? unchanged(fd, id) : STATUS_AGAIN;
    return st ? st : digest_sha256(&(struct digest_part){data, n}, 1, out);
}

status source_head(int fd, const struct cache_file_id *id, const struct image_info *info,
                   const struct image_limits *lim, uint8_t **out)
{
    *out = NULL;
    if (!info->metadata_bytes)
        return STATUS_OK;
    AUTO(mem_free) uint8_t *head = mem_alloc(info->metadata_bytes);
    if (!head)
        return STATUS_NOMEM;
    status st = image_metadata_fd(fd, info, lim, head, NULL);
    if (st)
        return st;
    st = unchanged(fd, id);
    if (st)
        return st;
    *out = TAKE(head);
    return STATUS_OK;
}

static status decode_bytes(const uint8_t *data, size_t len, const struct image_limits *lim,
                           struct source_image *s, struct errmsg *e)
{
    status st = image_decode(data, len, lim, &s->img, &s->info, e);
    if (st)
        return st;
    if (s->info.metadata_bytes) {
        s->head = mem_alloc(s->info.metadata_bytes);
        if (!s->head)
            return STATUS_NOMEM;
        st = image_metadata(data, len, &s->info, lim, s->head, e);
        if (st)
            return st;
    }
    return purify_pixel_digest(&s->img, &s->pixels);
}

status source_decode(int fd, const struct cache_file_id *id, const struct image_limits *lim,
                     struct source_image *out, struct errmsg *e)
{
    if (id->size > lim->max_file_bytes)
        return errmsg_set(e, STATUS_LIMIT, "larger than %llu bytes",
                          (unsigned long long)lim->max_file_bytes);
    AUTO(mem_free) uint8_t *data = mem_alloc(id->size);
    if (!data)
        return STATUS_NOMEM;
    size_t n;
    status st = io_pread(fd, data, id->size, 0, &n);
    if (st)
        return st;
    if (n != id->size)
        return STATUS_AGAIN;
    st = unchanged(fd, id);
    if (st)
        return st;
    struct source_image s = {.img = IMAGE_INIT};
    st = decode_bytes(data, n, lim, &s, e);
    if (st) {
        source_image_done(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}
