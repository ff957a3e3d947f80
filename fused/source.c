/* Reading a source file: identity, its bytes, its metadata. */
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

struct fused_file fused_file_of(int fd, const char *name, const struct stat *sb)
{
    return (struct fused_file){.fd = fd, .name = name, .id = fused_file_id(sb)};
}

bool fused_same_file(const struct cache_file_id *a, const struct cache_file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

int64_t fused_changed_ns(const struct cache_file_id *id)
{
    return id->mtime_ns > id->ctime_ns ? id->mtime_ns : id->ctime_ns;
}

bool source_is_at_fault(status st)
{
    return st == STATUS_CORRUPT || st == STATUS_UNSUPPORTED || st == STATUS_LIMIT;
}

status source_unchanged(int fd, const struct cache_file_id *id)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return STATUS_IO;
    struct cache_file_id now = fused_file_id(&sb);
    return fused_same_file(&now, id) ? STATUS_OK : STATUS_AGAIN;
}

/* Whether the file still has these bytes: told by its times or, where those changed (a chmod, a new
   name), by reading it. */
static status has_bytes(int fd, const struct cache_file_id *id, const struct digest *source)
{
    status st = source_unchanged(fd, id);
    if (st != STATUS_AGAIN)
        return st;
    struct digest now;
    uint64_t n;
    st = digest_sha256_fd(fd, id->size + 1, &now, &n);
    if (st)
        return st;
    return n == id->size && digest_equal(&now, source) ? STATUS_OK : STATUS_AGAIN;
}

status source_metadata(int fd, const struct cache_file_id *id, const struct digest *source,
                       const struct image_info *info, const struct image_limits *lim, uint8_t **out)
{
    *out = NULL;
    if (!info->metadata_bytes)
        return STATUS_OK;
    AUTO(mem_free) uint8_t *metadata = mem_alloc(info->metadata_bytes);
    if (!metadata)
        return STATUS_NOMEM;
    status st = image_metadata_fd(fd, info, lim, metadata, NULL);
    if (!st)
        st = has_bytes(fd, id, source);
    if (st)
        return st;
    *out = TAKE(metadata);
    return STATUS_OK;
}

status source_read(int fd, const struct cache_file_id *id, const struct image_limits *lim,
                   struct source_bytes *out, struct errmsg *e)
{
    if (id->size > lim->max_file_bytes)
        return errmsg_set(e, STATUS_LIMIT, "larger than %llu bytes",
                          (unsigned long long)lim->max_file_bytes);
    AUTO(mem_free) uint8_t *data = mem_alloc(id->size);
    if (!data)
        return STATUS_NOMEM;
    size_t n;
    status st = io_pread(fd, data, id->size, 0, &n);
    if (!st)
        st = n == id->size ? source_unchanged(fd, id) : STATUS_AGAIN;
    if (st)
        return st;
    *out = (struct source_bytes){TAKE(data), n};
    return STATUS_OK;
}

status fused_read_original(int fd, uint64_t file_size, uint64_t told_size, void *buf, size_t n,
                           uint64_t off, size_t *out_n)
{
    size_t own = 0;
    if (off >= told_size)
        n = 0;
    else if (n > told_size - off)
        n = (size_t)(told_size - off);
    if (off < file_size) {
        size_t want = n < file_size - off ? n : (size_t)(file_size - off);
        status st = io_pread(fd, buf, want, (off_t)off, &own);
        if (st)
            return st;
        if (own < want)
            return STATUS_AGAIN; /* it has become shorter */
    }
    if (n > own)
        memset((uint8_t *)buf + own, FUSED_PAD, n - own);
    *out_n = n;
    return STATUS_OK;
}
