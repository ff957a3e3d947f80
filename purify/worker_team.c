/*
 * Workers that have nothing to do help with the turns of an urgent image.
 *
 * A helper is the leader's from team_form to team_dismiss, the length of a turn: it waits for calls
 * and takes no job of its own. So a job that comes waits for no more than that turn.
 */
#include "worker.h"

/* Those that no urgent job waits for; the sweep's wait (jobs.h). The lock is held. */
static int64_t workers_to_spare(const struct purify_service *s)
{
    uint64_t waiting = s->jobs.class[PURIFY_URGENT].waiting, idle = 0;
    for (int i = 0; i < s->jobs.threads; i++)
        idle += s->worker[i].idle;
    return waiting < idle ? (int64_t)(idle - waiting) : 0;
}

/* struct team's run, for the leader. */
static void call_all(void *ctx, int k, team_work_fn *work, void *arg)
{
    struct worker_team *t = ctx;
    struct purify_service *s = t->member[0]->service;
    pthread_mutex_lock(&s->lock);
    t->work = work;
    t->arg = arg;
    t->busy = k - 1;
    for (int i = 1; i < k; i++)
        t->member[i]->called = true;
    pthread_cond_broadcast(&s->called);
    pthread_mutex_unlock(&s->lock);

    work(arg, 0);

    pthread_mutex_lock(&s->lock);
    while (t->busy)
        pthread_cond_wait(&s->returned, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void team_form(struct worker_team *t, struct worker *leader, const struct purify_job *job)
{
    struct purify_service *s = leader->service;
    bool shared = job->shares && job->priority == PURIFY_URGENT;
    int64_t helpers = shared ? workers_to_spare(s) : 0;
    helpers = helpers < job->left ? helpers : job->left - 1;
    t->member[0] = leader;
    t->team = (struct team){.n = 1, .run = call_all, .ctx = t};
    for (int i = 0; i < s->jobs.threads && t->team.n <= helpers && t->team.n < TEAM_MAX; i++) {
        struct worker *w = &s->worker[i];
        if (!w->idle)
            continue;
        w->idle = false;
        w->helps = t;
        w->place = t->team.n;
        t->member[t->team.n++] = w;
    }
    if (t->team.n > 1)
        pthread_cond_broadcast(&s->work); /* they wait for calls from now on */
}

void team_dismiss(struct worker_team *t)
{
    struct purify_service *s = t->member[0]->service;
    for (int i = 1; i < t->team.n; i++) {
        t->member[i]->helps = NULL;
        t->member[i]->idle = true;
    }
    if (t->team.n > 1)
        pthread_cond_broadcast(&s->called);
    t->team.n = 1;
}

void team_help(struct worker *w)
{
    struct purify_service *s = w->service;
    struct worker_team *t = w->helps;
    w->called = false;
    pthread_mutex_unlock(&s->lock);
    t->work(t->arg, w->place);
    pthread_mutex_lock(&s->lock);
    if (--t->busy == 0)
        pthread_cond_broadcast(&s->returned);
}
