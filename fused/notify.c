#include "notify.h"

#include "locks.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

struct notifier {
    struct fuse_session *se;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct notice *first, **last; /* guarded by lock, as all below */
    unsigned queued;
    uint64_t sent;
    bool stopping;
};

/* What the kernel answers does not matter: ENOENT says that it has nothing cached. */
static void send_notice(struct notifier *n, const struct notice *notice)
{
    switch (notice->kind) {
    case NOTICE_ATTRIBUTES:
        fuse_lowlevel_notify_inval_inode(n->se, notice->ino, -1, 0);
        break;
    case NOTICE_PAGES:
        fuse_lowlevel_notify_inval_inode(n->se, notice->ino, 0, 0);
        break;
    case NOTICE_ENTRY:
        fuse_lowlevel_notify_inval_entry(n->se, notice->ino, notice->name, strlen(notice->name));
        break;
    }
}

/* Called with n->lock held. */
static struct notice *pop(struct notifier *n)
{
    struct notice *notice = n->first;
    n->first = notice->next;
    if (!n->first)
        n->last = &n->first;
    n->queued--;
    pthread_cond_broadcast(&n->changed);
    return notice;
}

static void *notifier_main(void *arg)
{
    struct notifier *n = arg;
    pthread_setname_np(pthread_self(), "notifier");
    pthread_mutex_lock(&n->lock);
    while (!n->stopping) {
        if (!n->first) {
            pthread_cond_wait(&n->changed, &n->lock);
            continue;
        }
        struct notice *notice = pop(n);
        n->sent++;
        pthread_mutex_unlock(&n->lock);
        send_notice(n, notice);
        notice->done(notice);
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

status notifier_new(struct fuse_session *se, struct notifier **out)
{
    struct notifier *n = mem_zalloc(1, sizeof *n);
    if (!n)
        return STATUS_NOMEM;
    n->se = se;
    n->last = &n->first;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    int err = pthread_create(&n->thread, NULL, notifier_main, n);
    n->started = !err;
    if (err) {
        notifier_free(n);
        return status_from_errno(err);
    }
    *out = n;
    return STATUS_OK;
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    if (n->started)
        pthread_join(n->thread, NULL);
    while (n->first) {
        pthread_mutex_lock(&n->lock);
        struct notice *notice = pop(n);
        pthread_mutex_unlock(&n->lock);
        notice->done(notice);
    }
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

void notifier_push(struct notifier *n, struct notice *notice)
{
    notice->next = NULL;
    pthread_mutex_lock(&n->lock);
    *n->last = notice;
    n->last = &notice->next;
    n->queued++;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

void notifier_wait_room(struct notifier *n, unsigned max)
{
    pthread_mutex_lock(&n->lock);
    while (n->queued >= max && !n->stopping)
        pthread_cond_wait(&n->changed, &n->lock);
    pthread_mutex_unlock(&n->lock);
}

uint64_t notifier_sent(struct notifier *n)
{
    pthread_mutex_lock(&n->lock);
    uint64_t sent = n->sent;
    pthread_mutex_unlock(&n->lock);
    return sent;
}
