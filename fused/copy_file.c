/* One file: fetched, written to a temporary name, renamed. */
#include "copy_parts.h"

#include "list_copy.h"
#include "pipeline.h"
#include "verbatim.h"
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

/* How often a file is read again that changed while it was read. */
enum { READ_TRIES = 4 };

struct item {
    struct copying *c;
    struct fused_fetch fetch;
    struct stat sb;
    struct dest_dir *dir;
    status st;
    int tries;
    uint64_t work;
    const char *name; /* in path */
    char path[];      /* relative to src */
};

static void item_end(struct item *it)
{
    struct copying *c = it->c;
    fused_bytes_unref(it->fetch.bytes);
    close(it->fetch.file.fd);
    dest_unref(it->dir);
    pthread_mutex_lock(&c->lock);
    c->outstanding--;
    c->result.done++;
    c->result.work += it->work;
    pthread_cond_signal(&c->room);
    pthread_mutex_unlock(&c->lock);
    mem_free(it);
}

static uint64_t work_of(const struct copying *c, const struct fused_verdict *v)
{
    return v->group == FUSED_GROUP_IMAGE ? fused_work(c->copy->model, v->info.width, v->info.height)
                                         : 0;
}

/* ---- writing ---- */

/* An image of a list is there. */
static void count_image(void *arg)
{
    struct item *it = arg;
    uint64_t work = work_of(it->c, &it->fetch.file.verdict);
    pthread_mutex_lock(&it->c->lock);
    it->c->result.work += work;
    pthread_mutex_unlock(&it->c->lock);
}

static int item_is_stopping(void *arg)
{
    const struct item *it = arg;
    return atomic_load(&it->c->stopping);
}

/* *out_reading: it is the source that failed. */
static status write_bytes(struct item *it, int fd, int *out_reading)
{
    const struct fused_bytes *b = it->fetch.bytes;
    const struct fused_file *file = &it->fetch.file;
    *out_reading = 0;
    if (b)
        return io_write(fd, b->data, b->len);
    if (file->verdict.group == FUSED_GROUP_IMAGE) {
        const struct list_copy lc = {.pipeline = it->c->pipeline,
                                     .from = file,
                                     .to = fd,
                                     .copied = count_image,
                                     .stop = item_is_stopping,
                                     .arg = it};
        return list_copy(&lc, out_reading, &it->fetch.err);
    }
    const struct verbatim v = {.from = file->fd,
                               .to = fd,
                               .padded_size = file->verdict.size,
                               .stop = item_is_stopping,
                               .arg = it};
    return verbatim_copy(&v, &it->sb, out_reading);
}

/* False when it was said why not. */
static bool write_item(struct item *it)
{
    struct dest_file f;
    int reading = 0;
    status st = dest_file_begin(it->dir, it->name, &f);
    if (st) {
        copy_report_unwritten(it->c, it->path, st);
        return false;
    }
    st = write_bytes(it, f.fd, &reading);
    if (!st && atomic_load(&it->c->stopping))
        st = STATUS_CANCELLED;
    if (!st)
        st = dest_file_end(it->dir, it->name, &f, &it->sb);
    else
        dest_file_drop(it->dir, &f);
    if (st && reading && st != STATUS_CANCELLED)
        copy_report_failure(it->c, it->path,
                            st == STATUS_AGAIN ? copy_changed_text
                                               : errmsg_text(&it->fetch.err, st));
    else if (st)
        copy_report_unwritten(it->c, it->path, st);
    return !st;
}

/* ---- fetching ---- */

static void item_fetched(struct fused_fetch *f, status st);

/* Looks at the file as it is now and asks for its bytes; item_fetched is called, perhaps at once. A
   file of many images is written by its images. */
static void begin_fetch(struct item *it)
{
    struct fused_fetch *f = &it->fetch;
    struct copying *c = it->c;
    struct errmsg e = {""};
    int fd = f->file.fd;
    status st = file_settle(fd, &it->sb);
    struct fused_file file = fused_file_of(fd, it->path, &it->sb);
    if (!st)
        st = fused_examine(c->pipeline, &file, &e);
    it->tries++;
    it->work = st || file.verdict.list.count ? 0 : work_of(c, &file.verdict);
    fused_fetch_init(f, &file, 0, item_fetched, it);
    f->err = e;
    if (!st && file.verdict.group == FUSED_GROUP_IMAGE && !file.verdict.list.count &&
        !atomic_load(&c->stopping))
        fused_fetch_start(c->pipeline, f, PURIFY_URGENT);
    else
        item_fetched(f, st);
}

static void item_written(struct item *it)
{
    const struct fused_verdict *v = &it->fetch.file.verdict;
    copy_count(it->c, v->group, it->path, v->reason);
}

/* What is not purified is not written where it has to be. */
static bool is_refused(const struct item *it)
{
    return it->c->copy->strict && it->fetch.file.verdict.group == FUSED_GROUP_UNPURIFIED;
}

static void writer_run(void *arg)
{
    struct item *it = arg;
    struct copying *c = it->c;
    if (it->st == STATUS_AGAIN && it->tries < READ_TRIES && !atomic_load(&c->stopping)) {
        begin_fetch(it);
        return;
    }
    if (it->st)
        copy_report_failure(c, it->path,
                            it->st == STATUS_AGAIN ? copy_changed_text
                                                   : errmsg_text(&it->fetch.err, it->st));
    else if (!atomic_load(&c->stopping) && (is_refused(it) || write_item(it)))
        item_written(it);
    item_end(it);
}

/* The fetch's callback. */
static void item_fetched(struct fused_fetch *f, status st)
{
    struct item *it = f->arg;
    it->st = st;
    if (pool_submit(it->c->writers, writer_run, it))
        writer_run(it);
}

/* Takes fd. */
status copy_open_file(struct copying *c, struct dest_dir *dir, int fd, const char *path)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) { /* something else took its place */
        close(fd);
        copy_report_failure(c, path, copy_changed_text);
        return STATUS_OK;
    }
    struct item *it = mem_zalloc(1, sizeof *it + strlen(path) + 1);
    if (!it || !copy_wait_for_room(c, c->outstanding_max - 1)) {
        close(fd);
        mem_free(it);
        return it ? STATUS_CANCELLED : STATUS_NOMEM;
    }
    it->c = c;
    it->fetch.file.fd = fd;
    it->dir = dest_ref(dir);
    memcpy(it->path, path, strlen(path) + 1);
    it->name = strrchr(it->path, '/') ? strrchr(it->path, '/') + 1 : it->path;
    pthread_mutex_lock(&c->lock);
    c->outstanding++;
    c->result.files++;
    pthread_mutex_unlock(&c->lock);
    begin_fetch(it);
    return STATUS_OK;
}
