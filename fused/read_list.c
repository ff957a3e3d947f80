/*
 * READ of a file that holds many images. Only the images that it touches are purified; between them
 * the file's own bytes are served. As of a file that is served byte for byte, an open file sees its
 * changes, but each image is purified as it is read, and one whose images moved is stale.
 */
#include "handle.h"

#include "bytes.h"
#include "range.h"
#include <errno.h>
#include <string.h>

#include "base/banned.h"

struct list_reading {
    struct parked parked;
    struct handle *handle;  /* a reference */
    struct fused_file file; /* as it is now */
    struct range *range;
    uint64_t from, to; /* of the file */
    char path[PATH_MAX];
    uint8_t data[]; /* [to - from] */
};

/* The one place that answers a READ which had to wait. */
static void list_answer(struct list_reading *r, int err)
{
    fuse_req_t req = r->parked.req;
    if (park_take(r->handle->fs->park, &r->parked)) {
        if (err)
            fuse_reply_err(req, err);
        else
            fuse_reply_buf(req, (const char *)r->data, r->to - r->from);
    }
    handle_unref(r->handle);
    range_free(r->range);
    mem_free(r);
}

/* Copies what the READ wants of image i, whose bytes these are. */
static void take_over(struct list_reading *r, uint64_t i, const uint8_t *bytes)
{
    const struct image_list *l = &r->file.verdict.list;
    uint64_t at = image_list_at(l, i);
    uint64_t from = at < r->from ? r->from : at;
    uint64_t to = at + l->bytes > r->to ? r->to : at + l->bytes;
    memcpy(r->data + (from - r->from), bytes + (from - at), to - from);
}

/* An image that is larger than a READ will be wanted by the next one, too. */
static void keep_last(struct list_reading *r, uint64_t i, struct fused_bytes *b)
{
    struct handle *h = r->handle;
    if (b->len < r->to - r->from)
        return;
    bytes_ref(b);
    pthread_mutex_lock(&h->last_lock);
    struct fused_bytes *old = h->last;
    h->last = b;
    h->last_index = i;
    h->last_id = r->file.id;
    pthread_mutex_unlock(&h->last_lock);
    fused_bytes_unref(old);
}

/* True: one image has all that is wanted, it was read last, and the READ is answered. */
static bool answer_from_last(fuse_req_t req, struct handle *h, const struct fused_file *now,
                             uint64_t from, uint64_t to)
{
    const struct image_list *l = &now->verdict.list;
    struct fused_bytes *b = NULL;
    uint64_t at = 0;
    pthread_mutex_lock(&h->last_lock);
    if (h->last && fused_same_file(&h->last_id, &now->id)) {
        at = image_list_at(l, h->last_index);
        if (from >= at && to <= at + l->bytes)
            b = bytes_ref(h->last);
    }
    pthread_mutex_unlock(&h->last_lock);
    if (!b)
        return false;
    fuse_reply_buf(req, (const char *)b->data + (from - at), to - from);
    fused_bytes_unref(b);
    return true;
}

static status list_image(void *arg, uint64_t index, struct fused_bytes *b)
{
    struct list_reading *r = arg;
    take_over(r, index, b->data);
    keep_last(r, index, b);
    return STATUS_OK;
}

static void list_done(void *arg, status st, const struct errmsg *e)
{
    struct list_reading *r = arg;
    if (st && st != STATUS_CANCELLED && st != STATUS_AGAIN)
        name_list_add(r->handle->fs->lists.failures, &r->file.id, r->path, errmsg_text(e, st));
    list_answer(r, st ? fs_errno(st) : 0);
}

static void list_abandoned(struct parked *w)
{
    struct list_reading *r =
        (struct list_reading *)((char *)w - offsetof(struct list_reading, parked));
    range_abandon(r->range);
}

/* The bytes of the file that are of no image. AGAIN: it changed. */
static status read_between(struct list_reading *r)
{
    uint64_t at = r->from, end;
    for (; image_list_gap(&r->file.verdict.list, r->to, &at, &end); at = end) {
        size_t n;
        status st = io_pread(r->file.fd, r->data + (at - r->from), end - at, (off_t)at, &n);
        if (st || n < end - at)
            return st ? st : STATUS_AGAIN;
    }
    return source_unchanged(r->file.fd, &r->file.id);
}

/* What the file is now; ESTALE when its images are not where they were when it was opened. */
static int look_again(const struct handle *h, struct fused_file *out)
{
    struct stat sb;
    char path[PATH_MAX];
    struct errmsg e = {""};
    if (fstat(h->file.fd, &sb) < 0)
        return errno;
    *out = h->file; /* its list */
    out->id = fused_file_id(&sb);
    if (fused_same_file(&out->id, &h->file.id))
        return 0;
    handle_path(h, path);
    out->name = path;
    status st = fused_examine(h->fs->pipeline, out, &e);
    out->name = NULL;
    if (!st && (out->verdict.group != FUSED_GROUP_IMAGE ||
                !image_list_equal(&out->verdict.list, &h->file.verdict.list)))
        st = STATUS_AGAIN;
    return fs_errno(st);
}

/* The images that bytes from..to-1 of the file belong to. */
static void images_of(const struct list_reading *r, uint64_t *out_from, uint64_t *out_to)
{
    const struct image_list *l = &r->file.verdict.list;
    uint64_t end = image_list_find(l, r->to - 1);
    *out_from = image_list_find(l, r->from);
    *out_to = end + (end < l->count && image_list_at(l, end) < r->to);
}

/* Purifies what the READ touches. After OK r is not the caller's any more. */
static status begin(fuse_req_t req, struct list_reading *r)
{
    struct fs *fs = r->handle->fs;
    struct range_options o = {.file = &r->file,
                              .want_bytes = true,
                              .priority = PURIFY_URGENT,
                              .image = list_image,
                              .done = list_done,
                              .arg = r};
    images_of(r, &o.from, &o.to);
    status st = read_between(r);
    if (!st && o.from == o.to) { /* of no image: there is nothing to wait for */
        fuse_reply_buf(req, (const char *)r->data, r->to - r->from);
        mem_free(r);
        return STATUS_OK;
    }
    if (!st)
        st = range_new(fs->pipeline, &o, &r->range);
    if (st)
        return st;
    handle_ref(r->handle);
    park_add(fs->park, &r->parked, req, list_abandoned);
    range_start(r->range);
    return STATUS_OK;
}

void read_list(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    struct fused_file now;
    int err = look_again(h, &now);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    uint64_t from = (uint64_t)off < now.id.size ? (uint64_t)off : now.id.size;
    uint64_t to = size < now.id.size - from ? from + size : now.id.size;
    if (from == to) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (answer_from_last(req, h, &now, from, to))
        return;
    struct list_reading *r = mem_alloc(sizeof *r + (to - from));
    status st = r ? STATUS_OK : STATUS_NOMEM;
    if (r) {
        r->handle = h;
        r->file = now;
        handle_path(h, r->path);
        r->file.name = r->path;
        r->range = NULL;
        r->from = from;
        r->to = to;
        st = begin(req, r);
    }
    if (st) {
        mem_free(r);
        fuse_reply_err(req, fs_errno(st));
    }
}
