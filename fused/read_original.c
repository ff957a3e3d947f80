/*
 * The READ of what is served as it is. It may change while it is read, as a log does; but it may also
 * have become an image, and none is shown unpurified.
 */
#include "handle.h"
#include "pipeline.h"

#include <errno.h>

#include "base/banned.h"

/* What is served as it is may grow while it is read, as a log does; but what has become an image
   meanwhile is not shown as it is to who opened something else. Nor is anything shown where the
   kernel has been told of an image: it would take the answer for that one's. *out_id: of what was
   looked at. 0 or an errno value. */
static int check_original(const struct handle *h, struct cache_file_id *out_id)
{
    struct stat sb;
    char path[PATH_MAX];
    struct errmsg e = {""};
    const struct fused_verdict *was = &h->file.verdict;
    if (fstat(h->file.fd, &sb) < 0)
        return errno;
    struct fused_file now = fused_file_of(h->file.fd, path, &sb);
    *out_id = now.id;
    if (fused_same_file(&now.id, &h->file.id))
        return 0;
    handle_path(h, path);
    status st = fused_examine(h->fs->pipeline, &now, &e);
    bool image = !st && now.verdict.group == FUSED_GROUP_IMAGE;
    if (image) { /* only if it is the damaged one */
        st = was->has_source ? fused_identify(h->fs->pipeline, &now, &e) : STATUS_AGAIN;
        if (!st && !digest_equal(&now.verdict.source, &was->source))
            st = STATUS_AGAIN;
    }
    if (!st && !image && table_is_image(h->fs->table, h->node))
        st = STATUS_AGAIN;
    return fs_errno(st);
}

/* An image that is damaged is as long as it would be without: padded. */
static status read_bytes(const struct handle *h, size_t size, uint64_t off, uint8_t *out,
                         size_t *out_n)
{
    const struct fused_file *f = &h->file;
    if (f->verdict.size == f->id.size)
        return io_pread(f->fd, out, size, (off_t)off, out_n);
    return fused_read_original(f->fd, f->id.size, f->verdict.size, out, size, off, out_n);
}

int read_original_bytes(const struct handle *h, size_t size, off_t off, uint8_t **out,
                        size_t *out_n)
{
    enum { TRIES = 8 };
    struct cache_file_id id;
    AUTO(mem_free) uint8_t *data = mem_alloc(size ? size : 1);
    uint64_t from = off < 0 ? UINT64_MAX >> 1 : (uint64_t)off;
    int err = data ? check_original(h, &id) : ENOMEM;
    for (int i = 0; !err && i < TRIES; i++) {
        err = fs_errno(read_bytes(h, size, from, data, out_n));
        if (err || source_unchanged(h->file.fd, &id) == STATUS_OK)
            break;
        err = check_original(h, &id);
    }
    if (!err)
        *out = TAKE(data);
    return err;
}

void read_original(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    AUTO(mem_free) uint8_t *data = NULL;
    size_t n = 0;
    int err = read_original_bytes(h, size, off, &data, &n);
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_buf(req, (const char *)data, n);
}
