/*
 * READ. Of an image it answers from memory, or encodes what the cache has; only when that is not
 * little work, or the cache has lost it meanwhile, is the READ parked like an OPEN.
 *
 * On a frozen mount the kernel is told once that OPEN need not be asked; from then on READs come
 * without a handle and get one each, which costs what an OPEN did, but only where the page cache
 * has nothing.
 */
#include "handle.h"

#include "bytes.h"
#include <errno.h>

#include "base/banned.h"

struct reading {
    struct parked parked;
    struct handle *handle; /* a reference */
    size_t size;
    off_t off;
    struct fused_fetch fetch;
    char path[PATH_MAX];
};

void reply_slice(fuse_req_t req, const void *data, size_t len, size_t size, off_t off)
{
    size_t at = off < 0 || (uint64_t)off > len ? len : (size_t)off;
    size_t n = len - at < size ? len - at : size;
    fuse_reply_buf(req, n ? (const char *)data + at : NULL, n);
}

/* The one place that answers a READ which had to wait. */
static void reading_answer(struct reading *r, int err, const struct fused_bytes *b)
{
    fuse_req_t req = r->parked.req;
    if (park_take(r->handle->fs->park, &r->parked)) {
        if (err)
            fuse_reply_err(req, err);
        else
            reply_slice(req, b->data, b->len, r->size, r->off);
    }
    handle_unref(r->handle);
    mem_free(r);
}

/* On a frozen mount, where no OPEN found out that the image is damaged. */
static void reading_original(struct reading *r)
{
    AUTO(mem_free) uint8_t *data = NULL;
    size_t n = 0;
    int err = handle_refused(r->handle, &r->fetch.file.verdict, r->path);
    if (!err)
        err = read_original_bytes(r->handle, r->size, r->off, &data, &n);
    struct fused_bytes b = {.len = n, .data = data};
    r->off = 0; /* of what was read */
    reading_answer(r, err, &b);
}

/* The fetch's callback for a READ. */
static void reading_fetched(struct fused_fetch *f, status st)
{
    struct reading *r = f->arg;
    struct fused_bytes *b = f->bytes;
    handle_note_fetch(r->handle, f, st);
    if (!st && f->file.verdict.group != FUSED_GROUP_IMAGE)
        reading_original(r);
    else
        reading_answer(r, st ? fs_errno(st) : 0, b);
    if (b)
        fused_bytes_unref(b);
}

static void reading_abandoned(struct parked *w)
{
    struct reading *r = (struct reading *)((char *)w - offsetof(struct reading, parked));
    fused_fetch_abandon(r->handle->fs->pipeline, &r->fetch);
}

/* It takes more than a copy. The bytes have to be those that were opened; a chmod or a new name
   since then changed only the times. */
static void read_by_fetch(fuse_req_t req, struct handle *h, size_t size, off_t off,
                          struct fused_file file)
{
    struct fs *fs = h->fs;
    struct reading *r = mem_alloc(sizeof *r);
    struct stat now;
    if (!r || fstat(h->file.fd, &now) < 0) {
        fuse_reply_err(req, r ? errno : ENOMEM);
        mem_free(r);
        return;
    }
    handle_ref(h);
    r->handle = h;
    r->size = size;
    r->off = off;
    handle_path(h, r->path);
    file.name = r->path;
    if (file.verdict.has_source)
        file.id = fused_file_id(&now);
    fused_fetch_init(&r->fetch, &file, 0, reading_fetched, r);
    r->fetch.same_bytes = file.verdict.has_source;
    park_add(fs->park, &r->parked, req, reading_abandoned);
    fused_fetch_start(fs->pipeline, &r->fetch, PURIFY_URGENT);
}

/* What is known of an image that was opened as "stored", completed by its header and the memo. */
static status complete(const struct handle *h, struct fused_file *out)
{
    struct fused_file f = h->file;
    struct errmsg e = {""};
    char path[PATH_MAX];
    if (!f.verdict.info.width) {
        handle_path(h, path);
        struct fused_file head = f;
        head.name = path;
        status st = fused_examine(h->fs->pipeline, &head, &e);
        if (st)
            return st;
        if (head.verdict.info.encoded_size != f.verdict.size)
            return STATUS_AGAIN; /* it was overwritten */
        f.verdict.info = head.verdict.info;
    }
    if (f.verdict.has_source && !f.verdict.has_pixels) {
        status st = fused_identify(h->fs->pipeline, &f, &e);
        if (st)
            return st;
    }
    *out = f;
    return STATUS_OK;
}

static void read_image(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    struct fused_pipeline *p = h->fs->pipeline;
    struct fused_bytes *held = atomic_load(&h->held), *b = NULL;
    struct errmsg e = {""};
    struct fused_file f;
    status st = STATUS_OK;
    if (held)
        b = bytes_ref(held);
    else if (h->file.verdict.has_source)
        b = pipeline_memory(p, &h->file.verdict.source);
    if (!b) {
        st = complete(h, &f);
        if (!st && fused_fetch_now(p, &f, &b, &e) == STATUS_OK)
            handle_hold(h, b);
    }
    if (b)
        reply_slice(req, b->data, b->len, size, off);
    else if (st)
        fuse_reply_err(req, fs_errno(st));
    else
        read_by_fetch(req, h, size, off, f);
    if (b)
        fused_bytes_unref(b);
}

/* What an OPEN would have made. 0 or an errno value. */
static int handle_for_read(struct fs *fs, struct node *n, struct handle **out)
{
    char path[PATH_MAX];
    bool ready;
    struct handle *h = handle_new(fs, n);
    int err = h ? handle_open(h, path, &ready) : ENOMEM;
    if (!err)
        err = handle_refused(h, &h->file.verdict, path);
    if (err) {
        if (h)
            handle_unref(h);
        return err;
    }
    *out = h;
    return 0;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct handle *h = handle_of(fi);
    atomic_fetch_add_explicit(&fs->n.reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fs->n.read_bytes, size, memory_order_relaxed);
    if (!h && is_virtual(ino)) {
        virtual_read(req, ino, size, off);
        return;
    }
    int err = 0;
    if (h)
        handle_ref(h); /* the kernel releases after our answer, not our return */
    else
        err = handle_for_read(fs, fs_node(fs, ino), &h);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    switch (h->kind) {
    case HANDLE_TEXT:
        reply_slice(req, h->text.data, h->text.len, size, off);
        break;
    case HANDLE_IMAGE:
        read_image(req, h, size, off);
        break;
    case HANDLE_LIST:
        read_list(req, h, size, off);
        break;
    case HANDLE_ORIGINAL:
        read_original(req, h, size, off);
        break;
    }
    handle_unref(h);
}
