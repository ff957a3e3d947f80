#ifndef PURIFY_WORKER_H
#define PURIFY_WORKER_H
/*
 * What a service is made of, for service.c (what callers see) and worker.c (its threads).
 *
 * A worker asks, before each network evaluation, whether cancelled jobs are to be answered; and, in
 * a turn of the sweep, whether it takes CPU time that other processes want (yield.h); then it
 * sleeps for a while, unless an urgent job waits.
 *
 * A worker without a job helps another with an urgent image (worker_team.c).
 *
 * Invariants: one worker removes a job from the lists and answers it; a job is not touched after
 * its done() was called. The lock is held only while lists are changed.
 */
#include "jobs.h"
#include "service.h"
#include "yield.h"

#include <pthread.h>

/* The workers of a turn: the one that took the job and leads, and its helpers. */
struct worker_team {
    struct team team;
    struct worker *member[TEAM_MAX]; /* (team.n), the leader first */
    team_work_fn *work;              /* what is called for; guarded by the service's lock */
    void *arg;
    int busy; /* helpers whose call has not returned; guarded by the service's lock */
};
struct worker {
    struct purify_service *service;
    void *engine;
    pid_t thread;
    bool low;           /* at idle priority; guarded by the service's lock */
    struct yield yield; /* the worker's own */
    /* guarded by the service's lock: */
    bool idle;                 /* waits for a job or is about to ask for one, and helps nobody */
    struct worker_team *helps; /* NULL: nobody */
    int place;                 /* in that team */
    bool called;               /* to work for it */
};
struct purify_service {
    const struct service_ops *ops;
    int queue_max;
    bool idle_sweep, can_be_idle;
    struct worker *worker; /* (threads) */
    struct pool *pool;     /* each worker is one job of it, which ends with the service */

    pthread_mutex_t lock;
    pthread_cond_t work;               /* a job came or was put aside, or stopping */
    pthread_cond_t hurry;              /* a sweep's pause may be over */
    pthread_cond_t called;             /* helpers: there is work, or the turn is over */
    pthread_cond_t returned;           /* leaders: all helpers are done */
    pthread_cond_t idle;               /* nothing waits and nothing is taken */
    struct jobs jobs;                  /* guarded by lock */
    uint64_t taken;                    /* jobs being run or answered; guarded by lock */
    struct purify_service_stats stats; /* without `queued`; guarded by lock */
    bool stopping;                     /* guarded by lock */
};

/* The thread of a struct worker. */
void worker_main(void *worker);
/* A reader waits: ends pauses and idle priority of the sweep's turns. The lock is held. */
void workers_hurry(struct purify_service *s);

/* All with the lock held. The leader's team for a turn of the job. */
void team_form(struct worker_team *t, struct worker *leader, const struct purify_job *job);
void team_dismiss(struct worker_team *t);
/* What a helper was called for; gives the lock up meanwhile. */
void team_help(struct worker *w);

#endif
