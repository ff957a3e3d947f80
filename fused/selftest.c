#include "selftest.h"

#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/banned.h"

enum { SIDE = 16 };

/* A PNG with a ramp, in memory; grey, since every model can purify that. */
static status make_file(int *out_fd, struct errmsg *e)
{
    struct image img;
    status st = image_alloc(SIDE, SIDE, 1, false, &img);
    if (st)
        return st;
    for (int i = 0; i < SIDE * SIDE; i++)
        img.pixels[i] = (uint8_t)(i * 255 / (SIDE * SIDE - 1));
    struct image_info info;
    AUTO(mem_free) uint8_t *data = NULL;
    st = image_info_new(IMAGE_PNG, &img, &info, e);
    if (!st && !(data = mem_alloc(info.encoded_size)))
        st = STATUS_NOMEM;
    if (!st)
        st = image_encode(&img, &info, NULL, 0, data, info.encoded_size, e);
    image_done(&img);
    int fd = st ? -1 : memfd_create("relearnfs-selftest", MFD_CLOEXEC);
    if (!st && fd < 0)
        st = status_from_errno(errno);
    if (!st)
        st = io_write(fd, data, info.encoded_size);
    if (st && fd >= 0)
        close(fd);
    if (!st)
        *out_fd = fd;
    return st;
}

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    status st;
};

static void fetched(struct fused_fetch *f, status st)
{
    struct wait *w = f->arg;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->st = st;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static status run(struct fused_pipeline *p, int fd, struct errmsg *e)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return status_from_errno(errno);
    struct wait w = {.done = false};
    struct fused_file file = fused_file_of(fd, "self-test.png", &sb);
    struct fused_fetch f;
    status st = fused_examine(p, &file, e);
    if (st || file.verdict.group != FUSED_GROUP_IMAGE)
        return st ? st : errmsg_set(e, STATUS_INTERNAL, "the self-test's image was not recognised");
    fused_fetch_init(&f, &file, 0, fetched, &w);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    fused_fetch_start(p, &f, PURIFY_URGENT);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    pthread_mutex_destroy(&w.lock);
    if (w.st)
        return errmsg_set(e, w.st, "the self-test's image was not purified: %s",
                          errmsg_text(&f.err, w.st));
    bool right = f.bytes && f.bytes->len == file.verdict.size;
    fused_bytes_unref(f.bytes);
    return right ? STATUS_OK
                 : errmsg_set(e, STATUS_INTERNAL,
                              "the self-test's image has another size than promised");
}

/* Under what the cache remembers it: the digest of a text, which no image file is. */
static status memo_key(const struct fused_stack *s, struct digest *out)
{
    static const char text[] = "relearnfs: self-test";
    return digest_sha256(
        (struct digest_part[]){{text, sizeof text}, {&s->profile.id, sizeof s->profile.id}}, 2,
        out);
}

static status run_alone(const struct fused_stack *s, struct errmsg *e)
{
    const struct pipeline_options po = {
        .purifier = pipeline_purifier_of(s->service), .profile = s->profile.id, .threads = 1};
    struct fused_pipeline *p;
    int fd;
    status st = make_file(&fd, e);
    if (st)
        return st;
    st = pipeline_new(&po, &p);
    if (!st) {
        st = run(p, fd, e);
        pipeline_stop(p);
        purify_wait_idle(s->service); /* its thread may still be in the callback that answered */
        pipeline_free(p);
    }
    close(fd);
    return st;
}

status selftest_purify(const struct fused_stack *s, struct errmsg *e)
{
    struct digest key;
    struct cache_memo memo;
    status st = memo_key(s, &key);
    if (st || (s->cache && cache_memo_get(s->cache, &key, &memo) == STATUS_OK))
        return st;
    st = run_alone(s, e);
    memset(&memo, 0, sizeof memo);
    memo.shape = (struct cache_shape){SIDE, SIDE, 1};
    if (!st && s->cache)
        status_ignore(cache_memo_put(s->cache, &key, &memo), "the next mount tests again");
    return st;
}
