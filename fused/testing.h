#ifndef FUSED_TESTING_H
#define FUSED_TESTING_H
/* Shared by this folder's tests: temporary trees with small images, and a purifier that inverts
 * pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define UNUSED __attribute__((unused))
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        status got_ = (call);                                                                      \
        if (got_)                                                                                  \
            fail_msg("%s: %s", #call, status_text(got_));                                          \
    } while (0)

/* ---- trees ---- */

UNUSED static char *test_dir_new(void)
{
    char *dir = mem_strdup("/tmp/fused-test-XXXXXX");
    assert_non_null(dir);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static int remove_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
    (void)sb, (void)flag, (void)ftw;
    return remove(path);
}

UNUSED static void test_dir_free(char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mem_free(dir);
}

UNUSED static void test_write(const char *dir, const char *name, const void *data, size_t len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

/* Pixels of image number n; alpha too when there is a plane. */
UNUSED static void test_fill(struct image *img, unsigned n)
{
    uint32_t x = n * 2654435761u + 1;
    for (size_t i = 0; i < image_pixel_bytes(img); i++)
        img->pixels[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    for (int i = 0; img->alpha && i < img->width * img->height; i++)
        img->alpha[i] = (uint8_t)(i * 7);
}

/* The file's bytes, for mem_free. */
UNUSED static uint8_t *test_encode(enum image_format format, int side, int channels, bool alpha,
                                   unsigned n, size_t *out_len)
{
    struct image img;
    struct image_info info;
    assert_ok(image_alloc(side, side, channels, alpha, &img));
    test_fill(&img, n);
    assert_ok(image_info_new(format, &img, &info, NULL));
    uint8_t *data = mem_alloc(info.encoded_size);
    assert_non_null(data);
    assert_ok(image_encode(&img, &info, NULL, 0, data, info.encoded_size, NULL));
    image_done(&img);
    *out_len = info.encoded_size;
    return data;
}

UNUSED static void test_image(const char *dir, const char *name, enum image_format format, int side,
                              int channels, bool alpha, unsigned n)
{
    size_t len;
    uint8_t *data = test_encode(format, side, channels, alpha, n, &len);
    test_write(dir, name, data, len);
    mem_free(data);
}

/* ---- a purifier ---- */

enum { FAKE_THREADS = 2 };

struct fake {
    pthread_t thread[FAKE_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct purify_job *first, **last; /* guarded by lock, as all below */
    unsigned queued, queue_max, submitted, promoted, demoted, cancelled;
    bool held;      /* nothing is worked on */
    status outcome; /* of every job */
    bool stopping;
};

UNUSED static status fake_submit(void *ctx, struct purify_job *job, enum purify_priority prio)
{
    struct fake *f = ctx;
    status st = STATUS_OK;
    pthread_mutex_lock(&f->lock);
    if (f->stopping) {
        st = STATUS_CANCELLED;
    } else if (f->queued == f->queue_max) {
        st = STATUS_AGAIN;
    } else {
        job->priority = prio;
        job->next = NULL;
        *f->last = job;
        f->last = &job->next;
        f->queued++;
        f->submitted++;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return st;
}

UNUSED static void fake_promote(void *ctx, struct purify_job *job)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->promoted++;
    for (struct purify_job *j = f->first; j; j = j->next)
        if (j == job)
            j->priority = PURIFY_URGENT;
    pthread_mutex_unlock(&f->lock);
}

UNUSED static void fake_demote(void *ctx, struct purify_job *job)
{
    struct fake *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->demoted++;
    for (struct purify_job *j = f->first; j; j = j->next)
        if (j == job)
            j->priority = PURIFY_SWEEP;
    pthread_mutex_unlock(&f->lock);
}

/* Only counts: fake_stop cancels what is left. */
UNUSED static void fake_cancel(void *ctx, struct purify_job *job)
{
    struct fake *f = ctx;
    (void)job;
    pthread_mutex_lock(&f->lock);
    f->cancelled++;
    pthread_mutex_unlock(&f->lock);
}

static void *fake_main(void *arg)
{
    struct fake *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping || f->first) {
        if (!f->first || (f->held && !f->stopping)) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        struct purify_job *job = f->first;
        f->first = job->next;
        if (!f->first)
            f->last = &f->first;
        f->queued--;
        status st = f->stopping ? STATUS_CANCELLED : f->outcome;
        pthread_mutex_unlock(&f->lock);
        for (size_t i = 0; !st && i < image_pixel_bytes(job->img); i++)
            job->img->pixels[i] ^= 0xff;
        struct errmsg e = {"the fake says so"};
        job->done(job, st, st ? &e : NULL);
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

UNUSED static void fake_start(struct fake *f)
{
    memset(f, 0, sizeof *f);
    f->last = &f->first;
    f->queue_max = 1000;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    for (int i = 0; i < FAKE_THREADS; i++)
        assert_int_equal(pthread_create(&f->thread[i], NULL, fake_main, f), 0);
}

/* Jobs that are queued end as CANCELLED. */
UNUSED static void fake_stop(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; i < FAKE_THREADS; i++)
        pthread_join(f->thread[i], NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

UNUSED static void fake_hold(struct fake *f, bool held)
{
    pthread_mutex_lock(&f->lock);
    f->held = held;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

UNUSED static void fake_outcome(struct fake *f, status st)
{
    pthread_mutex_lock(&f->lock);
    f->outcome = st;
    pthread_mutex_unlock(&f->lock);
}

UNUSED static unsigned fake_submitted(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    unsigned n = f->submitted;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- a pipeline over it ---- */

struct rig {
    char *dir, *cache_dir;
    struct fake fake;
    struct cache *cache;
    struct fused_pipeline *p;
};

UNUSED static void rig_start(struct rig *r, const struct pipeline_options *opt)
{
    fake_start(&r->fake);
    const struct cache_options limits = {.max_bytes = CACHE_NO_LIMIT,
                                         .min_free_bytes = CACHE_NO_LIMIT};
    assert_ok(cache_open(r->cache_dir, &limits, &r->cache, NULL));
    struct pipeline_options o = opt ? *opt : (struct pipeline_options){.threads = 2};
    o.cache = r->cache;
    o.purifier = (struct pipeline_purifier){.ctx = &r->fake,
                                            .submit = fake_submit,
                                            .promote = fake_promote,
                                            .demote = fake_demote,
                                            .cancel = fake_cancel};
    memset(o.profile.byte, 7, sizeof o.profile.byte);
    assert_ok(pipeline_new(&o, &r->p));
}

/* A rig that is stopped already stays so: a test may have failed before it started it again. */
UNUSED static void rig_stop(struct rig *r)
{
    if (!r->p)
        return;
    pipeline_stop(r->p);
    fake_stop(&r->fake);
    status_ignore(cache_close(r->cache), "tests make it fail");
    pipeline_free(r->p);
    r->p = NULL;
}

UNUSED static void rig_new(struct rig *r)
{
    r->dir = test_dir_new();
    r->cache_dir = test_dir_new();
    rig_start(r, NULL);
}

UNUSED static void rig_free(struct rig *r)
{
    rig_stop(r);
    test_dir_free(r->dir);
    test_dir_free(r->cache_dir);
}

/* ---- one request and its answer ---- */

struct asked {
    struct fused_fetch f;
    char name[64];
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int answers; /* guarded by lock */
    status st;
};

UNUSED static void asked_done(struct fused_fetch *f, status st)
{
    struct asked *a = f->arg;
    pthread_mutex_lock(&a->lock);
    a->answers++;
    a->st = st;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->lock);
}

UNUSED static status asked_examine(struct rig *r, struct asked *a, const char *name)
{
    char path[512];
    struct stat sb;
    memset(a, 0, sizeof *a);
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    snprintf(a->name, sizeof a->name, "%s", name);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->cond, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &sb), 0);
    struct fused_file file = fused_file_of(fd, a->name, &sb);
    status st = fused_examine(r->p, &file, &a->f.err);
    fused_fetch_init(&a->f, &file, 0, asked_done, a);
    return st;
}

UNUSED static status asked_wait(struct asked *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->answers)
        pthread_cond_wait(&a->cond, &a->lock);
    status st = a->st;
    pthread_mutex_unlock(&a->lock);
    return st;
}

UNUSED static void asked_end(struct asked *a)
{
    assert_true(a->answers <= 1);
    fused_bytes_unref(a->f.bytes);
    close(a->f.file.fd);
    pthread_cond_destroy(&a->cond);
    pthread_mutex_destroy(&a->lock);
}

UNUSED static void asked_start(struct rig *r, struct asked *a, const char *name,
                               enum purify_priority prio)
{
    assert_ok(asked_examine(r, a, name));
    assert_int_equal(a->f.file.verdict.group, FUSED_GROUP_IMAGE);
    fused_fetch_start(r->p, &a->f, prio);
}

#endif
