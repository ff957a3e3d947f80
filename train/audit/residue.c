#include "audit/residue.h"

#include "purify/purify.h"

#include <pthread.h>
#include <string.h>

enum { AT_ONCE = 128 }; /* images, after which a wish to stop is heard */

struct residue {
    struct purify_model *model;
    struct purify_service *service;
    struct purify_job job[AT_ONCE];
    struct image image[AT_ONCE];
    pthread_mutex_t lock;
    status failed; /* guarded by lock: the first failure of a turn, and what it says */
    struct errmsg failure;
};

status residue_open(int threads, struct residue **out, struct errmsg *e)
{
    const struct purify_service_options o = {.threads = threads, .queue_max = AT_ONCE};
    struct purify_profile profile;
    struct residue *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    pthread_mutex_init(&r->lock, NULL);
    status st = purify_profile_load("restore", &profile, e);
    if (!st)
        st = purify_model_load(&profile, &r->model, e);
    if (!st)
        st = purify_service_new(r->model, &o, &r->service, e);
    if (st)
        residue_close(r);
    else
        *out = r;
    return st;
}

void residue_close(struct residue *r)
{
    if (!r)
        return;
    purify_service_free(r->service);
    purify_model_free(r->model);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

static void answered(struct purify_job *job, status st, const struct errmsg *e)
{
    struct residue *r = job->arg;
    pthread_mutex_lock(&r->lock);
    if (st && !r->failed) {
        r->failed = st;
        r->failure = *e;
    }
    pthread_mutex_unlock(&r->lock);
}

/* Up to AT_ONCE images, whose pixels are in `left` and stay there. */
static status turn(struct residue *r, struct squares s, uint8_t *left, int n, struct errmsg *e)
{
    status st = STATUS_OK;
    r->failed = STATUS_OK;
    for (int i = 0; i < n && !st; i++) {
        r->image[i] =
            (struct image){s.side, s.side, s.channels, left + (size_t)i * squares_values(s), NULL};
        r->job[i] = (struct purify_job){.img = &r->image[i], .done = answered, .arg = r};
        st = purify_submit(r->service, &r->job[i], PURIFY_SWEEP);
    }
    purify_wait_idle(r->service);
    if (st || !r->failed)
        return st;
    *e = r->failure;
    return r->failed;
}

status residue_left(struct residue *r, struct squares s, const uint8_t *seen, int n, uint8_t *left,
                    struct errmsg *e)
{
    status st = STATUS_OK;
    memcpy(left, seen, (size_t)n * squares_values(s));
    for (int i = 0; i < n && !st; i += AT_ONCE) {
        int many = n - i < AT_ONCE ? n - i : AT_ONCE;
        st = stop_requested() ? STATUS_CANCELLED
                              : turn(r, s, left + (size_t)i * squares_values(s), many, e);
    }
    return st;
}
