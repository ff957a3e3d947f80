#ifndef PURIFY_TEAM_H
#define PURIFY_TEAM_H
/*
 * A team: threads that make turns of one image at once, each with an engine of its own. What they
 * compute is put together in the order of the turns, by the calling thread; so how large a team was
 * changes no bit of an image.
 */
enum { TEAM_MAX = 16 };

typedef void team_work_fn(void *arg, int i);
struct team {
    int n; /* its threads, 1 to TEAM_MAX */
    /* Calls work(arg, i) for all i < k <= n, for 0 on the calling thread and for each other one on
       a thread of its own; returns when all of them have. Not called for k = 1. */
    void (*run)(void *ctx, int k, team_work_fn *work, void *arg);
    void *ctx;
};
static const struct team team_of_one = {.n = 1};

static inline void team_run(const struct team *t, int k, team_work_fn *work, void *arg)
{
    if (k == 1)
        work(arg, 0);
    else
        t->run(t->ctx, k, work, arg);
}

#endif
