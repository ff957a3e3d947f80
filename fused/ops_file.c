/*
 * Files: open, read, release.
 *
 * OPEN decides everything, so that READ is only a copy:
 *
 *     judge -> original -------------------------------------------.
 *           -> image, purified pixels stored ----------------------+--> opening_ready -> answer
 *           -> image, not stored: park, fetch ... opening_fetched -'
 *
 * opening_ready asks the inode table what the page cache holds (inode.h). Where the kernel has to
 * forget something first, the answer is given from the notifier's callback, after the invalidation:
 * whoever reads after open() returned sees the size and the content of the version that was opened.
 *
 * READ of an image answers from memory, or encodes what the cache has; only when the cache has lost
 * it meanwhile is the READ parked like an OPEN.
 *
 * On a frozen mount the kernel is told once that OPEN need not be asked; from then on READs come
 * without a handle and get one each, which costs what an OPEN did, but only where the page cache
 * has nothing.
 */
#include "bytes.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

enum handle_kind { HANDLE_ORIGINAL, HANDLE_IMAGE, HANDLE_TEXT };

struct handle {
    enum handle_kind kind;
    atomic_uint refs; /* the kernel's, and one for each READ */
    struct fs *fs;
    struct node *node; /* referenced; NULL for text */
    int fd;            /* of the source; -1 for text */
    struct cache_file_id id;
    bool counted; /* as a reader of the page cache */
    _Atomic(struct fused_bytes *) held;
    struct buf text;
    struct handle *prev, *next; /* guarded by fs->handles_lock */
};

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

static void handle_link(struct handle *h)
{
    struct fs *fs = h->fs;
    pthread_mutex_lock(&fs->handles_lock);
    h->next = fs->handles;
    if (h->next)
        h->next->prev = h;
    fs->handles = h;
    pthread_mutex_unlock(&fs->handles_lock);
}

static void handle_unlink(struct handle *h)
{
    struct fs *fs = h->fs;
    pthread_mutex_lock(&fs->handles_lock);
    *(h->prev ? &h->prev->next : &fs->handles) = h->next;
    if (h->next)
        h->next->prev = h->prev;
    pthread_mutex_unlock(&fs->handles_lock);
}

static void handle_put(struct handle *h)
{
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    handle_unlink(h);
    if (h->counted)
        table_close(h->fs->table, h->node);
    if (h->node)
        table_unref(h->fs->table, h->node);
    if (h->fd >= 0)
        close(h->fd);
    fused_bytes_unref(atomic_load(&h->held));
    buf_done(&h->text);
    mem_free(h);
}

static struct handle *handle_new(struct fs *fs, struct node *n)
{
    struct handle *h = mem_zalloc(1, sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->fs = fs;
    h->fd = -1;
    h->text = (struct buf)BUF_INIT(4u << 20);
    h->node = n;
    if (n)
        table_ref(fs->table, n);
    handle_link(h);
    return h;
}

void files_end(struct fs *fs)
{
    while (fs->handles)
        handle_put(fs->handles);
}

static void hold(struct handle *h, struct fused_bytes *b)
{
    struct fused_bytes *none = NULL;
    if (b->len < HELD_BYTES_MIN || atomic_load(&h->held))
        return;
    bytes_ref(b);
    if (!atomic_compare_exchange_strong(&h->held, &none, b))
        fused_bytes_unref(b);
}

/* ---- open ---- */

struct opening {
    struct parked parked;
    bool is_parked;
    fuse_req_t req;
    int flags;
    struct handle *handle;
    bool stale_size; /* the kernel may believe another size */
    bool direct;
    struct fused_fetch fetch;
    struct notice notice;
    char path[]; /* for log and status */
};

/* The one place that answers an OPEN which got this far. err: 0 or an errno value. */
static void opening_answer(struct opening *o, int err)
{
    struct handle *h = o->handle;
    fuse_req_t req = o->req;
    if (!o->is_parked || park_take(h->fs->park, &o->parked)) {
        struct fuse_file_info fi = {.flags = o->flags,
                                    .fh = (uintptr_t)h,
                                    .direct_io = o->direct,
                                    .keep_cache = !o->direct};
        if (err)
            fuse_reply_err(req, err);
        else if (fuse_reply_open(req, &fi) == 0)
            h = NULL; /* the kernel's, until RELEASE */
    }
    if (h)
        handle_put(h);
    mem_free(o);
}

static void opening_invalidated(struct notice *notice)
{
    struct opening *o = notice->arg;
    struct handle *h = o->handle;
    struct node_version v = node_version(&h->id);
    if (notice->kind == NOTICE_PAGES)
        table_dropped(h->fs->table, h->node, &v);
    opening_answer(o, 0);
}

static void opening_ready(struct opening *o)
{
    struct handle *h = o->handle;
    struct node_version v = node_version(&h->id);
    enum open_mode mode = o->direct ? OPEN_DIRECT : table_open(h->fs->table, h->node, &v);
    o->direct = mode == OPEN_DIRECT;
    h->counted = !o->direct;
    if (mode != OPEN_DROP && !o->stale_size) {
        opening_answer(o, 0);
        return;
    }
    o->notice = (struct notice){.kind = mode == OPEN_DROP ? NOTICE_PAGES : NOTICE_ATTRIBUTES,
                                .ino = fs_ino(h->fs, h->node),
                                .done = opening_invalidated,
                                .arg = o};
    notifier_push(h->fs->notifier, &o->notice);
}

/* The fetch's callback for an OPEN. */
static void opening_fetched(struct fused_fetch *f, status st)
{
    struct opening *o = f->arg;
    struct handle *h = o->handle;
    struct fs *fs = h->fs;
    if (st) {
        if (st != STATUS_CANCELLED && st != STATUS_AGAIN)
            named_add(fs->failures, &h->id, o->path, errmsg_text(&f->err, st));
        opening_answer(o, fs_errno(st));
        return;
    }
    named_remove(fs->failures, &h->id);
    if (f->kind == FUSED_ORIGINAL) {
        /* Its header promised an image and its size was told: correct that, and let this opener
           read what is there whatever the kernel thinks. */
        fs_judge_damaged(fs, h->node, &h->id, o->path, f->reason);
        h->kind = HANDLE_ORIGINAL;
        o->stale_size = true;
        o->direct = true;
    } else {
        hold(h, f->bytes);
        fused_bytes_unref(f->bytes);
        struct node_version v = node_version(&h->id);
        struct node_known known = {FUSED_IMAGE, fused_is_cached(fs->pipeline, &f->verdict),
                                   f->verdict.size};
        table_remember(fs->table, h->node, &v, &known);
    }
    opening_ready(o);
}

static void open_judged(fuse_req_t req, struct opening *o, bool stored,
                        const struct fused_verdict *verdict)
{
    struct handle *h = o->handle;
    if (h->kind == HANDLE_ORIGINAL || stored) {
        opening_ready(o);
        return;
    }
    struct fs *fs = h->fs;
    atomic_fetch_add_explicit(&fs->n.opens_waited, 1, memory_order_relaxed);
    o->fetch.fd = h->fd;
    o->fetch.id = h->id;
    o->fetch.verdict = *verdict;
    o->fetch.name = o->path;
    o->fetch.want_bytes = true;
    o->fetch.done = opening_fetched;
    o->fetch.arg = o;
    o->is_parked = true;
    park_add(fs->park, &o->parked, req);
    fused_fetch_start(fs->pipeline, &o->fetch, PURIFY_URGENT);
}

static void open_node(fuse_req_t req, struct handle *h, int flags)
{
    struct fs *fs = h->fs;
    char path[PATH_MAX];
    struct stat sb;
    int err = fs_open_node_data(fs, h->node, path, &sb, &h->fd);
    struct opening *o = err ? NULL : mem_alloc(sizeof *o + strlen(path) + 1);
    if (!o) {
        fuse_reply_err(req, err ? err : ENOMEM);
        handle_put(h);
        return;
    }
    h->id = fused_file_id(&sb);
    o->req = req;
    o->flags = flags;
    o->handle = h;
    o->is_parked = o->direct = false;
    memcpy(o->path, path, strlen(path) + 1);
    struct node_known known;
    struct node_version v = node_version(&h->id);
    struct fused_verdict verdict;
    status seen = table_recall(fs->table, h->node, &v, &known);
    o->stale_size =
        seen == STATUS_EXISTS; /* the kernel may have been told the size of that version */
    if (seen || (known.kind == FUSED_IMAGE && !known.stored)) {
        err = fs_judge_open(fs, h->node, h->fd, &sb, path, &verdict);
        known.kind = verdict.kind;
        known.stored = fused_is_cached(fs->pipeline, &verdict);
    }
    h->kind = known.kind == FUSED_IMAGE ? HANDLE_IMAGE : HANDLE_ORIGINAL;
    if (err)
        opening_answer(o, err);
    else
        open_judged(req, o, known.stored, &verdict);
}

static void open_text(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = handle_new(fs_of(req), NULL);
    status st = h ? virtual_text(h->fs, ino, &h->text) : STATUS_NOMEM;
    if (st) {
        fuse_reply_err(req, fs_errno(st));
    } else {
        h->kind = HANDLE_TEXT;
        fi->fh = (uintptr_t)h;
        fi->direct_io = 1;
        st = fuse_reply_open(req, fi) ? STATUS_CANCELLED : STATUS_OK;
    }
    if (st && h)
        handle_put(h);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    atomic_fetch_add_explicit(&fs->n.opens, 1, memory_order_relaxed);
    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (atomic_load(&fs->freeze) == FREEZE_DONE) {
        fuse_reply_err(req, ENOSYS); /* which means: it is open, and do not ask again */
        return;
    }
    if (is_virtual(ino)) {
        open_text(req, ino, fi);
        return;
    }
    struct handle *h = handle_new(fs, fs_node(fs, ino));
    if (h)
        open_node(req, h, fi->flags);
    else
        fuse_reply_err(req, ENOMEM);
}

/* ---- read ---- */

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
    handle_put(r->handle);
    mem_free(r);
}

/* The fetch's callback for a READ. */
static void reading_fetched(struct fused_fetch *f, status st)
{
    struct reading *r = f->arg;
    struct fused_bytes *b = f->bytes;
    if (st && st != STATUS_CANCELLED && st != STATUS_AGAIN)
        named_add(r->handle->fs->failures, &f->id, r->path, errmsg_text(&f->err, st));
    if (b)
        hold(r->handle, b);
    /* An image that was purified before cannot turn out damaged, the file being the same. */
    reading_answer(r, st ? fs_errno(st) : b ? 0 : EIO, b);
    fused_bytes_unref(b);
}

/* The pixels are not in the cache any more. */
static void read_purified_again(fuse_req_t req, struct handle *h, size_t size, off_t off,
                                const struct fused_verdict *verdict)
{
    struct reading *r = mem_alloc(sizeof *r);
    if (!r) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    atomic_fetch_add(&h->refs, 1);
    r->handle = h;
    r->size = size;
    r->off = off;
    if (table_path(h->fs->table, h->node, NULL, r->path))
        r->path[0] = 0;
    r->fetch.fd = h->fd;
    r->fetch.id = h->id;
    r->fetch.verdict = *verdict;
    r->fetch.name = r->path;
    r->fetch.want_bytes = true;
    r->fetch.done = reading_fetched;
    r->fetch.arg = r;
    park_add(h->fs->park, &r->parked, req);
    fused_fetch_start(h->fs->pipeline, &r->fetch, PURIFY_URGENT);
}

/* Not in memory: encode what the cache has, or purify. */
static void read_encoded(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    struct fused_verdict verdict;
    struct fused_bytes *b = NULL;
    struct errmsg e = {""};
    status st = fused_examine(h->fs->pipeline, h->fd, &h->id, &verdict, &e);
    if (!st && verdict.kind != FUSED_IMAGE)
        st = STATUS_AGAIN; /* it was one when it was opened */
    if (st) {
        fuse_reply_err(req, fs_errno(st));
        return;
    }
    if (fused_fetch_now(h->fs->pipeline, h->fd, &h->id, &verdict, &b, &e)) {
        read_purified_again(req, h, size, off, &verdict);
        return;
    }
    hold(h, b);
    reply_slice(req, b->data, b->len, size, off);
    fused_bytes_unref(b);
}

static void read_image(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    struct fused_bytes *held = atomic_load(&h->held);
    struct fused_bytes *b = held ? bytes_ref(held) : pipeline_memory(h->fs->pipeline, &h->id);
    if (!b) {
        read_encoded(req, h, size, off);
        return;
    }
    reply_slice(req, b->data, b->len, size, off);
    fused_bytes_unref(b);
}

/* What an OPEN would have made. 0 or an errno value. */
static int handle_for_read(struct fs *fs, struct node *n, struct handle **out)
{
    char path[PATH_MAX];
    struct stat sb;
    struct node_known known;
    struct fused_verdict verdict;
    struct handle *h = handle_new(fs, n);
    int err = h ? fs_open_node_data(fs, n, path, &sb, &h->fd) : ENOMEM;
    if (!err) {
        h->id = fused_file_id(&sb);
        struct node_version v = node_version(&h->id);
        if (table_recall(fs->table, n, &v, &known)) {
            err = fs_judge_open(fs, n, h->fd, &sb, path, &verdict);
            known.kind = verdict.kind;
        }
    }
    if (err) {
        if (h)
            handle_put(h);
        return err;
    }
    h->kind = known.kind == FUSED_IMAGE ? HANDLE_IMAGE : HANDLE_ORIGINAL;
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
        atomic_fetch_add(&h->refs, 1); /* the kernel releases after our answer, not our return */
    else
        err = handle_for_read(fs, fs_node(fs, ino), &h);
    if (err) {
        fuse_reply_err(req, err);
        return;
    }
    if (h->kind == HANDLE_TEXT) {
        reply_slice(req, h->text.data, h->text.len, size, off);
    } else if (h->kind == HANDLE_IMAGE) {
        read_image(req, h, size, off);
    } else {
        struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
        data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
        data.buf[0].fd = h->fd;
        data.buf[0].pos = off;
        fuse_reply_data(req, &data, 0);
    }
    handle_put(h);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_put(handle_of(fi));
    fuse_reply_err(req, 0);
}
