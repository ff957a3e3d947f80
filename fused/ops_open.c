/*
 * OPEN and RELEASE of files. OPEN decides everything, so that READ is only a copy:
 *
 *     handle_open -> original, or a list of images ---------------.
 *                 -> image, purified pixels stored ---------------+--> opening_ready -> answer
 *                 -> image, not stored: park, fetch ... opening_fetched -'
 *
 * opening_ready asks the inode table what the page cache holds (inode.h). Where the kernel has to
 * forget something first, the answer is given from the notifier's callback, after the invalidation:
 * whoever reads after open() returned sees the size and the content of the version that was opened.
 */
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/banned.h"

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
        handle_unref(h);
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

/* A file that is being written: empty, half an image, a whole one, another, all within moments. What the
   kernel believes of its size may be that of any of these when a READ of this one is answered: it would
   cut the answer short, or fill up with zeros what it is short of. Direct I/O takes an answer for what
   it is. It does not allow shared mappings everywhere, so a file that has been seen once only is not
   suspected, unless there is nothing to map. */
static bool is_in_motion(const struct handle *h)
{
    const struct cache_file_id *id = &h->file.id;
    bool suspect = h->kind != HANDLE_LIST && table_has_changed(h->fs->table, h->node);
    return (suspect || id->size == 0) && fs_is_recent(fused_changed_ns(id));
}

static void opening_ready(struct opening *o)
{
    struct handle *h = o->handle;
    struct table *t = h->fs->table;
    struct node_version v = node_version(&h->file.id);
    struct node_known known = {.group = h->file.verdict.group,
                               .many = h->kind == HANDLE_LIST,
                               .source = h->file.verdict.source};
    o->content = node_content(&known, &v);
    o->stale = table_stale(t, h->node, &v);
    enum open_mode mode = is_in_motion(h) ? OPEN_DIRECT : table_open(t, h->node, &o->content);
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

/* The fetch's callback for an OPEN. */
static void opening_fetched(struct fused_fetch *f, status st)
{
    struct opening *o = f->arg;
    struct handle *h = o->handle;
    handle_note_fetch(h, f, st);
    if (st) {
        opening_answer(o, fs_errno(st));
        return;
    }
    h->file.verdict = f->file.verdict;
    if (h->file.verdict.group == FUSED_GROUP_IMAGE)
        handle_hold(h, f->bytes);
    else
        h->kind = HANDLE_ORIGINAL;
    fused_bytes_unref(f->bytes);
    int err = handle_refused(h, &h->file.verdict, o->path);
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

/* Parks the request until the image is there. */
static void opening_fetch(struct opening *o)
{
    struct handle *h = o->handle;
    struct fs *fs = h->fs;
    struct fused_file file = h->file;
    file.name = o->path;
    atomic_fetch_add_explicit(&fs->n.opens_waited, 1, memory_order_relaxed);
    fused_fetch_init(&o->fetch, &file, 0, opening_fetched, o);
    o->is_parked = true;
    park_add(fs->park, &o->parked, o->req, opening_abandoned);
    fused_fetch_start(fs->pipeline, &o->fetch, PURIFY_URGENT);
}

static void open_file(fuse_req_t req, struct handle *h, int flags)
{
    char path[PATH_MAX];
    bool ready = false;
    int err = handle_open(h, path, &ready);
    if (!err)
        err = handle_refused(h, &h->file.verdict, path);
    struct opening *o = err ? NULL : mem_alloc(sizeof *o + strlen(path) + 1);
    if (!o) {
        fuse_reply_err(req, err ? err : ENOMEM);
        handle_unref(h);
        return;
    }
    o->req = req;
    o->flags = flags;
    o->handle = h;
    o->is_parked = o->direct = false;
    memcpy(o->path, path, strlen(path) + 1);
    if (ready)
        opening_ready(o);
    else
        opening_fetch(o);
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
        handle_unref(h);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    atomic_fetch_add_explicit(&fs->n.opens, 1, memory_order_relaxed);
    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (atomic_load(&fs->freezing.state) == FREEZE_DONE) {
        fuse_reply_err(req, ENOSYS); /* which means: it is open, and do not ask again */
        return;
    }
    if (is_virtual(ino)) {
        open_text(req, ino, fi);
        return;
    }
    struct handle *h = handle_new(fs, fs_node(fs, ino));
    if (h)
        open_file(req, h, fi->flags);
    else
        fuse_reply_err(req, ENOMEM);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_unref(handle_of(fi));
    fuse_reply_err(req, 0);
}
