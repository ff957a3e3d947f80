#include "loop.h"

#include "gradients.h"

static status one_step(struct train_loop *l, const struct train_batch *b, struct errmsg *e)
{
    status st = l->load(l->arg, b, e);
    if (!st)
        st = nn_plan_run(l->plan);
    if (st)
        return st;
    double loss = l->loss[0];
    st = train_check_gradients(l->params, loss, l->clip, l->threads, (long long)l->step, e);
    if (st)
        return st;
    nn_optim_step(l->optim, l->rate(l->arg, l->step));
    st = nn_plan_refresh(l->plan);
    if (st)
        return st;
    l->step++;
    return l->after ? l->after(l->arg, b, loss, e) : STATUS_OK;
}

status train_loop_run(struct train_loop *l, int64_t end, struct errmsg *e)
{
    int batches = l->loader ? train_loader_batches(l->loader) : 0;
    status st = STATUS_OK;
    for (bool first = true; !st && l->step < end; first = false) {
        const struct train_batch *b = NULL;
        int at = batches ? (int)(l->step % batches) : 0;
        if (batches && (first || at == 0))
            st = train_loader_start(l->loader, (uint64_t)(l->step / batches), at);
        if (!st && batches)
            st = train_loader_next(l->loader, &b, e);
        if (!st && stop_requested())
            st = STATUS_CANCELLED;
        if (!st)
            st = one_step(l, b, e);
    }
    return st;
}
