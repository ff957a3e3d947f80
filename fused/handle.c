#include "handle.h"

#include "bytes.h"
#include <errno.h>

#include "base/banned.h"

static const uint64_t strict_log_ns = 1000000000ull; /* each line names a file */

static void link_in(struct handle *h)
{
    struct fs *fs = h->fs;
    pthread_mutex_lock(&fs->files.lock);
    h->next = fs->files.first;
    if (h->next)
        h->next->prev = h;
    fs->files.first = h;
    pthread_mutex_unlock(&fs->files.lock);
}

static void unlink_from(struct handle *h)
{
    struct fs *fs = h->fs;
    pthread_mutex_lock(&fs->files.lock);
    *(h->prev ? &h->prev->next : &fs->files.first) = h->next;
    if (h->next)
        h->next->prev = h->prev;
    pthread_mutex_unlock(&fs->files.lock);
}

struct handle *handle_new(struct fs *fs, struct node *n)
{
    struct handle *h = mem_zalloc(1, sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    h->fs = fs;
    h->file.fd = -1;
    h->text = (struct buf)BUF_INIT(64u << 20);
    pthread_mutex_init(&h->last_lock, NULL);
    h->node = n;
    if (n)
        table_ref(fs->table, n);
    link_in(h);
    return h;
}

void handle_ref(struct handle *h)
{
    atomic_fetch_add(&h->refs, 1);
}

void handle_unref(struct handle *h)
{
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    unlink_from(h);
    if (h->counted)
        table_close(h->fs->table, h->node);
    if (h->node)
        table_unref(h->fs->table, h->node);
    if (h->file.fd >= 0)
        close(h->file.fd);
    fused_bytes_unref(atomic_load(&h->held));
    fused_bytes_unref(h->last);
    pthread_mutex_destroy(&h->last_lock);
    buf_done(&h->text);
    mem_free(h);
}

void files_end(struct fs *fs)
{
    while (fs->files.first)
        handle_unref(fs->files.first);
}

bool files_stat(struct fs *fs, struct node *n, struct stat *out)
{
    bool found = false;
    pthread_mutex_lock(&fs->files.lock);
    for (struct handle *h = fs->files.first; h && !found; h = h->next)
        if (h->node == n && atomic_load(&h->judged) && fstat(h->file.fd, out) == 0) {
            fs_show_size(out, h->told_size);
            found = true;
        }
    pthread_mutex_unlock(&fs->files.lock);
    return found;
}

int handle_open(struct handle *h, char *out_path, bool *out_ready)
{
    int err = fs_open_judged(h->fs, h->node, out_path, &h->file, out_ready);
    if (err)
        return err;
    const struct fused_verdict *v = &h->file.verdict;
    h->file.name = NULL; /* it may change */
    h->kind = v->group != FUSED_GROUP_IMAGE ? HANDLE_ORIGINAL
              : v->list.count               ? HANDLE_LIST
                                            : HANDLE_IMAGE;
    h->told_size = v->size;
    atomic_store(&h->judged, true);
    return 0;
}

int handle_refused(const struct handle *h, const struct fused_verdict *v, const char *path)
{
    struct fs *fs = h->fs;
    unsigned dropped;
    if (!fs->opt.strict || v->group != FUSED_GROUP_UNPURIFIED)
        return 0;
    if (log_gate_pass(&fs->strict_gate, strict_log_ns, &dropped))
        log_error("%s: not purified (%s), and the mount is strict (%u more since the last line)",
                  path, v->reason, dropped);
    return EIO;
}

void handle_hold(struct handle *h, struct fused_bytes *b)
{
    struct fused_bytes *none = NULL;
    if (b->len < HELD_BYTES_MIN || atomic_load(&h->held))
        return;
    bytes_ref(b);
    if (!atomic_compare_exchange_strong(&h->held, &none, b))
        fused_bytes_unref(b);
}

void handle_note_fetch(struct handle *h, const struct fused_fetch *f, status st)
{
    struct fs *fs = h->fs;
    if (!st) {
        name_list_remove(fs->lists.failures, &f->file.id);
        fs_fetched(fs, h->node, &f->file);
    } else if (st != STATUS_CANCELLED && st != STATUS_AGAIN) {
        name_list_add(fs->lists.failures, &f->file.id, f->file.name, errmsg_text(&f->err, st));
    }
}

void handle_path(const struct handle *h, char out[PATH_MAX])
{
    if (table_path(h->fs->table, h->node, NULL, out))
        out[0] = 0;
}
