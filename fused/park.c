#include "park.h"

#include "locks.h"
#include "timed_wait.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

static const long poll_ns = 100 * 1000000; /* a killed process goes away as fast as one notices */

struct park {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct parked *first; /* guarded by lock, as all below */
    uint64_t count, killed;
    bool stopping;
    pthread_t reaper;
    bool started; /* written before the park is shared */
};

static bool is_being_killed(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    AUTO(file_close) FILE *f = tid > 0 ? fopen(path, "re") : NULL;
    char line[256];
    unsigned long long mask;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "SigPnd: %llx", &mask) == 1 || sscanf(line, "ShdPnd: %llx", &mask) == 1)
            if (mask >> (SIGKILL - 1) & 1)
                return true;
    return false;
}

/* Called with p->lock held. */
static void unlink_parked(struct park *p, struct parked *w)
{
    *(w->prev ? &w->prev->next : &p->first) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    p->count--;
}

/* Called with p->lock held. Takes out a request whose caller is dying, and returns it for EINTR. */
static fuse_req_t find_dying(struct park *p)
{
    for (struct parked *w = p->first; w; w = w->next) {
        if (!fuse_req_interrupted(w->req) || !is_being_killed(w->tid))
            continue;
        unlink_parked(p, w);
        w->gone = true;
        p->killed++;
        w->abandoned(w);
        return w->req;
    }
    return NULL;
}

static void *reaper_main(void *arg)
{
    struct park *p = arg;
    pthread_setname_np(pthread_self(), "reaper");
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        fuse_req_t req = find_dying(p);
        if (req) {
            pthread_mutex_unlock(&p->lock);
            fuse_reply_err(req, EINTR);
            pthread_mutex_lock(&p->lock);
            continue;
        }
        if (!p->first) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        const struct timespec until = timed_after(poll_ns);
        pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

status park_new(struct park **out)
{
    struct park *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    timed_cond_init(&p->changed);
    int err = pthread_create(&p->reaper, NULL, reaper_main, p);
    p->started = !err;
    if (err) {
        park_free(p);
        return status_from_errno(err);
    }
    *out = p;
    return STATUS_OK;
}

void park_free(struct park *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (p->started)
        pthread_join(p->reaper, NULL);
    CHECK(p->count == 0);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

void park_add(struct park *p, struct parked *w, fuse_req_t req, parked_gone_fn *abandoned)
{
    *w = (struct parked){.req = req, .tid = fuse_req_ctx(req)->pid, .abandoned = abandoned};
    pthread_mutex_lock(&p->lock);
    w->next = p->first;
    if (w->next)
        w->next->prev = w;
    else
        pthread_cond_signal(&p->changed);
    p->first = w;
    p->count++;
    pthread_mutex_unlock(&p->lock);
}

bool park_take(struct park *p, struct parked *w)
{
    pthread_mutex_lock(&p->lock);
    bool mine = !w->gone;
    if (mine)
        unlink_parked(p, w);
    pthread_mutex_unlock(&p->lock);
    return mine;
}

void park_stats(struct park *p, uint64_t *out_parked, uint64_t *out_killed)
{
    pthread_mutex_lock(&p->lock);
    *out_parked = p->count;
    *out_killed = p->killed;
    pthread_mutex_unlock(&p->lock);
}
