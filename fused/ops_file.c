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
 * READ of an image answers from memory, or encodes what the cache has; only when that is not little
 * work, or the cache has lost it meanwhile, is the READ parked like an OPEN.
 *
 * An open file is the version that was opened, whatever becomes of its name: its descriptor and its
 * digest are kept, and attributes of a file without a name come from there.
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

static const uint64_t strict_log_ns = 1000000000ull; /* each line names a file */

enum handle_kind { HANDLE_ORIGINAL, HANDLE_IMAGE, HANDLE_TEXT };

struct handle {
    enum handle_kind kind;
    atomic_uint refs; /* the kernel's, and one for each READ */
    struct fs *fs;
    struct node *node; /* referenced; NULL for text */
    int fd;            /* of the source; -1 for text */
    struct cache_file_id id;
    struct fused_verdict verdict; /* of id; an image's has `source` once it was read */
    bool counted;                 /* as a reader of the page cache */
    atomic_bool judged;           /* told_size is known */
    uint64_t told_size;
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
    h->text = (struct buf)BUF_INIT(64u << 20);
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

bool files_stat(struct fs *fs, struct node *n, struct stat *out)
{
    bool found = false;
    pthread_mutex_lock(&fs->handles_lock);
    for (struct handle *h = fs->handles; h && !found; h = h->next)
        if (h->node == n && atomic_load(&h->judged) && fstat(h->fd, out) == 0) {
            fs_show_size(out, h->told_size);
            found = true;
        }
    pthread_mutex_unlock(&fs->handles_lock);
    return found;
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
    bool direct;
    struct node_content content;
    uint32_t stale; /* of table_stale */
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
    if (notice->kind == NOTICE_PAGES)
        table_dropped(h->fs->table, h->node, &o->content);
    table_told(h->fs->table, h->node, o->stale);
    opening_answer(o, 0);
}

static void opening_ready(struct opening *o)
{
    struct handle *h = o->handle;
    struct table *t = h->fs->table;
    struct node_version v = node_version(&h->id);
    struct node_known known = {.group = h->verdict.group, .source = h->verdict.source};
    o->content = node_content(&known, &v);
    o->stale = table_stale(t, h->node, &v);
    enum open_mode mode = table_open(t, h->node, &o->content);
    o->direct = mode == OPEN_DIRECT;
    h->counted = !o->direct;
    if (mode != OPEN_DROP && !o->stale) {
        opening_answer(o, 0);
        return;
    }
    o->notice = (struct notice){.kind = mode == OPEN_DROP ? NOTICE_PAGES : NOTICE_ATTRIBUTES,
                                .ino = fs_ino(h->fs, h->node),
                                .done = opening_invalidated,
                                .arg = o};
    notifier_push(h->fs->notifier, &o->notice);
}

/* What should have been purified and cannot be is refused where that was asked for. */
static int refused(struct fs *fs, const struct handle *h, const char *path)
{
    if (!fs->strict || h->verdict.group != FUSED_GROUP_UNPURIFIED)
        return 0;
    unsigned dropped;
    if (log_gate_pass(&fs->strict_gate, strict_log_ns, &dropped))
        log_error("%s: not purified (%s), and the mount is strict (%u more since the last line)",
                  path, h->verdict.reason, dropped);
    return EIO;
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
    fs_fetched(fs, h->node, f);
    h->verdict = f->verdict;
    if (f->verdict.group == FUSED_GROUP_IMAGE)
        hold(h, f->bytes);
    else
        h->kind = HANDLE_ORIGINAL;
    fused_bytes_unref(f->bytes);
    int err = refused(fs, h, o->path);
    if (err)
        opening_answer(o, err);
    else
        opening_ready(o);
}

static void opening_abandoned(struct parked *w)
{
    struct opening *o = (struct opening *)((char *)w - offsetof(struct opening, parked));
    fused_fetch_abandon(o->handle->fs->pipeline, &o->fetch);
}

static void open_judged(fuse_req_t req, struct opening *o, bool stored)
{
    struct handle *h = o->handle;
    struct fs *fs = h->fs;
    int err = refused(fs, h, o->path);
    if (err) {
        opening_answer(o, err);
        return;
    }
    if (h->kind == HANDLE_ORIGINAL || stored) {
        opening_ready(o);
        return;
    }
    atomic_fetch_add_explicit(&fs->n.opens_waited, 1, memory_order_relaxed);
    o->fetch.fd = h->fd;
    o->fetch.id = h->id;
    o->fetch.same_bytes = false;
    o->fetch.verdict = h->verdict;
    o->fetch.name = o->path;
    o->fetch.want_bytes = true;
    o->fetch.done = opening_fetched;
    o->fetch.arg = o;
    o->is_parked = true;
    park_add(fs->park, &o->parked, req, opening_abandoned);
    fused_fetch_start(fs->pipeline, &o->fetch, PURIFY_URGENT);
}

/* What is remembered of h's version, if that decides it. */
static bool recall_handle(struct handle *h, const struct stat *sb, bool *out_stored)
{
    struct fs *fs = h->fs;
    struct node_version v = node_version(&h->id);
    struct node_known known;
    if (table_recall(fs->table, h->node, &v, &known) ||
        (known.has_source && !fs_is_sure(fs, sb->st_dev, h->fd)) ||
        (known.group == FUSED_GROUP_IMAGE && !known.stored))
        return false;
    h->verdict = (struct fused_verdict){.group = known.group,
                                        .size = known.size,
                                        .has_source = known.has_source,
                                        .source = known.source};
    if (known.group == FUSED_GROUP_UNPURIFIED) {
        AUTO(mem_free) char *why = named_why(fs->named[known.group], &h->id);
        snprintf(h->verdict.reason, sizeof h->verdict.reason, "%s", why ? why : "damaged");
    }
    *out_stored = known.stored;
    return true;
}

/* Fills in what h is: by what is remembered of its version, or by its header. *out_stored: nothing
   has to be read or purified before it is opened. 0 or an errno value. */
static int judge_handle(struct handle *h, const struct stat *sb, const char *path, bool *out_stored)
{
    struct fs *fs = h->fs;
    if (!recall_handle(h, sb, out_stored)) {
        int err = fs_judge_open(fs, h->node, h->fd, sb, path, &h->verdict);
        if (err)
            return err;
        *out_stored = h->verdict.has_source && fused_is_cached(fs->pipeline, &h->verdict);
    }
    h->kind = h->verdict.group == FUSED_GROUP_IMAGE ? HANDLE_IMAGE : HANDLE_ORIGINAL;
    h->told_size = h->verdict.size;
    atomic_store(&h->judged, true);
    return 0;
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
    bool stored;
    err = judge_handle(h, &sb, path, &stored);
    if (err)
        opening_answer(o, err);
    else
        open_judged(req, o, stored);
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

/* 0 or an errno value; *out is for mem_free. */
static int read_padded(const struct handle *h, size_t size, off_t off, uint8_t **out, size_t *out_n)
{
    uint8_t *data = mem_alloc(size);
    status st = data ? fused_read_original(h->fd, h->id.size, h->verdict.size, data, size,
                                           off < 0 ? UINT64_MAX : (uint64_t)off, out_n)
                     : STATUS_NOMEM;
    if (st) {
        mem_free(data);
        return fs_errno(st);
    }
    *out = data;
    return 0;
}

/* On a frozen mount, where no OPEN found out that the image is damaged. */
static void reading_original(struct reading *r)
{
    AUTO(mem_free) uint8_t *data = NULL;
    size_t n = 0;
    int err = refused(r->handle->fs, r->handle, r->path);
    if (!err)
        err = read_padded(r->handle, r->size, r->off, &data, &n);
    struct fused_bytes b = {.len = n, .data = data};
    r->off = 0; /* of what was read */
    reading_answer(r, err, &b);
}

/* The fetch's callback for a READ. */
static void reading_fetched(struct fused_fetch *f, status st)
{
    struct reading *r = f->arg;
    struct fused_bytes *b = f->bytes;
    if (st && st != STATUS_CANCELLED && st != STATUS_AGAIN)
        named_add(r->handle->fs->failures, &f->id, r->path, errmsg_text(&f->err, st));
    if (!st)
        fs_fetched(r->handle->fs, r->handle->node, f);
    if (!st && f->verdict.group != FUSED_GROUP_IMAGE)
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
                          const struct fused_verdict *verdict)
{
    struct fs *fs = h->fs;
    struct reading *r = mem_alloc(sizeof *r);
    struct stat now;
    if (!r || fstat(h->fd, &now) < 0) {
        fuse_reply_err(req, r ? errno : ENOMEM);
        mem_free(r);
        return;
    }
    atomic_fetch_add(&h->refs, 1);
    r->handle = h;
    r->size = size;
    r->off = off;
    if (table_path(fs->table, h->node, NULL, r->path))
        r->path[0] = 0;
    r->fetch.fd = h->fd;
    r->fetch.id = verdict->has_source ? fused_file_id(&now) : h->id;
    r->fetch.same_bytes = verdict->has_source;
    r->fetch.verdict = *verdict;
    r->fetch.name = r->path;
    r->fetch.want_bytes = true;
    r->fetch.done = reading_fetched;
    r->fetch.arg = r;
    park_add(fs->park, &r->parked, req, reading_abandoned);
    fused_fetch_start(fs->pipeline, &r->fetch, PURIFY_URGENT);
}

/* What is known of an image that was opened as "stored", completed by its header and the memo. */
static status complete(struct handle *h, struct fused_verdict *out)
{
    struct fused_verdict v = h->verdict, head;
    struct errmsg e = {""};
    char path[PATH_MAX] = "";
    if (!v.info.width) {
        status_ignore(table_path(h->fs->table, h->node, NULL, path), "it is for rules by name");
        status st = fused_examine(h->fs->pipeline, h->fd, &h->id, path, &head, &e);
        if (st)
            return st;
        if (head.info.encoded_size != v.size)
            return STATUS_AGAIN; /* it was overwritten */
        v.info = head.info;
    }
    if (v.has_source && !v.has_pixels) {
        status st = fused_identify(h->fs->pipeline, h->fd, &h->id, &v, &e);
        if (st)
            return st;
    }
    *out = v;
    return STATUS_OK;
}

static void read_image(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    struct fused_pipeline *p = h->fs->pipeline;
    struct fused_bytes *held = atomic_load(&h->held), *b = NULL;
    struct errmsg e = {""};
    struct fused_verdict v;
    status st = STATUS_OK;
    if (held)
        b = bytes_ref(held);
    else if (h->verdict.has_source)
        b = pipeline_memory(p, &h->verdict.source);
    if (!b) {
        st = complete(h, &v);
        if (!st && fused_fetch_now(p, h->fd, &h->id, &v, &b, &e) == STATUS_OK)
            hold(h, b);
    }
    if (b)
        reply_slice(req, b->data, b->len, size, off);
    else if (st)
        fuse_reply_err(req, fs_errno(st));
    else
        read_by_fetch(req, h, size, off, &v);
    if (b)
        fused_bytes_unref(b);
}

/* What is served as it is may grow while it is read, as a log does; but what has become an image
   meanwhile is not shown as it is to who opened something else. 0 or an errno value. */
static int check_original(struct handle *h)
{
    struct stat sb;
    if (fstat(h->fd, &sb) < 0)
        return errno;
    struct cache_file_id now = fused_file_id(&sb);
    if (fused_same_file(&now, &h->id))
        return 0;
    struct fused_verdict v;
    struct errmsg e = {""};
    char path[PATH_MAX] = "";
    status_ignore(table_path(h->fs->table, h->node, NULL, path), "it is for rules by name");
    status st = fused_examine(h->fs->pipeline, h->fd, &now, path, &v, &e);
    if (!st && v.group == FUSED_GROUP_IMAGE) { /* only if it is the damaged one that was opened */
        st = h->verdict.has_source ? fused_identify(h->fs->pipeline, h->fd, &now, &v, &e)
                                   : STATUS_AGAIN;
        if (!st && !digest_equal(&v.source, &h->verdict.source))
            st = STATUS_AGAIN;
    }
    return fs_errno(st);
}

static void read_original(fuse_req_t req, struct handle *h, size_t size, off_t off)
{
    AUTO(mem_free) uint8_t *data = NULL;
    size_t n = 0;
    int err = check_original(h);
    if (!err && h->verdict.size == h->id.size) {
        struct fuse_bufvec from = FUSE_BUFVEC_INIT(size);
        from.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
        from.buf[0].fd = h->fd;
        from.buf[0].pos = off;
        fuse_reply_data(req, &from, 0);
        return;
    }
    if (!err)
        err = read_padded(h, size, off, &data, &n);
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_buf(req, (const char *)data, n);
}

/* What an OPEN would have made. 0 or an errno value. */
static int handle_for_read(struct fs *fs, struct node *n, struct handle **out)
{
    char path[PATH_MAX];
    struct stat sb;
    bool stored;
    struct handle *h = handle_new(fs, n);
    int err = h ? fs_open_node_data(fs, n, path, &sb, &h->fd) : ENOMEM;
    if (!err) {
        h->id = fused_file_id(&sb);
        err = judge_handle(h, &sb, path, &stored);
    }
    if (!err)
        err = refused(fs, h, path);
    if (err) {
        if (h)
            handle_put(h);
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
        read_original(req, h, size, off);
    }
    handle_put(h);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_put(handle_of(fi));
    fuse_reply_err(req, 0);
}
